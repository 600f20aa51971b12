//! Starting and stopping.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use plaza_host::{Error, Host, HostSettings};

use crate::MANIFEST;
use crate::support::{App, cache, settings};

/// Why a manifest does not start.
async fn refusal(manifest: &str, change: impl FnOnce(&mut HostSettings)) -> (Error, String) {
    let directory = tempfile::tempdir().unwrap();
    match Host::start(settings(directory.path(), manifest, change)).await {
        Ok(_) => panic!("it started"),
        Err(error) => {
            let text = error.to_string();
            (error, text)
        }
    }
}

/// The same, with this component in place of the guest.
async fn refusal_of(component: &[u8]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("component.wasm");
    std::fs::write(&path, component).unwrap();
    let (error, text) = refusal(&MANIFEST.replace("GUEST", path.to_str().unwrap()), |_| {}).await;
    assert!(matches!(error, Error::Component { component, .. } if component == "guest"), "{text}");
    text
}

#[tokio::test]
async fn components_are_described_with_their_grants() {
    let app = App::start(MANIFEST).await;
    let [guest] = app.host.components() else { panic!("one component") };
    assert_eq!(guest.name, "guest");
    assert!(guest.size_bytes > 10_000);
    assert_eq!(guest.routes, ["/t/..."]);
    assert_eq!(guest.key_value_stores, ["default", "other"]);
    assert_eq!(guest.sqlite_databases, ["default"]);
    assert_eq!(guest.variables, ["greeting", "token"]);
    assert!(guest.imports.iter().any(|import| import == "spin:sqlite/sqlite@3.0.0"), "{:?}", guest.imports);
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let required = MANIFEST
        .replace("{ default = \"world\" }", "{ required = true }")
        .replace("{ default = \"hunter2\", secret = true }", "{ required = true, secret = true }");
    let (error, text) = refusal(&required, |_| {}).await;
    assert!(matches!(error, Error::MissingVariables { names } if names == ["place", "secret"]));
    assert!(text.contains("SPIN_VARIABLE_PLACE, SPIN_VARIABLE_SECRET"), "{text}");

    let (error, text) = refusal(&MANIFEST.replace("GUEST", "nowhere.wasm"), |_| {}).await;
    assert!(matches!(error, Error::Io { .. }) && text.contains("nowhere.wasm"), "{text}");

    let twice = format!("{MANIFEST}\n[[trigger.http]]\nroute = \"/t/*\"\ncomponent = \"guest\"\n");
    assert!(refusal(&twice, |_| {}).await.1.contains("route /t/* of guest is a duplicate of /t/... of guest"));

    let (_, text) = refusal(&format!("{MANIFEST}\nfiles = [\"x\"]\n"), |_| {}).await;
    assert!(text.contains("component guest: files is not offered by this host"), "{text}");
}

