use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header, uri};
use http_body_util::BodyExt as _;
use plaza_http::{Body, Upstream};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::TriggerSettings;
use crate::{
    Clock, CloudEvent, EventLog, LogError, NewRecord, NotCloudEvent, Record, clock::rfc3339, publisher::cut,
    topics::dlq_name,
};

/// Most bytes of one batched request, save that one event always goes.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// From how many bytes on an answer is not read any further: it only serves as the reason in a dead letter.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Longest reason that goes into a header, in bytes.
const REASON_BYTES_MAX: usize = 1_024;
/// First and longest pause when a dead letter cannot be appended.
const DLQ_RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How far a worker has come with its partition.
pub(super) struct Done {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
    /// The offset after the last record that is done; none if none is.
    pub(super) next: Option<u64>,
}

/// Delivers records to one component.
pub(super) struct Deliverer {
    pub(super) settings: TriggerSettings,
    uri: Uri,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    upstream: Arc<dyn Upstream>,
    log: Arc<dyn EventLog>,
    clock: Clock,
    metrics: Metrics,
}

struct Metrics {
    delivered: metrics::Counter,
    batches_split: metrics::Counter,
    rejected: metrics::Counter,
    failed: metrics::Counter,
    retries: metrics::Counter,
    dead: metrics::Counter,
    seconds: metrics::Histogram,
}

/// What came of one request.
enum Outcome {
    Delivered,
    /// Not this time.
    Failed(Failure),
    /// Never.
    Rejected(Failure),
}

struct Failure {
    status: Option<StatusCode>,
    reason: String,
    retry_after: Option<Duration>,
}

/// The partition's work stops; what is not done is for whoever has the partition next.
struct Stopped;

impl Deliverer {
    pub(super) fn new(
        settings: TriggerSettings,
        upstream: Arc<dyn Upstream>,
        log: Arc<dyn EventLog>,
        clock: Clock,
    ) -> Result<Self, LogError> {
        let authority = format!("{}.spin.internal", settings.component);
        let uri = Uri::builder().scheme(uri::Scheme::HTTP).authority(authority.as_str());
        let uri = uri
            .path_and_query(settings.path.as_str())
            .build()
            .map_err(|error| LogError::Invalid(format!("http://{authority}{}: {error}", settings.path)))?;
        let host = HeaderValue::try_from(&authority)
            .map_err(|error| LogError::Invalid(format!("host {authority}: {error}")))?;
        let authorization = settings.bearer_token.as_deref().map(bearer).transpose()?;
        let group = || settings.group.clone();
        let outcome = |outcome: &'static str| metrics::counter!("plaza_trigger_deliveries_total", "group" => group(), "outcome" => outcome);
        let metrics = Metrics {
            delivered: outcome("delivered"),
            batches_split: outcome("batch_split"),
            rejected: outcome("rejected"),
            failed: outcome("failed"),
            retries: metrics::counter!("plaza_trigger_retries_total", "group" => group()),
            dead: metrics::counter!("plaza_trigger_dlq_total", "group" => group()),
            seconds: metrics::histogram!("plaza_trigger_delivery_seconds", "group" => group()),
        };
        Ok(Self { settings, uri, host, authorization, upstream, log, clock, metrics })
    }

    /// Delivers records of one partition, in order, until all are done or it is told to stop.
    pub(super) async fn deliver(self: Arc<Self>, records: Vec<Arc<Record>>, stop: CancellationToken) -> Done {
        let mut done = Done { topic: "".into(), partition: 0, next: None };
        if let Some(first) = records.first() {
            (done.topic, done.partition) = (first.topic.clone(), first.partition);
        }
        let mut rest = records.as_slice();
        while let Some(first) = rest.first() {
            if stop.is_cancelled() {
                break;
            }
            let batch = self.batch(rest);
            if batch.len() > 1 && self.deliver_batch(batch).await {
                done.next = batch.last().map(|last| last.offset + 1);
                rest = &rest[batch.len()..];
                continue;
            }
            // The whole of the batch that failed one by one, before there is a batch again.
            for record in if batch.is_empty() { std::slice::from_ref(first) } else { batch } {
                if stop.is_cancelled() || self.deliver_one(record, &stop).await.is_err() {
                    return done;
                }
                done.next = Some(record.offset + 1);
            }
            rest = &rest[batch.len().max(1)..];
        }
        if records.len() < self.settings.batch_max {
            // What comes meanwhile goes together.
            tokio::select! {
                () = stop.cancelled() => {}
                () = time::sleep(self.settings.batch_linger) => {}
            }
        }
        done
    }

