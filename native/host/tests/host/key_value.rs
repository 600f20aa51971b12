//! Key-value stores through `wasi:keyvalue`, beside Spin's own interface, whatever they lie in.

use crate::MANIFEST;
use crate::support::{App, client};

#[tokio::test]
async fn in_files() {
    behaves(&App::start(MANIFEST).await).await;
}

/// What holds for every kind of store. The store `default` is empty.
pub(crate) async fn behaves(app: &App) {
    let send = |method: &'static str, path: &'static str, body: &'static str| async move {
        app.send(client(method, path, body)).await.text()
    };
    assert_eq!(send("GET", "/t/wasi-kv/default/key", "").await, "None");
    send("PUT", "/t/wasi-kv/default/key", "value").await;
    assert_eq!(send("GET", "/t/wasi-kv/default/key", "").await, "Some(\"value\")");
    assert_eq!(send("GET", "/t/kv/default/key", "").await, "Some(\"value\")", "both see the same store");
    assert_eq!(send("GET", "/t/kv/other/key", "").await, "None", "and not another one");
    send("PUT", "/t/kv/other/else", "where").await;
    assert_eq!(send("HEAD", "/t/wasi-kv/default/key", "").await, "true");
    assert_eq!(send("OPTIONS", "/t/wasi-kv/default", "").await, r#"["key"] None"#);
    assert_eq!(send("OPTIONS", "/t/kv/default", "").await, r#"["key"]"#);
    let refused = r#"Error::Other("list_keys: cursor not supported")"#;
    assert_eq!(send("TRACE", "/t/wasi-kv/default", "").await, refused);
    let both = r#"[("key", Some([107, 101, 121])), ("key+", Some([107, 101, 121, 43]))]"#;
    assert_eq!(send("PATCH", "/t/wasi-kv/default/key", "").await, both);
    assert_eq!(send("PURGE", "/t/wasi-kv/default/key", "").await, r#"[("key", None), ("key+", None)]"#);
    send("PUT", "/t/wasi-kv/default/key", "value").await;
    send("DELETE", "/t/wasi-kv/default/key", "").await;
    assert_eq!(send("HEAD", "/t/wasi-kv/default/key", "").await, "false");

    assert_eq!(send("POST", "/t/increment/default/n", "5").await, "5");
    assert_eq!(send("POST", "/t/increment/default/n", "-7").await, "-2");
    let one = || app.post("/t/increment/default/many", "1");
    let mut sums: Vec<u32> = Vec::new();
    for answer in futures::future::join_all((0..100).map(|_| one())).await {
        sums.push(answer.text().parse().unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=100).collect::<Vec<_>>());
    send("PUT", "/t/kv/default/text", "text").await;
    let no_number = app.post("/t/increment/default/text", "1").await;
    assert_eq!(no_number.status, 400);
    assert!(no_number.text().starts_with("Error::Other("), "{no_number:?}");
    assert_eq!(send("GET", "/t/kv/default/text", "").await, "Some(\"text\")");

    assert_eq!(send("POST", "/t/swap/default/s", "1").await, "None swapped");
    assert_eq!(send("POST", "/t/swap/default/s", "2").await, "Some(\"1\") swapped");
    assert_eq!(send("PUT", "/t/swap/default/s", "3").await, "Some(\"2\") became Some(\"meddled\")");
    assert_eq!(send("GET", "/t/kv/default/s", "").await, "Some(\"meddled\")");

    for path in ["/t/wasi-kv/ungranted/key", "/t/increment/ungranted/key"] {
        assert_eq!(send("GET", path, "").await, "Error::AccessDenied");
    }
}