#[tokio::test]
async fn a_value_in_allowed_hosts_is_not_shown() {
    let manifest = format!("{MANIFEST}\nallowed_outbound_hosts = [\"{{{{ secret }}}}\"]\n");
    let (_, text) = refusal(&manifest, |_| {}).await;
    assert!(text.contains("allowed_outbound_hosts") && !text.contains("hunter2"), "{text}");
    let mut settings = HostSettings::new("spin.toml", "state");
    settings.variables.insert("secret".to_owned(), "hunter2".to_owned());
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_is_no_function_does_not_start() {
    assert!(refusal_of(b"not WebAssembly").await.contains("not a valid component"));
    assert!(refusal_of(&wat::parse_str("(module)").unwrap()).await.contains("not a valid component"));
    assert!(refusal_of(&wat::parse_str("(component)").unwrap()).await.contains("does not handle HTTP requests"));
    let sockets = "(component (import \"wasi:sockets/tcp@0.2.0\" (instance (export \"x\" (func)))))";
    let text = refusal_of(&wat::parse_str(sockets).unwrap()).await;
    assert!(text.contains("imports what this host does not offer") && text.contains("wasi:sockets/tcp"), "{text}");
}

#[tokio::test]
async fn every_import_of_the_contract_is_offered() {
    let world = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/world.wit")).unwrap();
    let imports: Vec<_> =
        world.lines().filter_map(|line| line.trim().strip_prefix("import ")?.strip_suffix(';')).collect();
    assert!(imports.len() > 20, "{imports:?}");
    let all: Vec<_> = imports.iter().map(|name| format!("(import \"{name}\" (instance))")).collect();
    // It links, and then has nothing to call.
    let text = refusal_of(&wat::parse_str(format!("(component {})", all.concat())).unwrap()).await;
    assert!(text.contains("does not handle HTTP requests"), "{text}");
}

#[tokio::test]
async fn a_second_start_compiles_nothing_and_a_spoilt_file_is_made_anew() {
    let _ = App::start(MANIFEST).await;
    let own = tempfile::tempdir().unwrap();
    let directory = own.path().join("cache");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(cache()).unwrap() {
        let entry = entry.unwrap();
        // Others are being written by tests that run beside this one.
        if !entry.file_name().to_string_lossy().starts_with('.') {
            std::fs::copy(entry.path(), directory.join(entry.file_name())).unwrap();
        }
    }
    let start = || App::with(MANIFEST, |settings| settings.cache_dir = Some(directory.clone()));
    let files = || std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    assert!(start().await.host.components()[0].from_cache);
    for path in files() {
        let mut content = std::fs::read(&path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
        std::fs::write(&path, content).unwrap();
    }
    let app = start().await;
    assert!(!app.host.components()[0].from_cache);
    assert_eq!(app.get("/t/hello").await.text(), "hello");
    assert!(start().await.host.components()[0].from_cache);
    // Neither a file nor a directory that others may write is trusted.
    for path in files() {
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
    }
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(refusal(MANIFEST, |settings| settings.cache_dir = Some(directory.clone())).await.1.contains("chmod 700"));
}

#[tokio::test]
async fn migrations_run_before_the_first_request() {
    let migrations = tempfile::tempdir().unwrap();
    std::fs::create_dir(migrations.path().join("default")).unwrap();
    let file = migrations.path().join("default/0001_first.sqlite.sql");
    std::fs::write(file, "CREATE TABLE t (x); INSERT INTO t VALUES (7);").unwrap();
    let app = App::with(MANIFEST, |settings| settings.migrations_dir = Some(migrations.path().to_owned())).await;
    let answer = app.post("/t/sql/default", "SELECT x FROM t").await;
    assert_eq!(answer.text(), r#"["x"] [[Value::Integer(7)]] 0 0"#);
}

#[tokio::test]
async fn kafka_triggers_are_handed_on() {
    let manifest = format!(
        "{MANIFEST}\n[[trigger.kafka]]\ntopic = \"a.b\"\ngroup = \"g\"\ncomponent = \"guest\"\nattempts_max = 3\n\
         [application.trigger.kafka]\nx = 1\n"
    );
    let app = App::start(&manifest).await;
    let [trigger] = app.host.kafka_triggers() else { panic!("one trigger") };
    assert_eq!((trigger.topics.as_slice(), trigger.group.as_str()), (&["a.b".to_owned()][..], "g"));
    assert_eq!(trigger.settings["attempts_max"].as_integer(), Some(3));
    assert_eq!(app.host.kafka_settings()["x"].as_integer(), Some(1));
}

#[tokio::test]
async fn stopping_lets_requests_finish() {
    let app = App::start(MANIFEST).await;
    let (running, ()) = tokio::join!(app.get("/t/sleep/300"), async {
        tokio::task::yield_now().await;
        let (stopped, refused) =
            tokio::join!(app.host.stop(Duration::from_secs(20)), async { app.get("/t/hello").await });
        let () = stopped;
        assert_eq!((refused.status, refused.code().as_str()), (503, "stopping"));
        assert!(refused.headers.contains_key("retry-after"));
    });
    assert_eq!((running.status, running.text().as_str()), (200, "slept"));
}

#[tokio::test]
async fn stopping_is_bounded() {
    let app = App::start(MANIFEST).await;
    let started = Instant::now();
    let (running, ()) = tokio::join!(app.get("/t/sleep/3600000"), app.host.stop(Duration::from_millis(100)));
    assert_eq!((running.status, running.code().as_str()), (503, "stopping"));
    assert!(started.elapsed() < Duration::from_secs(20));
}