    /// As many records from the beginning as go into one request.
    fn batch<'a>(&self, records: &'a [Arc<Record>]) -> &'a [Arc<Record>] {
        let mut bytes = 0;
        let fits = |record: &&Arc<Record>| {
            bytes += record.size_bytes();
            bytes <= BATCH_BYTES_MAX
        };
        &records[..records.iter().take(self.settings.batch_max).take_while(fits).count()]
    }

    /// One attempt to deliver records together. They are delivered one by one if it fails, whatever the reason: only so
    /// it comes out which of them was at fault.
    async fn deliver_batch(&self, records: &[Arc<Record>]) -> bool {
        let Some(body) = batch_body(records) else { return false };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents-batch+json"));
        let delivered = matches!(self.attempt(&headers, &Bytes::from(body)).await, Outcome::Delivered);
        if delivered {
            self.metrics.delivered.increment(records.len() as u64);
        } else {
            self.metrics.batches_split.increment(1);
        }
        delivered
    }

    /// Delivers a record, or gives it up.
    async fn deliver_one(&self, record: &Record, stop: &CancellationToken) -> Result<(), Stopped> {
        let (headers, body) = match request(record) {
            Ok(request) => request,
            Err(error) => {
                self.metrics.rejected.increment(1);
                let failure = Failure { status: None, reason: error.to_string(), retry_after: None };
                return self.give_up(record, &failure, 0, stop).await;
            }
        };
        let mut attempts = 0;
        loop {
            attempts += 1;
            let failure = match self.attempt(&headers, &body).await {
                Outcome::Delivered => {
                    self.metrics.delivered.increment(1);
                    return Ok(());
                }
                Outcome::Rejected(failure) => {
                    self.metrics.rejected.increment(1);
                    return self.give_up(record, &failure, attempts, stop).await;
                }
                Outcome::Failed(failure) => failure,
            };
            self.metrics.failed.increment(1);
            if attempts >= self.settings.attempts_max {
                return self.give_up(record, &failure, attempts, stop).await;
            }
            let pause = pause(&self.settings, attempts, failure.retry_after, random());
            tracing::debug!(
                group = self.settings.group,
                topic = &*record.topic,
                partition = record.partition,
                offset = record.offset,
                attempts,
                reason = failure.reason,
                ?pause,
                "record was not taken"
            );
            self.metrics.retries.increment(1);
            tokio::select! {
                () = time::sleep(pause) => {}
                () = stop.cancelled() => return Err(Stopped),
            }
        }
    }

    async fn attempt(&self, headers: &HeaderMap, body: &Bytes) -> Outcome {
        let start = Instant::now();
        let outcome = time::timeout(self.settings.timeout, self.call(headers, body)).await;
        self.metrics.seconds.record(start.elapsed().as_secs_f64());
        outcome.unwrap_or_else(|_| {
            let reason = format!("no answer within {} ms", self.settings.timeout.as_millis());
            Outcome::Failed(Failure { status: None, reason, retry_after: None })
        })
    }

    async fn call(&self, headers: &HeaderMap, body: &Bytes) -> Outcome {
        let mut request = Request::new(plaza_http::full(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().clone_from(headers);
        request.headers_mut().insert(header::HOST, self.host.clone());
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(authorization) = &self.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }

        let (answer, answer_body) = self.upstream.call(request).await.into_parts();
        let status = answer.status;
        let text = beginning(answer_body).await;
        if status.is_success() {
            return Outcome::Delivered;
        }
        let mut reason = status.to_string();
        if !text.is_empty() {
            reason.push_str(": ");
            reason.push_str(&text);
        }
        let retry_after =
            answer.headers.get(header::RETRY_AFTER).and_then(|value| retry_after(value, self.clock.now_ms()));
        let failure = Failure { status: Some(status), reason, retry_after };
        let may_change =
            matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
        if status.is_client_error() && !may_change { Outcome::Rejected(failure) } else { Outcome::Failed(failure) }
    }

    /// Puts a record into the dead letter topic; the partition waits until that has worked.
    async fn give_up(
        &self,
        record: &Record,
        failure: &Failure,
        attempts: u32,
        stop: &CancellationToken,
    ) -> Result<(), Stopped> {
        tracing::error!(
            group = self.settings.group,
            topic = &*record.topic,
            partition = record.partition,
            offset = record.offset,
            attempts,
            reason = failure.reason,
            "record goes to the dead letter topic"
        );
        self.metrics.dead.increment(1);
        let mut letter = self.dead_letter(record, failure, attempts);
        let (mut pause, pause_max) = DLQ_RETRY;
        loop {
            match self.log.append(vec![letter.clone()]).await {
                Ok(_) => return Ok(()),
                Err(LogError::TooLarge { .. }) if letter.value.is_some() => {
                    // With the letter's own headers it does not fit any longer. The record is still at its place.
                    letter.value = None;
                }
                Err(error) => {
                    tracing::error!(group = self.settings.group, %error, "dead letter could not be appended; trying again");
                    tokio::select! {
                        () = time::sleep(pause) => {}
                        () = stop.cancelled() => return Err(Stopped),
                    }
                    pause = (pause * 2).min(pause_max);
                }
            }
        }
    }

    fn dead_letter(&self, record: &Record, failure: &Failure, attempts: u32) -> NewRecord {
        let now_ms = self.clock.now_ms();
        let mut headers = record.headers.clone();
        let mut add = |name: &str, value: String| headers.push((name.to_owned(), Bytes::from(value)));
        // Control characters have no place in what people read in a console.
        let reason: String = failure.reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        add("dlq-reason", cut(reason, REASON_BYTES_MAX));
        if let Some(status) = failure.status {
            add("dlq-status", status.as_u16().to_string());
        }
        add("dlq-attempts", attempts.to_string());
        add("dlq-topic", record.topic.to_string());
        add("dlq-partition", record.partition.to_string());
        add("dlq-offset", record.offset.to_string());
        add("dlq-group", self.settings.group.clone());
        add("dlq-time", rfc3339(now_ms));
        NewRecord {
            topic: dlq_name(&record.topic),
            key: record.key.clone(),
            headers,
            value: record.value.clone(),
            timestamp_ms: record.timestamp_ms,
        }
    }
}

