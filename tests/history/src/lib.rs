//! A history of what was done to a log and what was seen of it, and what is wrong with it.
//!
//! In the manner of Jepsen's test of Kafka, but for a log whose publishers may repeat: an event has an id, keeps it when it
//! is published again, and counts as where it first stands. Nothing in here knows Kafka: "appended" may as well mean that a
//! `POST` was answered, "seen" that a stream carried it, and "effect" that a notification was there.
//!
//! A test calls [`History::send`] before it sends an event, [`History::acknowledged`] or [`History::failed`] when it knows what became of it,
//! (if it knows neither, the event may be there or not), [`History::seen`] for everything that an observer sees, in its order, and [`History::effect`]
//! for each effect; and in the end asks for the [`History::anomalies`].

mod check;

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What happened, in the order in which it became known. Shared by all who take part in a test.
#[derive(Debug, Default)]
pub struct History(Mutex<Events>);

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// By id: what became of each event that was sent.
    pub(crate) sent: HashMap<String, Sent>,
    /// Ids by producer and key, in the order in which they were sent: the order that must be kept.
    pub(crate) order: HashMap<(String, String), Vec<String>>,
    /// What each observer saw, in its order.
    pub(crate) seen: HashMap<String, Vec<Seen>>,
    /// How often each event had its effect, by id and kind of effect.
    pub(crate) effects: HashMap<(String, String), u32>,
}

/// What became of an event that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) key: String,
    pub(crate) outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Unknown,
    Acknowledged,
    Failed,
}

/// One event as an observer saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) place: Option<Place>,
}

/// Where in a log an event stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

/// How an observer reads, which says what may be held against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observer {
    /// It sees everything exactly as it stands, once: a reader of the whole log, a stream with resumes.
    Exact,
    /// It may go back and see things again, as a consumer does after a crash; but what is new to it must be in order.
    Repeating,
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anomaly {
    /// An event was acknowledged, and an observer who should have seen everything has not seen it.
    Lost {
        /// The event.
        id: String,
        /// Who has not seen it.
        observer: String,
    },
    /// An event that failed, for good, is there all the same.
    Undead {
        /// The event.
        id: String,
        /// Who saw it.
        observer: String,
    },
    /// An observer saw an event that nobody sent.
    FromNowhere {
        /// The event.
        id: String,
        /// Who saw it.
        observer: String,
    },
    /// An observer first saw an event after one of the same producer and key that was sent later.
    Reordered {
        /// The key.
        key: String,
        /// What was sent first.
        earlier: String,
        /// What was sent later and seen first.
        later: String,
        /// Who saw it so.
        observer: String,
    },
    /// An event has another key than it was sent with.
    OtherKey {
        /// The event.
        id: String,
        /// Who saw it.
        observer: String,
    },
    /// Two observers, or one at two times, saw different events at one place.
    Inconsistent {
        /// The place.
        place: Place,
        /// The two events.
        ids: [String; 2],
    },
    /// An exact observer went back within a partition.
    WentBack {
        /// Where it went.
        place: Place,
        /// Who did.
        observer: String,
    },
    /// An exact observer passed over offsets that another one saw.
    PassedOver {
        /// What it did not see.
        place: Place,
        /// Who did not.
        observer: String,
    },
    /// An exact observer saw an event twice at the same place.
    SeenTwice {
        /// The event.
        id: String,
        /// Who did.
        observer: String,
    },
    /// An event had its effect more than once.
    EffectTwice {
        /// The event.
        id: String,
        /// The effect.
        effect: String,
        /// How often it had it.
        times: u32,
    },
    /// An event was acknowledged and never had its effect.
    NoEffect {
        /// The event.
        id: String,
        /// The effect.
        effect: String,
    },
}

/// What a history has in it: a check of nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Events that were acknowledged.
    pub acknowledged: usize,
    /// Events that failed for good.
    pub failed: usize,
    /// Events of which nobody knows.
    pub unknown: usize,
    /// Sightings by all observers.
    pub seen: usize,
    /// Effects.
    pub effects: usize,
}

impl fmt::Display for Count {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, failed, unknown, seen, effects } = self;
        write!(
            formatter,
            "{acknowledged} acknowledged, {failed} failed, {unknown} unknown; seen {seen}, effects {effects}"
        )
    }
}

impl History {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An event is about to be sent. A producer's events of one key must be called in the order in which they are sent,
    /// and the next only after the one before was acknowledged, or with it in one list.
    pub fn send(&self, producer: &str, key: &str, id: &str) {
        let mut events = self.events();
        let sent = Sent { key: key.to_owned(), outcome: Outcome::Unknown };
        // Sent again: the same event.
        if events.sent.insert(id.to_owned(), sent).is_none() {
            events.order.entry((producer.to_owned(), key.to_owned())).or_default().push(id.to_owned());
        }
    }

    /// An event is safe, the producer was told.
    pub fn acknowledged(&self, id: &str) {
        self.outcome(id, Outcome::Acknowledged);
    }

    /// An event was refused and cannot have come through. Not for errors that leave that open.
    pub fn failed(&self, id: &str) {
        self.outcome(id, Outcome::Failed);
    }

    fn outcome(&self, id: &str, outcome: Outcome) {
        if let Some(sent) = self.events().sent.get_mut(id) {
            sent.outcome = outcome;
        }
    }

    /// An observer saw an event next; with its place, where it knows it.
    pub fn seen(&self, observer: &str, key: &str, id: &str, place: Option<Place>) {
        let seen = Seen { id: id.to_owned(), key: key.to_owned(), place };
        self.events().seen.entry(observer.to_owned()).or_default().push(seen);
    }

    /// An event had an effect: something came of it that must come of it once.
    pub fn effect(&self, effect: &str, id: &str) {
        *self.events().effects.entry((id.to_owned(), effect.to_owned())).or_default() += 1;
    }

    /// What is in it.
    pub fn count(&self) -> Count {
        let events = self.events();
        let of = |outcome| events.sent.values().filter(|sent| sent.outcome == outcome).count();
        Count {
            acknowledged: of(Outcome::Acknowledged),
            failed: of(Outcome::Failed),
            unknown: of(Outcome::Unknown),
            seen: events.seen.values().map(Vec::len).sum(),
            effects: events.effects.values().map(|times| *times as usize).sum(),
        }
    }

    /// The acknowledged events that an observer has not seen yet: what a test waits for before it judges.
    pub fn missing(&self, observer: &str) -> usize {
        self.events().unseen(observer).count()
    }

    /// The acknowledged events that have not had an effect yet.
    pub fn without_effect(&self, effect: &str) -> usize {
        self.events().without_effect(effect).count()
    }

    /// Everything that is wrong, given who should have seen everything and how, and which effects each acknowledged event should have had.
    pub fn anomalies(&self, observers: &[(&str, Observer)], effects: &[&str]) -> Vec<Anomaly> {
        self.events().anomalies(observers, effects)
    }

    /// Panics, with the first anomalies, unless there are none and something was acknowledged.
    ///
    /// # Panics
    /// See above.
    pub fn assert_sound(&self, observers: &[(&str, Observer)], effects: &[&str]) {
        const SHOWN_MAX: usize = 20;
        let count = self.count();
        assert!(count.acknowledged > 0, "a history in which nothing was acknowledged proves nothing: {count}");
        let anomalies = self.anomalies(observers, effects);
        let shown: Vec<String> = anomalies.iter().take(SHOWN_MAX).map(|anomaly| format!("{anomaly:?}")).collect();
        assert!(anomalies.is_empty(), "{} anomalies in {count}, the first:\n{}", anomalies.len(), shown.join("\n"));
    }
}
