//! Each part of Plaza as a process of its own: they make one Plaza, and each says clearly what it lacks.

use std::process::{Command, Output, Stdio};

use plaza_production::Site;
use plaza_test_support::{Notification, PATIENCE, Person, Plaza, Role, Servers, Stack, binary, eventually, manifest};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// The servers that the tests share which do them no harm.
fn servers() -> Arc<Servers> {
    static SHARED: OnceLock<Arc<Servers>> = OnceLock::new();
    Arc::clone(SHARED.get_or_init(|| Arc::new(Servers::start(1).unwrap_or_else(|why| panic!("{why}")))))
}

/// Runs a command of Plaza's to its end.
fn plaza(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).arg("--from").arg(manifest()).stdin(Stdio::null());
    command.output().expect("plaza is there")
}

#[track_caller]
fn refused(arguments: &[&str], code: i32, says: &str) {
    let output = plaza(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    assert!(stderr.contains(says), "{arguments:?} does not say {says:?}: {stderr}");
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = plaza(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_make_one_plaza() {
    let site = tokio::task::spawn_blocking(|| Site::start(1)).await.expect("everything starts");
    let doors = site.doors();
    let minji = Person::new(&doors[0], "minji").await;
    let junho = Person::new(&doors[1], "junho").await;
    minji.befriend(&junho).await;
    let room = minji.direct_room(&junho).await;
    // Through one relay it is sent, through the other it is heard.
    let mut stream = junho.stream("/api/stream").await;
    let message = minji.say(&room, "안녕 👋").await;
    loop {
        let event = stream.next(PATIENCE).await;
        if event.event == "MessageSent" {
            assert_eq!(
                (event.json()["id"].as_str(), event.json()["content"].as_str()),
                (Some(&*message.id), Some("안녕 👋"))
            );
            break;
        }
    }
    eventually(PATIENCE, "the notification", async || {
        let notifications: Vec<Notification> = junho.all("/api/notifications?unread=true").await;
        notifications.iter().any(|notification| notification.kind == "message").then_some(())
    })
    .await;

    for (name, part) in &site.parts {
        let ready = part.client().get("/ready").answer().await;
        assert_eq!(ready.status, 200, "{name}: {ready}");
        let metrics = part.client().get("/metrics").answer().await.is(200);
        assert!(!metrics.body.is_empty(), "{name}");
        let _ = part.client().get("/health").answer().await.is(200);
    }
    // What has no routes says so.
    site.part("publisher 1").client().get("/api/profile/me").answer().await.problem(404, "not_found");
    // From outside, a function that takes events wants the key.
    let event = serde_json::json!([]).to_string();
    let call = doors[0].post("/events/notification").body("application/cloudevents-batch+json", event);
    let _ = call.answer().await.is(401);

    // Of two relays one is killed: whoever was online only there no longer is. The other one notices.
    let mut site = site;
    let online = async |who: &Person, online: bool| {
        eventually(PATIENCE, if online { "online" } else { "offline" }, async || {
            let answer: Value = minji.get(format!("/api/users/presence?user_ids={}", who.id())).await;
            (answer["items"][0]["online"] == online).then_some(())
        })
        .await;
    };
    let suji = Person::new(&doors[0], "suji").await;
    let _elsewhere = suji.stream("/api/stream").await;
    online(&junho, true).await;
    online(&suji, true).await;
    let relay = site.parts.iter_mut().find(|(name, _)| *name == "relay 2").map(|(_, part)| part).expect("a relay");
    tokio::task::block_in_place(|| relay.kill());
    online(&junho, false).await;
    online(&suji, true).await;
    tokio::task::block_in_place(|| relay.restart());
    let _again = junho.stream("/api/stream").await;
    online(&junho, true).await;

    // Everything stops as it should.
    for (name, part) in &mut site.parts {
        let status = tokio::task::block_in_place(|| part.stop());
        assert!(status.success(), "{name} stopped with {status}");
    }
}

#[test]
fn a_trigger_with_a_wrong_key_says_so_and_gives_up_nothing() {
    let servers = servers();
    let stack = Stack::Servers(Arc::clone(&servers));
    let functions = Plaza::options().role(Role::Functions).stack(&stack).start().unwrap_or_else(|why| panic!("{why}"));
    let trigger = Plaza::options().role(Role::Trigger).stack(&stack).argument("--to").argument(&functions.url());
    let why = trigger.variable("events_key", "not the key").start().expect_err("it must not run");
    assert!(why.contains("exit status: 1") && why.contains("does not accept the events key"), "{why}");
}

#[test]
fn what_a_part_lacks_is_named() {
    let servers = servers();
    let kafka = servers.kafka.brokers();
    refused(&["publish", "--kafka", kafka], 1, "--mysql");
    refused(&["trigger", "--kafka", kafka, "--to", "http://127.0.0.1:9"], 1, "SPIN_VARIABLE_EVENTS_KEY");
    refused(&["relay", "--kafka", kafka, "--to", "http://127.0.0.1:9"], 1, "SPIN_VARIABLE_GRIP_KEY");
    refused(&["relay", "--to", "http://127.0.0.1:9"], 2, "--kafka");
    refused(&["migrate"], 1, "--mysql");
    refused(&["migrate", "--mysql", "postgres://x/y"], 1, "mysql://");
    refused(&["topics", "--kafka", kafka, "--kafka-sasl", "PLAIN"], 2, "--kafka-username");
    refused(&["topics", "--kafka", "127.0.0.1:1"], 1, "127.0.0.1:1");
}

#[test]
fn topics_are_made_and_checked_against_the_contract() {
    let servers = servers();
    let kafka = servers.kafka.brokers();
    assert!(done(&["topics", "check", "--kafka", kafka]).contains("message.events"));
    // Again is harmless.
    done(&["topics", "create", "--kafka", kafka]);

    let folder = tempfile::tempdir().expect("a temporary directory");
    let asks_more = folder.path().join("infra");
    std::fs::create_dir(&asks_more).expect("a folder");
    let topics = std::fs::read_to_string(manifest().with_file_name("infra").join("topics.toml")).expect("topics");
    let more = topics.replace("partitions = 10", "partitions = 12");
    assert_ne!(topics, more);
    std::fs::write(asks_more.join("topics.toml"), more).expect("written");
    let elsewhere = folder.path().join("spin.toml").display().to_string();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(binary());
        command.args(arguments).args(["--from", &elsewhere]).env("SPIN_VARIABLE_GRIP_KEY", "a key of some length");
        command.env("SPIN_VARIABLE_EVENTS_KEY", "another key of some length");
        let output = command.stdin(Stdio::null()).output().expect("plaza is there");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout),
        )
    };
    for refused in
        [&["topics", "check", "--kafka", kafka][..], &["relay", "--to", "http://127.0.0.1:9", "--kafka", kafka]]
    {
        let (code, said) = check(refused);
        assert_eq!(code, Some(1), "{refused:?}: {said}");
        assert!(said.contains("message.events") && said.contains("12"), "{refused:?}: {said}");
    }
}

