//! Counters by hour and by day (UTC), for those who operate Plaza.

use crate::input::Invalid;
use crate::page::invalid_parameter;
use crate::problem::Problem;
use crate::time::Timestamp;
use crate::user::USER_DELETED;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Milliseconds of an hour.
const HOUR_MS: i64 = 3_600_000;

/// The most hours that one answer covers: a month.
pub const HOURS_MAX: i64 = 31 * 24;

/// The most days that one answer covers: a year.
pub const DAYS_MAX: i64 = 366;

/// How long one counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Step {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Hour, Self::Day];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.name() == name)
    }

    /// The beginning of the hour or the day that a point in time is in.
    pub fn start_of(self, at: Timestamp) -> Timestamp {
        Timestamp::from_unix_ms(at.unix_ms().div_euclid(self.length_ms()) * self.length_ms())
    }

    const fn length_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => 24 * HOUR_MS,
        }
    }

    const fn count_max(self) -> i64 {
        match self {
            Self::Hour => HOURS_MAX,
            Self::Day => DAYS_MAX,
        }
    }

    /// How many steps are shown where nobody says from when.
    const fn count_default(self) -> i64 {
        match self {
            Self::Hour => 24,
            Self::Day => 30,
        }
    }
}

/// Whole hours or days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Of which length.
    pub step: Step,
    /// Where the first begins.
    pub from: Timestamp,
    /// Where the last ends.
    pub to: Timestamp,
}

impl Range {
    /// The hours or days that these points in time are in: without an end up to now, without a beginning the last day or month.
    pub fn new(step: Step, from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Result<Self, Problem> {
        let length = step.length_ms();
        // A step that has begun belongs to it; one that begins at the end does not.
        let last = Timestamp::from_unix_ms(to.unwrap_or(now).unix_ms().saturating_sub(i64::from(to.is_some())));
        let end = step.start_of(last).unix_ms().saturating_add(length);
        let start = from.map_or(end - step.count_default() * length, |from| step.start_of(from).unix_ms());
        if start >= end {
            return Err(invalid_parameter("to", Invalid::new("out_of_range", "must be after \"from\"")));
        }
        if (end - start) / length > step.count_max() {
            let detail = format!("must not be more than {} {}s before the end", step.count_max(), step.name());
            return Err(invalid_parameter("from", Invalid::new("out_of_range", detail)));
        }
        Ok(Self { step, from: Timestamp::from_unix_ms(start), to: Timestamp::from_unix_ms(end) })
    }

    /// The beginning of each hour or day.
    pub fn starts(self) -> impl Iterator<Item = Timestamp> {
        let count = (self.to.unix_ms() - self.from.unix_ms()) / self.step.length_ms();
        (0..count).map(move |n| Timestamp::from_unix_ms(self.from.unix_ms() + n * self.step.length_ms()))
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Accounts that came to be.
    Registrations,
    /// Accounts that are gone.
    Deletions,
    /// Messages sent.
    MessagesSent,
    /// Messages put in other words.
    MessagesEdited,
    /// Messages taken back.
    MessagesDeleted,
    /// Reactions to messages; those taken back do not count.
    Reactions,
    /// Different users who sent something.
    ActiveUsers,
}

impl Metric {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Registrations,
        Self::Deletions,
        Self::MessagesSent,
        Self::MessagesEdited,
        Self::MessagesDeleted,
        Self::Reactions,
        Self::ActiveUsers,
    ];

    /// As stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registrations => "registrations",
            Self::Deletions => "deletions",
            Self::MessagesSent => "messages_sent",
            Self::MessagesEdited => "messages_edited",
            Self::MessagesDeleted => "messages_deleted",
            Self::Reactions => "reactions",
            Self::ActiveUsers => "active_users",
        }
    }

    /// What an event of this type counts as, if as anything.
    pub fn of_event(kind: &str, data: &Value) -> Option<Self> {
        match kind {
            "plaza.user.UserRegistered.v1" => Some(Self::Registrations),
            USER_DELETED => Some(Self::Deletions),
            "plaza.chat.MessageSent.v1" => Some(Self::MessagesSent),
            "plaza.chat.MessageEdited.v1" => Some(Self::MessagesEdited),
            "plaza.chat.MessageDeleted.v1" => Some(Self::MessagesDeleted),
            "plaza.chat.ReactionChanged.v1" if data["added"] != false => Some(Self::Reactions),
            _ => None,
        }
    }
}

/// The counters of an hour or a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Accounts that came to be.
    pub registrations: u64,
    /// Accounts that are gone.
    pub deletions: u64,
    /// Messages sent.
    pub messages_sent: u64,
    /// Messages put in other words.
    pub messages_edited: u64,
    /// Messages taken back.
    pub messages_deleted: u64,
    /// Reactions to messages.
    pub reactions: u64,
    /// Different users who sent something.
    pub active_users: u64,
}

