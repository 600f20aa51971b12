//! The relay: holds the streams that functions have authorised, and sends them what is published.
//!
//! It speaks GRIP (<https://pushpin.org/docs/protocols/grip/>). Every request passes through to the function host; where the answer says
//! `Grip-Hold: stream`, the relay keeps the connection and the function is done. What a stream gets is decided by its channels
//! and by nothing else: policy stays in the functions, and Pushpin or Fastly Fanout could stand here instead.
//!
//! What is published is read from the log, by every instance in full ([`Source`]). A record of topic `T` with key `K` goes to channel
//! `T:K` and to the extra channels that it names, as a server-sent event whose `id` is a position in the log. A client that
//! comes back with `Last-Event-ID` (or the query parameter `last_event_id`), to this instance or to another, gets each event that it missed once
//! and in order, or one `event: reset` with the reason:
//!
//! | reason | |
//! |---|---|
//! | `invalid_id` | the id is none of a relay's |
//! | `unknown_id` | the log has not got so far: it was lost, or the id was made up |
//! | `expired` | the log does not retain so much |
//! | `too_many` | more was missed than one resume may have |
//! | `unavailable` | the log could not be read |
//!
//! The relay ends a stream with one `event: end`, whose data names the reason: `closed` (a record with action *close*), `expired` (`Grip-Timeout`), `refused` (the
//! function does not hold it any more), `unverified` (the function could not be asked), `slow` (the client reads more slowly than its channels speak), `lost` (the log let go of records before this instance had read them), `shutdown`
//! (with a `retry:` of its own). In each case a client that may do so comes back without loss.
//!
//! # How a change of channels takes effect
//!
//! A record with action [`Action::Hint`] is delivered, and then every stream on one of its extra channels asks its function again, at the
//! `Grip-Link` with `rel=next`. Nothing later than the hint is delivered before the answer is there; then channels that were added
//! get what was published on them after the hint, and those that were removed do not get what was. Without a hint the link is asked again
//! after its `timeout` (two minutes by default), and channels that were added count from then on.
//!
//! Where topics are not in step (Kafka), a record may stand before the hint in this relay's order though it happened after it. It is found by its
//! time and delivered with the hint, under the hint's id. Should the connection break before the hint itself was delivered and the position was already past such
//! a record, a resume does not find it. A log in order of commit, as the embedded one, has no such case.

mod catch_up;
mod frame;
mod hub;
mod instruct;
pub mod memory;
mod position;
mod report;
mod signer;
mod source;
mod stream;

pub use hub::Observer;
pub use position::LayoutError;
pub use report::{ReportSettings, Reporter};
pub use source::{Action, Chunk, Position, Published, Source, Watermark};

use catch_up::{CatchUp, Outcome, reason};
use futures::{StreamExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use hub::{Attached, DISPATCH_RECORDS_MAX, Hub, Limits, Since};
use instruct::{Instruct, InstructError};
use plaza_http::{Body, BoxError, Connection, Upstream, full, new_request_id, problem};
use position::Layout;
use signer::Signer;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use stream::{Caller, End, Stream, StreamBody};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// How often a function is asked, when it cannot answer, before its stream is ended.
const ASK_ATTEMPTS: u32 = 3;

/// Milliseconds before the second attempt; doubled for each further one, and spread.
const ASK_PAUSE_MS: u64 = 200;

/// The pauses between attempts to read the log: the first, and the longest.
const SOURCE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What of the original request goes with each look at the link: who is asking, and from where.
const KEPT_HEADERS: [header::HeaderName; 6] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::USER_AGENT,
    header::FORWARDED,
    header::HeaderName::from_static("x-forwarded-for"),
];

