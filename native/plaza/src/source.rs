//! The log, as the relay reads it.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use plaza_events::{EventLog, Record, Tail, TailStart};
use plaza_http::BoxError;
use plaza_relay::{Action, Chunk, Position, Published, Source, Watermark};
use std::collections::HashMap;
use std::sync::Arc;

/// The topics that streams are made of.
pub(crate) const TOPICS: [&str; 7] = [
    "chat.events",
    "chat.typing",
    "friend.events",
    "message.events",
    "notification.events",
    "user.events",
    "user.online_status",
];

/// The log as a [`Source`].
pub(crate) struct LogSource {
    log: Arc<dyn EventLog>,
    topics: Vec<String>,
}

impl LogSource {
    /// Reads [`TOPICS`] of this log.
    pub(crate) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, topics: TOPICS.map(str::to_owned).to_vec() }
    }
}

impl Source for LogSource {
    fn watermarks(&self) -> BoxFuture<'_, Result<Vec<Watermark>, BoxError>> {
        Box::pin(async {
            let marks = self.log.watermarks(&self.topics).await?;
            let mark = |mark: plaza_events::Watermark| Watermark {
                topic: mark.topic,
                partition: mark.partition,
                low: mark.low,
                next: mark.next,
            };
            Ok(marks.into_iter().map(mark).collect())
        })
    }

    fn read<'a>(
        &'a self,
        topic: &'a str,
        partition: u32,
        from: u64,
        max: usize,
    ) -> BoxFuture<'a, Result<Chunk, BoxError>> {
        Box::pin(async move {
            let records = self.log.read(topic, partition, from, max).await?;
            // Asked after the read: what retention took in between shows in it.
            let marks = self.log.watermarks(&[topic.to_owned()]).await?;
            let low = marks.iter().find(|mark| mark.partition == partition).map_or(0, |mark| mark.low);
            Ok(Chunk { records: records.iter().map(published).collect(), low })
        })
    }

    fn tail(&self, from: Vec<Position>) -> BoxStream<'static, Result<Vec<Published>, BoxError>> {
        let reader = Reader {
            log: Arc::clone(&self.log),
            topics: self.topics.clone(),
            tail: None,
            next: from.into_iter().map(|position| ((position.topic, position.partition), position.offset)).collect(),
        };
        stream::unfold(reader, |mut reader| async move { Some((reader.next().await, reader)) }).boxed()
    }
}

/// A tail, and where it stands in each partition.
struct Reader {
    log: Arc<dyn EventLog>,
    topics: Vec<String>,
    tail: Option<Box<dyn Tail>>,
    next: HashMap<(Arc<str>, u32), u64>,
}

impl Reader {
    async fn next(&mut self) -> Result<Vec<Published>, BoxError> {
        let tail = if let Some(tail) = &mut self.tail {
            tail
        } else {
            let position = |((topic, partition), offset): (&(Arc<str>, u32), &u64)| plaza_events::Position {
                topic: Arc::clone(topic),
                partition: *partition,
                offset: *offset,
            };
            let start = TailStart::At(self.next.iter().map(position).collect());
            self.tail.insert(self.log.tail(&self.topics, start).await?)
        };
        let records = tail.next().await?;
        for record in &records {
            let next = self.next.entry((Arc::clone(&record.topic), record.partition)).or_insert(record.offset);
            let expected = std::mem::replace(next, record.offset + 1);
            // Offsets may have gaps, but not because retention was faster than this reader.
            if record.offset > expected {
                let marks = self.log.watermarks(&[record.topic.to_string()]).await?;
                if marks.iter().any(|mark| mark.partition == record.partition && mark.low > expected) {
                    self.tail = None;
                    return Err(
                        format!("retention overtook the reader of {} {}", record.topic, record.partition).into()
                    );
                }
            }
        }
        Ok(records.iter().map(published).collect())
    }
}

/// A record as streams see it. One that is no event of ours moves the position and is sent to nobody: it has no name.
fn published(record: &Arc<Record>) -> Published {
    let text = |bytes: Option<&Bytes>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::to_owned);
    let key = text(record.key.as_ref());
    let data = record.value.clone().filter(|value| std::str::from_utf8(value).is_ok());
    let (id, kind) = (record.header_str("ce_id"), record.header_str("ce_type"));
    let (Some(key), Some(data), Some(id), Some(kind)) = (key, data, id, kind) else {
        return blank(record);
    };
    let channels = record.header_str("ce_gripchannels").unwrap_or_default();
    let action = match record.header_str("ce_gripaction") {
        Some("hint") => Action::Hint,
        Some("close") => Action::Close,
        _ => Action::Send,
    };
    Published {
        key,
        event_id: id.to_owned(),
        event_name: event_name(kind).to_owned(),
        data,
        channels: channels.split(' ').filter(|channel| !channel.is_empty()).map(str::to_owned).collect(),
        action,
        ..blank(record)
    }
}

fn blank(record: &Record) -> Published {
    Published {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
        key: String::new(),
        event_id: String::new(),
        event_name: String::new(),
        data: Bytes::new(),
        channels: Vec::new(),
        action: Action::Send,
        time_ms: record.timestamp_ms,
    }
}

/// `plaza.chat.MessageSent.v1` is `MessageSent` to those who listen.
fn event_name(kind: &str) -> &str {
    let mut segments = kind.rsplit('.');
    let last = segments.next().unwrap_or(kind);
    segments.next().unwrap_or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_without_its_context_and_version() {
        assert_eq!(event_name("plaza.chat.MessageSent.v1"), "MessageSent");
        assert_eq!(event_name("odd"), "odd");
    }

    #[test]
    fn what_is_no_event_of_ours_only_moves_the_position() {
        let record = |headers: &[(&str, &'static str)], key: &'static [u8], value: &'static [u8]| {
            Arc::new(Record {
                topic: "message.events".into(),
                partition: 0,
                offset: 7,
                key: Some(Bytes::from_static(key)),
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(*value))).collect(),
                value: Some(Bytes::from_static(value)),
                timestamp_ms: 0,
            })
        };
        let event = [
            ("ce_id", "1"),
            ("ce_type", "plaza.chat.X.v1"),
            ("ce_gripchannels", "user:1 user:2"),
            ("ce_gripaction", "hint"),
        ];
        let ours = published(&record(&event, b"room", b"{}"));
        assert_eq!(ours.channels, ["user:1", "user:2"]);
        assert_eq!((ours.action, ours.event_name.as_str()), (Action::Hint, "X"));
        for foreign in [record(&event, b"\xff", b"{}"), record(&event, b"room", b"\xff"), record(&[], b"room", b"{}")] {
            let foreign = published(&foreign);
            assert_eq!((foreign.event_name.as_str(), foreign.offset), ("", 7));
        }
    }
}
