//! What a component is granted, and whether it is used: a grant that nothing uses is one too many.
//!
//! `plaza_grants_used_total{component,kind,name}` stands at 0 for each grant from the start on;
//! `plaza_grants_refused_total{component,kind}` counts what was asked for without one.

use std::collections::HashMap;

use metrics::Counter;

/// Grants of one kind to one component, by name.
pub(crate) struct Grants<T> {
    granted: HashMap<String, (T, Counter)>,
    refused: Counter,
}

impl<T> Grants<T> {
    /// `kind` is the manifest's field.
    pub(crate) fn new(component: &str, kind: &'static str, granted: impl IntoIterator<Item = (String, T)>) -> Self {
        let count = |(name, value): (String, T)| {
            let used = metrics::counter!("plaza_grants_used_total",
                "component" => component.to_owned(), "kind" => kind, "name" => name.clone());
            (name, (value, used))
        };
        let refused =
            metrics::counter!("plaza_grants_refused_total", "component" => component.to_owned(), "kind" => kind);
        Self { granted: granted.into_iter().map(count).collect(), refused }
    }

    /// What the component asks for, if it was granted.
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        let found = self.granted.get(name);
        found.map_or(&self.refused, |(_, used)| used).increment(1);
        found.map(|(value, _)| value)
    }

    /// The first grant that holds of what the component asks for.
    pub(crate) fn any(&self, holds: impl Fn(&T) -> bool) -> bool {
        let found = self.granted.values().find(|(value, _)| holds(value));
        found.map_or(&self.refused, |(_, used)| used).increment(1);
        found.is_some()
    }
}