/// The relay's limits and secrets. The defaults suit one machine with some ten thousand streams.
#[derive(Clone)]
pub struct Settings {
    /// The secret that functions verify `Grip-Sig` with (HS256), at least 12 bytes. Empty: requests are not signed.
    pub grip_key: Vec<u8>,
    /// Records kept in memory for resumes.
    pub window_records_max: usize,
    /// Bytes of records kept in memory for resumes.
    pub window_bytes_max: usize,
    /// Streams held at once; a further one is answered 503.
    pub streams_max: usize,
    /// Channels of one stream; more are answered 502, because the function asked for them.
    pub channels_max: usize,
    /// Records that may wait for a client that reads slowly.
    pub stream_records_max: usize,
    /// Bytes that may wait for a client that reads slowly.
    pub stream_bytes_max: usize,
    /// Events that a resume may deliver from memory.
    pub resume_records_max: usize,
    /// Records that a resume may read from the log, whether they are for the client or not.
    pub resume_log_records_max: u64,
    /// Resumes that read from the log at once; further ones wait.
    pub resumes_max: usize,
    /// Looks at links at once; further ones wait.
    pub asks_max: usize,
    /// How long a function may take to answer a look at its link, per attempt.
    pub ask_timeout: Duration,
    /// Time between keep-alives where the function does not say.
    pub keep_alive: Duration,
    /// How long a client has to read the end of its stream; then its connection is closed under it.
    pub stall_timeout: Duration,
    /// How often streams are looked through for what is due; the precision of every other time.
    pub tick: Duration,
    /// How long the start waits for the log's newest records.
    pub start_timeout: Duration,
    /// Is told which channels have streams.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            grip_key: Vec::new(),
            window_records_max: 50_000,
            window_bytes_max: 64 * 1024 * 1024,
            streams_max: 20_000,
            channels_max: 2_500,
            stream_records_max: 2_048,
            stream_bytes_max: 1024 * 1024,
            resume_records_max: 10_000,
            resume_log_records_max: 100_000,
            resumes_max: 64,
            asks_max: 64,
            ask_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(25),
            stall_timeout: Duration::from_secs(5),
            tick: Duration::from_millis(500),
            start_timeout: Duration::from_secs(10),
            observer: None,
        }
    }
}

/// The relay could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The log does not tell its partitions.
    #[error("the log cannot be read: {0}")]
    Source(BoxError),
    /// The secret for `Grip-Sig` is too short (less than 12 bytes).
    #[error("the GRIP key cannot be used: {0}")]
    Key(BoxError),
    /// Its partitions cannot be put into stream ids.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// The relay in front of an upstream. Cheap to share; it ends with [`Relay::shutdown`].
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    upstream: Arc<dyn Upstream>,
    source: Arc<dyn Source>,
    settings: Settings,
    hub: Arc<Hub>,
    signer: Option<Signer>,
    asks: Semaphore,
    resumes: Semaphore,
    stop: CancellationToken,
    draining: AtomicBool,
    reading: AtomicBool,
}

