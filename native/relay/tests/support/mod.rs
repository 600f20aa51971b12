//! What the relay's tests share: an application in place of the functions, and a client that reads server-sent events.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use bytes::Bytes;
use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::{Request, Response};
use http_body_util::BodyExt;
use plaza_http::{Body, BoxError, Upstream, full};
use plaza_relay::{Action, Chunk, Position, Published, Relay, Settings, Source, Watermark, memory::MemoryLog};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Nothing in these tests takes so long, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

type Handler = Box<dyn Fn(&Request<Body>) -> Response<Body> + Send + Sync>;

/// The functions: answers by a closure and remembers what was asked.
pub(crate) struct App {
    handler: Handler,
    pub(crate) asked: Mutex<Vec<(String, http::HeaderMap)>>,
}

impl App {
    pub(crate) fn new(handler: impl Fn(&Request<Body>) -> Response<Body> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { handler: Box::new(handler), asked: Mutex::new(Vec::new()) })
    }

    /// One that holds every stream on these channels.
    pub(crate) fn holding(channels: &'static [&'static str]) -> Arc<Self> {
        Self::new(move |_| hold(channels, &[]))
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("lock").iter().map(|(uri, _)| uri.clone()).collect()
    }
}

impl Upstream for App {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        self.asked.lock().expect("lock").push((request.uri().to_string(), request.headers().clone()));
        let response = (self.handler)(&request);
        Box::pin(async move { response })
    }
}

/// An answer that holds the stream.
pub(crate) fn hold<S: AsRef<str>>(channels: &[S], fields: &[(&str, &str)]) -> Response<Body> {
    let mut response = Response::builder().header("content-type", "text/event-stream").header("grip-hold", "stream");
    for channel in channels {
        response = response.header("grip-channel", channel.as_ref());
    }
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(full("")).expect("response")
}

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(path).body(full("")).expect("request")
}

pub(crate) fn resume(path: &str, id: &str) -> Request<Body> {
    Request::get(path).header("last-event-id", id).body(full("")).expect("request")
}

/// Settings under which time passes quickly.
pub(crate) fn settings() -> Settings {
    Settings { tick: Duration::from_millis(10), stall_timeout: Duration::from_millis(200), ..Settings::default() }
}

pub(crate) async fn start(app: &Arc<App>, log: &MemoryLog, settings: Settings) -> Arc<Relay> {
    let app: Arc<dyn Upstream> = app.clone();
    Arc::new(Relay::start(app, Arc::new(log.clone()), settings).await.expect("start"))
}

/// Waits until the relay has read everything.
pub(crate) async fn settle(relay: &Relay) {
    let settled = async {
        while relay.lag().await.expect("lag") > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the relay reads");
}

static EVENTS: AtomicU64 = AtomicU64::new(0);

/// A record with an event id that no other has.
pub(crate) fn record(topic: &str, partition: u32, key: &str, data: &str) -> Published {
    Published {
        topic: topic.into(),
        partition,
        offset: 0,
        key: key.into(),
        event_id: format!("event-{}", EVENTS.fetch_add(1, Ordering::Relaxed)),
        event_name: "Said".into(),
        data: Bytes::copy_from_slice(data.as_bytes()),
        channels: Vec::new(),
        action: Action::Send,
        time_ms: now_ms(),
    }
}

pub(crate) fn signal(topic: &str, key: &str, data: &str, action: Action, channels: &[&str]) -> Published {
    let channels = channels.iter().map(|&name| name.to_owned()).collect();
    Published { action, channels, ..record(topic, 0, key, data) }
}

pub(crate) fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// One frame, dispatched or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: Option<String>,
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) retry: Option<u64>,
    pub(crate) comments: usize,
}

/// A client of a stream.
pub(crate) struct Client {
    pub(crate) status: http::StatusCode,
    pub(crate) headers: http::HeaderMap,
    body: Body,
    buffer: Vec<u8>,
    /// What EventSource would send when it comes back.
    pub(crate) last_id: String,
}

impl Client {
    pub(crate) async fn open(relay: &Relay, request: Request<Body>) -> Self {
        let last_id = request.headers().get("last-event-id").map_or("", |id| id.to_str().unwrap_or("?")).to_owned();
        let (parts, body) = relay.call(request).await.into_parts();
        Self { status: parts.status, headers: parts.headers, body, buffer: Vec::new(), last_id }
    }

    /// The next frame; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let text: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return Some(self.parse(std::str::from_utf8(&text).expect("UTF-8")));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("the stream hangs")?;
            self.buffer.extend_from_slice(frame.expect("body").data_ref().expect("data"));
        }
    }

    fn parse(&mut self, text: &str) -> Frame {
        let mut frame = Frame::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            match line.split_once(':').map(|(name, value)| (name, value.strip_prefix(' ').unwrap_or(value))) {
                Some(("", _)) => frame.comments += 1,
                Some(("id", value)) => {
                    value.clone_into(&mut self.last_id);
                    frame.id = Some(value.to_owned());
                }
                Some(("event", value)) => value.clone_into(&mut frame.event),
                Some(("data", value)) => frame.data.push_str(value),
                Some(("retry", value)) => frame.retry = Some(value.parse().expect("milliseconds")),
                _ => panic!("not a field: {line:?}"),
            }
        }
        frame
    }

    /// The next frame that is an event.
    pub(crate) async fn event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if !frame.event.is_empty() {
                return Some(frame);
            }
        }
    }

    /// The data of the next event, which is not one of the relay's own.
    pub(crate) async fn data(&mut self) -> String {
        let frame = self.event().await.expect("an event");
        assert!(!matches!(frame.event.as_str(), "reset" | "end"), "{frame:?}");
        frame.data
    }

    pub(crate) async fn problem(mut self) -> serde_json::Value {
        let mut text = Vec::new();
        while let Some(frame) = self.body.frame().await {
            text.extend_from_slice(frame.expect("body").data_ref().expect("data"));
        }
        serde_json::from_slice(&text).expect("a problem document")
    }
}

/// The same log, but its tail gives each batch partition by partition, the last one first: another order, as another instance may have.
pub(crate) struct OtherOrder(pub(crate) MemoryLog);

impl Source for OtherOrder {
    fn watermarks(&self) -> BoxFuture<'_, Result<Vec<Watermark>, BoxError>> {
        self.0.watermarks()
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<Chunk, BoxError>> {
        self.0.read(topic, partition, from, max)
    }

    fn tail(&self, from: Vec<Position>) -> BoxStream<'static, Result<Vec<Published>, BoxError>> {
        // Small groups, so that a position often lies between those of the other instance.
        let groups = self.0.tail(from).ready_chunks(8).flat_map(|batches| {
            let mut all: Vec<Published> = batches.into_iter().flat_map(|batch| batch.expect("memory")).collect();
            all.sort_by_key(|record| std::cmp::Reverse((record.topic.clone(), record.partition)));
            stream::iter(all.chunks(5).map(|part| Ok(part.to_vec())).collect::<Vec<_>>())
        });
        groups.boxed()
    }
}
