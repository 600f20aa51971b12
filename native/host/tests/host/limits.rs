//! Each limit: the answer when it is hit, its count, and that nothing else suffers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use metrics_exporter_prometheus::PrometheusBuilder;
use plaza_http::{Body, BoxError};

use crate::MANIFEST;
use crate::support::{App, client};

/// A body of these chunks, of no announced length.
fn chunked(chunks: impl IntoIterator<Item = Result<Vec<u8>, BoxError>>) -> Body {
    let chunks: Vec<_> = chunks.into_iter().map(|chunk| chunk.map(|bytes| Frame::data(bytes.into()))).collect();
    StreamBody::new(stream::iter(chunks)).boxed_unsync()
}

#[tokio::test]
async fn bodies() {
    let app = App::with(MANIFEST, |settings| settings.limits.request_body_bytes_max = 1000).await;
    assert_eq!(app.post("/t/echo", &"x".repeat(1000)).await.text().len(), 1000);
    let answer = app.post("/t/echo", &"x".repeat(1001)).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "payload_too_large"));
    let send = |body| app.send(client("POST", "/t/echo", "").map(|_| body));
    assert_eq!(send(chunked([Ok(vec![b'x'; 600]), Ok(vec![b'x'; 400])])).await.text().len(), 1000);
    assert_eq!(send(chunked([Ok(vec![b'x'; 600]), Ok(vec![b'x'; 401])])).await.code(), "payload_too_large");
    // One that breaks off is no shorter body.
    let answer = send(chunked([Ok(vec![b'x'; 600]), Err("reset".into())])).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "body_incomplete"));
}

#[tokio::test]
async fn time() {
    let app = App::with(MANIFEST, |settings| settings.limits.request_time_max = Duration::from_millis(300)).await;
    for path in ["/t/sleep/60000", "/t/loop"] {
        let started = Instant::now();
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.code().as_str()), (504, "time_limit"), "{path}");
        assert!(started.elapsed() >= Duration::from_millis(300));
        assert!(started.elapsed() < Duration::from_secs(10), "{path}");
    }
    let never = StreamBody::new(stream::pending::<Result<Frame<bytes::Bytes>, BoxError>>().boxed()).boxed_unsync();
    let answer = app.send(client("POST", "/t/echo", "").map(|_| never)).await;
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
    // A response that has begun cannot become an error; it breaks off.
    assert!(app.get("/t/stream/60000").await.body.is_err());
    assert_eq!(app.get("/t/hello").await.text(), "hello");
}

#[tokio::test]
async fn a_guest_that_computes_does_not_keep_others_from_their_turn() {
    let app = App::with(MANIFEST, |settings| settings.limits.request_time_max = Duration::from_secs(2)).await;
    // One thread for all: the endless one must give way for the others to be answered at all.
    let (endless, ()) = tokio::join!(app.get("/t/loop"), async {
        for _ in 0..5 {
            assert_eq!(app.get("/t/hello").await.text(), "hello");
        }
    });
    assert_eq!(endless.code(), "time_limit");
}

#[tokio::test]
async fn memory() {
    let app = App::start(MANIFEST).await;
    let answer = app.get("/t/memory/100").await;
    assert_eq!((answer.status, answer.code().as_str()), (500, "memory_limit"));
    assert_eq!(app.get("/t/memory/40").await.text(), "40");
}

#[tokio::test]
async fn instances() {
    let app = App::with(MANIFEST, |settings| {
        settings.limits.instances_max = 1;
        settings.limits.waiting_max = 1;
        settings.limits.wait_max = Duration::from_millis(200);
    })
    .await;
    let app = Arc::new(app);
    // The first runs, the second waits in vain, the third finds the queue full.
    let (first, second, third) =
        tokio::join!(app.get("/t/sleep/1000"), app.get("/t/hello"), async { app.get("/t/hello").await });
    assert_eq!(first.status, 200);
    for refused in [second, third] {
        assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
        assert_eq!(refused.headers["retry-after"], "1");
    }
    assert_eq!(app.get("/t/hello").await.status, 200);
    // Waiting for a turn that comes is no error.
    let (first, second) = tokio::join!(app.get("/t/sleep/50"), app.get("/t/hello"));
    assert_eq!((first.status, second.status), (200, 200));
}

#[tokio::test]
async fn each_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app = App::with(MANIFEST, |settings| {
        settings.limits.request_body_bytes_max = 10;
        settings.limits.request_time_max = Duration::from_millis(500);
        settings.limits.instances_max = 1;
        settings.limits.waiting_max = 1;
        settings.limits.wait_max = Duration::from_millis(50);
    })
    .await;
    app.get("/t/hello").await;
    app.get("/nowhere").await;
    app.get("/t/panic").await;
    app.get("/t/memory/100").await;
    app.get("/t/print/100000").await;
    app.post("/t/echo", "more than ten").await;
    app.get("/t/open/default").await;
    tokio::join!(app.get("/t/sleep/60000"), app.get("/t/hello"), app.get("/t/hello"));
    let text = metrics.render();
    for line in [
        r#"plaza_requests_total{component="guest",status="200"} 3"#,
        r#"plaza_requests_total{component="none",status="404"} 1"#,
        r#"plaza_requests_total{component="guest",status="500"} 2"#,
        r#"plaza_requests_total{component="guest",status="413"} 1"#,
        r#"plaza_requests_total{component="guest",status="503"} 2"#,
        r#"plaza_requests_total{component="guest",status="504"} 1"#,
        r#"plaza_traps_total{component="guest"} 2"#,
        r#"plaza_instances{component="guest"} 0"#,
        r#"plaza_limits_total{limit="body"} 1"#,
        r#"plaza_limits_total{limit="memory"} 1"#,
        r#"plaza_limits_total{limit="time"} 1"#,
        r#"plaza_limits_total{limit="output"} 1"#,
        r#"plaza_limits_total{limit="waiting"} 1"#,
        r#"plaza_limits_total{limit="wait"} 1"#,
        r#"plaza_limits_total{limit="sqlite_connections"} 1"#,
        r#"plaza_request_seconds_count{component="guest"} 9"#,
    ] {
        assert!(text.lines().any(|other| other == line), "{line}:\n{text}");
    }
}