/// The value of the header `Authorization` with a token, kept out of logs.
fn bearer(token: &str) -> Result<HeaderValue, LogError> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| LogError::Invalid("a trigger's bearer token has characters that no header may have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The beginning of an answer's body. Where it breaks off, what came is enough: the status says what became of the event.
async fn beginning(mut body: Body) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    cut(String::from_utf8_lossy(&bytes).into_owned(), ANSWER_BYTES_MAX)
}

/// Whether a record carries an event in structured mode (Kafka protocol binding, 3.3).
fn is_structured(record: &Record) -> bool {
    record.header_str("content-type").is_some_and(|content_type| {
        content_type
            .split(';')
            .next()
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/cloudevents+json"))
    })
}

fn event(record: &Record) -> Result<CloudEvent, NotCloudEvent> {
    match CloudEvent::from_record(record) {
        Err(NotCloudEvent::Plain) => Ok(CloudEvent::for_plain(record)),
        result => result,
    }
}

/// The headers and body of the request for one record.
fn request(record: &Record) -> Result<(HeaderMap, Bytes), NotCloudEvent> {
    let mut headers = HeaderMap::new();
    if is_structured(record) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
    } else {
        event(record)?.write_http_headers(&mut headers)?;
    }
    Ok((headers, record.value.clone().unwrap_or_default()))
}

/// The body of the request for several records; none if one of them has no place in it.
fn batch_body(records: &[Arc<Record>]) -> Option<String> {
    let mut body = String::with_capacity(records.iter().map(|record| record.size_bytes() + 128).sum());
    for record in records {
        body.push(if body.is_empty() { '[' } else { ',' });
        if is_structured(record) {
            let event: &serde_json::value::RawValue = serde_json::from_slice(record.value.as_deref()?).ok()?;
            body.push_str(event.get());
        } else {
            body.push_str(&event(record).ok()?.to_json()?);
        }
    }
    body.push(']');
    Some(body)
}

/// How long to wait before the next attempt. `random` is in 0..1.
fn pause(settings: &TriggerSettings, attempts: u32, retry_after: Option<Duration>, random: f64) -> Duration {
    if let Some(retry_after) = retry_after {
        return retry_after.min(settings.retry_after_max);
    }
    let doubled = 2_u32.saturating_pow(attempts.saturating_sub(1));
    let full = settings.backoff_initial.saturating_mul(doubled).min(settings.backoff_max);
    // Half of it, and some of the other half, so that partitions which failed together do not come back together.
    full.mul_f64(0.5 + random / 2.0)
}

fn random() -> f64 {
    // Jitter may do without, should the system have no randomness.
    f64::from(getrandom::u32().unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
fn retry_after(value: &HeaderValue, now_ms: i64) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let date_ms = date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis();
    let now_ms = u128::try_from(now_ms).ok()?;
    u64::try_from(date_ms.saturating_sub(now_ms)).ok().map(Duration::from_millis)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_with_jitter() {
        let settings = TriggerSettings {
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            retry_after_max: Duration::from_secs(7),
            ..TriggerSettings::new("c", "g", Vec::new())
        };
        let ms = |attempts, random| pause(&settings, attempts, None, random).as_millis();
        assert_eq!([ms(1, 0.0), ms(2, 0.0), ms(3, 0.0), ms(5, 0.0), ms(40, 0.0)], [50, 100, 200, 500, 500]);
        assert_eq!([ms(1, 0.5), ms(5, 0.5)], [75, 750]);
        assert!((0.0..1.0).contains(&random()));
        let asked = |seconds| pause(&settings, 1, Some(Duration::from_secs(seconds)), 0.5).as_secs();
        assert_eq!([asked(0), asked(3), asked(3_600)], [0, 3, 7]);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &'static str| retry_after(&HeaderValue::from_static(text), 1_000_000);
        assert_eq!(read("120"), Some(Duration::from_mins(2)));
        assert_eq!(read("Thu, 01 Jan 1970 00:17:00 GMT"), Some(Duration::from_secs(20)));
        assert_eq!(read("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        assert_eq!(read("-1"), None);
    }
}
