//! What must hold of a room, its notifications and its streams, whatever happened while they were written.

use std::collections::{BTreeMap, HashMap};

use plaza_test_support::{Event, Message, Notification};
use serde_json::Value;

/// Checks the messages of a room, oldest first: `seq` is 1, 2, 3, … and no id and no `client_message_id` comes twice.
///
/// # Errors
/// What does not hold.
pub fn gapless(messages: &[Message]) -> Result<(), String> {
    let mut ids = HashMap::new();
    let mut client_ids = HashMap::new();
    for (expected, message) in (1..).zip(messages) {
        if message.seq != expected {
            return Err(format!("seq {} where {expected} belongs: {message:?}", message.seq));
        }
        if let Some(first) = ids.insert(&message.id, message.seq) {
            return Err(format!("one id at seq {first} and {}: {message:?}", message.seq));
        }
        let Some(client_id) = &message.client_message_id else { continue };
        if let Some(first) = client_ids.insert((&message.user_id, client_id), message.seq) {
            return Err(format!("sent once, stored at seq {first} and {}: {message:?}", message.seq));
        }
    }
    Ok(())
}

/// A message as its sender was told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its id.
    pub id: String,
    /// Its place in the room.
    pub seq: u64,
    /// The sender's own id of it.
    pub client_message_id: String,
}

/// Checks that a room holds exactly what its senders were told that it holds.
///
/// # Errors
/// What is missing, different, or there without an answer.
pub fn holds_exactly(messages: &[Message], acknowledged: &[Acknowledged]) -> Result<(), String> {
    gapless(messages)?;
    let stored: HashMap<&str, &Message> = messages.iter().map(|message| (message.id.as_str(), message)).collect();
    for told in acknowledged {
        let message = stored.get(told.id.as_str()).ok_or_else(|| format!("answered, but not there: {told:?}"))?;
        if message.seq != told.seq || message.client_message_id.as_ref() != Some(&told.client_message_id) {
            return Err(format!("answered as {told:?}, but it is {message:?}"));
        }
    }
    if messages.len() != acknowledged.len() {
        return Err(format!("{} messages were answered, {} are there", acknowledged.len(), messages.len()));
    }
    Ok(())
}

/// What a stream delivered of `MessageSent`, by room.
#[derive(Debug, Default)]
pub struct Delivered {
    /// `seq`s in the order of their arrival.
    seqs: BTreeMap<String, Vec<u64>>,
    frames: HashMap<String, usize>,
    resets: usize,
}

impl Delivered {
    /// Takes note of an event.
    ///
    /// # Panics
    /// If it is a `MessageSent` without room and `seq`.
    pub fn note(&mut self, event: &Event) {
        match event.event.as_str() {
            "reset" => self.resets += 1,
            "MessageSent" => {
                let data = event.json();
                let room = data["room_id"].as_str().unwrap_or_else(|| panic!("no room_id: {event:?}"));
                let seq = data["seq"].as_u64().unwrap_or_else(|| panic!("no seq: {event:?}"));
                self.seqs.entry(room.to_owned()).or_default().push(seq);
                *self.frames.entry(event.id.clone()).or_default() += 1;
            }
            _ => {}
        }
    }

    /// How many messages arrived, repeats included.
    pub fn len(&self) -> usize {
        self.seqs.values().map(Vec::len).sum()
    }

    /// Whether none arrived.
    pub fn is_empty(&self) -> bool {
        self.seqs.is_empty()
    }

    /// How many different messages of this room arrived.
    pub fn distinct(&self, room: &str) -> u64 {
        let mut seqs = self.seqs.get(room).cloned().unwrap_or_default();
        seqs.sort_unstable();
        seqs.dedup();
        seqs.len() as u64
    }

    /// Arrivals beyond the first of each message.
    pub fn repeats(&self) -> usize {
        self.len() - self.seqs.keys().map(|room| usize::try_from(self.distinct(room)).unwrap_or(0)).sum::<usize>()
    }

