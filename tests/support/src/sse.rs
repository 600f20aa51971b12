//! Server-sent events, as the HTML standard reads them (section 9.2, "Server-sent events").

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The last event id when it was dispatched; empty if none was ever sent.
    pub id: String,
    /// The event's name; `message` where the frame names none.
    pub event: String,
    /// Its data lines, joined by newlines.
    pub data: String,
}

impl Event {
    /// The data as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error} in the data of {self:?}"))
    }
}

/// An incremental parser: bytes go in as they arrive, in pieces of any size, events come out.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    skip_line_feed: bool,
    past_start: bool,
    id: String,
    event: String,
    data: String,
    has_data: bool,
    last_event_id: Option<String>,
    retry_ms: Option<u64>,
    comments: u64,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// A parser for a stream that resumes after `last_event_id`.
    pub fn resuming(last_event_id: &str) -> Self {
        Self { id: last_event_id.to_owned(), last_event_id: Some(last_event_id.to_owned()), ..Self::default() }
    }

    /// Takes the next bytes and appends the events that they complete to `events`.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        for &byte in bytes {
            let after_return = std::mem::take(&mut self.skip_line_feed);
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    self.skip_line_feed = byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    self.line(&String::from_utf8_lossy(&line), events);
                }
                _ => self.line.push(byte),
            }
        }
    }

    /// What a reconnecting client sends as `Last-Event-ID`: the id as of the last complete frame, none before the
    /// first one.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// The reconnection time that the server asked for, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// How many comment lines came (heartbeats among them).
    pub fn comments(&self) -> u64 {
        self.comments
    }

    fn line(&mut self, line: &str, events: &mut Vec<Event>) {
        let line = if self.past_start { line } else { line.trim_start_matches('\u{feff}') };
        self.past_start = true;
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => self.comments += 1,
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "event" => value.clone_into(&mut self.event),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "retry" => self.retry_ms = value.parse().ok().or(self.retry_ms),
            _ => {}
        }
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        // A frame without data is not an event, but its id counts.
        if !self.id.is_empty() || self.last_event_id.is_some() {
            self.last_event_id = Some(self.id.clone());
        }
        if std::mem::take(&mut self.has_data) {
            let event = if event.is_empty() { "message".to_owned() } else { event };
            events.push(Event { id: self.id.clone(), event, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn parse(pieces: &[&[u8]]) -> (Vec<Event>, Parser) {
        let mut parser = Parser::new();
        let mut events = Vec::new();
        for piece in pieces {
            parser.feed(piece, &mut events);
        }
        (events, parser)
    }

    fn event(id: &str, event: &str, data: &str) -> Event {
        Event { id: id.to_owned(), event: event.to_owned(), data: data.to_owned() }
    }

    const SAMPLE: &[u8] =
        "\u{feff}: hello\nretry: 2500\n\nid: 1\nevent: Sent\ndata: {\"a\":1}\n\n:\n\r\nid:2\rdata: x\rdata:y\r\r\
        data\n\nid: 3\n\nevent: lost\nid: 4\ndata: never finished\n"
            .as_bytes();

    fn expected() -> Vec<Event> {
        vec![event("1", "Sent", "{\"a\":1}"), event("2", "message", "x\ny"), event("2", "message", "")]
    }

    #[test]
    fn frames_follow_the_standard() {
        let (events, parser) = parse(&[SAMPLE]);
        assert_eq!(events, expected());
        assert_eq!(parser.last_event_id(), Some("3"), "a frame with an id alone moves the position");
        assert_eq!(parser.retry_ms(), Some(2500));
        assert_eq!(parser.comments(), 2);
    }

    #[test]
    fn any_cut_into_pieces_gives_the_same_events() {
        let seed = Seed::from_env();
        let mut rng = seed.rng(0);
        for _ in 0..200 {
            let mut rest = SAMPLE;
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, tail) = rest.split_at(rng.usize(1..=rest.len().min(9)));
                pieces.push(piece);
                rest = tail;
            }
            assert_eq!(parse(&pieces).0, expected(), "{seed}");
        }
    }

    #[test]
    fn a_resumed_parser_keeps_its_position_until_a_frame_is_complete() {
        let mut parser = Parser::resuming("41");
        let mut events = Vec::new();
        parser.feed(b"id: 42\ndata: half", &mut events);
        assert_eq!((parser.last_event_id(), events.len()), (Some("41"), 0));
        parser.feed(b"\n\n", &mut events);
        assert_eq!(parser.last_event_id(), Some("42"));
        assert_eq!(events, [event("42", "message", "half")]);
    }

    #[test]
    fn an_id_with_a_nul_is_ignored() {
        assert_eq!(parse(&[b"id: 1\0\ndata: x\n\n"]).0, [event("", "message", "x")]);
    }
}
