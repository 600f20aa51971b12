//! From a row of an outbox to a record of the log.

use bytes::Bytes;

use crate::{CloudEvent, NewRecord, clock::rfc3339};

/// The columns of an outbox besides its id, in the order of [`Row::values`].
pub(super) const COLUMNS: [&str; 8] = ["event_id", "topic", "key", "type", "data", "time", "channels", "action"];

/// A row of an outbox, as it is.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its place.
    pub id: i64,
    /// `event_id`, `topic`, `key`, `type`, `data`, `time`, `channels`, `action`.
    pub values: [Cell; COLUMNS.len()],
}

/// A value in a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// An integer.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// Text.
    Text(String),
    /// What is no text.
    Bytes(Vec<u8>),
}

impl Cell {
    /// Text, if it is that.
    pub(super) fn from_bytes(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(|error| Self::Bytes(error.into_bytes()), Self::Text)
    }

    fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    fn size_bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Null | Self::Integer(_) | Self::Real(_) => size_of::<i64>(),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Integer(integer) => (*integer).into(),
            Self::Real(real) => (*real).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        }
    }
}

/// A row that cannot become a record.
pub(super) struct Rejected {
    pub(super) reason: String,
    /// The row as JSON, for whoever looks into the matter.
    pub(super) row: String,
}

impl Row {
    /// Roughly what it takes in the log.
    pub(super) fn size_bytes(&self) -> usize {
        self.values.iter().map(Cell::size_bytes).sum()
    }

    /// The event's id, unless it is not even that.
    pub(super) fn event_id(&self) -> Option<&str> {
        self.values[0].text()
    }

    /// Its record, in the binary mode of CloudEvents' Kafka protocol binding.
    pub(super) fn record(&self) -> Result<NewRecord, Rejected> {
        let [id, topic, key, kind, data, time, channels, action] = &self.values;
        let (
            Some(id),
            Some(topic),
            Some(key),
            Some(kind),
            Some(data),
            &Cell::Integer(time_ms),
            Some(channels),
            Some(action),
        ) = (id.text(), topic.text(), key.text(), kind.text(), data.text(), time, channels.text(), action.text())
        else {
            return Err(self.rejected("a column is not of its type"));
        };
        // The type is `plaza.<context>.<Event>.v1`.
        let mut segments = kind.split('.');
        let Some(context) = segments.nth(1).filter(|context| !context.is_empty() && segments.next().is_some()) else {
            return Err(self.rejected("the type is not <system>.<context>.<event>.<version>"));
        };
        if id.is_empty() || topic.is_empty() {
            return Err(self.rejected("the event has no id or no topic"));
        }
        if !matches!(action, "send" | "hint" | "close") {
            return Err(self.rejected("the action is none of send, hint, close"));
        }
        let mut attributes = vec![("time".to_owned(), rfc3339(time_ms)), ("partitionkey".to_owned(), key.to_owned())];
        if !channels.is_empty() {
            attributes.push(("gripchannels".to_owned(), channels.to_owned()));
        }
        if action != "send" {
            attributes.push(("gripaction".to_owned(), action.to_owned()));
        }
        let event = CloudEvent {
            id: id.to_owned(),
            source: format!("/plaza/{context}"),
            kind: kind.to_owned(),
            attributes,
            content_type: Some("application/json".to_owned()),
            data: None,
        };
        Ok(NewRecord {
            topic: topic.to_owned(),
            key: Some(Bytes::copy_from_slice(key.as_bytes())),
            headers: event.record_headers(),
            value: Some(Bytes::copy_from_slice(data.as_bytes())),
            timestamp_ms: time_ms,
        })
    }

    fn rejected(&self, reason: &str) -> Rejected {
        let values = COLUMNS.into_iter().zip(&self.values).map(|(name, value)| (name.to_owned(), value.to_json()));
        let row = std::iter::once(("id".to_owned(), self.id.into())).chain(values).collect();
        bounded(reason.to_owned(), &serde_json::Value::Object(row))
    }
}

/// The same for a row that had become a record which the log refused.
pub(super) fn reject(record: &NewRecord, reason: String) -> Rejected {
    let lossy = |bytes: Option<&Bytes>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value))).collect();
    let row = serde_json::json!({
        "topic": record.topic,
        "key": lossy(record.key.as_ref()),
        "headers": headers,
        "data": lossy(record.value.as_ref()),
    });
    bounded(reason, &row)
}

/// A dead letter that the log takes, however large the row was.
fn bounded(reason: String, row: &serde_json::Value) -> Rejected {
    const ROW_BYTES_MAX: usize = 512 << 10;
    let text = row.to_string();
    if text.len() <= ROW_BYTES_MAX {
        return Rejected { reason, row: text };
    }
    let row = serde_json::json!({ "cut": cut(text, ROW_BYTES_MAX / 2) }).to_string();
    Rejected { reason, row }
}

/// Shortens a text to at most so many bytes.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
