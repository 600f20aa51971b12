//! CloudEvents 1.0: in records by the Kafka protocol binding (binary mode), in requests by the HTTP protocol binding
//! (binary mode) and in batches by the JSON event format.

use std::fmt::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;

use crate::{Header, Record, clock::rfc3339};

/// Prefix of attributes among a record's headers (Kafka protocol binding, 3.2.3).
const RECORD_PREFIX: &str = "ce_";
/// Name of the header with the data's media type in records.
const RECORD_CONTENT_TYPE: &str = "content-type";

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudEvent {
    /// Identifies the event, together with `source`.
    pub id: String,
    /// Where it happened: a URI reference.
    pub source: String,
    /// What happened (`type`).
    pub kind: String,
    /// The other attributes, optional ones and extensions: `time`, `subject`, `partitionkey`, …
    pub attributes: Vec<(String, String)>,
    /// Media type of the data (`datacontenttype`).
    pub content_type: Option<String>,
    /// The data.
    pub data: Option<Bytes>,
}

/// Why a record is not an event in binary mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCloudEvent {
    /// It has no attribute of an event at all.
    #[error("not a CloudEvent")]
    Plain,
    /// It lacks a required attribute.
    #[error("not a CloudEvent: ce_{0} is missing")]
    Missing(&'static str),
    /// It is of another version than 1.0.
    #[error("CloudEvents version {0:?} is not known")]
    Version(String),
    /// An attribute's name or value cannot be carried.
    #[error("attribute {0} of the CloudEvent is malformed")]
    Malformed(String),
}

