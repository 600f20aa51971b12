//! The trigger, with a real log and a function that answers as it is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use plaza_events::{Clock, EventLog, NewRecord, Record, SqliteLog, TailStart, Trigger, TriggerSettings, partition_of};
use plaza_http::{Body, Upstream};
use support::{all, event, id, open, records, soon};
use tokio::sync::{Semaphore, mpsc};

/// What the function was sent.
struct Call {
    request: Request<Bytes>,
    /// The ids of the events in it.
    ids: Vec<String>,
}

/// A function: answers 204, but for the events of which it was told otherwise.
struct Function {
    calls: mpsc::UnboundedSender<Call>,
    /// By event id: what to answer, in turn; afterwards 204.
    answers: Mutex<HashMap<String, VecDeque<Response<Body>>>>,
    /// Calls with one of these in them are answered only when `gate` lets them.
    held: HashSet<String>,
    gate: Semaphore,
}

impl Upstream for Function {
    fn call(&self, request: Request<Body>) -> BoxFuture<'_, Response<Body>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let ids = if let Some(id) = parts.headers.get("ce-id") {
                vec![id.to_str().unwrap().to_owned()]
            } else {
                let events: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let events = events.as_array().cloned().unwrap_or_else(|| vec![events]);
                events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
            };
            self.calls.send(Call { request: Request::from_parts(parts, body), ids: ids.clone() }).unwrap();
            if ids.iter().any(|id| self.held.contains(id)) {
                self.gate.acquire().await.unwrap().forget();
            }
            let mut answers = self.answers.lock().unwrap();
            ids.iter()
                .find_map(|id| answers.get_mut(id).and_then(VecDeque::pop_front))
                .unwrap_or_else(|| answer(StatusCode::NO_CONTENT, ""))
        })
    }
}

fn answer(status: StatusCode, body: &'static str) -> Response<Body> {
    Response::builder().status(status).body(plaza_http::full(body)).unwrap()
}

fn function(answers: Vec<(&str, Vec<Response<Body>>)>) -> (Arc<Function>, mpsc::UnboundedReceiver<Call>) {
    holding(answers, &[])
}

fn holding(answers: Vec<(&str, Vec<Response<Body>>)>, held: &[&str]) -> (Arc<Function>, mpsc::UnboundedReceiver<Call>) {
    let (calls, receiver) = mpsc::unbounded_channel();
    let answers = answers.into_iter().map(|(id, answers)| (id.to_owned(), answers.into())).collect();
    let held = held.iter().map(|id| (*id).to_owned()).collect();
    (Arc::new(Function { calls, answers: Mutex::new(answers), held, gate: Semaphore::new(0) }), receiver)
}

fn settings() -> TriggerSettings {
    TriggerSettings {
        backoff_initial: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        attempts_max: 3,
        ..TriggerSettings::new("notify", "g", vec!["message.events".to_owned(), "friend.events".to_owned()])
    }
}

async fn start(settings: TriggerSettings, function: &Arc<Function>, log: &Arc<SqliteLog>) -> Trigger {
    Trigger::start(settings, function.clone(), log.clone(), Clock::from_fn(|| 1_700_000_000_000)).await.unwrap()
}

async fn called(calls: &mut mpsc::UnboundedReceiver<Call>) -> Vec<String> {
    soon(calls.recv()).await.unwrap().ids
}

async fn committed(log: &SqliteLog) -> u64 {
    log.lag("g").await.unwrap().iter().map(|lag| lag.committed).sum()
}

async fn dead(log: &SqliteLog, topic: &str, count: usize) -> Vec<Arc<Record>> {
    let mut tail = log.tail(&[topic.to_owned()], TailStart::Last(100)).await.unwrap();
    records(&mut tail, count).await
}

#[tokio::test]
async fn a_record_is_posted_as_a_cloudevent_in_binary_mode() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = function(vec![]);
    let settings = TriggerSettings { bearer_token: Some("key".to_owned()), ..settings() };
    let trigger = start(settings, &function, &log).await;
    log.append(vec![event("friend.events", "k", "e1")]).await.unwrap();
    let call = soon(calls.recv()).await.unwrap();
    assert_eq!(call.request.method(), "POST");
    assert_eq!(call.request.uri(), "http://notify.spin.internal/");
    assert_eq!(call.request.body(), "\"e1\"");
    for (name, value) in [
        ("ce-specversion", "1.0"),
        ("ce-id", "e1"),
        ("ce-source", "/plaza/test"),
        ("ce-type", "plaza.test.Happened.v1"),
        ("ce-partitionkey", "k"),
        ("content-type", "application/json"),
        ("content-length", "4"),
        ("host", "notify.spin.internal"),
        ("authorization", "Bearer key"),
    ] {
        assert_eq!(call.request.headers()[name], value, "{name}");
    }
    trigger.stop().await;
    assert_eq!(committed(&log).await, 1);
}

