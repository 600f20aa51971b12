use std::{fmt, time::Duration};

use serde::Deserialize;

use crate::duration;

/// What a trigger delivers, to whom, and how patiently. The durations' defaults give a function that is down about a
/// minute and a half before its records go to the dead letter topic.
#[derive(Clone, PartialEq, Eq)]
pub struct TriggerSettings {
    /// The topics.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// The component that is called, at `http://<component>.spin.internal/`.
    pub component: String,
    /// The request's path.
    pub path: String,
    /// Sent as `Authorization: Bearer …` with each request; without one, functions that ask for it refuse every event.
    pub bearer_token: Option<String>,
    /// Most records in one request. With 1, each is a request in binary mode. With more, those that wait together are one
    /// request in batched mode; if it is not answered 2xx, each of them is sent by itself, in order.
    pub batch_max: usize,
    /// How long a partition rests after a portion smaller than [`batch_max`](Self::batch_max), so that what comes meanwhile
    /// goes in one request. The first record after a rest goes at once.
    pub batch_linger: Duration,
    /// Most attempts for one record, including the first.
    pub attempts_max: u32,
    /// Pause after the first failed attempt; doubled after each further one.
    pub backoff_initial: Duration,
    /// Longest pause that backoff comes to.
    pub backoff_max: Duration,
    /// Longest `Retry-After` that is honoured; what asks for more gets this.
    pub retry_after_max: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long requests under way may take when the trigger stops.
    pub stop_time_max: Duration,
}

/// Everything but the token.
impl fmt::Debug for TriggerSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TriggerSettings")
            .field("topics", &self.topics)
            .field("group", &self.group)
            .field("component", &self.component)
            .field("path", &self.path)
            .field("bearer_token", &self.bearer_token.as_ref().map(|_| "…"))
            .field("batch_max", &self.batch_max)
            .field("batch_linger", &self.batch_linger)
            .field("attempts_max", &self.attempts_max)
            .field("backoff_initial", &self.backoff_initial)
            .field("backoff_max", &self.backoff_max)
            .field("retry_after_max", &self.retry_after_max)
            .field("timeout", &self.timeout)
            .field("stop_time_max", &self.stop_time_max)
            .finish()
    }
}

/// The keys of an entry that are not about what is consumed by whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    path: Option<String>,
    batch_max: Option<usize>,
    batch_linger: Option<String>,
    attempts_max: Option<u32>,
    backoff_initial: Option<String>,
    backoff_max: Option<String>,
    retry_after_max: Option<String>,
    timeout: Option<String>,
    stop_time_max: Option<String>,
}

impl TriggerSettings {
    /// Largest [`TriggerSettings::batch_max`].
    pub const BATCH_MAX: usize = 1_000;

    /// Settings with every default.
    pub fn new(component: &str, group: &str, topics: Vec<String>) -> Self {
        Self {
            topics,
            group: group.to_owned(),
            component: component.to_owned(),
            path: "/".to_owned(),
            bearer_token: None,
            batch_max: 1,
            batch_linger: Duration::ZERO,
            attempts_max: 10,
            backoff_initial: Duration::from_millis(200),
            backoff_max: Duration::from_secs(30),
            retry_after_max: Duration::from_mins(1),
            timeout: Duration::from_secs(30),
            stop_time_max: Duration::from_secs(10),
        }
    }

    /// The settings of a `[[trigger.kafka]]` entry; `keys` are those that are not component, group and topics. Durations
    /// are written `250ms`, `30s`, `10m`. The error says which key is wrong.
    pub fn from_manifest(component: &str, group: &str, topics: Vec<String>, keys: toml::Table) -> Result<Self, String> {
        let entry: Entry = keys.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        let mut settings = Self::new(component, group, topics);
        if let Some(path) = entry.path {
            if !path.starts_with('/') || path.parse::<http::uri::PathAndQuery>().is_err() {
                return Err(format!("path: {path:?} is not a path"));
            }
            settings.path = path;
        }
        if let Some(batch_max) = entry.batch_max {
            if !(1..=Self::BATCH_MAX).contains(&batch_max) {
                return Err(format!("batch_max: must be 1 to {}", Self::BATCH_MAX));
            }
            settings.batch_max = batch_max;
        }
        if let Some(attempts_max) = entry.attempts_max {
            if attempts_max == 0 {
                return Err("attempts_max: must be at least 1".to_owned());
            }
            settings.attempts_max = attempts_max;
        }
        for (name, text, target) in [
            ("batch_linger", entry.batch_linger, &mut settings.batch_linger),
            ("backoff_initial", entry.backoff_initial, &mut settings.backoff_initial),
            ("backoff_max", entry.backoff_max, &mut settings.backoff_max),
            ("retry_after_max", entry.retry_after_max, &mut settings.retry_after_max),
            ("timeout", entry.timeout, &mut settings.timeout),
            ("stop_time_max", entry.stop_time_max, &mut settings.stop_time_max),
        ] {
            if let Some(text) = text {
                *target = duration::parse(&text).map_err(|error| format!("{name}: {error}"))?;
            }
        }
        Ok(settings)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TriggerSettings, String> {
        TriggerSettings::from_manifest("c", "g", vec!["t".to_owned()], toml::from_str(text).unwrap())
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        assert_eq!(read(""), Ok(TriggerSettings::new("c", "g", vec!["t".to_owned()])));
        let settings = read("batch_max = 64\nbackoff_max = \"5s\"\npath = \"/events\"").unwrap();
        assert_eq!((settings.batch_max, settings.backoff_max.as_secs(), settings.path.as_str()), (64, 5, "/events"));
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Some("s3cret".to_owned());
        let settings = TriggerSettings { bearer_token: token, ..TriggerSettings::new("c", "g", vec![]) };
        assert!(!format!("{settings:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, name) in [
            ("batch_max = 0", "batch_max"),
            ("batch_max = 1001", "batch_max"),
            ("attempts_max = 0", "attempts_max"),
            ("timeout = \"soon\"", "timeout"),
            ("path = \"events\"", "path"),
            ("attempts = 3", "attempts"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(name), "{text}: {error}");
        }
    }
}