impl CloudEvent {
    /// The attribute of this name, other than those that have a field.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(attribute, _)| attribute == name).map(|(_, value)| value.as_str())
    }

    /// The headers of a record that carries this event in binary mode; its value is the data.
    pub fn record_headers(&self) -> Vec<Header> {
        let mut headers = Vec::with_capacity(self.attributes.len() + 5);
        let mut add = |name: &str, value: &str| {
            headers.push((format!("{RECORD_PREFIX}{name}"), Bytes::copy_from_slice(value.as_bytes())));
        };
        add("specversion", "1.0");
        add("id", &self.id);
        add("source", &self.source);
        add("type", &self.kind);
        for (name, value) in &self.attributes {
            add(name, value);
        }
        if let Some(content_type) = &self.content_type {
            headers.push((RECORD_CONTENT_TYPE.to_owned(), Bytes::copy_from_slice(content_type.as_bytes())));
        }
        headers
    }

    /// The event that a record carries in binary mode.
    pub fn from_record(record: &Record) -> Result<Self, NotCloudEvent> {
        let mut event = Self { data: record.value.clone(), ..Self::default() };
        let (mut version, mut id, mut source, mut kind) = (None, None, None, None);
        let mut any = false;
        for (header, value) in &record.headers {
            let text =
                || std::str::from_utf8(value).map(str::to_owned).map_err(|_| NotCloudEvent::Malformed(header.clone()));
            if let Some(name) = header.strip_prefix(RECORD_PREFIX) {
                any = true;
                match name {
                    "specversion" => version = Some(text()?),
                    "id" => id = Some(text()?),
                    "source" => source = Some(text()?),
                    "type" => kind = Some(text()?),
                    name => event.attributes.push((name.to_owned(), text()?)),
                }
            } else if header.eq_ignore_ascii_case(RECORD_CONTENT_TYPE) {
                event.content_type = Some(text()?);
            }
        }
        if !any {
            return Err(NotCloudEvent::Plain);
        }
        let required =
            |value: Option<String>, name| value.filter(|value| !value.is_empty()).ok_or(NotCloudEvent::Missing(name));
        match required(version, "specversion")?.as_str() {
            "1.0" => {}
            other => return Err(NotCloudEvent::Version(other.to_owned())),
        }
        event.id = required(id, "id")?;
        event.source = required(source, "source")?;
        event.kind = required(kind, "type")?;
        Ok(event)
    }

    /// An event for a record that was written by something that knows nothing of CloudEvents: named after its place in
    /// the log, which stays the same when it is delivered again.
    pub(crate) fn for_plain(record: &Record) -> Self {
        let content_type = record.header_str(RECORD_CONTENT_TYPE).map(str::to_owned);
        let mut attributes = vec![("time".to_owned(), rfc3339(record.timestamp_ms))];
        if let Some(key) = record.key.as_ref().and_then(|key| std::str::from_utf8(key).ok()) {
            attributes.push(("partitionkey".to_owned(), key.to_owned()));
        }
        Self {
            id: format!("partition:{}/offset:{}", record.partition, record.offset),
            source: format!("/plaza/log/{}", record.topic),
            kind: "plaza.log.Record.v1".to_owned(),
            attributes,
            content_type,
            data: record.value.clone(),
        }
    }

    /// Adds the event's attributes to the headers of a request that carries it in binary mode.
    pub fn write_http_headers(&self, headers: &mut HeaderMap) -> Result<(), NotCloudEvent> {
        headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        let mut add = |name: &str, value: &str| {
            let malformed = || NotCloudEvent::Malformed(name.to_owned());
            let header = HeaderName::try_from(format!("ce-{name}")).map_err(|_| malformed())?;
            headers.insert(header, HeaderValue::try_from(escape(value)).map_err(|_| malformed())?);
            Ok(())
        };
        add("id", &self.id)?;
        add("source", &self.source)?;
        add("type", &self.kind)?;
        for (name, value) in &self.attributes {
            add(name, value)?;
        }
        if let Some(content_type) = &self.content_type {
            let value =
                HeaderValue::try_from(content_type).map_err(|_| NotCloudEvent::Malformed("content-type".to_owned()))?;
            headers.insert(header::CONTENT_TYPE, value);
        }
        Ok(())
    }

    /// The event in the JSON event format; `None` if its data claims to be JSON and is not.
    pub(crate) fn to_json(&self) -> Option<String> {
        let mut data = None;
        let mut base64 = None;
        if let Some(bytes) = &self.data {
            if self.content_type.as_deref().is_none_or(is_json) {
                data = Some(serde_json::from_slice::<&RawValue>(bytes).ok()?);
            } else {
                base64 = Some(BASE64_STANDARD.encode(bytes));
            }
        }
        serde_json::to_string(&Json { event: self, data, base64 }).ok()
    }
}

/// Whether a media type means JSON (JSON event format, 3.1.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.split_once('/').map_or("", |(_, subtype)| subtype);
    let suffix = subtype.len().checked_sub("+json".len()).and_then(|start| subtype.get(start..));
    subtype.eq_ignore_ascii_case("json") || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

