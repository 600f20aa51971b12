//! The log, as the relay reads it.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use plaza_events::{EventLog, Record, TailStart};
use plaza_http::BoxError;
use plaza_relay::{Action, Chunk, Position, Published, Source, Watermark};
use std::sync::Arc;

/// The topics that streams are made of.
pub(crate) const TOPICS: [&str; 6] =
    ["chat.events", "friend.events", "message.events", "notification.events", "user.events", "user.online_status"];

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
            Ok(Chunk { records: records.iter().filter_map(published).collect(), low })
        })
    }

    fn tail(&self, from: Vec<Position>) -> BoxStream<'static, Result<Vec<Published>, BoxError>> {
        let (log, topics) = (Arc::clone(&self.log), self.topics.clone());
        let position = |position: Position| plaza_events::Position {
            topic: position.topic,
            partition: position.partition,
            offset: position.offset,
        };
        let start = TailStart::At(from.into_iter().map(position).collect());
        let opened = async move { log.tail(&topics, start).await };
        stream::once(opened)
            .flat_map(|opened| match opened {
                Ok(tail) => stream::unfold(tail, |mut tail| async move {
                    let batch = tail.next().await;
                    Some((
                        batch.map(|records| records.iter().filter_map(published).collect()).map_err(Into::into),
                        tail,
                    ))
                })
                .boxed(),
                Err(error) => stream::once(async move { Err(error.into()) }).boxed(),
            })
            .boxed()
    }
}

/// A record as streams see it. What is no event of ours concerns no stream.
fn published(record: &Arc<Record>) -> Option<Published> {
    let kind = record.header_str("ce_type")?;
    let channels = record.header_str("ce_gripchannels").unwrap_or_default();
    let action = match record.header_str("ce_gripaction") {
        Some("hint") => Action::Hint,
        Some("close") => Action::Close,
        _ => Action::Send,
    };
    Some(Published {
        topic: Arc::clone(&record.topic),
        partition: record.partition,
        offset: record.offset,
        key: String::from_utf8(record.key.as_ref()?.to_vec()).ok()?,
        event_id: record.header_str("ce_id")?.to_owned(),
        event_name: event_name(kind).to_owned(),
        data: record.value.clone().unwrap_or_else(Bytes::new),
        channels: channels.split(' ').filter(|channel| !channel.is_empty()).map(str::to_owned).collect(),
        action,
        time_ms: record.timestamp_ms,
    })
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
    fn what_is_no_event_of_ours_is_left_out() {
        let record = |headers: &[(&str, &'static str)], key: &'static [u8]| {
            Arc::new(Record {
                topic: "message.events".into(),
                partition: 0,
                offset: 7,
                key: Some(Bytes::from_static(key)),
                headers: headers.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(*value))).collect(),
                value: None,
                timestamp_ms: 0,
            })
        };
        let event = [
            ("ce_id", "1"),
            ("ce_type", "plaza.chat.X.v1"),
            ("ce_gripchannels", "user:1 user:2"),
            ("ce_gripaction", "hint"),
        ];
        let published_event = published(&record(&event, b"room")).unwrap();
        assert_eq!(published_event.channels, ["user:1", "user:2"]);
        assert_eq!((published_event.action, published_event.event_name.as_str()), (Action::Hint, "X"));
        assert!(published(&record(&event, b"\xff")).is_none());
        assert!(published(&record(&[], b"room")).is_none());
    }
}