#[tokio::test]
async fn an_error_is_followed_by_success_and_order_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let errors = [500, 429].map(|status| answer(StatusCode::from_u16(status).unwrap(), "")).into();
    let (function, mut calls) = function(vec![("1", errors)]);
    log.append(vec![event("friend.events", "k", "1"), event("friend.events", "k", "2")]).await.unwrap();
    let trigger = start(settings(), &function, &log).await;
    for expected in ["1", "1", "1", "2"] {
        assert_eq!(called(&mut calls).await, [expected]);
    }
    trigger.stop().await;
    assert_eq!(committed(&log).await, 2);
    assert!(all(&log, "friend.events.dlq").await.is_empty());
}

#[tokio::test]
async fn poison_goes_to_the_dead_letter_topic_with_its_history() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let errors = (0..3).map(|_| answer(StatusCode::INTERNAL_SERVER_ERROR, "it\nburns")).collect();
    let refusal = vec![answer(StatusCode::UNPROCESSABLE_ENTITY, "")];
    let (function, mut calls) = function(vec![("1", errors), ("2", refusal)]);
    let batch = ["0", "1", "2", "3"].map(|id| event("friend.events", "k", id));
    log.append(batch.clone().into()).await.unwrap();
    let trigger = start(settings(), &function, &log).await;
    for expected in ["0", "1", "1", "1", "2", "3"] {
        assert_eq!(called(&mut calls).await, [expected]);
    }
    let letters = dead(&log, "friend.events.dlq", 2).await;
    let history = |letter: &Record| {
        letter.headers[batch[1].headers.len()..]
            .iter()
            .map(|(name, value)| format!("{name}={}", std::str::from_utf8(value).unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(letters[0].headers[..batch[1].headers.len()], batch[1].headers);
    assert_eq!((&letters[0].key, &letters[0].value), (&batch[1].key, &batch[1].value));
    assert_eq!(
        history(&letters[0]),
        [
            "dlq-reason=500 Internal Server Error: it burns",
            "dlq-status=500",
            "dlq-attempts=3",
            "dlq-topic=friend.events",
            "dlq-partition=0",
            "dlq-offset=1",
            "dlq-group=g",
            "dlq-time=2023-11-14T22:13:20.000Z",
        ]
    );
    assert_eq!(history(&letters[1])[1..3], ["dlq-status=422", "dlq-attempts=1"]);
    trigger.stop().await;
    assert_eq!(committed(&log).await, 4);
}

#[tokio::test]
async fn only_some_4xx_are_worth_another_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let statuses = [400, 401, 403, 404, 408, 409, 410, 415, 422, 425, 429, 300, 500, 501, 503];
    let names = statuses.map(|status| status.to_string());
    let answers = names
        .iter()
        .zip(statuses)
        .map(|(id, status)| (id.as_str(), vec![answer(StatusCode::from_u16(status).unwrap(), "")]))
        .collect();
    let (function, mut calls) = function(answers);
    log.append(names.iter().map(|id| event("friend.events", "k", id)).collect()).await.unwrap();
    let trigger = start(settings(), &function, &log).await;
    for id in &names {
        assert_eq!(called(&mut calls).await, std::slice::from_ref(id));
        if !id.starts_with('4') || ["408", "425", "429"].contains(&id.as_str()) {
            assert_eq!(called(&mut calls).await, std::slice::from_ref(id));
        }
    }
    let letters = dead(&log, "friend.events.dlq", 8).await;
    let ids: Vec<_> = letters.iter().map(|letter| id(letter)).collect();
    assert_eq!(ids, ["400", "401", "403", "404", "409", "410", "415", "422"]);
    trigger.stop().await;
}

#[tokio::test]
async fn a_blocked_partition_blocks_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = holding(vec![], &["blocked"]);
    let trigger = start(settings(), &function, &log).await;
    let other = (0..100).map(|n| format!("k{n}")).find(|key| partition_of(key.as_bytes(), 4) != partition_of(b"k", 4));
    let other = other.unwrap();
    log.append(vec![event("message.events", "k", "blocked"), event("message.events", "k", "behind")]).await.unwrap();
    assert_eq!(called(&mut calls).await, ["blocked"]);
    // Nor does anything of its own partition overtake it, however late it comes.
    log.append(vec![event("message.events", "k", "late")]).await.unwrap();
    for n in 0..20 {
        let id = format!("other-{n}");
        log.append(vec![event("message.events", &other, &id)]).await.unwrap();
        assert_eq!(called(&mut calls).await, [id]);
    }
    log.append(vec![event("friend.events", "k", "friend")]).await.unwrap();
    assert_eq!(called(&mut calls).await, ["friend"]);
    function.gate.add_permits(1);
    assert_eq!(called(&mut calls).await, ["behind"]);
    assert_eq!(called(&mut calls).await, ["late"]);
    trigger.stop().await;
    assert_eq!(committed(&log).await, 24);
}

