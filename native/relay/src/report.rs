//! Tells the functions which channels have streams here, so that they can know who is there.
//!
//! Only channels of one prefix are told of: functions choose it, and put such a channel on each stream that they want to know of.
//! What it means is theirs, too. They answer each report with the time after which they want the next one, whether there is
//! anything new or not: that is how they notice what ends by time, and that this instance still runs.
//!
//! A report is sent again until it is answered, and the next is made only then, so reports arrive in their order and their numbers
//! (`seq`) show a repeat. Between two reports only what differs from what was told is kept, each channel once: where functions
//! do not answer for a while nothing piles up and nothing is lost, and what came and went meanwhile was never there. Functions
//! that no longer know of this instance answer 410, and it begins anew under another name.

use crate::hub::Observer;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt;
use plaza_http::{Body, Upstream, full};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The type of a report (CloudEvents).
const EVENT_TYPE: &str = "plaza.relay.ChannelsHeld.v1";

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4 * 1024;

/// How and where reports go.
#[derive(Clone, Debug)]
pub struct ReportSettings {
    /// The path of the function that takes them.
    pub path: String,
    /// What it lets in (`Authorization: Bearer`).
    pub bearer_token: String,
    /// What the names of the channels that are told of begin with.
    pub prefix: String,
    /// Channels that one report names.
    pub channels_max: usize,
    /// How long a report waits for more to tell.
    pub linger: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The shortest and the longest time between two reports that tell nothing new, whatever the functions ask for.
    pub pause: (Duration, Duration),
    /// The pauses before a report is sent again: the first, and the longest.
    pub retry: (Duration, Duration),
    /// How long the end waits for the last reports.
    pub stop_timeout: Duration,
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            path: String::new(),
            bearer_token: String::new(),
            prefix: String::new(),
            channels_max: 500,
            linger: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            pause: (Duration::from_millis(20), Duration::from_secs(30)),
            retry: (Duration::from_millis(100), Duration::from_secs(5)),
            stop_timeout: Duration::from_secs(5),
        }
    }
}

/// Watches the channels of a relay and reports them. It ends with [`Reporter::stop`].
pub struct Reporter {
    shared: Arc<Shared>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

struct Shared {
    upstream: Arc<dyn Upstream>,
    settings: ReportSettings,
    held: Mutex<Held>,
    news: Notify,
    stop: CancellationToken,
}

/// Which channels have streams, and what of it was told.
#[derive(Debug, Default)]
struct Held {
    open: HashSet<Arc<str>>,
    told: HashSet<Arc<str>>,
    /// Those that are in one of the two only: at most as many as there are streams, twice.
    news: HashSet<Arc<str>>,
}

impl Held {
    fn set(&mut self, channel: &str, open: bool) {
        let name: Arc<str> = Arc::from(channel);
        if open {
            self.open.insert(Arc::clone(&name));
        } else {
            self.open.remove(&name);
        }
        self.compare(name);
    }

    fn compare(&mut self, name: Arc<str>) {
        if self.open.contains(&name) == self.told.contains(&name) {
            self.news.remove(&name);
        } else {
            self.news.insert(name);
        }
    }

    /// What is to be told next: channels that were opened, and that were closed.
    fn take(&self, max: usize) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        self.news.iter().take(max).cloned().partition(|name| self.open.contains(name))
    }

    fn was_told(&mut self, report: &Report) {
        self.told.extend(report.opened.iter().cloned());
        for name in &report.closed {
            self.told.remove(name);
        }
        for name in report.opened.iter().chain(&report.closed) {
            self.compare(Arc::clone(name));
        }
    }

    /// Nothing of what was told counts any more.
    fn forget(&mut self) {
        self.told.clear();
        self.news = self.open.clone();
    }
}

/// What is told at once.
#[derive(Debug)]
struct Report {
    relay_id: String,
    seq: u64,
    opened: Vec<Arc<str>>,
    closed: Vec<Arc<str>>,
}

impl Report {
    fn body(&self) -> String {
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        serde_json::json!({
            "relay_id": self.relay_id, "seq": self.seq, "opened": names(&self.opened), "closed": names(&self.closed),
        })
        .to_string()
    }
}

/// What came of sending a report.
enum Sent {
    /// It was taken; the next is wanted after this time.
    Taken(Duration),
    /// The functions do not know this instance any more.
    Unknown,
    /// It is to be sent again.
    Again,
}

impl Reporter {
    /// Begins to report to `upstream`.
    pub fn start(upstream: Arc<dyn Upstream>, settings: ReportSettings) -> Arc<Self> {
        let shared = Arc::new(Shared {
            upstream,
            settings,
            held: Mutex::default(),
            news: Notify::new(),
            stop: CancellationToken::new(),
        });
        let task = tokio::spawn(Arc::clone(&shared).run());
        Arc::new(Self { shared, task: Mutex::new(Some(task)) })
    }

