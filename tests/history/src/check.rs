use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Anomaly, Events, Observer, Outcome, Place, Seen};

impl Events {
    pub(crate) fn anomalies(&self, observers: &[(&str, Observer)], effects: &[&str]) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for (observer, kind) in observers {
            let seen = self.seen.get(*observer).map_or(&[][..], Vec::as_slice);
            anomalies.extend(self.unseen(observer).map(|id| Anomaly::Lost { id, observer: (*observer).to_owned() }));
            self.strange(observer, seen, &mut anomalies);
            self.reordered(observer, seen, &mut anomalies);
            if *kind == Observer::Exact {
                self.not_exact(observer, seen, &mut anomalies);
            }
        }
        self.inconsistent(&mut anomalies);
        for effect in effects {
            let effect = (*effect).to_owned();
            anomalies.extend(self.without_effect(&effect).map(|id| Anomaly::NoEffect { id, effect: effect.clone() }));
        }
        for ((id, effect), times) in &self.effects {
            if *times > 1 {
                anomalies.push(Anomaly::EffectTwice { id: id.clone(), effect: effect.clone(), times: *times });
            }
        }
        anomalies.sort();
        anomalies
    }

    fn acknowledged(&self) -> impl Iterator<Item = &String> {
        self.sent.iter().filter(|(_, sent)| sent.outcome == Outcome::Acknowledged).map(|(id, _)| id)
    }

    pub(crate) fn unseen(&self, observer: &str) -> impl Iterator<Item = String> {
        let seen: HashSet<&str> = self.seen.get(observer).into_iter().flatten().map(|seen| seen.id.as_str()).collect();
        self.acknowledged().filter(move |id| !seen.contains(id.as_str())).cloned()
    }

    pub(crate) fn without_effect(&self, effect: &str) -> impl Iterator<Item = String> {
        self.acknowledged().filter(move |id| !self.effects.contains_key(&((*id).clone(), effect.to_owned()))).cloned()
    }

    /// What should not be there at all, or not so.
    fn strange(&self, observer: &str, seen: &[Seen], anomalies: &mut Vec<Anomaly>) {
        let mut known = HashSet::new();
        for Seen { id, key, .. } in seen {
            if !known.insert(id) {
                continue;
            }
            let (id, observer) = (id.clone(), observer.to_owned());
            match self.sent.get(&id) {
                None => anomalies.push(Anomaly::FromNowhere { id, observer }),
                Some(sent) if sent.outcome == Outcome::Failed => anomalies.push(Anomaly::Undead { id, observer }),
                Some(sent) if sent.key != *key => anomalies.push(Anomaly::OtherKey { id, observer }),
                Some(_) => {}
            }
        }
    }

    /// Pairs of one producer and key that were first seen in another order than they were sent. Neighbours are enough: if
    /// any two are out of order, two neighbours among those that were seen are.
    fn reordered(&self, observer: &str, seen: &[Seen], anomalies: &mut Vec<Anomaly>) {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (index, Seen { id, .. }) in seen.iter().enumerate() {
            first.entry(id).or_insert(index);
        }
        for ((_, key), ids) in &self.order {
            let there: Vec<_> = ids.iter().filter_map(|id| first.get(id.as_str()).map(|index| (id, index))).collect();
            for pair in there.windows(2) {
                let [(earlier, at), (later, later_at)] = pair else { continue };
                if at > later_at {
                    anomalies.push(Anomaly::Reordered {
                        key: key.clone(),
                        earlier: (*earlier).clone(),
                        later: (*later).clone(),
                        observer: observer.to_owned(),
                    });
                }
            }
        }
    }

    /// What an exact observer may not do. One that knows no places may see an event once only.
    fn not_exact(&self, observer: &str, seen: &[Seen], anomalies: &mut Vec<Anomaly>) {
        let mut last: HashMap<(&str, u32), u64> = HashMap::new();
        let (mut places, mut ids) = (HashSet::new(), HashSet::new());
        for Seen { id, place, .. } in seen {
            let observer = observer.to_owned();
            let Some(place) = place else {
                if !ids.insert(id) {
                    anomalies.push(Anomaly::SeenTwice { id: id.clone(), observer });
                }
                continue;
            };
            if !places.insert(place) {
                anomalies.push(Anomaly::SeenTwice { id: id.clone(), observer });
                continue;
            }
            let last = last.entry((place.topic.as_str(), place.partition)).or_insert(place.offset);
            if place.offset < *last {
                anomalies.push(Anomaly::WentBack { place: place.clone(), observer });
            } else {
                *last = place.offset;
            }
        }
        // What anybody saw between this observer's first and last offset of a partition, it must have seen, too.
        let mut range: HashMap<(&str, u32), (u64, u64)> = HashMap::new();
        for place in &places {
            let (from, to) = range.entry((&place.topic, place.partition)).or_insert((place.offset, place.offset));
            (*from, *to) = (place.offset.min(*from), place.offset.max(*to));
        }
        let all: HashSet<&Place> = self.seen.values().flatten().filter_map(|seen| seen.place.as_ref()).collect();
        for place in all {
            let inside = |(from, to): &(u64, u64)| (*from..=*to).contains(&place.offset);
            if !places.contains(place) && range.get(&(place.topic.as_str(), place.partition)).is_some_and(inside) {
                anomalies.push(Anomaly::PassedOver { place: place.clone(), observer: observer.to_owned() });
            }
        }
    }

    /// A place holds one event, whoever looks and whenever.
    fn inconsistent(&self, anomalies: &mut Vec<Anomaly>) {
        let mut at: BTreeMap<&Place, &str> = BTreeMap::new();
        let mut told = HashSet::new();
        for Seen { id, place, .. } in self.seen.values().flatten() {
            let Some(place) = place else { continue };
            let first = *at.entry(place).or_insert(id);
            if first != id && told.insert(place) {
                let mut ids = [first.to_owned(), id.clone()];
                ids.sort();
                anomalies.push(Anomaly::Inconsistent { place: place.clone(), ids });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Anomaly, History, Observer, Place};

    fn place(partition: u32, offset: u64) -> Place {
        Place { topic: "t".to_owned(), partition, offset }
    }

    /// Events `a1 a2 a3` of key `a` and `b1` of key `b`, all acknowledged.
    fn sent() -> History {
        let history = History::new();
        for (key, id) in [("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")] {
            history.send("p", key, id);
            history.acknowledged(id);
        }
        history
    }

    fn see(history: &History, observer: &str, list: &[(&str, u64)]) {
        for (id, offset) in list {
            history.seen(observer, &id[..1], id, Some(place(u32::from(id.starts_with('b')), *offset)));
        }
    }

    const ALL: [(&str, u64); 4] = [("a1", 0), ("b1", 0), ("a2", 1), ("a3", 2)];

    fn judged(history: &History) -> Vec<Anomaly> {
        history.anomalies(&[("o", Observer::Exact)], &[])
    }

    #[test]
    fn a_good_history_is_sound() {
        let history = sent();
        see(&history, "o", &ALL);
        history.effect("e", "a1");
        assert_eq!(judged(&history), []);
        history.assert_sound(&[("o", Observer::Exact)], &[]);
        assert_eq!(history.missing("o"), 0);
        assert_eq!(history.without_effect("e"), 3);
        assert_eq!(history.count().to_string(), "4 acknowledged, 0 failed, 0 unknown; seen 4, effects 1");
    }

    #[test]
    fn what_was_published_twice_counts_where_it_first_stands() {
        let history = sent();
        see(&history, "o", &[("a1", 0), ("a2", 1), ("a1", 2), ("a2", 3), ("a3", 4), ("b1", 0)]);
        assert_eq!(judged(&history), []);
    }

    #[test]
    #[should_panic(expected = "proves nothing")]
    fn an_empty_history_is_not_sound() {
        History::new().assert_sound(&[], &[]);
    }

    #[test]
    #[should_panic(expected = "Lost")]
    fn a_lost_event_is_found() {
        let history = sent();
        see(&history, "o", &ALL[..3]);
        assert_eq!(history.missing("o"), 1);
        assert_eq!(judged(&history), [Anomaly::Lost { id: "a3".to_owned(), observer: "o".to_owned() }]);
        history.assert_sound(&[("o", Observer::Exact)], &[]);
    }

    #[test]
    fn what_is_unknown_may_be_there_or_not() {
        let history = sent();
        see(&history, "o", &ALL);
        history.send("p", "a", "a4");
        assert_eq!(judged(&history), []);
        see(&history, "o", &[("a4", 3)]);
        assert_eq!(judged(&history), []);
        history.failed("a4");
        assert_eq!(judged(&history), [Anomaly::Undead { id: "a4".to_owned(), observer: "o".to_owned() }]);
    }

    #[test]
    fn a_changed_order_is_found_even_across_a_gap() {
        for order in [["a2", "a1", "a3"], ["a1", "a3", "a2"], ["a3", "a1", "a2"], ["a3", "a2", "a1"]] {
            let history = sent();
            let list: Vec<_> = order.iter().zip(0..).map(|(id, offset)| (*id, offset)).collect();
            see(&history, "o", &list);
            see(&history, "o", &[("b1", 0)]);
            let anomalies = history.anomalies(&[("o", Observer::Repeating)], &[]);
            assert!(anomalies.iter().any(|anomaly| matches!(anomaly, Anomaly::Reordered { .. })), "{order:?}");
        }
        // The one in between was never seen, and was not acknowledged either.
        let history = History::new();
        for id in ["a1", "a2", "a3"] {
            history.send("p", "a", id);
        }
        see(&history, "o", &[("a3", 0), ("a1", 1)]);
        assert_eq!(judged(&history).len(), 1);
    }

    #[test]
    fn two_producers_have_no_order_between_them() {
        let history = History::new();
        history.send("p", "a", "a1");
        history.send("q", "a", "a2");
        see(&history, "o", &[("a2", 0), ("a1", 1)]);
        assert_eq!(judged(&history), []);
    }

    #[test]
    fn what_nobody_sent_and_a_wrong_key_are_found() {
        let history = sent();
        see(&history, "o", &ALL);
        see(&history, "o", &[("ax", 3)]);
        assert_eq!(judged(&history), [Anomaly::FromNowhere { id: "ax".to_owned(), observer: "o".to_owned() }]);
        let history = sent();
        history.seen("r", "b", "a1", None);
        let anomalies = history.anomalies(&[("r", Observer::Repeating)], &[]);
        assert!(anomalies.contains(&Anomaly::OtherKey { id: "a1".to_owned(), observer: "r".to_owned() }));
    }

    #[test]
    fn a_place_with_two_events_is_found() {
        let history = sent();
        see(&history, "o", &ALL);
        see(&history, "other", &[("a2", 0)]);
        let ids = ["a1".to_owned(), "a2".to_owned()];
        assert_eq!(judged(&history), [Anomaly::Inconsistent { place: place(0, 0), ids }]);
    }

    #[test]
    fn an_exact_observer_may_not_go_back_repeat_or_pass_over() {
        let exact = |list: &[(&str, u64)]| {
            let history = sent();
            see(&history, "all", &[("a1", 0), ("a1", 1), ("a2", 2), ("a3", 3), ("b1", 0)]);
            see(&history, "o", list);
            judged(&history)
        };
        let (observer, id) = ("o".to_owned(), "b1".to_owned());
        assert_eq!(exact(&[("a1", 0), ("a1", 1), ("a2", 2), ("a3", 3), ("b1", 0)]), []);
        // Who comes later does not see what was before.
        assert_eq!(exact(&[("a1", 1), ("a2", 2), ("a3", 3), ("b1", 0)]), []);
        assert_eq!(
            exact(&[("a1", 0), ("a2", 2), ("a3", 3), ("b1", 0)]),
            [Anomaly::PassedOver { place: place(0, 1), observer: observer.clone() }]
        );
        assert_eq!(
            exact(&[("a1", 1), ("a1", 0), ("a2", 2), ("a3", 3), ("b1", 0)]),
            [Anomaly::WentBack { place: place(0, 0), observer: observer.clone() }]
        );
        assert_eq!(
            exact(&[("a1", 0), ("a1", 1), ("a2", 2), ("a3", 3), ("b1", 0), ("b1", 0)]),
            [Anomaly::SeenTwice { id, observer }]
        );
        // A stream knows no places; it shows each event once.
        let history = sent();
        for id in ["a1", "a2", "a2", "a3", "b1"] {
            history.seen("o", &id[..1], id, None);
        }
        assert_eq!(judged(&history), [Anomaly::SeenTwice { id: "a2".to_owned(), observer: "o".to_owned() }]);
    }

    #[test]
    fn effects_come_once_and_come() {
        let history = sent();
        see(&history, "o", &ALL);
        for id in ["a1", "a2", "a2", "b1"] {
            history.effect("e", id);
        }
        assert_eq!(
            history.anomalies(&[], &["e"]),
            [
                Anomaly::EffectTwice { id: "a2".to_owned(), effect: "e".to_owned(), times: 2 },
                Anomaly::NoEffect { id: "a3".to_owned(), effect: "e".to_owned() },
            ]
        );
    }
}
