//! Resuming further back than the window reaches: from the log, partition by partition, until the window takes over.

use crate::{
    frame,
    hub::{Attached, Hub, Since},
    instruct::Instruct,
    source::{Action, Published, Source},
    stream::{End, Stream},
};
use plaza_http::BoxError;
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Records of one partition that are read at once.
const READ_RECORDS: usize = 128;

/// How long a stream waits for this relay to get as far as the one that its client was at before.
const AHEAD_WAIT: Duration = Duration::from_secs(5);

/// How long a catch-up may take; a client that reads so slowly goes on from where it got to.
const CATCH_UP_MAX: Duration = Duration::from_mins(1);

/// What became of a resume: a metric's label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything missed was in the window.
    Window,
    /// Some of it was read from the log.
    Log,
    /// The client was told to fetch anew, for this reason.
    Reset(&'static str),
    /// It went away, or was ended, before it was live.
    Over,
}

impl Outcome {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Window => "window",
            Self::Log => "log",
            Self::Reset(reason) => reason,
            Self::Over => "over",
        }
    }
}

/// Why a stream cannot go on where it was: what the client reads in `event: reset`.
pub(crate) mod reason {
    /// The id is none.
    pub(crate) const INVALID: &str = "invalid_id";
    /// The id is of a position that the log has not reached: the log was lost, or the id made up.
    pub(crate) const FUTURE: &str = "unknown_id";
    /// The log does not retain so much.
    pub(crate) const EXPIRED: &str = "expired";
    /// More was missed than one resume may read.
    pub(crate) const TOO_MANY: &str = "too_many";
    /// The log could not be read.
    pub(crate) const UNAVAILABLE: &str = "unavailable";
}

/// A resume under way.
pub(crate) struct CatchUp {
    pub(crate) hub: Arc<Hub>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) instruct: Instruct,
    pub(crate) arrived: u64,
    /// The next offset of each partition that the client has not seen.
    pub(crate) next: Vec<u64>,
    /// How many records may still be read.
    pub(crate) budget: u64,
}

impl CatchUp {
    /// Makes the stream live, if it needs nothing but the window.
    pub(crate) fn try_window(&self) -> Attached {
        let since = Since::Position { next: &self.next, seen: &HashSet::new() };
        self.hub.attach(&self.stream, &self.instruct.channels, self.arrived, &since)
    }

    /// Makes the stream live, whatever it takes. True with the outcome when a look at the link is to be started.
    pub(crate) async fn run(mut self) -> (Outcome, bool) {
        match tokio::time::timeout(CATCH_UP_MAX, self.reach_window()).await {
            Ok(Ok(done)) => done,
            Ok(Err(reason)) => self.reset(reason),
            Err(_elapsed) => {
                self.stream.end(End::Slow);
                (Outcome::Over, false)
            }
        }
    }

    /// Makes the stream live from now on, and tells the client that it has missed something.
    pub(crate) fn reset(&self, reason: &'static str) -> (Outcome, bool) {
        match self.hub.attach(&self.stream, &self.instruct.channels, self.arrived, &Since::Reset(reason)) {
            Attached::Live(asks) => (Outcome::Reset(reason), asks),
            _ => (Outcome::Over, false),
        }
    }