impl Relay {
    /// Starts reading `source` and returns when the window holds its newest records. The metrics recorder, if any, must be
    /// installed before.
    pub async fn start(
        upstream: Arc<dyn Upstream>,
        source: Arc<dyn Source>,
        settings: Settings,
    ) -> Result<Self, StartError> {
        let signer = match settings.grip_key.as_slice() {
            [] => None,
            key => Some(Signer::new(key).map_err(StartError::Key)?),
        };
        let watermarks = source.watermarks().await.map_err(StartError::Source)?;
        let layout = Layout::new(watermarks.iter().map(|mark| (Arc::clone(&mark.topic), mark.partition)))?;
        let warm = (settings.window_records_max / layout.len().max(1)) as u64;
        let (mut start, mut newest) = (vec![0; layout.len()], vec![0; layout.len()]);
        for mark in &watermarks {
            if let Some(index) = layout.index(&mark.topic, mark.partition) {
                start[index] = mark.low.max(mark.next.saturating_sub(warm));
                newest[index] = mark.next;
            }
        }
        let limits = Limits {
            window_records_max: settings.window_records_max,
            window_bytes_max: settings.window_bytes_max,
            stream_records_max: settings.stream_records_max,
            stream_bytes_max: settings.stream_bytes_max,
            resume_records_max: settings.resume_records_max,
            stall: settings.stall_timeout,
        };
        let hub = Arc::new(Hub::new(layout, start, limits, settings.observer.clone()));
        let inner = Arc::new(Inner {
            upstream,
            source,
            hub,
            signer,
            asks: Semaphore::new(settings.asks_max),
            resumes: Semaphore::new(settings.resumes_max),
            stop: CancellationToken::new(),
            draining: AtomicBool::new(false),
            reading: AtomicBool::new(false),
            settings,
        });
        tokio::spawn(read(Arc::clone(&inner)));
        tokio::spawn(sweep(Arc::clone(&inner)));

        let mut progress = inner.hub.progress.subscribe();
        let warmed = async {
            while inner.hub.position().iter().zip(&newest).any(|(here, newest)| here < newest) {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        // The last offsets of a partition may hold no record; then there is nothing to wait for.
        if tokio::time::timeout(inner.settings.start_timeout, warmed).await.is_err() {
            tracing::warn!("the relay starts before it has read the newest records");
        }
        Ok(Self { inner })
    }

    /// The number of streams that are held.
    pub fn streams(&self) -> usize {
        self.inner.hub.len()
    }

    /// Whether the log is being read: false from an error until the next attempt succeeds.
    pub fn is_reading(&self) -> bool {
        self.inner.reading.load(Ordering::Relaxed)
    }

    /// How many records the log has that the relay has not read yet (offsets, where they are not dense).
    pub async fn lag(&self) -> Result<u64, BoxError> {
        let watermarks = self.inner.source.watermarks().await?;
        let position = self.inner.hub.position();
        let behind = |mark: &Watermark| {
            let index = self.inner.hub.layout.index(&mark.topic, mark.partition)?;
            Some(mark.next.saturating_sub(position[index]))
        };
        Ok(watermarks.iter().filter_map(behind).sum())
    }

    /// The id that a stream gets that has everything.
    pub fn position(&self) -> String {
        self.inner.hub.layout.encode(&self.inner.hub.position())
    }

    /// Ends all streams, telling their clients to come back (elsewhere) after half a second to three seconds, and takes no new ones. Returns when they are
    /// gone, at the latest after `bound`; requests that need no stream are still answered.
    pub async fn shutdown(&self, bound: Duration) {
        let inner = &self.inner;
        inner.draining.store(true, Ordering::SeqCst);
        let gone = async {
            loop {
                // Again and again: a stream may have been on its way while the others were ended.
                let streams = inner.hub.all();
                if streams.is_empty() {
                    return;
                }
                for stream in streams {
                    stream.end(End::Shutdown);
                }
                tokio::time::sleep(SHUTDOWN_POLL).await;
            }
        };
        if tokio::time::timeout(bound, gone).await.is_err() {
            tracing::warn!(streams = self.streams(), "streams left at the end of the drain time");
        }
        inner.stop.cancel();
    }
}

/// How often a shutdown looks whether the streams are gone.
const SHUTDOWN_POLL: Duration = Duration::from_millis(20);

impl Drop for Relay {
    fn drop(&mut self) {
        self.inner.stop.cancel();
    }
}

impl Upstream for Relay {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(self.inner.call(request))
    }
}

impl Inner {
    async fn call(self: &Arc<Self>, mut request: Request<Body>) -> Response<Body> {
        // Only the relay may say that there is a relay.
        request.headers_mut().remove("grip-sig");
        self.sign(request.headers_mut());
        // What of the request a held stream needs is known only after the answer, when the request is gone.
        let kept = Kept::of(&request);
        let arrived = self.hub.n();
        let mut response = self.upstream.call(request).await;
        if !response.headers().contains_key("grip-hold") {
            instruct::strip(response.headers_mut());
            return response;
        }
        let Settings { keep_alive, channels_max, .. } = self.settings;
        let read = Instruct::read(response.headers(), &kept.uri, keep_alive, channels_max);
        instruct::strip(response.headers_mut());
        match read {
            Ok(Some(instruct)) => self.hold(&kept, instruct, arrived, response),
            Ok(None) => response,
            Err(error) => {
                tracing::error!(path = kept.uri.path(), %error, "a function's GRIP instructions cannot be followed");
                metrics::counter!("plaza_grip_errors_total").increment(1);
                let code = match error {
                    InstructError::ResponseHold => "grip_hold_not_offered",
                    _ => "grip_instruction_invalid",
                };
                problem(StatusCode::BAD_GATEWAY, code, &error.to_string(), &kept.request_id(&response))
            }
        }
    }

    fn sign(&self, headers: &mut HeaderMap) {
        if let Some(signature) = self.signer.as_ref().and_then(Signer::signature) {
            headers.insert("grip-sig", signature);
        }
    }

