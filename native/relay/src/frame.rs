//! Server-sent events on the wire (WHATWG HTML, section 9.2): what the relay writes.

use crate::source::Published;
use bytes::{Bytes, BytesMut};

/// Writes an event. The `id:` line comes first and its length is returned, so that the rest can be sent under another id.
pub(crate) fn event(id: &str, record: &Published) -> (Bytes, usize) {
    let mut frame = BytesMut::with_capacity(id.len() + record.event_name.len() + record.data.len() + 32);
    put_id(&mut frame, id);
    let id_len = frame.len();
    put_rest(&mut frame, &record.event_name, &record.data);
    (frame.freeze(), id_len)
}

/// Sends the rest of a frame under an id of its own.
pub(crate) fn under(id: &str, rest: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(id.len() + rest.len() + 8);
    put_id(&mut frame, id);
    frame.extend_from_slice(rest);
    frame.freeze()
}

/// An id alone: a client remembers it without seeing an event.
pub(crate) fn id_only(id: &str) -> Bytes {
    under(id, b"\n")
}

/// Tells that events are missing, and where the stream goes on.
pub(crate) fn reset(id: &str, reason: &str) -> Bytes {
    under(id, format!("event: reset\ndata: {{\"reason\":\"{reason}\"}}\n\n").as_bytes())
}

/// The last words of a stream; no id, so that the client comes back where it was. `retry_ms` is when it should.
pub(crate) fn end(reason: &str, retry_ms: Option<u64>) -> Bytes {
    let retry = retry_ms.map(|retry| format!("retry: {retry}\n")).unwrap_or_default();
    Bytes::from(format!("{retry}event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n"))
}

fn put_id(frame: &mut BytesMut, id: &str) {
    frame.extend_from_slice(b"id: ");
    frame.extend_from_slice(id.as_bytes());
    frame.extend_from_slice(b"\n");
}

fn put_rest(frame: &mut BytesMut, name: &str, data: &[u8]) {
    frame.extend_from_slice(b"event: ");
    // A line break in a name would let a record forge fields.
    frame.extend(name.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    frame.extend_from_slice(b"\n");
    if data.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        for line in lines(data) {
            put_data(frame, line);
        }
    } else {
        put_data(frame, data);
    }
    frame.extend_from_slice(b"\n");
}

fn put_data(frame: &mut BytesMut, line: &[u8]) {
    frame.extend_from_slice(b"data: ");
    frame.extend_from_slice(line);
    frame.extend_from_slice(b"\n");
}

/// Lines that end with CR LF, LF or CR, as SSE counts them.
fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let data = rest?;
        let Some(end) = data.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            rest = None;
            return Some(data);
        };
        let skip = if data[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = Some(&data[end + skip..]);
        Some(&data[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Action;

    fn record(name: &str, data: &'static [u8]) -> Published {
        Published {
            topic: "t".into(),
            partition: 0,
            offset: 0,
            key: "k".into(),
            event_id: "e".into(),
            event_name: name.into(),
            data: Bytes::from_static(data),
            channels: vec![],
            action: Action::Send,
            time_ms: 0,
        }
    }

    #[test]
    fn an_event_is_id_name_and_data() {
        let (frame, id_len) = event("abc", &record("MessageSent", b"{}"));
        assert_eq!(frame, "id: abc\nevent: MessageSent\ndata: {}\n\n");
        assert_eq!(&frame[..id_len], b"id: abc\n");
        assert_eq!(under("x", &frame[id_len..]), "id: x\nevent: MessageSent\ndata: {}\n\n");
    }

    #[test]
    fn no_record_can_forge_fields() {
        let (frame, _) = event("i", &record("a\nid: 9", b"1\r\n2\r3\n\nid: 7"));
        assert_eq!(frame, "id: i\nevent: aid: 9\ndata: 1\ndata: 2\ndata: 3\ndata: \ndata: id: 7\n\n");
    }

    #[test]
    fn words_of_the_relay() {
        assert_eq!(id_only("i"), "id: i\n\n");
        assert_eq!(reset("i", "expired"), "id: i\nevent: reset\ndata: {\"reason\":\"expired\"}\n\n");
        assert_eq!(end("shutdown", Some(7)), "retry: 7\nevent: end\ndata: {\"reason\":\"shutdown\"}\n\n");
    }
}