    async fn reach_window(&mut self) -> Result<(Outcome, bool), &'static str> {
        let mut outcome = Outcome::Window;
        let mut given = HashSet::new();
        loop {
            let since = Since::Position { next: &self.next, seen: &given };
            match self.hub.attach(&self.stream, &self.instruct.channels, self.arrived, &since) {
                Attached::Live(asks) => return Ok((outcome, asks)),
                Attached::Over => return Ok((Outcome::Over, false)),
                Attached::TooMany => return Err(reason::TOO_MANY),
                Attached::Ahead => self.wait().await?,
                Attached::Behind(low) => {
                    outcome = Outcome::Log;
                    let unavailable = |error| {
                        tracing::warn!(%error, "the log cannot be read for a resume");
                        reason::UNAVAILABLE
                    };
                    match self.read(&low, &mut given).await.map_err(unavailable)? {
                        Read::Done => {}
                        Read::Over => return Ok((Outcome::Over, false)),
                        Read::Missing(reason) => return Err(reason),
                    }
                }
            }
        }
    }

    /// Waits until the relay is where the client was, if the log itself has got so far.
    async fn wait(&self) -> Result<(), &'static str> {
        let watermarks = self.source.watermarks().await.map_err(|_| reason::UNAVAILABLE)?;
        let has_been = watermarks.iter().all(|mark| {
            self.hub.layout.index(&mark.topic, mark.partition).is_none_or(|index| self.next[index] <= mark.next)
        });
        if !has_been {
            return Err(reason::FUTURE);
        }
        let mut progress = self.hub.progress.subscribe();
        let reached = async {
            while self.next.iter().zip(self.hub.position()).any(|(next, here)| *next > here) {
                if progress.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(AHEAD_WAIT, reached).await.map_err(|_| reason::UNAVAILABLE)
    }

    /// Reads and sends what lies before the window's low marks. Partitions are merged by the records' times; each keeps its order.
    async fn read(&mut self, low: &[u64], given: &mut HashSet<u128>) -> Result<Read, BoxError> {
        let behind =
            self.next.iter().zip(low).map(|(next, low)| low.saturating_sub(*next)).fold(0, u64::saturating_add);
        if behind > self.budget {
            return Ok(Read::Missing(reason::TOO_MANY));
        }
        self.budget -= behind;
        let mut lanes: Vec<Lane> = self
            .hub
            .layout
            .partitions()
            .enumerate()
            .filter(|&(index, _)| self.next[index] < low[index])
            .map(|(index, (topic, partition))| Lane {
                index,
                topic: Arc::clone(topic),
                partition,
                end: low[index],
                from: self.next[index],
                records: VecDeque::new(),
            })
            .collect();
        loop {
            for lane in &mut lanes {
                if !lane.fill(&*self.source).await? {
                    return Ok(Read::Missing(reason::EXPIRED));
                }
            }
            let first = lanes.iter().filter_map(|lane| Some((lane.records.front()?.time_ms, lane.index))).min();
            let Some((_, index)) = first else { break };
            let lane = lanes.iter_mut().find(|lane| lane.index == index);
            let Some(record) = lane.and_then(|lane| lane.records.pop_front()) else { break };
            self.next[index] = record.offset + 1;
            if !is_for(&record, &self.instruct) || !given.insert(self.hub.event_key(&record.event_id)) {
                continue;
            }
            let (bytes, _) = frame::event(&self.hub.layout.encode(&self.next), &record);
            if !self.stream.push_history(bytes).await {
                return Ok(Read::Over);
            }
        }
        for lane in lanes {
            self.next[lane.index] = lane.end;
        }
        Ok(Read::Done)
    }
}

enum Read {
    Done,
    Over,
    Missing(&'static str),
}

/// One partition being read.
struct Lane {
    index: usize,
    topic: Arc<str>,
    partition: u32,
    /// Where the window begins.
    end: u64,
    /// The next offset to read.
    from: u64,
    records: VecDeque<Published>,
}

impl Lane {
    /// Reads on when nothing is left. False when the log has let go of what is to be read.
    async fn fill(&mut self, source: &dyn Source) -> Result<bool, BoxError> {
        if !self.records.is_empty() || self.from >= self.end {
            return Ok(true);
        }
        let chunk = source.read(&self.topic, self.partition, self.from, READ_RECORDS).await?;
        if chunk.low > self.from {
            return Ok(false);
        }
        // Nothing more below the window's mark: offsets need not be dense.
        self.from = chunk.records.last().map_or(self.end, |last| last.offset + 1);
        self.records.extend(chunk.records.into_iter().take_while(|record| record.offset < self.end));
        Ok(true)
    }
}

/// Whether a record of the log is delivered to a stream with these channels.
fn is_for(record: &Published, instruct: &Instruct) -> bool {
    if record.event_name.is_empty() {
        return false;
    }
    let is_own = |name: &str| {
        name.strip_prefix(&*record.topic).and_then(|rest| rest.strip_prefix(':')).is_some_and(|key| key == record.key)
    };
    let has = |name: &String| instruct.channels.contains(name.as_str());
    (record.action != Action::Close && record.channels.iter().any(has))
        || instruct.channels.iter().any(|name| is_own(name))
}