#[test]
fn migrations_are_told_applied_once_and_taken_back() {
    let servers = servers();
    let base = format!("{}/elsewhere", servers.mariadb.url());
    refused(&["migrate", "--mysql", &base], 1, "elsewhere_analytics");
    assert!(done(&["migrate", "--create", "--mysql", &base]).contains("chat: 0001_initial.mysql.sql applied"));
    assert!(done(&["migrate", "--mysql", &base]).contains("chat: up to date"));
    assert!(done(&["migrate", "--check", "--mysql", &base]).contains("applied"));
    assert!(done(&["migrate", "--revert", "chat", "--mysql", &base]).contains("reverted"));
    refused(&["migrate", "--check", "--mysql", &base], 1, "to be applied");
    done(&["migrate", "--mysql", &base]);
    done(&["migrate", "--check", "--mysql", &base]);
}

#[test]
fn the_doctor_looks_at_the_servers() {
    let servers = servers();
    let (kafka, redis, here) = (servers.kafka.brokers(), servers.redis.url(), ["--listen", "127.0.0.1:0"]);
    let words = |base| [&["doctor", "--mysql", base, "--kafka", kafka, "--redis", redis][..], &here].concat();
    let mysql = servers.mysql();
    let healthy = done(&words(&mysql));
    for name in ["database user", "database chat", "database clock", "key-value", "topics"] {
        let found = |line: &str| line.starts_with("ok ") && line.contains(&format!("  {name} "));
        assert!(healthy.lines().any(found), "{name} is not ok: {healthy}");
    }
    let unmade = format!("{}/unmade", servers.mariadb.url());
    assert!(done(&["migrate", "--create", "--mysql", &unmade]).contains("applied"));
    done(&["migrate", "--revert", "chat", "--mysql", &unmade]);
    let output = plaza(&words(&unmade));
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.lines().any(|line| line.starts_with("fail") && line.contains("database chat")), "{said}");
    assert!(said.contains("run plaza migrate"), "{said}");
}

#[test]
fn what_programs_read_is_json() {
    let servers = servers();
    let topics: Value = done(&["topics", "check", "--json", "--kafka", servers.kafka.brokers()]).parse().expect("JSON");
    assert_eq!(topics["ok"], true);
    let of = |name: &str| topics["topics"].as_array()?.iter().find(|topic| topic["name"] == name).cloned();
    let messages = of("message.events").expect("the topic");
    assert_eq!((messages["partitions"].as_u64(), messages["state"].as_str()), (Some(10), Some("right")));
    let check = ["migrate", "--check", "--json", "--mysql", &servers.mysql()];
    let migrations: Value = done(&check).parse().expect("JSON");
    assert_eq!(migrations["ok"], true);
    let all = migrations["migrations"].as_array().expect("migrations");
    let first = |one: &&Value| one["context"] == "chat" && one["name"] == "0001_initial.mysql.sql";
    assert_eq!(all.iter().find(first).expect("the first of chat")["state"], "applied");
}
