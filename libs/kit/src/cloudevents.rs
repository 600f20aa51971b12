//! Events that arrive: CloudEvents 1.0 over HTTP, in binary, structured and batched mode (HTTP protocol binding, 3).
//!
//! Whoever brings them (a trigger, KafkaSource) has the application's `events_key`: the route is open to the world, and an
//! event is believed.

use crate::{Request, auth, secret, variable};
use plaza_domain::{Problem, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The media type of batched mode.
pub(crate) const BATCH_TYPE: &str = "application/cloudevents-batch+json";

/// The longest id of an event, in bytes: what a context can remember of those that it has had.
const ID_BYTES_MAX: usize = 255;

/// An event that arrived.
#[derive(Debug, Clone, Deserialize)]
pub struct CloudEvent {
    /// The event's own id: the same when it comes again.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// Events of one key keep their order; absent where whoever brings it does not say (CloudEvents, partitioning extension).
    #[serde(default, rename = "partitionkey")]
    pub key: Option<String>,
    /// When it happened; absent where whoever brings it does not say, or not as RFC 3339 has it.
    #[serde(default, deserialize_with = "time")]
    pub time: Option<Timestamp>,
    /// The event's data.
    #[serde(default)]
    data: Value,
}

impl CloudEvent {
    /// The data, in the shape of this kind of event. What is of another shape will not get better: 422, and final.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(&self.data).map_err(|error| {
            Problem::new(
                422,
                "invalid_event",
                format!("Event {} ({}) is not of its shape: {error}.", self.id, self.kind),
            )
        })
    }
}

/// The events of a request, in their order; 401 where it does not come with the key. An empty key lets nobody in.
pub fn receive(request: &Request) -> Result<Vec<CloudEvent>, Problem> {
    let key = variable::required("events_key")?;
    let given = auth::bearer(request).ok_or_else(Problem::unauthorized)?;
    // The hashes are compared, so that the time says nothing of how much was right.
    if key.is_empty() || secret::hash(given) != secret::hash(&key) {
        return Err(Problem::unauthorized());
    }
    read(request)
}

fn read(request: &Request) -> Result<Vec<CloudEvent>, Problem> {
    let events = parse(request)?;
    match events.iter().find(|event| event.id.is_empty() || event.id.len() > ID_BYTES_MAX) {
        None => Ok(events),
        Some(_) => Err(Problem::bad_request(
            "malformed_event",
            format!("Not a CloudEvent: an id must have 1 to {ID_BYTES_MAX} bytes."),
        )),
    }
}

fn parse(request: &Request) -> Result<Vec<CloudEvent>, Problem> {
    let malformed =
        |error: serde_json::Error| Problem::bad_request("malformed_event", format!("Not a CloudEvent: {error}."));
    if request.has_content_type(BATCH_TYPE) {
        return serde_json::from_slice(request.body()).map_err(malformed);
    }
    if request.has_content_type("application/cloudevents+json") {
        return serde_json::from_slice(request.body()).map(|event| vec![event]).map_err(malformed);
    }
    let (Some(id), Some(kind)) = (request.header("ce-id"), request.header("ce-type")) else {
        return Err(Problem::bad_request("malformed_event", "Not a CloudEvent: ce-id and ce-type are needed."));
    };
    let data = if request.body().is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(request.body()).map_err(malformed)?
    };
    let key = request.header("ce-partitionkey").map(str::to_owned);
    let time = request.header("ce-time").and_then(|time| Timestamp::deserialize(Value::from(time)).ok());
    Ok(vec![CloudEvent { id: id.to_owned(), kind: kind.to_owned(), key, time, data }])
}

/// A time that cannot be read is none: the event is none the worse for it.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Timestamp::deserialize(Value::deserialize(deserializer)?).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn receive_from(headers: &[(&str, &str)], body: &'static str) -> Result<Vec<CloudEvent>, Problem> {
        let mut builder = http::Request::builder().method("POST").uri("/");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        read(&Request::new(builder.body(Bytes::from(body)).unwrap()))
    }

    #[test]
    fn all_three_modes_are_understood() {
        let binary = receive_from(
            &[
                ("ce-id", "1"),
                ("ce-type", "t"),
                ("ce-partitionkey", "k"),
                ("ce-time", "2025-11-20T20:00:00.007Z"),
                ("content-type", "application/json"),
            ],
            "{\"n\":1}",
        );
        let structured = receive_from(
            &[("content-type", "application/cloudevents+json; charset=utf-8")],
            r#"{"specversion":"1.0","id":"1","source":"/","type":"t","partitionkey":"k","time":"2025-11-20T20:00:00.007Z","data":{"n":1}}"#,
        );
        let batch = receive_from(
            &[("content-type", "application/cloudevents-batch+json")],
            r#"[{"specversion":"1.0","id":"1","source":"/","type":"t","partitionkey":"k","time":"2025-11-20T20:00:00.007Z","data":{"n":1}},
                {"specversion":"1.0","id":"2","source":"/","type":"t","time":"late","data":{"n":2}}]"#,
        );
        for (events, count) in [(binary, 1), (structured, 1), (batch, 2)] {
            let events = events.unwrap();
            assert_eq!(events.len(), count);
            assert_eq!((events[0].id.as_str(), events[0].kind.as_str()), ("1", "t"));
            assert_eq!(events[0].key.as_deref(), Some("k"));
            assert_eq!(events[0].time, Some(Timestamp::from_unix_ms(1_763_668_800_007)));
            assert_eq!(events[0].data::<Value>().unwrap()["n"], 1);
        }
    }

    #[test]
    fn what_is_no_event_is_refused_for_good() {
        assert_eq!(receive_from(&[], "{}").unwrap_err().status, 400);
        assert_eq!(receive_from(&[("ce-id", "1"), ("ce-type", "t")], "{").unwrap_err().status, 400);
        for id in ["", &"x".repeat(ID_BYTES_MAX + 1)] {
            assert_eq!(receive_from(&[("ce-id", id), ("ce-type", "t")], "{}").unwrap_err().status, 400);
        }
        let events = receive_from(&[("ce-id", "1"), ("ce-type", "t")], "\"text\"").unwrap();
        assert_eq!(events[0].data::<Vec<u8>>().unwrap_err().status, 422);
    }
}