/// Percent-encodes what may not stand in a header (HTTP protocol binding, 3.1.3.2).
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '!'..='~') && c != '"' && c != '%' {
            escaped.push(c);
        } else {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

struct Json<'a> {
    event: &'a CloudEvent,
    data: Option<&'a RawValue>,
    base64: Option<String>,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("specversion", "1.0")?;
        map.serialize_entry("id", &self.event.id)?;
        map.serialize_entry("source", &self.event.source)?;
        map.serialize_entry("type", &self.event.kind)?;
        for (name, value) in &self.event.attributes {
            map.serialize_entry(name, value)?;
        }
        if let Some(content_type) = &self.event.content_type {
            map.serialize_entry("datacontenttype", content_type)?;
        }
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        if let Some(base64) = &self.base64 {
            map.serialize_entry("data_base64", base64)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn event() -> CloudEvent {
        CloudEvent {
            id: "0190-7".to_owned(),
            source: "/plaza/chat".to_owned(),
            kind: "plaza.chat.MessageSent.v1".to_owned(),
            attributes: vec![("time".to_owned(), "2026-01-01T00:00:00.000Z".to_owned())],
            content_type: Some("application/json".to_owned()),
            data: Some(Bytes::from_static(b"{\"n\": 1.50}")),
        }
    }

    fn record(headers: Vec<Header>, value: Option<Bytes>) -> Record {
        Record {
            topic: "message.events".into(),
            partition: 2,
            offset: 7,
            key: Some(Bytes::from_static(b"room")),
            headers,
            value,
            timestamp_ms: 0,
        }
    }

    #[test]
    fn an_event_comes_out_of_a_record_as_it_went_in() {
        let event = event();
        let record = record(event.record_headers(), event.data.clone());
        assert_eq!(record.header_str("ce_id"), Some("0190-7"));
        assert_eq!(record.header_str("ce_specversion"), Some("1.0"));
        assert_eq!(CloudEvent::from_record(&record), Ok(event));
    }

    #[test]
    fn what_is_wrong_with_a_record_is_said() {
        let with = |change: fn(&mut Vec<Header>)| {
            let mut headers = event().record_headers();
            change(&mut headers);
            CloudEvent::from_record(&record(headers, None)).unwrap_err()
        };
        assert_eq!(with(Vec::clear), NotCloudEvent::Plain);
        assert_eq!(with(|headers| headers.retain(|(name, _)| name != "ce_id")), NotCloudEvent::Missing("id"));
        assert_eq!(with(|headers| headers[0].1 = Bytes::from_static(b"0.3")), NotCloudEvent::Version("0.3".to_owned()));
        assert_eq!(
            with(|headers| headers[3].1 = Bytes::from_static(b"\xff")),
            NotCloudEvent::Malformed("ce_type".to_owned())
        );
    }

    #[test]
    fn header_values_are_escaped_as_the_http_binding_says() {
        // The binding's own example.
        assert_eq!(escape("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(escape("a%b\"c\n"), "a%25b%22c%0A");
        let mut headers = HeaderMap::new();
        let mut event = event();
        event.attributes.push(("subject".to_owned(), "é".to_owned()));
        event.write_http_headers(&mut headers).unwrap();
        assert_eq!(headers["ce-subject"], "%C3%A9");
        assert_eq!(headers["ce-type"], "plaza.chat.MessageSent.v1");
        assert_eq!(headers["content-type"], "application/json");
        event.attributes.push(("no name".to_owned(), String::new()));
        assert_eq!(event.write_http_headers(&mut headers), Err(NotCloudEvent::Malformed("no name".to_owned())));
    }

    #[test]
    fn json_data_is_embedded_untouched_and_other_data_in_base64() {
        let mut event = event();
        assert_eq!(
            event.to_json().unwrap(),
            "{\"specversion\":\"1.0\",\"id\":\"0190-7\",\"source\":\"/plaza/chat\",\"type\":\"plaza.chat.MessageSent.v1\",\
             \"time\":\"2026-01-01T00:00:00.000Z\",\"datacontenttype\":\"application/json\",\"data\":{\"n\": 1.50}}"
        );
        event.data = Some(Bytes::from_static(b"{"));
        assert_eq!(event.to_json(), None);
        event.content_type = Some("application/vnd.x+JSON; charset=utf-8".to_owned());
        assert_eq!(event.to_json(), None);
        event.content_type = Some("application/octet-stream".to_owned());
        assert!(event.to_json().unwrap().ends_with(",\"data_base64\":\"ew==\"}"));
        event.data = None;
        assert!(event.to_json().unwrap().ends_with("\"application/octet-stream\"}"));
    }

    #[test]
    fn a_plain_record_is_named_after_its_place() {
        let event = CloudEvent::for_plain(&record(Vec::new(), Some(Bytes::from_static(b"x"))));
        assert_eq!((event.id.as_str(), event.source.as_str()), ("partition:2/offset:7", "/plaza/log/message.events"));
        assert_eq!(event.attribute("partitionkey"), Some("room"));
        assert_eq!(event.content_type, None);
    }
}
