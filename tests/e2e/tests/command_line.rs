//! The command line, as people and programs meet it.

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use plaza_test_support::{Plaza, binary, manifest};
use serde_json::Value;

const COMMANDS: [&str; 10] =
    ["up", "functions", "relay", "publish", "trigger", "topics", "migrate", "doctor", "keys", "completions"];

fn plaza(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.args(arguments).env("PLAZA_MANIFEST", manifest()).stdin(Stdio::null());
    command.output().expect("plaza is there")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `plaza doctor` says as JSON, and its exit code.
fn doctor(arguments: &[&str]) -> (Value, i32) {
    let output = plaza(&[&["doctor", "--json"], arguments].concat());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let code = output.status.code().expect("it ends by itself");
    assert_eq!(report["ok"], code == 0, "{report}");
    for check in report["checks"].as_array().expect("checks") {
        assert!(["ok", "warn", "fail"].contains(&check["status"].as_str().expect("a status")), "{check}");
        assert_eq!(check["advice"].is_null(), check["status"] == "ok", "{check}");
    }
    (report, code)
}

#[track_caller]
fn finds(report: &Value, name: &str, status: &str, says: &str) {
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {report}"));
    assert_eq!(check["status"], status, "{check}");
    assert!(check["detail"].as_str().expect("a detail").contains(says), "{check}");
}

#[test]
fn help_teaches() {
    let alone = plaza(&[]);
    let said = text(&alone.stdout) + &text(&alone.stderr);
    assert_eq!(alone.status.code(), Some(2));
    let help = plaza(&["--help"]);
    assert!(help.status.success());
    for command in COMMANDS {
        for said in [&said, &text(&help.stdout)] {
            assert!(said.contains(&format!("  {command} ")), "{command} is not in the list: {said}");
        }
        let help = plaza(&["help", command]);
        assert!(help.status.success() && help.stderr.is_empty());
        let help = text(&help.stdout);
        assert!(help.contains("Example") && help.contains(&format!("plaza {command}")), "{help}");
    }
    let up = text(&plaza(&["up", "--help"]).stdout);
    for group in ["Options:", "Stores:", "Kafka:", "Front door:"] {
        assert!(up.contains(group), "{group} is no group: {up}");
    }
}

#[test]
fn completions_are_scripts() {
    for shell in ["bash", "zsh", "fish"] {
        let output = plaza(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        assert!(script.contains("doctor") && script.contains("requests-per-minute"), "{shell}");
        if shell == "bash" {
            let check = Command::new("bash").args(["-n", "-c", &script]).status().expect("bash is there");
            assert!(check.success());
        }
    }
}

#[test]
fn keys_are_there_for_programs() {
    let output = plaza(&["keys", "--json"]);
    assert!(output.status.success());
    let keys: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for name in ["token_signing_key", "token_keys", "grip_key", "events_key", "seal_key"] {
        assert!(keys[name].as_str().is_some_and(|key| key.len() > 40), "{name}");
    }
}

#[test]
fn what_went_wrong_is_one_line() {
    let cases: [(&[&str], i32, &str); 4] = [
        (&["up", "--from", "/nowhere/spin.toml", "--state", "/proc/nowhere"], 1, "/proc/nowhere"),
        (&["migrate", "--mysql", "not a url"], 1, "plaza: "),
        (&["up", "--cors-origin", "chat.example/path"], 2, "is no origin"),
        (&["up", "--trusted-proxy", "10.0.0.0/99"], 2, "range of addresses"),
    ];
    for (arguments, code, says) in cases {
        let output = plaza(arguments);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
        if code == 1 {
            assert_eq!(stderr.trim().lines().count(), 1, "{stderr}");
        }
    }
}

#[test]
fn the_doctor_finds_what_is_there_and_what_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state").display().to_string();
    let (report, code) = doctor(&["--state", &state, "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 0, "{report}");
    finds(&report, "manifest", "ok", "components");
    finds(&report, "state", "ok", "first start");
    finds(&report, "port", "ok", "free");
    finds(&report, "topics", "ok", "embedded");
    finds(&report, "clock", "ok", "1970");
    assert!(!folder.path().join("state").exists(), "it changes nothing");

    let elsewhere = folder.path().join("spin.toml").display().to_string();
    let (report, code) = doctor(&["--from", &elsewhere, "--state", &state]);
    assert_eq!(code, 1);
    finds(&report, "manifest", "fail", "spin.toml");
    finds(&report, "topics", "fail", "topics.toml");
    std::fs::write(&elsewhere, "spin_manifest_version = 2\n[component.a]\nsource = \"a.wasm\"\n").expect("written");
    finds(&doctor(&["--from", &elsewhere, "--state", &state]).0, "manifest", "fail", "not built");

    std::fs::write(folder.path().join("photo.jpg"), "x").expect("written");
    let foreign = folder.path().display().to_string();
    finds(&doctor(&["--state", &foreign]).0, "state", "fail", "is not Plaza's");

    // One that listens and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").to_string();
    finds(&doctor(&["--state", &state, "--listen", &taken]).0, "port", "fail", "something else");
    drop(listener);
    let (report, code) = doctor(&[
        "--state",
        &state,
        "--mysql",
        &format!("mysql://plaza:hidden@{taken}/plaza"),
        "--redis",
        &format!("redis://:hidden@{taken}"),
    ]);
    assert_eq!(code, 1);
    finds(&report, "database chat", "fail", "plaza_chat");
    finds(&report, "key-value", "fail", &taken);
    assert!(!report.to_string().contains("hidden"), "passwords are not told: {report}");
}

#[test]
fn the_doctor_sees_a_plaza_that_runs() {
    let plaza = Plaza::start();
    let (state, address) = (plaza.state().display().to_string(), plaza.address().to_string());
    let (report, _) = doctor(&["--state", &state, "--listen", &address]);
    finds(&report, "state", "ok", "a plaza runs on it");
    finds(&report, "port", "ok", "a plaza answers");
    // It listens, but it is no Redis.
    let (report, code) = doctor(&["--state", &state, "--redis", &format!("redis://:hidden@{address}")]);
    assert_eq!(code, 1);
    finds(&report, "key-value", "fail", &address);
    assert!(!report.to_string().contains("hidden"), "passwords are not told: {report}");
    let mut people = Command::new(binary());
    people.args(["doctor", "--state", &state, "--listen", &address]);
    let said = text(&people.env("PLAZA_MANIFEST", manifest()).output().expect("plaza is there").stdout);
    assert!(said.lines().any(|line| line.starts_with("ok") && line.contains("a plaza answers")), "{said}");
}