    /// Holds the stream that a function has authorised.
    fn hold(
        self: &Arc<Self>,
        kept: &Kept,
        instruct: Instruct,
        arrived: u64,
        response: Response<Body>,
    ) -> Response<Body> {
        let (mut parts, initial) = response.into_parts();
        if let Some(status) = instruct.status {
            parts.status = status;
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        if kept.method == Method::HEAD {
            return Response::from_parts(parts, full(""));
        }
        let refused = |detail: &str| {
            let refusal = Response::from_parts(parts.clone(), full(""));
            metrics::counter!("plaza_streams_refused_total").increment(1);
            let mut refused =
                problem(StatusCode::SERVICE_UNAVAILABLE, "streams_unavailable", detail, &kept.request_id(&refusal));
            refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(1 + jitter(4)));
            refused
        };
        if self.draining.load(Ordering::SeqCst) {
            return refused("This instance is stopping.");
        }
        let resume = kept.last_event_id.clone();
        let caller = Caller {
            headers: kept.headers.clone(),
            peer: kept.peer,
            connection: kept.connection.clone(),
            base: kept.uri.clone(),
        };
        let now = Instant::now();
        let opened = self.hub.open(self.settings.streams_max, |id| Stream::new(id, caller, &instruct, now));
        let Some(stream) = opened else { return refused("This instance holds as many streams as it may.") };

        // From here on the body's end is the stream's end.
        let body = StreamBody { hub: Arc::clone(&self.hub), stream: Arc::clone(&stream), initial: Some(initial) };
        match resume {
            None => {
                let attached = self.hub.attach(&stream, &instruct.channels, arrived, &Since::Arrival);
                let asks = match attached {
                    Attached::Live(asks) => asks,
                    Attached::TooMany => {
                        let reset = Since::Reset(reason::TOO_MANY);
                        self.hub.attach(&stream, &instruct.channels, arrived, &reset) == Attached::Live(true)
                    }
                    _ => false,
                };
                self.ask_if(asks, &stream);
            }
            Some(id) => self.resume(&id, &stream, instruct, arrived),
        }
        Response::from_parts(parts, Body::new(body))
    }

    /// Takes a stream up where its client was.
    fn resume(self: &Arc<Self>, id: &str, stream: &Arc<Stream>, instruct: Instruct, arrived: u64) {
        let begins = self.hub.layout.decode(id);
        let catch_up = CatchUp {
            hub: Arc::clone(&self.hub),
            source: Arc::clone(&self.source),
            stream: Arc::clone(stream),
            instruct,
            arrived,
            next: begins.as_ref().map_or_else(|_| Vec::new(), |begins| self.hub.resolve(begins)),
            budget: self.settings.resume_log_records_max,
        };
        if begins.is_err() {
            return self.resumed(catch_up.reset(reason::INVALID), stream);
        }
        match catch_up.try_window() {
            Attached::Live(asks) => self.resumed((Outcome::Window, asks), stream),
            Attached::Over => self.resumed((Outcome::Over, false), stream),
            Attached::TooMany => self.resumed(catch_up.reset(reason::TOO_MANY), stream),
            Attached::Behind(_) | Attached::Ahead => {
                let (inner, stream) = (Arc::clone(self), Arc::clone(stream));
                tokio::spawn(async move {
                    let Ok(_place) = inner.resumes.acquire().await else { return };
                    inner.resumed(catch_up.run().await, &stream);
                });
            }
        }
    }

    fn resumed(self: &Arc<Self>, (outcome, asks): (Outcome, bool), stream: &Arc<Stream>) {
        metrics::counter!("plaza_stream_resumes_total", "outcome" => outcome.label()).increment(1);
        self.ask_if(asks, stream);
    }

    /// Starts a look at the stream's link.
    fn ask_if(self: &Arc<Self>, asks: bool, stream: &Arc<Stream>) {
        if asks {
            let (inner, stream) = (Arc::clone(self), Arc::clone(stream));
            tokio::spawn(async move { inner.ask(&stream).await });
        }
    }

    /// Asks a stream's function again, as long as there are hints that the last answer does not cover.
    async fn ask(&self, stream: &Arc<Stream>) {
        loop {
            let Ok(_place) = self.asks.acquire().await else { return };
            let link = {
                let queue = stream.queue();
                queue.link.clone().filter(|_| !queue.is_over())
            };
            let Some(link) = link else { return };
            match self.ask_once(stream, &link.uri).await {
                Ok(instruct) => {
                    if !self.hub.rejoin(stream, &instruct) {
                        return;
                    }
                }
                Err(end) => return stream.end(end),
            }
        }
    }

