//! schemathesis makes thousands of requests of the OpenAPI document, valid and not, and checks each answer against it: no 5xx, no
//! status, header, media type or shape that the document does not have, nothing invalid accepted, nothing valid refused.
//! `fuzz/` has its settings; `scripts/fuzz` installs it.
//!
//! PLAZA_FUZZ_EXAMPLES=N   so many requests of each operation and phase (default 140; on servers, which answer the same, 20)
//! PLAZA_FUZZ_CASES_MIN=N  fewer in all fail the test (default 10,000; on servers 1,000)
//! PLAZA_FUZZ_SEED=N       where chance begins (default 1, so that a change is blamed only for what it did; another finds more)

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;

use plaza_e2e::routes;
use plaza_e2e::town::Town;
use plaza_test_support::{Plaza, Stack, workspace};

/// The key of those who bring events.
const EVENTS_KEY: &str = "key-of-those-who-bring-events";

/// About half of the operations: two processes share them.
const HALF: &str = "^/api/(chat-rooms|messages|stream)";

/// The tokens' life: longer than the test's.
const TOKEN_SECONDS: &str = "36000";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn folder() -> PathBuf {
    workspace().join("target/fuzz")
}

/// The number before `word` in the text.
fn count(text: &str, word: &str) -> u64 {
    let found = text.lines().find_map(|line| line.trim().split_once(word)?.0.trim().parse().ok());
    found.unwrap_or_else(|| panic!("it does not say how many cases it {word}"))
}

#[tokio::test]
async fn nothing_is_answered_that_the_document_does_not_allow() {
    let schemathesis = folder().join("venv/bin/schemathesis");
    if !schemathesis.is_file() {
        assert!(std::env::var_os("PLAZA_REQUIRE_SERVERS").is_none(), "schemathesis is not there: scripts/fuzz install");
        let _ = writeln!(io::stderr(), "skipped: fuzzing: schemathesis is not there (scripts/fuzz install)");
        return;
    }
    let plaza = tokio::task::spawn_blocking(|| {
        let options = Plaza::options().variable("events_key", EVENTS_KEY);
        options.variable("access_token_ttl_seconds", TOKEN_SECONDS).start().unwrap_or_else(|why| panic!("{why}"))
    });
    let plaza = plaza.await.expect("the start does not panic");
    let town = Town::build(&plaza.client(), &routes::document()).await;
    let document = folder().join(format!("openapi-{}.json", plaza.pid()));
    fs::write(&document, town.document.to_string()).expect("the document can be written");

    let (examples, cases_min) = match plaza.stack() {
        Stack::Embedded => (140, 10_000),
        Stack::Servers(_) => (20, 1_000),
    };
    let examples = setting("PLAZA_FUZZ_EXAMPLES", examples);
    let seed = setting("PLAZA_FUZZ_SEED", 1).to_string();
    let run = |part: [&str; 2]| {
        let mut command = Command::new(&schemathesis);
        command
            .current_dir(workspace().join("tests/e2e/fuzz"))
            .args(["--config-file", "schemathesis.toml", "run", "--no-color", "--continue-on-failure"])
            .args(["--suppress-health-check", "all", "--url", &plaza.url()])
            .args(part)
            .args(["--max-examples", &examples.to_string(), "--seed", &seed])
            .arg(&document)
            .env("PLAZA_FUZZ_URL", plaza.url())
            .env("PLAZA_FUZZ_TOKEN", town.real("minji-access-token"))
            .env("PLAZA_FUZZ_NAME", town.real("minji.kim"))
            .env("PLAZA_FUZZ_EVENTS_KEY", EVENTS_KEY);
        tokio::task::spawn_blocking(move || command.output().expect("schemathesis runs"))
    };
    let runs = [run(["--include-path-regex", HALF]), run(["--exclude-path-regex", HALF])];
    let mut cases = 0;
    let mut clean = true;
    for run in runs {
        let output = run.await.expect("it runs");
        let report = String::from_utf8_lossy(&output.stdout);
        eprintln!("{report}{}", String::from_utf8_lossy(&output.stderr));
        clean &= output.status.success();
        cases += count(&report, "generated");
    }
    let _ = fs::remove_file(&document);
    assert!(clean, "schemathesis found something");
    let wanted = setting("PLAZA_FUZZ_CASES_MIN", cases_min);
    assert!(cases >= wanted, "only {cases} cases, not {wanted}");
}
