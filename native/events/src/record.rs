use std::sync::Arc;

use bytes::Bytes;

/// A header: name and value. Names may repeat.
pub type Header = (String, Bytes);

/// A record to be appended. The log chooses the partition by the key; records without one are spread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewRecord {
    /// The topic's name.
    pub topic: String,
    /// What keeps order: records with the same key stay in order. Any bytes.
    pub key: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The value: any bytes, or none (in a compacted Kafka topic: a deletion).
    pub value: Option<Bytes>,
    /// Time of the event, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: u32,
    /// The place in the partition. Offsets grow and may have gaps.
    pub offset: u64,
    /// What keeps order.
    pub key: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<Header>,
    /// The value.
    pub value: Option<Bytes>,
    /// Time of the event, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

impl Record {
    /// The value of the last header of this name, as Kafka's clients look it up.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().rev().find(|(header, _)| header == name).map(|(_, value)| value)
    }

    /// The same, where it is UTF-8.
    pub fn header_str(&self, name: &str) -> Option<&str> {
        self.header(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Size of what it carries, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.key.as_ref(), &self.headers, self.value.as_ref())
    }
}

impl NewRecord {
    /// Size of what it carries, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_bytes(self.key.as_ref(), &self.headers, self.value.as_ref())
    }
}

fn size_bytes(key: Option<&Bytes>, headers: &[Header], value: Option<&Bytes>) -> usize {
    key.map_or(0, Bytes::len)
        + value.map_or(0, Bytes::len)
        + headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
}
