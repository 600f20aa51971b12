//! SSE ids: where in the log a stream is, in a form that every relay instance understands.
//!
//! An id is the vector of next offsets over all partitions that the relay reads. It is the same at every instance, though
//! each sees the partitions interleaved in its own way. The form, before base64url without padding (RFC 4648, section 5):
//!
//! ```text
//! id    = version topic*            version = 0x01
//! topic = tag count offset{count}   tag = 3 bytes of FNV-1a over the topic's name; count, offset = LEB128
//! ```
//!
//! Topics are named by tags, so ids outlive a change of the topic list:
//! - a topic that the id does not know was not relayed when it was issued: the stream takes it up from now on;
//! - a partition that the id does not know, of a topic that it knows, came into being later: it is read from its beginning;
//! - what the relay does not know any more is passed over.
//!
//! An id is a position, not a capability: whoever may hold a channel may have what the log still retains of it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{collections::HashMap, sync::Arc};

/// The only version there is.
const VERSION: u8 = 1;

/// Characters of an id that the relay looks at: enough for 600 partitions with offsets of 32 bits.
pub(crate) const ID_CHARS_MAX: usize = 4_096;

/// Partitions of one topic.
pub(crate) const PARTITIONS_MAX: u32 = 1_024;

/// The topics cannot be laid out.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// Two names have the same tag (one pair in 16 million): one of them must be renamed.
    #[error("topics {0} and {1} cannot be told apart in stream ids")]
    SameTag(String, String),
    /// A topic's partitions are not numbered from 0 without a gap, or are too many (at most 1,024).
    #[error("topic {0} has partitions that are not numbered from 0, or more than 1,024")]
    Partitions(String),
}

/// An id that no relay has issued.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id of a stream")]
pub(crate) struct InvalidId;

/// Where a stream that comes back begins in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At this offset.
    At(u64),
    /// With what comes from now on.
    Now,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    tag: [u8; 3],
    partitions: u32,
    /// The index of partition 0.
    first: usize,
}

/// The fixed order of all partitions of all topics: by name, then by number.
#[derive(Debug)]
pub(crate) struct Layout {
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, usize>,
    len: usize,
}

impl Layout {
    /// Lays out the partitions in the order of their topics' names.
    pub(crate) fn new(partitions: impl IntoIterator<Item = (Arc<str>, u32)>) -> Result<Self, LayoutError> {
        let mut all: Vec<_> = partitions.into_iter().collect();
        all.sort();
        let mut topics: Vec<Topic> = Vec::new();
        for (first, (name, partition)) in all.into_iter().enumerate() {
            if partition >= PARTITIONS_MAX {
                return Err(LayoutError::Partitions(name.to_string()));
            }
            match topics.last_mut() {
                Some(topic) if topic.name == name && topic.partitions == partition => topic.partitions += 1,
                Some(topic) if topic.name == name => return Err(LayoutError::Partitions(name.to_string())),
                _ if partition != 0 => return Err(LayoutError::Partitions(name.to_string())),
                _ => {
                    let tag = tag(&name);
                    if let Some(other) = topics.iter().find(|topic| topic.tag == tag) {
                        return Err(LayoutError::SameTag(other.name.to_string(), name.to_string()));
                    }
                    topics.push(Topic { name, tag, partitions: 1, first });
                }
            }
        }
        let by_name = topics.iter().enumerate().map(|(index, topic)| (Arc::clone(&topic.name), index)).collect();
        let len = topics.iter().map(|topic| topic.partitions as usize).sum();
        Ok(Self { topics, by_name, len })
    }

    /// The number of partitions of all topics.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The place of a partition in the vector.
    pub(crate) fn index(&self, topic: &str, partition: u32) -> Option<usize> {
        let topic = &self.topics[*self.by_name.get(topic)?];
        (partition < topic.partitions).then(|| topic.first + partition as usize)
    }

