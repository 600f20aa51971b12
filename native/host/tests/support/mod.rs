//! The guest of `tests/guests`, built, and an application around it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use http::{Request, Response};
use http_body_util::BodyExt;
use plaza_host::{Host, HostSettings};
use plaza_http::{Body, Upstream, full};

/// Cargo's target directory: this program lies in `<target>/<profile>/<deps or examples>`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    program.ancestors().nth(3).expect("a program of Cargo's lies three levels deep").to_owned()
}

/// The component, built once per process (and then only if something changed).
pub(crate) fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/Cargo.toml");
        let directory = target().join("guests");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Flags for the tests themselves (coverage, sanitizers) do not fit WebAssembly.
        cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").env_remove("CARGO_BUILD_TARGET");
        cargo.args(["build", "--release", "--locked", "--target", "wasm32-wasip2", "--manifest-path"]).arg(manifest);
        let status = cargo.arg("--target-dir").arg(&directory).status().expect("cargo can be run");
        assert!(status.success(), "the guest of the tests could not be built");
        directory.join("wasm32-wasip2/release/guest.wasm")
    })
}

/// Compiled components, shared by all tests: compiling without optimisation of the compiler takes seconds.
pub(crate) fn cache() -> PathBuf {
    target().join("guests/compiled")
}

/// A host of a temporary directory.
pub(crate) struct App {
    pub(crate) host: Arc<Host>,
    pub(crate) directory: tempfile::TempDir,
}

impl App {
    /// Starts what a manifest says. `GUEST` in it stands for the component's path.
    pub(crate) async fn start(manifest: &str) -> Self {
        Self::with(manifest, |_| {}).await
    }

    /// The same, with other settings.
    pub(crate) async fn with(manifest: &str, change: impl FnOnce(&mut HostSettings)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let settings = settings(directory.path(), manifest, change);
        let host = Host::start(settings).await.unwrap_or_else(|error| panic!("{error}"));
        Self { host, directory }
    }

    /// Sends a request, and takes the answer apart.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        Answer::of(self.host.call(request).await).await
    }

    /// Sends a GET from a client.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(client("GET", path, "")).await
    }

    /// Sends a POST from a client.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(client("POST", path, body)).await
    }
}

/// Settings for a manifest, written to `directory`.
pub(crate) fn settings(directory: &Path, manifest: &str, change: impl FnOnce(&mut HostSettings)) -> HostSettings {
    let path = directory.join("spin.toml");
    let guest = guest().to_str().expect("a path in UTF-8");
    std::fs::write(&path, manifest.replace("GUEST", guest)).expect("the directory can be written");
    let mut settings = HostSettings::new(path, directory.join("state"));
    settings.cache_dir = Some(cache());
    change(&mut settings);
    settings
}

/// A request as the server passes it on.
pub(crate) fn client(method: &str, path: &str, body: &str) -> Request<Body> {
    let address: std::net::SocketAddr = "192.0.2.7:4321".parse().expect("an address");
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "plaza.test")
        .extension(address)
        .body(full(body.to_owned()))
        .expect("a request")
}

/// A response, taken apart.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Result<Vec<u8>, String>,
}

impl Answer {
    pub(crate) async fn of(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string());
        Self { status: head.status.as_u16(), headers: head.headers, body }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone().expect("a whole body")).expect("text")
    }

    /// The code of a problem document (RFC 9457).
    pub(crate) fn code(&self) -> String {
        let document: serde_json::Value = serde_json::from_str(&self.text()).unwrap_or_default();
        assert_eq!(
            self.headers.get("content-type").map(http::HeaderValue::as_bytes),
            Some(&b"application/problem+json"[..]),
            "{self:?}"
        );
        assert_eq!(document["request_id"].as_str(), self.headers["x-request-id"].to_str().ok());
        assert_eq!(document["status"].as_u64(), Some(self.status.into()));
        document["code"].as_str().unwrap_or_default().to_owned()
    }
}
