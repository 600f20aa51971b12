//! The trigger plugin as Spin would install it and start it: packed, unpacked, and spoken to in Spin's protocol.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use plaza_events::{EventLog as _, KafkaLog, KafkaSettings, NewRecord, Topics, create_topics};
use plaza_spin::{locked, manifest, paths};
use plaza_sqlite::Database;
use plaza_sqlite::rusqlite::{Connection, OpenFlags};
use plaza_test_servers::Kafka;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// How long an event may take to its notification. A first start compiles every component.
const DELIVERY_DEADLINE: Duration = Duration::from_mins(3);

/// How long the plugin may take to end.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// The plugin's package.
struct Package {
    directory: TempDir,
    manifest: Value,
}

/// Packed once per process, by the script.
fn package() -> &'static Package {
    static PACKAGE: OnceLock<Package> = OnceLock::new();
    PACKAGE.get_or_init(|| {
        let directory = TempDir::with_prefix("plaza-plugin-").unwrap();
        let script = paths::workspace().join("scripts/package-plugin");
        let output = Command::new(script).arg(directory.path().join("package")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let file = String::from_utf8(output.stdout).unwrap();
        let manifest = serde_json::from_slice(&fs::read(file.trim()).unwrap()).unwrap();
        Package { directory, manifest }
    })
}

/// The unpacked binary, as `spin plugins install` leaves it.
fn plugin() -> PathBuf {
    static PLUGIN: OnceLock<PathBuf> = OnceLock::new();
    let unpack = || {
        let archive = package().manifest["packages"][0]["url"].as_str().unwrap().strip_prefix("file://").unwrap();
        let directory = package().directory.path().join("plugins/trigger-kafka");
        fs::create_dir_all(&directory).unwrap();
        assert!(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&directory).status().unwrap().success());
        assert!(directory.join("trigger-kafka.license").is_file());
        directory.join("trigger-kafka")
    };
    PLUGIN.get_or_init(unpack).clone()
}

