//! The server over real sockets: what it serves, what it bounds, how it stops.

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plaza_http::{Body, BoxError, Connection, Server, ServerSettings, Upstream, full};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes so long, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by path.
#[derive(Default)]
struct App {
    /// Told when a request to `/slow` has begun; it answers when it gets a word back.
    slow: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
    /// What `/stream` sends.
    stream: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

impl Upstream for App {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        async move {
            let peer = request.extensions().get::<SocketAddr>().copied().expect("a peer");
            let connection = request.extensions().get::<Connection>().cloned().expect("a connection");
            match request.uri().path() {
                "/abort" => {
                    connection.abort();
                    std::future::pending().await
                }
                "/slow" => {
                    let (begun, go_on) = self.slow.lock().expect("lock").take().expect("once");
                    begun.send(()).expect("awaited");
                    let _ = go_on.await;
                    Response::new(full("done"))
                }
                "/stream" => {
                    let frames = self.stream.lock().expect("lock").take().expect("once");
                    let frames = futures::stream::unfold(frames, |mut frames| async {
                        let frame = frames.recv().await?;
                        Some((Ok::<_, BoxError>(Frame::data(frame)), frames))
                    });
                    Response::new(StreamBody::new(frames).boxed_unsync())
                }
                "/echo" => Response::new(request.into_body()),
                _ => Response::new(full(peer.to_string())),
            }
        }
        .boxed()
    }
}

struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(app: App, settings: ServerSettings) -> Self {
        let (server, addr) = Server::bind(([127, 0, 0, 1], 0).into(), settings).expect("bind");
        let stop = CancellationToken::new();
        let task = tokio::spawn(server.run(Arc::new(app), stop.clone()));
        Self { addr, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.expect("connect")
    }

    async fn stopped(self) {
        tokio::time::timeout(PATIENCE, self.task).await.expect("the server stops").expect("no panic");
    }
}

async fn rest(socket: &mut TcpStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, socket.read_to_string(&mut text)).await.expect("the connection ends").expect("read");
    text
}

/// Reads up to and with `end`.
async fn until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        text.push(tokio::time::timeout(PATIENCE, socket.read_u8()).await.expect("an answer").expect("read"));
    }
    String::from_utf8(text).expect("UTF-8")
}

#[tokio::test]
async fn requests_follow_each_other_on_one_connection() {
    let server = Running::start(App::default(), ServerSettings::default());
    let mut socket = server.connect().await;
    let me = socket.local_addr().expect("address").to_string();
    for _ in 0..3 {
        socket.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
        let answer = until(&mut socket, &me).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    socket
        .write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello")
        .await
        .expect("write");
    assert!(rest(&mut socket).await.ends_with("\r\n\r\nhello"));
}

#[tokio::test]
async fn http_2_is_served_on_the_same_port() {
    let server = Running::start(App::default(), ServerSettings::default());
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("handshake");
    let driving = tokio::spawn(connection);
    let request = || Request::get(format!("http://{}/", server.addr)).body(Empty::<Bytes>::new()).expect("request");
    let response = sender.send_request(request()).await.expect("an answer");
    assert_eq!((response.version(), response.status()), (http::Version::HTTP_2, http::StatusCode::OK));
    // GOAWAY ends it.
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, driving).await.expect("the connection ends").expect("no panic").expect("in order");
    server.stopped().await;
}

#[tokio::test]
async fn a_body_without_end_flows() {
    let (frames, stream) = mpsc::channel(1);
    let app = App { stream: Mutex::new(Some(stream)), ..App::default() };
    let server = Running::start(app, ServerSettings::default());
    let mut socket = server.connect().await;
    socket.write_all(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    assert!(until(&mut socket, "\r\n\r\n").await.contains("transfer-encoding: chunked"));
    for _ in 0..100 {
        frames.send(Bytes::from_static(b"data: 1\n\n")).await.expect("send");
        assert_eq!(until(&mut socket, "\n\n\r\n").await, "9\r\ndata: 1\n\n\r\n");
    }
}

#[tokio::test]
async fn who_asks_for_nothing_is_sent_away() {
    let settings = ServerSettings { header_read_timeout: Duration::from_millis(100), ..ServerSettings::default() };
    let server = Running::start(App::default(), settings);
    // Nothing; the beginning of HTTP/2's preface; half a head; nothing more after an answer.
    for words in ["", "P", "GET / HTTP/1.1\r\nhost:", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut socket = server.connect().await;
        socket.write_all(words.as_bytes()).await.expect("write");
        let answer = rest(&mut socket).await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), words.ends_with("\r\n\r\n"), "{words:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_head_may_not_be_longer_than_allowed() {
    let settings = ServerSettings { header_bytes_max: 8_192, ..ServerSettings::default() };
    let server = Running::start(App::default(), settings);
    let mut socket = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "x".repeat(20_000));
    // The answer may come before all is written.
    let _ = socket.write_all(head.as_bytes()).await;
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 431");
}

#[tokio::test]
async fn there_are_no_more_connections_than_allowed() {
    let server = Running::start(App::default(), ServerSettings { connections_max: 1, ..ServerSettings::default() });
    let mut first = server.connect().await;
    let me = first.local_addr().expect("address").to_string();
    first.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    until(&mut first, &me).await;
    let mut second = server.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("write");
    let waits = tokio::time::timeout(Duration::from_millis(100), second.readable()).await;
    assert!(waits.is_err(), "it is not served yet");
    drop(first);
    assert!(rest(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stop_lets_running_requests_finish() {
    let (begun_sender, begun) = oneshot::channel();
    let (go_on_sender, go_on) = oneshot::channel();
    let app = App { slow: Mutex::new(Some((begun_sender, go_on))), ..App::default() };
    let server = Running::start(app, ServerSettings::default());
    let mut idle = server.connect().await;
    let me = idle.local_addr().expect("address").to_string();
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    until(&mut idle, &me).await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    begun.await.expect("begun");
    server.stop.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection just ends");
    go_on_sender.send(()).expect("awaited");
    let answer = rest(&mut socket).await;
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("done"), "{answer}");
    assert!(TcpStream::connect(server.addr).await.is_err(), "nobody listens any more");
    server.stopped().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let (begun_sender, begun) = oneshot::channel();
    let (_go_on_sender, go_on) = oneshot::channel();
    let app = App { slow: Mutex::new(Some((begun_sender, go_on))), ..App::default() };
    let settings = ServerSettings { drain_timeout: Duration::from_millis(50), ..ServerSettings::default() };
    let server = Running::start(app, settings);
    let mut socket = server.connect().await;
    socket.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    begun.await.expect("begun");
    server.stop.cancel();
    assert_eq!(rest(&mut socket).await, "");
    server.stopped().await;
}

#[tokio::test]
async fn a_request_can_end_its_connection() {
    let server = Running::start(App::default(), ServerSettings::default());
    let mut socket = server.connect().await;
    socket.write_all(b"GET /abort HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("write");
    assert_eq!(rest(&mut socket).await, "");
}