#[tokio::test]
async fn a_restart_goes_on_at_the_committed_offset() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (first, mut calls) = function(vec![]);
    let trigger = start(settings(), &first, &log).await;
    log.append(vec![event("friend.events", "k", "1"), event("friend.events", "k", "2")]).await.unwrap();
    assert_eq!(called(&mut calls).await, ["1"]);
    assert_eq!(called(&mut calls).await, ["2"]);
    trigger.stop().await;
    log.append(vec![event("friend.events", "k", "3")]).await.unwrap();
    log.close().await;
    let log = open(directory.path()).await;
    let (second, mut calls) = function(vec![]);
    let trigger = start(settings(), &second, &log).await;
    assert_eq!(called(&mut calls).await, ["3"]);
    trigger.stop().await;
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn stopping_finishes_what_is_under_way_and_commits_it() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = holding(vec![], &["2"]);
    log.append(["1", "2", "3"].map(|id| event("friend.events", "k", id)).into()).await.unwrap();
    let trigger = start(settings(), &function, &log).await;
    assert_eq!(called(&mut calls).await, ["1"]);
    assert_eq!(called(&mut calls).await, ["2"]);
    let stopping = tokio::spawn(trigger.stop());
    tokio::task::yield_now().await;
    assert!(!stopping.is_finished());
    function.gate.add_permits(1);
    soon(stopping).await.unwrap();
    // What was under way is done and committed; nothing more was begun.
    assert_eq!(committed(&log).await, 2);
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_pause_and_gives_up_a_request_that_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = holding(vec![("1", vec![answer(StatusCode::BAD_GATEWAY, "")])], &["hangs"]);
    log.append(vec![event("friend.events", "k", "1"), event("message.events", "k", "hangs")]).await.unwrap();
    let patient = TriggerSettings {
        backoff_initial: Duration::from_hours(1),
        backoff_max: Duration::from_hours(1),
        stop_time_max: Duration::from_millis(50),
        ..settings()
    };
    let trigger = start(patient, &function, &log).await;
    let mut ids = [called(&mut calls).await, called(&mut calls).await].concat();
    ids.sort();
    assert_eq!(ids, ["1", "hangs"]);
    soon(trigger.stop()).await;
    assert_eq!(committed(&log).await, 0);
    assert!(all(&log, "friend.events.dlq").await.is_empty());
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let mut wait = answer(StatusCode::SERVICE_UNAVAILABLE, "");
    wait.headers_mut().insert("retry-after", "1".parse().unwrap());
    let mut far = answer(StatusCode::SERVICE_UNAVAILABLE, "");
    far.headers_mut().insert("retry-after", "86400".parse().unwrap());
    let (function, mut calls) = function(vec![("1", vec![wait]), ("2", vec![far])]);
    log.append(vec![event("friend.events", "k", "1"), event("friend.events", "k", "2")]).await.unwrap();
    let bounded = TriggerSettings { retry_after_max: Duration::from_millis(1_100), ..settings() };
    let trigger = start(bounded, &function, &log).await;
    for id in ["1", "2"] {
        assert_eq!(called(&mut calls).await, [id]);
        let start = Instant::now();
        assert_eq!(called(&mut calls).await, [id]);
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(900) && waited < Duration::from_secs(5), "{waited:?}");
    }
    trigger.stop().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = holding(vec![], &["slow"]);
    log.append(vec![event("friend.events", "k", "slow"), event("friend.events", "k", "next")]).await.unwrap();
    let hasty = TriggerSettings { timeout: Duration::from_millis(10), ..settings() };
    let trigger = start(hasty, &function, &log).await;
    for expected in ["slow", "slow", "slow", "next"] {
        assert_eq!(called(&mut calls).await, [expected]);
    }
    let letters = dead(&log, "friend.events.dlq", 1).await;
    assert_eq!(letters[0].header_str("dlq-reason"), Some("no answer within 10 ms"));
    assert_eq!(letters[0].header_str("dlq-status"), None);
    trigger.stop().await;
}