    async fn ask_once(&self, stream: &Stream, uri: &Uri) -> Result<Instruct, End> {
        for attempt in 0..ASK_ATTEMPTS {
            if attempt > 0 {
                let pause_ms = (ASK_PAUSE_MS << (attempt - 1)) + jitter(ASK_PAUSE_MS);
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            let mut request = Request::new(full(""));
            *request.uri_mut() = uri.clone();
            request.headers_mut().clone_from(&stream.caller.headers);
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
            self.sign(request.headers_mut());
            if let Some(peer) = stream.caller.peer {
                request.extensions_mut().insert(peer);
            }
            let Ok(response) = tokio::time::timeout(self.settings.ask_timeout, self.upstream.call(request)).await
            else {
                continue;
            };
            if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
                continue;
            }
            let Settings { keep_alive, channels_max, .. } = self.settings;
            return match Instruct::read(response.headers(), &stream.caller.base, keep_alive, channels_max) {
                Ok(Some(instruct)) => Ok(instruct),
                Ok(None) => Err(End::Refused),
                Err(error) => {
                    tracing::error!(path = uri.path(), %error, "a function's GRIP instructions cannot be followed");
                    metrics::counter!("plaza_grip_errors_total").increment(1);
                    Err(End::Unverified)
                }
            };
        }
        tracing::warn!(path = uri.path(), "a stream's function cannot be asked again");
        Err(End::Unverified)
    }
}

/// What a held stream needs of its request.
struct Kept {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    peer: Option<SocketAddr>,
    connection: Option<Connection>,
    request_id: Option<HeaderValue>,
    last_event_id: Option<String>,
}

impl Kept {
    fn of(request: &Request<Body>) -> Self {
        let mut headers = HeaderMap::new();
        for name in &KEPT_HEADERS {
            for value in request.headers().get_all(name) {
                headers.append(name, value.clone());
            }
        }
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers,
            peer: request.extensions().get().copied(),
            connection: request.extensions().get().cloned(),
            request_id: request.headers().get("x-request-id").cloned(),
            last_event_id: last_event_id(request),
        }
    }

    /// The id that this request is known by: the function's answer may have given it one.
    fn request_id(&self, response: &Response<Body>) -> String {
        let given = response.headers().get("x-request-id").or(self.request_id.as_ref());
        given.and_then(|id| id.to_str().ok()).map_or_else(new_request_id, str::to_owned)
    }
}

/// Where the client was: the header of EventSource, or the query parameter for those who cannot set it. Empty counts as none.
fn last_event_id(request: &Request<Body>) -> Option<String> {
    if let Some(value) = request.headers().get("last-event-id") {
        // What is not ASCII is not an id, and is to be told so.
        return Some(value.to_str().unwrap_or("?").to_owned()).filter(|id| !id.is_empty());
    }
    let pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    let value = pairs.filter(|(name, _)| *name == "last_event_id").map(|(_, value)| value).next()?;
    Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned()).filter(|id| !id.is_empty())
}

/// Reads the log and dispatches it, until the relay stops.
async fn read(inner: Arc<Inner>) {
    let mut pause = SOURCE_PAUSE.0;
    while !inner.stop.is_cancelled() {
        match inner.source.watermarks().await {
            Ok(watermarks) => {
                let index = |mark: &Watermark| inner.hub.layout.index(&mark.topic, mark.partition);
                inner.hub.skip(watermarks.iter().filter_map(|mark| Some((index(mark)?, mark.low))));
            }
            Err(error) => tracing::warn!(%error, "the log does not tell its ends"),
        }
        let position = inner.hub.position();
        let partitions = inner.hub.layout.partitions().zip(position);
        let from = partitions
            .map(|((topic, partition), offset)| Position { topic: Arc::clone(topic), partition, offset })
            .collect();
        let mut tail = inner.source.tail(from);
        inner.reading.store(true, Ordering::Relaxed);
        loop {
            let batch = tokio::select! {
                () = inner.stop.cancelled() => return,
                batch = tail.next() => batch,
            };
            match batch {
                Some(Ok(records)) => {
                    pause = SOURCE_PAUSE.0;
                    for part in records.chunks(DISPATCH_RECORDS_MAX) {
                        for stream in inner.hub.dispatch(part) {
                            inner.ask_if(true, &stream);
                        }
                        // The streams that were woken are to write before the next part comes, or their queues grow for nothing.
                        tokio::task::yield_now().await;
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "the log cannot be read");
                    break;
                }
                None => break,
            }
        }
        inner.reading.store(false, Ordering::Relaxed);
        metrics::counter!("plaza_relay_source_errors_total").increment(1);
        tokio::select! {
            () = inner.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(SOURCE_PAUSE.1);
    }
}

/// Looks through the streams for what is due, until the relay stops.
async fn sweep(inner: Arc<Inner>) {
    let mut tick = tokio::time::interval(inner.settings.tick);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = inner.stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        for stream in inner.hub.sweep(Instant::now()) {
            inner.ask_if(true, &stream);
        }
    }
}

/// A number below `bound`, to spread what would otherwise happen at once. Not for secrets.
fn jitter(bound: u64) -> u64 {
    RandomState::new().build_hasher().finish() % bound.max(1)
}