    /// The partitions in the vector's order.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&Arc<str>, u32)> {
        self.topics.iter().flat_map(|topic| (0..topic.partitions).map(|partition| (&topic.name, partition)))
    }

    /// The id of a position.
    pub(crate) fn encode(&self, next: &[u64]) -> String {
        debug_assert_eq!(next.len(), self.len);
        let mut bytes = Vec::with_capacity(1 + self.topics.len() * 4 + next.len() * 4);
        bytes.push(VERSION);
        for topic in &self.topics {
            bytes.extend_from_slice(&topic.tag);
            put(&mut bytes, u64::from(topic.partitions));
            for &offset in &next[topic.first..topic.first + topic.partitions as usize] {
                put(&mut bytes, offset);
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that an id stands for, one entry per partition of this layout.
    pub(crate) fn decode(&self, id: &str) -> Result<Vec<Begin>, InvalidId> {
        if id.len() > ID_CHARS_MAX {
            return Err(InvalidId);
        }
        let bytes = URL_SAFE_NO_PAD.decode(id).map_err(|_| InvalidId)?;
        let mut rest = bytes.as_slice();
        if take(&mut rest)? != VERSION {
            return Err(InvalidId);
        }
        let mut begins = vec![Begin::Now; self.len];
        let mut last_tags: Vec<[u8; 3]> = Vec::new();
        while !rest.is_empty() {
            let tag = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
            if last_tags.contains(&tag) {
                return Err(InvalidId);
            }
            last_tags.push(tag);
            let count = u32::try_from(get(&mut rest)?).map_err(|_| InvalidId)?;
            if count == 0 || count > PARTITIONS_MAX {
                return Err(InvalidId);
            }
            let known = self.topics.iter().find(|topic| topic.tag == tag);
            if let Some(topic) = known {
                begins[topic.first..topic.first + topic.partitions as usize].fill(Begin::At(0));
            }
            for partition in 0..count {
                let offset = get(&mut rest)?;
                if let Some(topic) = known.filter(|topic| partition < topic.partitions) {
                    begins[topic.first + partition as usize] = Begin::At(offset);
                }
            }
        }
        if last_tags.is_empty() { Err(InvalidId) } else { Ok(begins) }
    }
}

/// 24 bits of FNV-1a, folded from 32.
fn tag(name: &str) -> [u8; 3] {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [first, second, third, fourth] = hash.to_be_bytes();
    [first ^ fourth, second, third]
}

fn take(rest: &mut &[u8]) -> Result<u8, InvalidId> {
    let (&byte, left) = rest.split_first().ok_or(InvalidId)?;
    *rest = left;
    Ok(byte)
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(low_seven_bits(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low_seven_bits(value));
}

fn low_seven_bits(value: u64) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}

fn get(rest: &mut &[u8]) -> Result<u64, InvalidId> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest)?;
        let bits = u64::from(byte & 0x7f);
        // Only the shortest form is one of ours; the tenth byte has one bit left.
        if (shift == 63 && bits > 1) || (shift > 0 && byte == 0) {
            return Err(InvalidId);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(InvalidId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(topics: &[(&str, u32)]) -> Layout {
        let partitions =
            topics.iter().flat_map(|&(name, count)| (0..count).map(move |partition| (Arc::from(name), partition)));
        Layout::new(partitions).expect("layout")
    }

    #[test]
    fn order_is_by_name_whatever_the_source_says() {
        let layout = Layout::new([(Arc::from("b"), 1), (Arc::from("a"), 0), (Arc::from("b"), 0)]).expect("layout");
        assert_eq!(layout.index("a", 0), Some(0));
        assert_eq!(layout.index("b", 1), Some(2));
        assert_eq!(layout.index("b", 2), None);
        assert_eq!(layout.index("c", 0), None);
    }

    #[test]
    fn gaps_in_partitions_are_refused() {
        assert_eq!(Layout::new([(Arc::from("a"), 1)]).expect_err("refused"), LayoutError::Partitions("a".into()));
        assert!(Layout::new([(Arc::from("a"), 0), (Arc::from("a"), 2)]).is_err());
        assert!(Layout::new([(Arc::from("a"), 0), (Arc::from("a"), 0)]).is_err());
    }

    #[test]
    fn topics_and_partitions_may_come_and_go() {
        let old = layout(&[("chat", 2), ("gone", 3)]);
        let new = layout(&[("added", 1), ("chat", 3)]);
        let id = old.encode(&[7, 300, 1, 2, 3]);
        assert_eq!(new.decode(&id), Ok(vec![Begin::Now, Begin::At(7), Begin::At(300), Begin::At(0)]));
        let fewer = layout(&[("chat", 1)]);
        assert_eq!(fewer.decode(&id), Ok(vec![Begin::At(7)]));
    }

    #[test]
    fn malformed_ids_are_refused() {
        let layout = layout(&[("chat", 1)]);
        for id in ["", "A", "!", "AQ", "Ag", "AQ==", "AQAA", &"A".repeat(ID_CHARS_MAX + 1)] {
            assert_eq!(layout.decode(id), Err(InvalidId), "{id}");
        }
        // A topic twice.
        let mut twice = URL_SAFE_NO_PAD.decode(layout.encode(&[5])).expect("own id");
        let topic = twice[1..].to_vec();
        twice.extend(topic);
        assert_eq!(layout.decode(&URL_SAFE_NO_PAD.encode(twice)), Err(InvalidId));
    }

    proptest! {
        #[test]
        fn ids_come_back_as_they_were(a in proptest::collection::vec(any::<u64>(), 1..20), b in proptest::collection::vec(0u64..1_000_000, 1..20)) {
            let layout = layout(&[("a", u32::try_from(a.len()).expect("few")), ("b", u32::try_from(b.len()).expect("few"))]);
            let next: Vec<u64> = a.into_iter().chain(b).collect();
            let id = layout.encode(&next);
            prop_assert_eq!(layout.decode(&id).expect("own id"), next.into_iter().map(Begin::At).collect::<Vec<_>>());
        }

        #[test]
        fn whatever_is_sent_is_decoded_or_refused(id in "[A-Za-z0-9_-]{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let layout = layout(&[("a", 3), ("b", 2)]);
            let _ = layout.decode(&id);
            let mut versioned = vec![VERSION];
            versioned.extend(bytes);
            let id = URL_SAFE_NO_PAD.encode(&versioned);
            // What is accepted is canonical: the same layout would encode the same bytes.
            if let Ok(begins) = layout.decode(&id) {
                prop_assert_eq!(begins.len(), 5);
            }
        }
    }
}