#[tokio::test]
async fn records_that_wait_together_go_together() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = function(vec![]);
    log.append((0..7).map(|n| event("friend.events", "k", &n.to_string())).collect()).await.unwrap();
    let trigger = start(TriggerSettings { batch_max: 3, ..settings() }, &function, &log).await;
    let call = soon(calls.recv()).await.unwrap();
    assert_eq!(call.ids, ["0", "1", "2"]);
    assert_eq!(call.request.headers()["content-type"], "application/cloudevents-batch+json");
    let events: serde_json::Value = serde_json::from_slice(call.request.body()).unwrap();
    assert_eq!(
        events[1],
        serde_json::json!({
            "specversion": "1.0", "id": "1", "source": "/plaza/test", "type": "plaza.test.Happened.v1",
            "partitionkey": "k", "datacontenttype": "application/json", "data": "1",
        })
    );
    assert_eq!(called(&mut calls).await, ["3", "4", "5"]);
    // One alone goes in binary mode.
    let call = soon(calls.recv()).await.unwrap();
    assert_eq!(call.request.headers()["ce-id"], "6");
    trigger.stop().await;
    assert_eq!(committed(&log).await, 7);
}

#[tokio::test]
async fn a_batch_that_is_refused_is_taken_apart() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let refusals = vec![answer(StatusCode::BAD_REQUEST, ""), answer(StatusCode::BAD_REQUEST, "")];
    let (function, mut calls) = function(vec![("1", refusals)]);
    log.append((0..5).map(|n| event("friend.events", "k", &n.to_string())).collect()).await.unwrap();
    let trigger = start(TriggerSettings { batch_max: 3, ..settings() }, &function, &log).await;
    assert_eq!(called(&mut calls).await, ["0", "1", "2"]);
    for expected in ["0", "1", "2"] {
        assert_eq!(called(&mut calls).await, [expected]);
    }
    assert_eq!(called(&mut calls).await, ["3", "4"]);
    assert_eq!(id(&dead(&log, "friend.events.dlq", 1).await[0]), "1");
    trigger.stop().await;
    assert_eq!(committed(&log).await, 5);
}

#[tokio::test]
async fn records_of_others_are_delivered_as_far_as_they_can_be() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, mut calls) = function(vec![]);
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from_static(value.as_bytes()));
    let new = |headers, value: &'static str| NewRecord {
        topic: "friend.events".to_owned(),
        key: Some(Bytes::from_static(b"k")),
        headers,
        value: Some(Bytes::from_static(value.as_bytes())),
        timestamp_ms: 0,
    };
    let structured = r#"{"specversion":"1.0","id":"s","source":"/x","type":"t"}"#;
    log.append(vec![
        new(vec![], "plain"),
        new(vec![header("content-type", "application/cloudevents+json; charset=UTF-8")], structured),
        new(vec![header("ce_specversion", "1.0"), header("ce_type", "t")], "no id"),
        event("friend.events", "k", "last"),
    ])
    .await
    .unwrap();
    let trigger = start(settings(), &function, &log).await;
    let call = soon(calls.recv()).await.unwrap();
    assert_eq!(call.ids, ["partition:0/offset:0"]);
    assert_eq!(call.request.headers()["ce-type"], "plaza.log.Record.v1");
    assert_eq!(call.request.body(), "plain");
    let call = soon(calls.recv()).await.unwrap();
    assert_eq!(call.ids, ["s"]);
    assert_eq!(call.request.headers()["content-type"], "application/cloudevents+json");
    assert_eq!(called(&mut calls).await, ["last"]);
    let letters = dead(&log, "friend.events.dlq", 1).await;
    assert_eq!(letters[0].header_str("dlq-reason"), Some("not a CloudEvent: ce_id is missing"));
    assert_eq!(letters[0].header_str("dlq-attempts"), Some("0"));
    trigger.stop().await;
    assert_eq!(committed(&log).await, 4);
}

#[tokio::test]
async fn a_component_that_cannot_be_named_is_refused_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let log = open(directory.path()).await;
    let (function, _calls) = function(vec![]);
    let settings = TriggerSettings { component: "no name".to_owned(), ..settings() };
    assert!(Trigger::start(settings, function.clone(), log.clone(), Clock::system()).await.is_err());
    let unknown = TriggerSettings { topics: vec!["nowhere".to_owned()], ..self::settings() };
    assert!(Trigger::start(unknown, function, log, Clock::system()).await.is_err());
}
