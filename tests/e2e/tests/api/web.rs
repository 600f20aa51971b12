//! The web client's files, as they are served. What it does with them, `tests/browser` looks at.

use plaza_test_support::{Answer, World, workspace};
use reqwest::Method;

/// The page, and the paths of everything that it names.
async fn page(world: &World) -> (Answer, Vec<String>) {
    let answer = world.client().get("/").answer().await.is(200);
    let html = String::from_utf8(answer.body.to_vec()).expect("the page is UTF-8");
    let paths = html.split('"').filter(|text| text.starts_with("/client/")).map(str::to_owned).collect();
    (answer, paths)
}

#[tokio::test]
async fn the_page_may_load_from_here_and_from_nowhere_else() {
    let world = World::shared();
    let (page, paths) = page(&world).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "script-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "require-trusted-types-for 'script'",
    ] {
        assert!(policy.contains(rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let file = world.client().get(path.as_str()).answer().await.is(200);
        let expected = match path.rsplit_once('.').expect("an extension").1 {
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "svg" => "image/svg+xml",
            "webmanifest" => "application/manifest+json",
            other => panic!("{other}"),
        };
        assert_eq!(file.header("content-type"), expected);
        assert_eq!(file.header("content-security-policy"), policy);
    }
}

#[test]
fn no_file_names_another_host() {
    let mut folders = vec![workspace().join("functions/web/client/files")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a text");
            // The name of SVG is no address.
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("://"), "{} names an address", path.display());
            assert!(!foreign.contains("innerHTML"), "{} makes markup of text", path.display());
        }
    }
}

#[tokio::test]
async fn what_a_browser_has_is_not_sent_again() {
    let world = World::shared();
    let (page, paths) = page(&world).await;
    assert_eq!(page.header("cache-control"), "no-cache", "the page is asked for each time");
    let versioned = paths.iter().find(|path| path.ends_with("main.js")).expect("the page has a script").clone();
    for (path, kept) in [
        ("/", "no-cache"),
        (versioned.as_str(), "public, max-age=31536000, immutable"),
        ("/client/main.js", "no-cache"),
        ("/client/00000000000000000000000000000000/main.js", "no-store"),
    ] {
        for coding in ["gzip", "identity"] {
            let get = || world.client().get(path).header("accept-encoding", coding);
            let first = get().answer().await.is(200);
            assert_eq!(first.header("cache-control"), kept, "{path}");
            assert_eq!(first.header("vary"), "accept-encoding");
            assert_eq!(first.headers.contains_key("content-encoding"), coding == "gzip", "{path} {coding}");
            let tag = first.header("etag").to_owned();
            let again = get().header("if-none-match", &tag).answer().await.is(304);
            assert!(again.body.is_empty() && !again.headers.contains_key("content-length"), "{again}");
            assert_eq!(again.header("etag"), tag);
            let other = get().header("if-none-match", "\"other\"").answer().await.is(200);
            assert_eq!(other.body, first.body);
        }
    }
    let gzip = world.client().get("/client/main.js").header("accept-encoding", "gzip").answer().await.is(200);
    let plain = world.client().get("/client/main.js").answer().await.is(200);
    assert!(gzip.body.len() < plain.body.len());
    let on_disk = std::fs::read(workspace().join("functions/web/client/files/main.js")).expect("the file");
    assert_eq!(plain.body, on_disk, "files are served as they are");
}

#[tokio::test]
async fn only_reading_is_allowed_and_only_what_is_there() {
    let world = World::shared();
    for path in
        ["/client/nothing.js", "/client/", "/client/../Cargo.toml", "/client/%2e%2e/Cargo.toml", "/client/views"]
    {
        let answer = world.client().get(path).answer().await;
        assert_eq!(answer.status, 404, "{answer}");
    }
    for path in ["/", "/client/main.js"] {
        world.client().post(path).answer().await.problem(405, "method_not_allowed");
        let head = world.client().call(Method::HEAD, path).answer().await.is(200);
        assert!(head.body.is_empty() && !head.header("etag").is_empty());
    }
}
