//! Coming back: each event once and in order, or a reset; at any instance, from any cut.

mod support;

use plaza_http::Upstream;
use plaza_relay::{Relay, Settings, memory::MemoryLog};
use std::{collections::HashMap, sync::Arc, time::Duration};
use support::*;

/// A small generator of numbers: a test that fails can be run again by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

const KEYS: usize = 12;

fn log() -> MemoryLog {
    MemoryLog::new(&[("room", 4), ("user", 3)])
}

/// Record `n` of a key; half of the keys are ours.
fn said(key: usize, n: usize) -> plaza_relay::Published {
    let topic = if key.is_multiple_of(3) { "user" } else { "room" };
    let partition = u32::try_from(key % if topic == "user" { 3 } else { 4 }).expect("small");
    record(topic, partition, &key.to_string(), &format!("{key}/{n}"))
}

fn ours() -> Vec<String> {
    (0..KEYS / 2).map(|key| format!("{}:{key}", if key.is_multiple_of(3) { "user" } else { "room" })).collect()
}

async fn cut_at_random(seed: u64, times: usize) {
    let app = App::new(|_| hold(&ours(), &[]));
    let log = log();
    let usual: Arc<Relay> = start(&app, &log, settings()).await;
    let upstream: Arc<dyn Upstream> = app.clone();
    let other = Arc::new(
        Relay::start(Arc::clone(&upstream), Arc::new(OtherOrder(log.clone())), settings()).await.expect("start"),
    );
    let tiny_settings = Settings { window_records_max: 7, ..settings() };
    let tiny = Arc::new(Relay::start(upstream, Arc::new(OtherOrder(log.clone())), tiny_settings).await.expect("start"));
    let relays = [usual, other, tiny];

    let (start_sender, started) = tokio::sync::oneshot::channel::<()>();
    let mut start_sender = Some(start_sender);
    let (total_sender, mut total) = tokio::sync::watch::channel(None);
    let publishing = tokio::spawn({
        let (log, mut dice) = (log.clone(), Dice(seed));
        async move {
            let mut counts = [0_usize; KEYS];
            started.await.expect("a first stream");
            while !total_sender.is_closed() && total_sender.borrow().is_none() {
                let records: Vec<_> = (0..=dice.below(6))
                    .map(|_| {
                        let key = dice.below(KEYS);
                        counts[key] += 1;
                        said(key, counts[key] - 1)
                    })
                    .collect();
                log.append(records);
                tokio::time::sleep(Duration::from_micros(dice.below(900) as u64)).await;
                if counts.iter().sum::<usize>() > times * 25 {
                    total_sender.send_replace(Some(counts[..KEYS / 2].iter().sum::<usize>()));
                }
            }
        }
    });

    let mut dice = Dice(seed ^ 0xdead_beef);
    let mut next_of: HashMap<String, usize> = HashMap::new();
    let mut received = 0;
    let mut next_cut = 0;
    let mut last_id = String::new();
    let mut cut = 0;
    'streams: loop {
        let request = if cut == 0 { get("/stream") } else { resume("/stream", &last_id) };
        let mut client = Client::open(&relays[dice.below(relays.len())], request).await;
        if let Some(start) = start_sender.take() {
            client.frame().await.expect("an id");
            last_id.clone_from(&client.last_id);
            start.send(()).expect("publishing");
        }
        cut += 1;
        next_cut += dice.below(20);
        loop {
            if let Some(all) = *total.borrow_and_update()
                && received >= all
            {
                break 'streams;
            }
            if received >= next_cut && cut < times {
                // Cut here: what the client was given and did not read is lost on the way.
                last_id.clone_from(&client.last_id);
                continue 'streams;
            }
            let event = tokio::select! {
                event = client.event() => event.expect("an event"),
                _ = total.changed() => continue,
            };
            assert_eq!(event.event, "Said", "cut {cut} of seed {seed}: {event:?}");
            let (key, n) = event.data.split_once('/').expect("key/n");
            let next = next_of.entry(key.to_owned()).or_default();
            assert_eq!(n.parse::<usize>().expect("number"), *next, "key {key}, cut {cut} of seed {seed}");
            *next += 1;
            received += 1;
        }
    }
    assert_eq!(cut, times, "seed {seed}");
    publishing.await.expect("publishing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_comes_once_and_in_order_whatever_is_cut_and_wherever_it_comes_back() {
    for seed in 1..=4 {
        cut_at_random(seed, 150).await;
    }
}

#[tokio::test]
async fn a_resume_further_back_than_the_window_reads_the_log() {
    let app = App::new(|_| hold(&ours(), &[]));
    let log = log();
    let relay = start(&app, &log, Settings { window_records_max: 5, ..settings() }).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    let id = client.frame().await.expect("an id").id.expect("an id");
    drop(client);
    // More than a catch-up may have waiting at once.
    let filler = "x".repeat(2_000);
    log.append((0..3_000).map(|n| record("room", 1, "1", &format!("{n} {filler}"))));
    let mut client = Client::open(&relay, resume("/stream", &id)).await;
    for n in 0..3_000 {
        assert!(client.data().await.starts_with(&format!("{n} ")));
    }
    log.append([record("room", 1, "1", "live")]);
    assert_eq!(client.data().await, "live");
}

