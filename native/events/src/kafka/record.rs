//! Records, from librdkafka's memory into ours and back.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use rdkafka::{
    Message, Timestamp,
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
};

use super::client::{unsigned, unsigned_offset};
use crate::{NewRecord, Record};

/// A copy of a message. One buffer holds all its bytes.
pub(super) fn record(message: &BorrowedMessage<'_>, topic: Arc<str>) -> Record {
    let headers = headers(message);
    let (key, value) = (message.key(), message.payload());
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let total = length(key) + length(value) + headers.iter().map(|(_, value)| value.len()).sum::<usize>();
    let mut buffer = BytesMut::with_capacity(total);
    for bytes in [key, value].into_iter().flatten().chain(headers.iter().map(|(_, value)| *value)) {
        buffer.extend_from_slice(bytes);
    }
    let mut rest = buffer.freeze();
    let mut take = |bytes: &[u8]| rest.split_to(bytes.len());
    let (key, value) = (key.map(&mut take), value.map(&mut take));
    let headers = headers.into_iter().map(|(name, value)| (name, take(value))).collect();
    Record {
        topic,
        partition: unsigned(message.partition()),
        offset: unsigned_offset(message.offset()),
        key,
        headers,
        value,
        timestamp_ms: match message.timestamp() {
            Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) => ms,
            Timestamp::NotAvailable => 0,
        },
    }
}

/// A message's headers. One without a value has an empty one; one whose name is not UTF-8, which no client of Kafka's own
/// writes, is left out: the library that gives us the headers panics over it.
fn headers<'a>(message: &'a BorrowedMessage<'_>) -> Vec<(String, &'a [u8])> {
    let Some(headers) = message.headers() else { return Vec::new() };
    let header = |index| {
        panic::catch_unwind(AssertUnwindSafe(|| {
            let header = headers.get(index);
            (header.key.to_owned(), header.value.unwrap_or_default())
        }))
        .ok()
    };
    (0..headers.count()).filter_map(header).collect()
}

/// The headers of a record that is to be sent.
pub(super) fn owned_headers(record: &NewRecord) -> OwnedHeaders {
    record.headers.iter().fold(OwnedHeaders::new_with_capacity(record.headers.len()), |headers, (name, value)| {
        headers.insert(Header { key: name, value: Some(AsRef::<[u8]>::as_ref(value)) })
    })
}

/// Merges records of several partitions by their times; each partition keeps its order.
pub(super) fn merge(records: Vec<Arc<Record>>) -> Vec<Arc<Record>> {
    let in_one = |pair: &[Arc<Record>]| pair[0].partition == pair[1].partition && pair[0].topic == pair[1].topic;
    if records.windows(2).all(in_one) {
        return records;
    }
    // A record counts as late as the latest before it in its partition, so that a sort by time never turns two of them round.
    let mut latest = std::collections::HashMap::new();
    let mut keyed: Vec<_> = records
        .into_iter()
        .map(|record| {
            let time = latest.entry((record.topic.clone(), record.partition)).or_insert(i64::MIN);
            *time = record.timestamp_ms.max(*time);
            (*time, record)
        })
        .collect();
    keyed.sort_by_key(|(time, _)| *time);
    keyed.into_iter().map(|(_, record)| record).collect()
}

/// Bytes as librdkafka takes them.
pub(super) fn slice(bytes: Option<&Bytes>) -> Option<&[u8]> {
    bytes.map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_merged_by_time_and_keep_their_order() {
        let record = |partition, offset, timestamp_ms| {
            Arc::new(Record {
                topic: "t".into(),
                partition,
                offset,
                key: None,
                headers: Vec::new(),
                value: None,
                timestamp_ms,
            })
        };
        // The clock of the producer of partition 0 goes back.
        let merged =
            merge(vec![record(0, 1, 10), record(0, 2, 5), record(0, 3, 20), record(1, 7, 7), record(1, 8, 15)]);
        let order: Vec<_> = merged.iter().map(|record| (record.partition, record.offset)).collect();
        assert_eq!(order, [(1, 7), (0, 1), (0, 2), (1, 8), (0, 3)]);
    }
}