    /// Checks that this room's messages 1 to `last` arrived exactly once each, in order.
    ///
    /// # Errors
    /// The first that did not, and what surrounds it.
    pub fn exactly_once_in_order(&self, room: &str, last: u64) -> Result<(), String> {
        self.no_reset()?;
        let seqs = self.seqs.get(room).map(Vec::as_slice).unwrap_or_default();
        in_order(seqs, last)?;
        match self.frames.iter().find(|(_, times)| **times > 1) {
            Some((id, times)) => Err(format!("the id {id} stood on {times} different frames")),
            None => Ok(()),
        }
    }

    /// Checks that this room's messages 1 to `last` arrived each at least once, and in order when only the first
    /// arrival of each counts.
    ///
    /// # Errors
    /// The first that did not, and what surrounds it.
    pub fn in_order_without_repeats(&self, room: &str, last: u64) -> Result<(), String> {
        self.no_reset()?;
        let mut seen = std::collections::HashSet::new();
        let seqs = self.seqs.get(room).map(Vec::as_slice).unwrap_or_default();
        let first_arrivals: Vec<u64> = seqs.iter().copied().filter(|seq| seen.insert(*seq)).collect();
        in_order(&first_arrivals, last)
    }

    fn no_reset(&self) -> Result<(), String> {
        match self.resets {
            0 => Ok(()),
            times => Err(format!("{times} resets, though nothing is older than retention")),
        }
    }
}

/// Checks that `seqs` is 1, 2, …, `last`.
fn in_order(seqs: &[u64], last: u64) -> Result<(), String> {
    for (position, expected) in (1..=last).enumerate() {
        let arrived = seqs.get(position).copied();
        if arrived != Some(expected) {
            let around = &seqs[position.saturating_sub(3)..seqs.len().min(position + 4)];
            let arrived = arrived.map_or("nothing".to_owned(), |seq| format!("seq {seq}"));
            return Err(format!("{arrived} arrived where seq {expected} of {last} belongs, around it {around:?}"));
        }
    }
    match seqs.get(usize::try_from(last).unwrap_or(usize::MAX)) {
        Some(more) => Err(format!("seq {more} arrived after the last one, {last}")),
        None => Ok(()),
    }
}

/// Checks that somebody has exactly one notification of every message in `expected`, and no others of kind `message`.
///
/// # Errors
/// What is missing, double or not asked for.
pub fn notified_once<'a>(
    notifications: &[Notification],
    expected: impl IntoIterator<Item = &'a Message>,
) -> Result<(), String> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for notification in notifications.iter().filter(|notification| notification.kind == "message") {
        let id = notification.data["message_id"].as_str();
        *times.entry(id.ok_or_else(|| format!("no message_id: {notification:?}"))?).or_default() += 1;
    }
    for message in expected {
        match times.remove(message.id.as_str()) {
            Some(1) => {}
            Some(times) => return Err(format!("{times} notifications of {message:?}")),
            None => return Err(format!("no notification of {message:?}")),
        }
    }
    match times.keys().next() {
        Some(other) => Err(format!("a notification of the message {other}, which is none of theirs")),
        None => Ok(()),
    }
}

/// Checks that an object has each of `members` (their value may be null).
///
/// # Panics
/// If one is missing.
pub fn has_members(object: &Value, members: &[&str]) {
    for member in members {
        assert!(object.get(member).is_some(), "{member} is missing in {object}");
    }
}