    /// Tells what is left to tell, and ends.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        let abort = task.abort_handle();
        if tokio::time::timeout(self.shared.settings.stop_timeout, task).await.is_err() {
            tracing::warn!("the functions were not told which streams have ended; they will notice");
            abort.abort();
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Observer for Reporter {
    fn first(&self, channel: &str) {
        self.shared.note(channel, true);
    }

    fn last(&self, channel: &str) {
        self.shared.note(channel, false);
    }
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, channel: &str, open: bool) {
        if channel.starts_with(&self.settings.prefix) {
            self.held().set(channel, open);
            self.news.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        let (mut relay_id, mut seq) = (new_name(), 0);
        loop {
            let (opened, closed) = self.held().take(self.settings.channels_max);
            seq += 1;
            let report = Report { relay_id: relay_id.clone(), seq, opened, closed };
            if let Some(pause) = self.send(&report).await {
                self.held().was_told(&report);
                if !self.wait(pause).await {
                    return;
                }
            } else {
                self.held().forget();
                (relay_id, seq) = (new_name(), 0);
            }
        }
    }

    /// Waits until there is something to tell, or the time has come. False when all is over and said.
    async fn wait(&self, pause: Duration) -> bool {
        let next = tokio::time::Instant::now() + pause;
        loop {
            if !self.held().news.is_empty() {
                tokio::select! {
                    () = tokio::time::sleep(self.settings.linger) => {}
                    () = self.stop.cancelled() => {}
                }
                return true;
            }
            tokio::select! {
                () = self.news.notified() => {}
                () = tokio::time::sleep_until(next) => return !self.stop.is_cancelled(),
                () = self.stop.cancelled() => return !self.held().news.is_empty(),
            }
        }
    }

    /// Sends a report until it is taken: the time until the next is wanted, or `None` where the functions do not know this instance.
    async fn send(&self, report: &Report) -> Option<Duration> {
        let mut pause = self.settings.retry.0;
        loop {
            match self.attempt(report).await {
                Sent::Taken(next) => return Some(next),
                Sent::Unknown => return None,
                Sent::Again => {
                    metrics::counter!("plaza_relay_report_retries_total").increment(1);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(self.settings.retry.1);
                }
            }
        }
    }

    async fn attempt(&self, report: &Report) -> Sent {
        let Ok(request) = self.request(report) else { return Sent::Again };
        let answer = async {
            let response = self.upstream.call(request).await;
            (response.status(), read(response.into_body()).await)
        };
        let Ok((status, body)) = tokio::time::timeout(self.settings.timeout, answer).await else {
            tracing::warn!("the functions do not answer a report of the streams in time");
            return Sent::Again;
        };
        if status.is_success() {
            let (shortest, longest) = self.settings.pause;
            return Sent::Taken(next_after(&body).unwrap_or(longest).clamp(shortest, longest));
        }
        if status == StatusCode::GONE {
            tracing::info!("the functions do not know of this instance; it reports its streams anew");
            return Sent::Unknown;
        }
        tracing::warn!(%status, "the functions do not take a report of the streams");
        Sent::Again
    }

    fn request(&self, report: &Report) -> Result<Request<Body>, http::Error> {
        let Report { relay_id, seq, .. } = report;
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.settings.bearer_token))?;
        Request::post(&self.settings.path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, bearer)
            .header("ce-specversion", "1.0")
            .header("ce-type", EVENT_TYPE)
            .header("ce-source", "/plaza/relay")
            .header("ce-id", format!("{relay_id}.{seq}"))
            .body(full(report.body()))
    }
}

/// The beginning of an answer, which is all that is wanted of it.
async fn read(mut body: Body) -> Bytes {
    let mut read = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    read.freeze()
}