/// The plugin, with nothing of Spin's or ours in its environment.
fn command() -> Command {
    let mut command = Command::new(plugin());
    for (name, _) in std::env::vars() {
        if name.starts_with("SPIN_") || name.starts_with("PLAZA_") || name == "RUNTIME_CONFIG_FILE" {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The application as Spin hands it over, and what else `spin up` would have: all in one directory.
struct App {
    directory: TempDir,
    labels: Vec<String>,
}

impl App {
    fn new() -> Self {
        let directory = TempDir::with_prefix("plaza-spin-").unwrap();
        let manifest = manifest::read(&fs::read_to_string(paths::manifest()).unwrap()).unwrap();
        let source = paths::manifest().canonicalize().unwrap();
        let locked = locked::lock(&manifest, source.parent().unwrap());
        fs::write(directory.path().join("spin.lock"), serde_json::to_vec_pretty(&locked).unwrap()).unwrap();
        let mut labels: Vec<_> =
            manifest.component.values().flat_map(|component| &component.sqlite_databases).collect();
        labels.sort();
        labels.dedup();
        let stores = manifest.component.values().flat_map(|component| &component.key_value_stores);
        let mut config = String::new();
        for label in &labels {
            let path = directory.path().join(format!("{label}.db"));
            let path = path.display();
            writeln!(config, "[sqlite_database.{label}]\ntype = \"spin\"\npath = \"{path}\"").unwrap();
        }
        for label in stores.collect::<std::collections::BTreeSet<_>>() {
            writeln!(config, "[key_value_store.{label}]\ntype = \"spin\"\npath = \"{label}-store.db\"").unwrap();
        }
        fs::write(directory.path().join("runtime-config.toml"), config).unwrap();
        // Machine code by content: tests share it with those that come after them.
        let compiled = paths::target().join("tmp/plaza-spin-compiled");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&compiled).unwrap();
        fs::create_dir(directory.path().join("state")).unwrap();
        std::os::unix::fs::symlink(compiled, directory.path().join("state/plaza-compiled")).unwrap();
        Self { labels: labels.into_iter().cloned().collect(), directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes the databases' tables.
    async fn migrate(&self) {
        for label in &self.labels {
            let database =
                Database::open(&self.path(&format!("{label}.db")), plaza_sqlite::Settings::default()).unwrap();
            database.migrate(&paths::workspace().join("infra/sql").join(label)).unwrap();
            database.close().await;
        }
    }

    /// The plugin as `spin up --runtime-config-file … --state-dir …` starts it.
    fn command(&self) -> Command {
        let keys = Command::new(paths::target().join("release/plaza")).arg("keys").output().unwrap();
        let mut command = command();
        for line in text(&keys.stdout).lines() {
            let (name, value) = line.split_once('=').unwrap();
            command.env(name, value.trim_matches('\''));
        }
        command
            .env("SPIN_LOCKED_URL", locked::file_url(&self.path("spin.lock")))
            .env("SPIN_WORKING_DIR", self.directory.path())
            .env("SPIN_LOCAL_APP_DIR", paths::manifest().parent().unwrap())
            .arg("--runtime-config-file")
            .arg(self.path("runtime-config.toml"))
            .arg("--state-dir")
            .arg(self.path("state"));
        command
    }

    /// The kinds of notifications that are there, in their order.
    fn notifications(&self) -> Vec<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let Ok(database) = Connection::open_with_flags(self.path("notification.db"), flags) else { return Vec::new() };
        let mut kinds = database.prepare("SELECT user_id || ' ' || kind FROM notifications ORDER BY id").unwrap();
        kinds.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

/// A plugin that runs. Killed, by its process id, when dropped.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(app: &App, brokers: &str) -> Self {
        let log = app.path("plugin.log");
        let child = app.command().env("PLAZA_KAFKA", brokers).stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as `spin up` does.
    fn stop(mut self) -> ExitStatus {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(asked.elapsed() < END_DEADLINE, "the plugin does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An event as our publisher writes it.
fn event(id: u16, topic: &str, key: &str, kind: &str, data: &Value) -> NewRecord {
    let headers = [
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", format!("01900000-0000-7000-8000-00000000{id:04x}")),
        ("ce_source", "/plaza/test".to_owned()),
        ("ce_type", kind.to_owned()),
        ("ce_time", "2026-01-01T00:00:00.000Z".to_owned()),
        ("ce_partitionkey", key.to_owned()),
        ("content-type", "application/json".to_owned()),
    ];
    NewRecord {
        topic: topic.to_owned(),
        key: Some(key.to_owned().into()),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        value: Some(data.to_string().into()),
        timestamp_ms: 0,
    }
}

#[test]
fn the_package_is_such_as_spin_installs() {
    let manifest = &package().manifest;
    // The fields of spin-plugin-manifest-schema-0.1.json (spinframework/spin-plugins): these, and homepage.
    let mut fields: Vec<_> = manifest.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["description", "license", "name", "packages", "spinCompatibility", "version"]);
    assert_eq!(manifest["name"], "trigger-kafka");
    assert_eq!(manifest["license"], "Apache-2.0");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["spinCompatibility"], ">=3.0");
    let [package] = manifest["packages"].as_array().unwrap().as_slice() else { panic!("one package") };
    let mut fields: Vec<_> = package.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["arch", "os", "sha256", "url"]);
    assert!(["linux", "macos"].contains(&package["os"].as_str().unwrap()));
    assert!(["amd64", "aarch64"].contains(&package["arch"].as_str().unwrap()));
    let archive = Path::new(package["url"].as_str().unwrap().strip_prefix("file://").unwrap());
    let name = format!(
        "trigger-kafka-{}-{}-{}.tar.gz",
        env!("CARGO_PKG_VERSION"),
        package["os"].as_str().unwrap(),
        package["arch"].as_str().unwrap()
    );
    assert_eq!(archive.file_name().unwrap(), name.as_str());
    let digest = Sha256::digest(fs::read(archive).unwrap());
    let hex: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(package["sha256"], hex.concat());
    assert!(plugin().is_file());
}

#[test]
fn spin_up_can_ask_for_its_options() {
    let Output { status, stdout, .. } = command().arg("--help-args-only").output().unwrap();
    assert!(status.success());
    let help = text(&stdout);
    assert!(
        help.contains("--kafka") && help.contains("--runtime-config-file") && !help.contains("--help-args-only"),
        "{help}"
    );

    // Spin reads it from standard error, all of which must be JSON.
    let Output { status, stderr, .. } = command().arg("--launch-metadata-only").output().unwrap();
    assert!(status.success());
    let metadata: Value = serde_json::from_slice(&stderr).unwrap();
    let flags = metadata["all_flags"].as_array().unwrap();
    let has = |kind: &str, flag: &str| flags.iter().any(|entry| entry[kind] == flag);
    assert!(
        has("long", "--runtime-config-file") && has("long", "--state-dir") && has("long", "--variable"),
        "{metadata}"
    );
    assert!(has("short", "-q") && has("short", "-L") && !has("long", "--listen"), "{metadata}");
}

#[test]
fn what_is_wrong_is_said_and_ends_it() {
    let fails = |mut command: Command, named: &str| {
        let Output { status, stderr, .. } = command.output().unwrap();
        let said = text(&stderr);
        assert!(!status.success() && said.contains(named), "{status}: {said}");
    };
    let with = |arguments: &[&str]| {
        let mut command = command();
        command.args(arguments);
        command
    };
    fails(with(&[]), "SPIN_LOCKED_URL");
    fails(with(&["--listen", "127.0.0.1:0"]), "--listen");
    let app = App::new();
    let mut missing = app.command();
    missing.env("SPIN_LOCKED_URL", "file:///nowhere/spin.lock");
    fails(missing, "/nowhere/spin.lock");
    let mut unconfigured = app.command();
    unconfigured.env_clear().env("SPIN_LOCKED_URL", locked::file_url(&app.path("spin.lock")));
    fs::write(app.path("empty.toml"), "").unwrap();
    unconfigured.arg("--runtime-config-file").arg(app.path("empty.toml"));
    fails(unconfigured, "runtime-config-file");
    fails(app.command(), "PLAZA_KAFKA");
    let mut nobody = app.command();
    nobody.env("PLAZA_KAFKA", "127.0.0.1:1");
    fails(nobody, "127.0.0.1:1");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_kafka_become_notifications() {
    let Some(kafka) = Kafka::shared() else { return };
    let settings = KafkaSettings::new(kafka.brokers());
    let topics = Topics::read(&paths::workspace().join("infra/topics.toml")).unwrap();
    create_topics(&settings, &topics, None).await.unwrap();
    let log = KafkaLog::open(settings, &topics).await.unwrap();

    let app = App::new();
    app.migrate().await;
    let [minji, junho] = ["01900000-0000-7000-8000-0000000000a1", "01900000-0000-7000-8000-0000000000a2"];
    let room = "01900000-0000-7000-8000-0000000000b1";
    let time = "2026-01-01T00:00:00.000Z";
    let chat = Connection::open(app.path("chat.db")).unwrap();
    chat.execute("INSERT INTO rooms (id, room_type, last_activity_at, created_at) VALUES (?1, 'direct', 0, 0)", [room])
        .unwrap();
    for user in [minji, junho] {
        let participant = "INSERT INTO participants (room_id, user_id, username, joined_at) VALUES (?1, ?2, 'name', 0)";
        chat.execute(participant, [room, user]).unwrap();
    }
    let request = json!({ "id": "01900000-0000-7000-8000-0000000000c1", "requester_id": minji, "addressee_id": junho,
        "status": "pending", "created_at": time });
    let message = json!({ "id": "01900000-0000-7000-8000-0000000000d1", "room_id": room, "seq": 1, "user_id": minji,
        "username": "minji", "content": "안녕!", "message_type": "text", "client_message_id": null, "reply_to": null,
        "reactions": [], "created_at": time, "edited_at": null, "deleted": false });

    let plugin = Running::start(&app, kafka.brokers());
    let arrives = async |count: usize| {
        let published = Instant::now();
        while app.notifications().len() < count {
            assert!(published.elapsed() < DELIVERY_DEADLINE, "{:?}\n{}", app.notifications(), plugin.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    log.append(vec![event(1, "friend.events", junho, "plaza.friend.FriendRequestSent.v1", &request)]).await.unwrap();
    arrives(1).await;
    // This one's component asks another component.
    log.append(vec![event(2, "message.events", room, "plaza.chat.MessageSent.v1", &message)]).await.unwrap();
    arrives(2).await;
    let notifications = app.notifications();
    assert!(notifications.iter().all(|notification| notification.starts_with(junho)), "{notifications:?}");
    let said = plugin.log();
    assert!(plugin.stop().success(), "{said}");

    // Another one goes on where the first was; what it has had already has no effect again.
    let plugin = Running::start(&app, kafka.brokers());
    let acceptance = json!({ "id": "01900000-0000-7000-8000-0000000000c1", "requester_id": minji, "addressee_id": junho,
        "status": "accepted", "created_at": time });
    log.append(vec![event(3, "friend.events", minji, "plaza.friend.FriendRequestAccepted.v1", &acceptance)])
        .await
        .unwrap();
    let published = Instant::now();
    while app.notifications().len() < 3 {
        assert!(published.elapsed() < DELIVERY_DEADLINE, "{}", plugin.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(app.notifications().len(), 3);
    assert!(plugin.stop().success());
    log.close().await;
}