/// Checks that a time is RFC 3339 in UTC with milliseconds: `2026-01-31T09:30:00.000Z`.
///
/// # Panics
/// If it is not.
pub fn is_time(text: &str) {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{text:?} is not a time in UTC with milliseconds");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message(seq: u64, id: &str) -> Message {
        let value = json!({
            "id": id, "room_id": "r", "seq": seq, "user_id": "u", "username": "u", "content": "x",
            "message_type": "text", "client_message_id": id, "reply_to": null, "reactions": [],
            "created_at": "2026-01-31T09:30:00.000Z", "edited_at": null, "deleted": false,
        });
        serde_json::from_value(value).expect("the shape")
    }

    fn acknowledged(seq: u64, id: &str) -> Acknowledged {
        Acknowledged { id: id.to_owned(), seq, client_message_id: id.to_owned() }
    }

    fn delivered(seqs: &[u64]) -> Delivered {
        let mut delivered = Delivered::default();
        for (id, seq) in seqs.iter().enumerate() {
            let data = json!({ "room_id": "r", "seq": seq }).to_string();
            delivered.note(&Event { id: id.to_string(), event: "MessageSent".to_owned(), data });
        }
        delivered
    }

    fn notification(message: &str) -> Notification {
        let value = json!({
            "id": "n", "kind": "message", "data": { "message_id": message },
            "created_at": "2026-01-31T09:30:00.000Z", "read_at": null,
        });
        serde_json::from_value(value).expect("the shape")
    }

    #[test]
    fn a_room_with_a_gap_or_a_repeat_is_found_out() {
        assert_eq!(gapless(&[message(1, "a"), message(2, "b")]), Ok(()));
        assert!(gapless(&[message(1, "a"), message(3, "b")]).expect_err("found out").contains("seq 3 where 2"));
        assert!(gapless(&[message(2, "a")]).is_err());
        assert!(gapless(&[message(1, "a"), message(2, "a")]).expect_err("found out").contains("one id"));
        let mut twice = message(2, "b");
        twice.client_message_id = Some("a".to_owned());
        assert!(gapless(&[message(1, "a"), twice]).expect_err("found out").contains("sent once"));
    }

    #[test]
    fn a_lost_or_unanswered_message_is_found_out() {
        let room = [message(1, "a"), message(2, "b")];
        let (a, b) = (acknowledged(1, "a"), acknowledged(2, "b"));
        assert_eq!(holds_exactly(&room, &[b.clone(), a.clone()]), Ok(()));
        assert!(holds_exactly(&room[..1], &[a.clone(), b.clone()]).expect_err("found out").contains("not there"));
        assert!(
            holds_exactly(&room, std::slice::from_ref(&a))
                .expect_err("found out")
                .contains("1 messages were answered, 2")
        );
        assert!(holds_exactly(&room, &[a, acknowledged(1, "b")]).expect_err("found out").contains("answered as"));
    }

    #[test]
    fn a_stream_with_a_gap_a_repeat_or_disorder_is_found_out() {
        assert_eq!(delivered(&[1, 2, 3]).exactly_once_in_order("r", 3), Ok(()));
        for wrong in [&[1, 3][..], &[1, 2], &[1, 2, 2, 3], &[2, 1, 3], &[1, 2, 3, 4], &[]] {
            assert!(delivered(wrong).exactly_once_in_order("r", 3).is_err(), "{wrong:?}");
        }
        assert_eq!(delivered(&[1, 2, 1, 2, 3]).in_order_without_repeats("r", 3), Ok(()));
        assert_eq!(delivered(&[1, 2, 1, 2, 3]).repeats(), 2);
        for wrong in [&[1, 3, 2][..], &[1, 2], &[1, 2, 3, 4, 1]] {
            assert!(delivered(wrong).in_order_without_repeats("r", 3).is_err(), "{wrong:?}");
        }
        let mut reset = delivered(&[1, 2, 3]);
        reset.note(&Event { id: "9".to_owned(), event: "reset".to_owned(), data: "{}".to_owned() });
        assert!(reset.exactly_once_in_order("r", 3).expect_err("found out").contains("reset"));
    }

    #[test]
    fn a_missing_double_or_foreign_notification_is_found_out() {
        let room = [message(1, "a"), message(2, "b")];
        assert_eq!(notified_once(&[notification("b"), notification("a")], &room), Ok(()));
        assert!(notified_once(&[notification("a")], &room).expect_err("found out").contains("no notification"));
        let double = [notification("a"), notification("a"), notification("b")];
        assert!(notified_once(&double, &room).expect_err("found out").contains("2 notifications"));
        assert!(notified_once(&double[1..], &room[..1]).expect_err("found out").contains("none of theirs"));
    }
}
