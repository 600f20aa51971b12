//! A client of an SSE stream that can be cut at any byte.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use crate::{Answer, Call, Event, Lost, Parser};

/// What a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(Event),
    /// The end of the stream, by the server or by the cut.
    Ended,
    /// Nothing within the time.
    Quiet,
}

/// Why a stream did not open.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The server answered with something else.
    Answer(Box<Answer>),
    /// There was no answer.
    Lost(Lost),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(answer) => answer.fmt(f),
            Self::Lost(lost) => lost.fmt(f),
        }
    }
}

/// An open SSE stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    path: String,
    /// None once it has ended.
    response: Option<Response>,
    parser: Parser,
    pending: VecDeque<Event>,
    /// Bytes that it will still read before it is cut; `None`: never cut.
    budget: Option<usize>,
}

impl Stream {
    /// Opens a stream: after `last_event_id`, or from now on.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    ///
    /// # Panics
    /// If a success is not an event stream.
    pub async fn open(call: Call, last_event_id: Option<&str>) -> Result<Self, Refused> {
        let call = call.header("accept", "text/event-stream");
        let (call, parser) = match last_event_id {
            Some(id) => (call.header("last-event-id", id), Parser::resuming(id)),
            None => (call, Parser::new()),
        };
        let (method, path, response) = call.open().await.map_err(Refused::Lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status != reqwest::StatusCode::OK {
            let lost = |error| Refused::Lost(Lost::new(&method, &path, &error));
            let body = response.bytes().await.map_err(lost)?;
            return Err(Refused::Answer(Box::new(Answer::of(method, path, status, headers, body))));
        }
        let content_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert!(content_type.starts_with("text/event-stream"), "{path} is {content_type:?}, not an event stream");
        Ok(Self { path, response: Some(response), parser, pending: VecDeque::new(), budget: None })
    }

    /// Cuts the connection once `bytes` more were read, wherever in a frame that is.
    pub fn cut_after(&mut self, bytes: usize) {
        self.budget = Some(bytes);
    }

    /// What a reconnecting client sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> Option<&str> {
        self.parser.last_event_id()
    }

    /// How many comments came.
    pub fn comments(&self) -> u64 {
        self.parser.comments()
    }

    /// The next event, the end, or quiet after `within`.
    pub async fn poll(&mut self, within: Duration) -> Next {
        self.poll_until(Instant::now() + within).await
    }

    /// The next event, the end, or quiet at `deadline`.
    pub async fn poll_until(&mut self, deadline: Instant) -> Next {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Next::Event(event);
            }
            let Some(response) = &mut self.response else { return Next::Ended };
            let Ok(chunk) = timeout_at(deadline, response.chunk()).await else { return Next::Quiet };
            // A broken connection and a clean end mean the same to a client: reconnect.
            let Ok(Some(mut chunk)) = chunk else {
                self.response = None;
                continue;
            };
            if let Some(budget) = &mut self.budget {
                chunk.truncate(*budget);
                *budget -= chunk.len();
                if *budget == 0 {
                    self.response = None;
                }
            }
            let mut events = Vec::new();
            self.parser.feed(&chunk, &mut events);
            self.pending.extend(events);
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// If the stream ends first, or nothing comes within `within`.
    pub async fn next(&mut self, within: Duration) -> Event {
        match self.poll(within).await {
            Next::Event(event) => event,
            other => panic!("{}: {other:?} in place of an event within {within:?}", self.path),
        }
    }

    /// The first event for which `wanted` holds; those before it are skipped.
    ///
    /// # Panics
    /// If the stream ends first, or it does not come within `within`; the message lists what came.
    pub async fn find(&mut self, what: &str, within: Duration, mut wanted: impl FnMut(&Event) -> bool) -> Event {
        let deadline = Instant::now() + within;
        let mut skipped = Vec::new();
        loop {
            match self.poll_until(deadline).await {
                Next::Event(event) if wanted(&event) => return event,
                Next::Event(event) => skipped.push(event),
                other => panic!("{}: {other:?} before {what} within {within:?}; there were {skipped:?}", self.path),
            }
        }
    }

    /// Waits for the server to end the stream and gives the events that came before.
    ///
    /// # Panics
    /// If it stays open for longer than `within`.
    pub async fn ended(&mut self, within: Duration) -> Vec<Event> {
        let deadline = Instant::now() + within;
        let mut events = Vec::new();
        loop {
            match self.poll_until(deadline).await {
                Next::Event(event) => events.push(event),
                Next::Ended => return events,
                Next::Quiet => panic!("{}: still open after {within:?}; there were {events:?}", self.path),
            }
        }
    }
}