#[tokio::test]
async fn what_is_no_event_is_passed_over_and_counted() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, Settings { window_records_max: 5, ..settings() }).await;
    let id = relay.position();
    let foreign = || plaza_relay::Published { event_name: String::new(), ..record("room", 0, "1", "foreign") };
    log.append((0..300).map(|_| foreign()));
    log.append((0..6).map(|n| record("room", 0, "1", &n.to_string())));
    log.append((0..300).map(|_| foreign()));
    settle(&relay).await;
    let mut client = Client::open(&relay, resume("/stream", &id)).await;
    for n in 0..6 {
        assert_eq!(client.data().await, n.to_string());
    }
}

#[tokio::test]
async fn the_id_may_come_in_the_query() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let id = relay.position();
    log.append([record("room", 0, "1", "missed")]);
    let mut client = Client::open(&relay, get(&format!("/stream?a=b&last_event_id={id}"))).await;
    assert_eq!(client.data().await, "missed");
    // An empty one is none.
    let mut client = Client::open(&relay, resume("/stream", "")).await;
    assert_eq!(client.frame().await.expect("an id").id, Some(relay.position()));
}

/// What a client sees first when it comes back with `id`.
async fn reset(relay: &Relay, log: &MemoryLog, id: &str) -> String {
    settle(relay).await;
    let mut client = Client::open(relay, resume("/stream", id)).await;
    let event = client.event().await.expect("a reset");
    assert_eq!(event.event, "reset");
    assert_eq!(event.id, Some(relay.position()));
    log.append([record("room", 0, "1", "live")]);
    assert_eq!(client.data().await, "live");
    event.data
}

#[tokio::test]
async fn what_cannot_be_resumed_is_reset_and_goes_on() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let limits = Settings { window_records_max: 10, resume_log_records_max: 50, resume_records_max: 8, ..settings() };
    let relay = start(&app, &log, limits).await;
    for id in ["?", "AQ", "not an id", "äöü", "AQAAAAEA!"] {
        assert_eq!(reset(&relay, &log, id).await, r#"{"reason":"invalid_id"}"#, "{id}");
    }
    // From a log that had got further.
    let elsewhere = MemoryLog::new(&[("room", 4), ("user", 3)]);
    elsewhere.append((0..500).map(|_| record("room", 3, "9", "{}")));
    let further = start(&app, &elsewhere, settings()).await.position();
    assert_eq!(reset(&relay, &log, &further).await, r#"{"reason":"unknown_id"}"#);
    // More in the window than a resume may have.
    settle(&relay).await;
    let id = relay.position();
    log.append((0..9).map(|_| record("room", 0, "1", "{}")));
    assert_eq!(reset(&relay, &log, &id).await, r#"{"reason":"too_many"}"#);
    // More in the log than a resume may read.
    log.append((0..70).map(|_| record("room", 1, "9", "{}")));
    assert_eq!(reset(&relay, &log, &id).await, r#"{"reason":"too_many"}"#);
    // Let go.
    settle(&relay).await;
    let id = relay.position();
    log.append((0..30).map(|_| record("room", 1, "9", "{}")));
    settle(&relay).await;
    log.truncate("room", 1, 95);
    assert_eq!(reset(&relay, &log, &id).await, r#"{"reason":"expired"}"#);
}

#[tokio::test]
async fn what_the_relay_itself_has_missed_is_not_passed_over_in_silence() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    let mut client = Client::open(&relay, get("/stream")).await;
    client.frame().await.expect("an id");
    // Without giving the relay a moment between.
    log.append((0..30).map(|_| record("room", 0, "1", "{}")));
    log.truncate("room", 0, 25);
    assert_eq!(client.event().await.expect("an end").data, r#"{"reason":"lost"}"#);
    let mut client = Client::open(&relay, resume("/stream", &client.last_id)).await;
    assert_eq!(client.event().await.expect("a reset").data, r#"{"reason":"expired"}"#);
}

#[tokio::test]
async fn nothing_that_is_sent_as_an_id_does_harm() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, settings()).await;
    log.append((0..20).map(|n| record("room", 0, "1", &n.to_string())));
    settle(&relay).await;
    let mut dice = Dice(7);
    let good = relay.position();
    for _ in 0..500 {
        let mut id = good.clone().into_bytes();
        for _ in 0..=dice.below(4) {
            let at = dice.below(id.len());
            match dice.below(3) {
                0 => id[at] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[dice.below(64)],
                1 => id.truncate(at + 1),
                _ => id.insert(at, b'A'),
            }
        }
        let id = String::from_utf8(id).expect("ASCII");
        let mut client = Client::open(&relay, resume("/stream", &id)).await;
        assert_eq!(client.status, 200);
        // A position, a reset or what was missed: each begins with an id that is one of this relay's.
        let frame = client.frame().await.expect("a frame");
        let back = frame.id.expect("an id");
        let mut again = Client::open(&relay, resume("/stream", &back)).await;
        let frame = again.frame().await.expect("a frame");
        assert_ne!(frame.event, "reset", "{id} led to {back}");
    }
}

#[tokio::test]
async fn a_duplicate_that_the_window_does_not_know_comes_once_in_a_resume() {
    let app = App::holding(&["room:1"]);
    let log = log();
    let relay = start(&app, &log, Settings { window_records_max: 3, ..settings() }).await;
    let id = relay.position();
    let twice = record("room", 0, "1", "twice");
    log.append([
        twice.clone(),
        record("room", 0, "1", "a"),
        record("room", 0, "1", "b"),
        record("room", 0, "1", "c"),
        twice,
    ]);
    let mut client = Client::open(&relay, resume("/stream", &id)).await;
    for expected in ["twice", "a", "b", "c"] {
        assert_eq!(client.data().await, expected);
    }
    log.append([record("room", 0, "1", "d")]);
    assert_eq!(client.data().await, "d");
}