impl Counts {
    /// One of them.
    pub fn of(&mut self, metric: Metric) -> &mut u64 {
        match metric {
            Metric::Registrations => &mut self.registrations,
            Metric::Deletions => &mut self.deletions,
            Metric::MessagesSent => &mut self.messages_sent,
            Metric::MessagesEdited => &mut self.messages_edited,
            Metric::MessagesDeleted => &mut self.messages_deleted,
            Metric::Reactions => &mut self.reactions,
            Metric::ActiveUsers => &mut self.active_users,
        }
    }
}

/// The counters of an hour or a day, with when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Period {
    /// When it began.
    pub starts_at: Timestamp,
    /// What was counted.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What happened, hour by hour or day by day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stats {
    /// How long each item is.
    pub step: Step,
    /// Where the first begins.
    pub from: Timestamp,
    /// Where the last ends.
    pub to: Timestamp,
    /// One for each hour or day, also for those in which nothing happened.
    pub items: Vec<Period>,
}

impl Stats {
    /// From the counters that are not 0.
    pub fn new(range: Range, mut counted: BTreeMap<Timestamp, Counts>) -> Self {
        let period = |starts_at| Period { starts_at, counts: counted.remove(&starts_at).unwrap_or_default() };
        Self { step: range.step, from: range.from, to: range.to, items: range.starts().map(period).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// 2025-11-20T20:00:00.007Z
    const NOW: Timestamp = Timestamp::from_unix_ms(1_763_668_800_007);

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(json!(text)).unwrap()
    }

    #[test]
    fn a_range_is_whole_steps_and_has_an_end() {
        let day = Range::new(Step::Hour, None, None, NOW).unwrap();
        assert_eq!((day.from, day.to), (at("2025-11-19T21:00:00Z"), at("2025-11-20T21:00:00Z")));
        assert_eq!(day.starts().count(), 24);
        let (from, to) = (at("2025-11-18T23:59:59.999Z"), at("2025-11-20T00:00:00Z"));
        let two = Range::new(Step::Day, Some(from), Some(to), NOW).unwrap();
        let starts: Vec<_> = two.starts().collect();
        assert_eq!(starts, [at("2025-11-18T00:00:00Z"), at("2025-11-19T00:00:00Z")], "an end is not in it");
        for (step, from, to) in [
            (Step::Hour, at("2025-11-20T00:00:00Z"), at("2025-11-20T00:00:00Z")),
            (Step::Day, at("2025-11-20T00:00:00Z"), at("2025-11-18T00:00:00Z")),
            (Step::Hour, at("2025-10-01T00:00:00Z"), at("2025-11-01T00:00:01Z")),
            (Step::Day, at("2024-01-01T00:00:00Z"), at("2025-01-02T00:00:00Z")),
        ] {
            assert_eq!(Range::new(step, Some(from), Some(to), NOW).unwrap_err().status, 422, "{from} {to}");
        }
        let (from, to) = (at("2024-01-01T00:00:00Z"), at("2025-01-01T00:00:00Z"));
        assert_eq!(Range::new(Step::Day, Some(from), Some(to), NOW).unwrap().starts().count(), 366);
    }

    #[test]
    fn every_step_has_its_counters_and_metrics_their_names() {
        let range = Range::new(Step::Hour, Some(at("2025-11-20T10:30:00Z")), Some(at("2025-11-20T12:10:00Z")), NOW);
        let counted = BTreeMap::from([(at("2025-11-20T11:00:00Z"), Counts { reactions: 3, ..Counts::default() })]);
        let stats = serde_json::to_value(Stats::new(range.unwrap(), counted)).unwrap();
        assert_eq!(stats["items"].as_array().unwrap().len(), 3);
        assert_eq!((&stats["items"][1]["reactions"], &stats["items"][2]["reactions"]), (&json!(3), &json!(0)));
        assert_eq!(stats["items"][1]["starts_at"], "2025-11-20T11:00:00.000Z");
        let mut counts = Counts::default();
        for (n, metric) in (1..).zip(Metric::ALL) {
            *counts.of(metric) = n;
            assert_eq!(serde_json::to_value(counts).unwrap()[metric.name()], n);
        }
    }

    #[test]
    fn a_reaction_taken_back_is_none() {
        let of = |added: Value| Metric::of_event("plaza.chat.ReactionChanged.v1", &json!({ "added": added }));
        assert_eq!((of(json!(true)), of(json!(false))), (Some(Metric::Reactions), None));
        assert_eq!(Metric::of_event("plaza.chat.SomethingElse.v1", &json!({})), None);
    }

    proptest! {
        #[test]
        fn no_range_is_longer_than_its_limit_or_panics(from: Option<i64>, to: Option<i64>, day: bool) {
            let step = if day { Step::Day } else { Step::Hour };
            let ms = |ms: i64| Timestamp::from_unix_ms(ms % 253_402_300_800_000);
            if let Ok(range) = Range::new(step, from.map(ms), to.map(ms), NOW) {
                let count = range.starts().count();
                prop_assert!((1..=744).contains(&count));
                prop_assert!(from.map(ms).is_none_or(|from| range.from <= from));
                prop_assert!(to.map(ms).is_none_or(|to| range.to >= to));
            }
        }
    }
}
