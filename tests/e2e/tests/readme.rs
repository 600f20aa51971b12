//! The README says what is there: its commands exist, and the block that is meant to be typed works as it stands.

use plaza_test_support::{Plaza, workspace};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

fn readme() -> String {
    std::fs::read_to_string(workspace().join("README.md")).expect("README.md")
}

#[test]
fn the_scripts_and_pages_that_it_names_exist() {
    let readme = readme();
    let named = |prefix: &str| -> Vec<&str> {
        let end = |c: char| c.is_whitespace() || ")`#".contains(c);
        readme.match_indices(prefix).filter_map(|(at, _)| readme[at..].split(end).next()).collect()
    };
    let scripts = named("./scripts/");
    assert!(scripts.len() >= 4, "{scripts:?}");
    for script in scripts {
        let mode = std::fs::metadata(workspace().join(script)).unwrap_or_else(|error| panic!("{script}: {error}"));
        assert_ne!(mode.permissions().mode() & 0o111, 0, "{script} cannot be executed");
    }
    let pages = named("docs/");
    assert!(pages.len() >= 4, "{pages:?}");
    for page in pages {
        assert!(workspace().join(page).exists(), "{page} does not exist");
    }
}

#[test]
fn what_it_says_to_type_works() {
    let readme = readme();
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.into_iter().find(|block| block.starts_with("plaza=")).expect("the block under «By hand»");
    // With the limits that whoever reads it has.
    let options = Plaza::options().argument("--requests-per-minute=100").variable("login_per_account_per_minute", "10");
    let options = options.variable("register_per_address_per_hour", "20").variable("send_per_user_per_minute", "600");
    let plaza = options.start().unwrap_or_else(|why| panic!("{why}"));
    // The stream goes on in the background; the output is complete when it has ended.
    let typed = block.replacen("http://127.0.0.1:3000", &plaza.url(), 1) + "wait\n";
    let output = Command::new("bash").args(["-u", "-c", &typed]).output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.matches("\"content\":\"안녕!\"").count(), 3, "sent, streamed, listed: {text}\n{output:?}");
    assert!(text.contains("event: MessageSent"), "{text}");
    assert!(!text.contains("plaza.dev/problems"), "{text}");
}