/// The name of an instance, until the functions have forgotten it.
fn new_name() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// When the functions want the next report.
fn next_after(body: &[u8]) -> Option<Duration> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    answer.get("again_ms")?.as_u64().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::BoxFuture;
    use http::Response;
    use serde_json::{Value, json};
    use tokio::sync::mpsc;

    /// Functions whose every answer is given by the test.
    struct Functions(mpsc::UnboundedSender<(Value, tokio::sync::oneshot::Sender<(u16, &'static str)>)>);

    impl Upstream for Functions {
        fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
            Box::pin(async move {
                assert_eq!(request.headers()["authorization"], "Bearer key");
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                let (reply, answer) = tokio::sync::oneshot::channel();
                self.0.send((serde_json::from_slice(&body).expect("JSON"), reply)).expect("the test listens");
                let (status, body) = answer.await.expect("the test answers");
                Response::builder().status(status).body(full(body)).expect("a response")
            })
        }
    }

    struct Test {
        reporter: Arc<Reporter>,
        reports: mpsc::UnboundedReceiver<(Value, tokio::sync::oneshot::Sender<(u16, &'static str)>)>,
    }

    impl Test {
        fn start(change: impl FnOnce(&mut ReportSettings)) -> Self {
            let (send, reports) = mpsc::unbounded_channel();
            let mut settings = ReportSettings {
                path: "/events/presence".to_owned(),
                bearer_token: "key".to_owned(),
                prefix: "p:".to_owned(),
                ..ReportSettings::default()
            };
            change(&mut settings);
            Self { reporter: Reporter::start(Arc::new(Functions(send)), settings), reports }
        }

        /// The next report, and how it is answered: its name, number, and what it names.
        async fn next(&mut self, status: u16, answer: &'static str) -> (String, u64, Vec<String>, Vec<String>) {
            let (report, reply) = self.reports.recv().await.expect("a report");
            reply.send((status, answer)).expect("somebody waits");
            let names = |field: &str| {
                let mut names: Vec<String> =
                    report[field].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
                names.sort();
                names
            };
            let (opened, closed) = (names("opened"), names("closed"));
            (report["relay_id"].as_str().unwrap().to_owned(), report["seq"].as_u64().unwrap(), opened, closed)
        }
    }

    const LATER: &str = r#"{"again_ms": 5000}"#;

    #[tokio::test(start_paused = true)]
    async fn what_opens_and_closes_is_told_once_and_in_order() {
        let mut test = Test::start(|_| {});
        let (name, seq, opened, closed) = test.next(200, LATER).await;
        assert_eq!((seq, opened.len() + closed.len()), (1, 0), "first of all it says that it is there");
        for channel in ["p:1", "p:2", "other:3"] {
            test.reporter.first(channel);
        }
        assert_eq!(test.next(200, LATER).await, (name.clone(), 2, vec!["p:1".into(), "p:2".into()], vec![]));
        test.reporter.last("p:1");
        // What comes back before it was told is no news.
        test.reporter.last("p:2");
        test.reporter.first("p:2");
        assert_eq!(test.next(200, LATER).await, (name.clone(), 3, vec![], vec!["p:1".into()]));
        let before = tokio::time::Instant::now();
        assert_eq!(test.next(200, LATER).await, (name, 4, vec![], vec![]));
        assert_eq!(before.elapsed(), Duration::from_secs(5), "without news when it is asked to");
    }

    #[tokio::test(start_paused = true)]
    async fn functions_that_do_not_answer_miss_nothing() {
        let mut test = Test::start(|_| {});
        test.next(200, LATER).await;
        test.reporter.first("p:1");
        let first = test.next(503, "").await;
        assert_eq!(first.2, ["p:1"]);
        test.reporter.first("p:2");
        test.reporter.last("p:1");
        // The same again, as it was; what came since follows.
        assert_eq!(test.next(500, "").await, first);
        assert_eq!(test.next(200, LATER).await, first);
        assert_eq!(test.next(200, LATER).await, (first.0, 3, vec!["p:2".into()], vec!["p:1".into()]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_is_waited_for_only_so_long() {
        let mut test = Test::start(|_| {});
        let (report, _reply) = test.reports.recv().await.expect("a report");
        let (again, _) = test.reports.recv().await.expect("the same again");
        assert_eq!(report, again);
    }

    #[tokio::test(start_paused = true)]
    async fn functions_that_have_forgotten_it_are_told_everything() {
        let mut test = Test::start(|_| {});
        test.next(200, LATER).await;
        test.reporter.first("p:1");
        let (name, ..) = test.next(200, LATER).await;
        let (_, seq, ..) = test.next(410, "").await;
        assert_eq!(seq, 3);
        let (new_name, seq, opened, _) = test.next(200, LATER).await;
        assert_eq!((seq, opened), (1, vec!["p:1".to_owned()]));
        assert_ne!(name, new_name);
    }

    #[tokio::test(start_paused = true)]
    async fn much_is_told_in_parts() {
        let mut test = Test::start(|settings| settings.channels_max = 2);
        test.next(200, LATER).await;
        for n in 0..5 {
            test.reporter.first(&format!("p:{n}"));
        }
        let mut all = Vec::new();
        for expected in [2, 2, 1] {
            let (.., opened, _) = test.next(200, LATER).await;
            assert_eq!(opened.len(), expected);
            all.extend(opened);
        }
        all.sort();
        assert_eq!(json!(all), json!(["p:0", "p:1", "p:2", "p:3", "p:4"]));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_says_what_is_left_to_say() {
        let mut test = Test::start(|_| {});
        test.reporter.first("p:1");
        test.next(200, LATER).await;
        test.next(200, LATER).await;
        test.reporter.last("p:1");
        let reporter = Arc::clone(&test.reporter);
        let stopping = tokio::spawn(async move { reporter.stop().await });
        let (.., closed) = test.next(200, LATER).await;
        assert_eq!(closed, ["p:1"]);
        stopping.await.expect("it ends");
        // Where nobody answers, it ends all the same.
        let test = Test::start(|_| {});
        test.reporter.stop().await;
    }
}
