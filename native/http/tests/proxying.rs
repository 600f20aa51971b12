//! The proxy in front of a real server, over real sockets.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use plaza_http::{Body, BoxError, Proxy, ProxySettings, Server, ServerSettings, Upstream, full};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Says what it was asked, or streams.
#[derive(Default)]
struct Functions {
    frames: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

impl Upstream for Functions {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        async move {
            match request.uri().path() {
                "/base/stream" => {
                    let frames = self.frames.lock().expect("lock").take().expect("once");
                    let frames = futures::stream::unfold(frames, |mut frames| async {
                        let frame = frames.recv().await?;
                        Some((Ok::<_, BoxError>(Frame::data(frame)), frames))
                    });
                    Response::new(StreamBody::new(frames).boxed_unsync())
                }
                "/base/never" => std::future::pending().await,
                _ => {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.expect("a body").to_bytes();
                    let header =
                        |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().expect("text"));
                    let text = format!(
                        "{} {} host={} for={} id={} body={}",
                        parts.method,
                        parts.uri,
                        header("host"),
                        header("x-forwarded-for"),
                        header("x-request-id"),
                        String::from_utf8_lossy(&body)
                    );
                    Response::builder().status(201).header("x-theirs", "1").body(full(text)).expect("a response")
                }
            }
        }
        .boxed()
    }
}

fn serve(functions: Functions) -> (SocketAddr, CancellationToken) {
    let (server, address) = Server::bind(([127, 0, 0, 1], 0).into(), ServerSettings::default()).expect("bind");
    let stop = CancellationToken::new();
    tokio::spawn(server.run(Arc::new(functions), stop.clone()));
    (address, stop)
}

fn proxy(address: SocketAddr) -> Proxy {
    let settings = ProxySettings { answer_timeout: Duration::from_millis(300), ..ProxySettings::default() };
    Proxy::new(&format!("http://{address}/base/"), &settings).expect("a base URL")
}

fn request(method: &str, path: &str, body: &'static str) -> Request<Body> {
    let mut request =
        Request::builder().method(method).uri(path).header("host", "chat.example").body(full(body)).expect("a request");
    request.headers_mut().insert("x-request-id", http::HeaderValue::from_static("r-1"));
    request.extensions_mut().insert(SocketAddr::from(([192, 0, 2, 7], 4_000)));
    request
}

#[tokio::test]
async fn a_request_goes_there_and_its_answer_comes_back() {
    let (address, _stop) = serve(Functions::default());
    let response = proxy(address).call(request("PUT", "/a/b?c=d%20e", "안녕")).await;
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["x-theirs"], "1");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let expected = format!("PUT /base/a/b?c=d%20e host={address} for=192.0.2.7 id=r-1 body=안녕");
    assert_eq!(String::from_utf8_lossy(&body), expected);
}

#[tokio::test]
async fn a_stream_comes_as_it_is_written() {
    let (frames, received) = mpsc::channel(1);
    let (address, _stop) = serve(Functions { frames: Mutex::new(Some(received)) });
    let mut body = proxy(address).call(request("GET", "/stream", "")).await.into_body();
    for text in ["one", "two"] {
        frames.send(Bytes::from(text)).await.expect("somebody reads");
        let frame =
            tokio::time::timeout(PATIENCE, body.frame()).await.expect("in time").expect("a frame").expect("whole");
        assert_eq!(frame.into_data().expect("data"), text);
    }
    // Whoever stops reading ends the stream there, too.
    drop(body);
    tokio::time::timeout(PATIENCE, frames.closed()).await.expect("the server notices");
}

#[tokio::test]
async fn functions_that_are_not_there_or_do_not_answer_are_a_clear_problem() {
    let (address, stop) = serve(Functions::default());
    let proxy = proxy(address);
    let response = proxy.call(request("GET", "/never", "")).await;
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");

    stop.cancel();
    let gone = async {
        while proxy.call(request("GET", "/", "")).await.status() != StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("the server goes");
    let response = proxy.call(request("GET", "/", "")).await;
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!((&problem["code"], &problem["request_id"]), (&"functions_unavailable".into(), &"r-1".into()));
}
