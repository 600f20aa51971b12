//! `GET /`, `GET /client/...`: a small web client, to see and try the backend, and an example for those who write clients.
//!
//! Its files are in `files/`, as they are served: no build step, no framework. `build.rs` puts them into the component.
//! They are public; who may see what, the API decides.

use plaza_files::serve;
use plaza_kit::{Problem, Reply, Request};

include!(concat!(env!("OUT_DIR"), "/files.rs"));
include!(concat!(env!("OUT_DIR"), "/version.rs"));

plaza_kit::function!(handle);

/// The page may load from this server and from nowhere else, runs no script that stands in a page or is made of text, and is
/// shown in nobody's frame.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; \
    connect-src 'self'; manifest-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Nothing of it changes under an address that has the version in it.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Kept, but asked for again each time.
const ASK_AGAIN: &str = "no-cache";

async fn handle(request: Request) -> Result<Reply, Problem> {
    let path = request.path_and_query().split('?').next().unwrap_or("/");
    let (name, cache_control) = named(path).ok_or_else(Problem::not_found)?;
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;
    let builder = http::Response::builder()
        .header("content-type", content_type(name))
        .header("cache-control", cache_control)
        .header("content-security-policy", CONTENT_SECURITY_POLICY)
        .header("cross-origin-opener-policy", "same-origin")
        .header("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        .header("referrer-policy", "no-referrer");
    serve::file(&request, builder, file)
}

/// Which file a path means, and how long it may be kept: `/`, `/client/<version>/<name>`, or `/client/<name>`. Another version's
/// page, still open or from a server that is being replaced, gets what there is, and does not keep it.
fn named(path: &str) -> Option<(&str, &'static str)> {
    if path == "/" {
        return Some(("index.html", ASK_AGAIN));
    }
    let name = path.strip_prefix("/client/")?;
    let is_version =
        |segment: &str| segment.len() == VERSION.len() && segment.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.split_once('/') {
        Some((VERSION, name)) => Some((name, FOR_EVER)),
        Some((other, name)) if is_version(other) => Some((name, "no-store")),
        _ => Some((name, ASK_AGAIN)),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_and_how_long_it_may_be_kept() {
        let versioned = |name: &str| format!("/client/{VERSION}/{name}");
        assert_eq!(named("/"), Some(("index.html", ASK_AGAIN)));
        assert_eq!(named(&versioned("views/room.js")), Some(("views/room.js", FOR_EVER)));
        assert_eq!(named("/client/views/room.js"), Some(("views/room.js", ASK_AGAIN)));
        assert_eq!(named(&format!("/client/{}/main.js", "0".repeat(32))), Some(("main.js", "no-store")));
        assert_eq!(named("/clientele"), None);
    }

    #[test]
    fn every_file_has_a_type() {
        for file in FILES {
            assert_ne!(content_type(file.name), "application/octet-stream", "{}", file.name);
        }
    }
}
