//! Presence: relays report who has streams, more than once and at once, and each change is told once.

use futures::future::join_all;
use plaza_test_stores::{EVENTS_KEY, World};
use plaza_test_support::{Answer, Call, PATIENCE, Person, eventually, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

/// A relay that the test is.
struct Relay<'a> {
    world: &'a World,
    id: String,
}

impl<'a> Relay<'a> {
    fn new(world: &'a World) -> Self {
        Self { world, id: unique("r").chars().take(36).collect() }
    }

    fn reporting(&self, seq: u64, opened: &[&Person], closed: &[&Person]) -> Call {
        let channels =
            |people: &[&Person]| people.iter().map(|person| format!("presence:{}", person.id())).collect::<Vec<_>>();
        let data = json!({ "relay_id": self.id, "seq": seq, "opened": channels(opened), "closed": channels(closed) });
        let event = json!({
            "specversion": "1.0", "id": format!("{}.{seq}", self.id), "source": "/test",
            "type": "plaza.relay.ChannelsHeld.v1", "data": data,
        });
        let client = self.world.client().with_token(EVENTS_KEY);
        client.post("/events/presence").body("application/cloudevents+json", event.to_string())
    }

    async fn reports(&self, seq: u64, opened: &[&Person], closed: &[&Person]) -> Answer {
        self.reporting(seq, opened, closed).answer().await
    }

    async fn told(&self, seq: u64, opened: &[&Person], closed: &[&Person]) {
        let answer: Value = self.reports(seq, opened, closed).await.ok(200);
        assert!(answer["again_ms"].is_u64(), "{answer}");
    }
}

async fn presences(people: &[&Person]) -> Vec<Value> {
    let ids: Vec<&str> = people.iter().map(|person| person.id()).collect();
    let answer: Value = people[0].get(format!("/api/users/presence?user_ids={}", ids.join(","))).await;
    answer["items"].as_array().expect("a list").clone()
}

async fn all_are(people: &[&Person], online: bool) -> bool {
    let presences = presences(people).await;
    presences.len() == people.len() && presences.iter().all(|presence| presence["online"] == online)
}

async fn all_become(people: &[&Person], online: bool) {
    eventually(PATIENCE, if online { "all online" } else { "all offline" }, async || {
        all_are(people, online).await.then_some(())
    })
    .await;
}

/// Nobody publishes on MariaDB: the outbox still has what was told of a user, in order.
fn told(world: &World, person: &Person, changes: &[bool]) {
    if let Some(mariadb) = world.mariadb() {
        let sql = format!(
            "SELECT JSON_VALUE(data, '$.online') FROM outbox WHERE topic = 'user.online_status' AND `key` = '{}' ORDER BY id",
            person.id()
        );
        let rows: Vec<bool> = mariadb.sql("user", &sql).iter().map(|row| row[0] == "1" || row[0] == "true").collect();
        assert_eq!(rows, changes, "{}", person.name());
    }
}

pub(crate) async fn a_report_counts_once(world: &World) {
    let (anna, ben) = world.two().await;
    let relay = Relay::new(world);
    relay.told(1, &[&anna, &ben], &[]).await;
    assert!(all_are(&[&anna, &ben], true).await);
    let first = presences(&[&anna, &ben]).await;
    // Again, late, and with somebody that there is not.
    relay.told(1, &[&anna, &ben], &[]).await;
    relay.told(2, &[&anna, &anna], &[]).await;
    relay.told(1, &[], &[&anna]).await;
    assert_eq!(presences(&[&anna, &ben]).await, first);
    // What lies between is not known, and neither is a relay that does not begin at the beginning.
    relay.reports(4, &[], &[&anna]).await.problem(410, "relay_unknown");
    Relay::new(world).reports(2, &[], &[]).await.problem(410, "relay_unknown");
    relay.told(3, &[], &[&anna, &ben]).await;
    relay.told(3, &[], &[&anna, &ben]).await;
    all_become(&[&anna, &ben], false).await;
    for person in [&anna, &ben] {
        told(world, person, &[true, false]);
    }
}

pub(crate) async fn who_is_at_several_relays_comes_and_goes_once(world: &World) {
    let people = join_all((0..12).map(|n| world.person(["anna", "ben", "cleo"][n % 3]))).await;
    let everybody: Vec<&Person> = people.iter().collect();
    let backwards: Vec<&Person> = people.iter().rev().collect();
    let relays: Vec<Relay<'_>> = (0..4).map(|_| Relay::new(world)).collect();
    let calls = relays.iter().enumerate().flat_map(|(n, relay)| {
        let people = if n % 2 == 0 { &everybody } else { &backwards };
        [relay.reporting(1, people, &[]), relay.reporting(1, people, &[])]
    });
    assert_eq!(count(&at_once(calls).await, [200]), [8]);
    assert!(all_are(&everybody, true).await);
    let since = presences(&everybody).await;
    // From one relay to another inside the grace: nobody was gone.
    let (last, others) = relays.split_last().expect("four");
    assert_eq!(count(&at_once(others.iter().map(|relay| relay.reporting(2, &[], &everybody))).await, [200]), [3]);
    assert_eq!(presences(&everybody).await, since);
    let beats = everybody.iter().map(|person| person.client.post("/api/users/me/heartbeat"));
    let leaves = [last.reporting(2, &[], &backwards)];
    assert_eq!(count(&at_once(beats.chain(leaves)).await, [200, 204]), [1, 12]);
    assert_eq!(presences(&everybody).await, since);
    all_become(&everybody, false).await;
    for person in &everybody {
        told(world, person, &[true, false]);
    }
}

pub(crate) async fn a_relay_that_reports_no_more_holds_nobody(world: &World) {
    let (anna, ben) = world.two().await;
    let (dead, other) = (Relay::new(world), Relay::new(world));
    dead.told(1, &[&anna, &ben], &[]).await;
    other.told(1, &[&ben], &[]).await;
    let mut seq = 1;
    eventually(PATIENCE, "the end of the lease", async || {
        seq += 1;
        other.told(seq, &[], &[]).await;
        all_are(&[&anna], false).await.then_some(())
    })
    .await;
    assert!(all_are(&[&ben], true).await);
    // It comes to life again, and is told to begin anew.
    dead.reports(2, &[], &[]).await.problem(410, "relay_unknown");
    Relay::new(world).told(1, &[&anna], &[]).await;
    assert!(all_are(&[&anna, &ben], true).await);
    told(world, &anna, &[true, false, true]);
    told(world, &ben, &[true]);
}

pub(crate) async fn heartbeats_at_once_are_one_coming(world: &World) {
    let anna = world.person("anna").await;
    let beats = (0..8).map(|_| anna.client.post("/api/users/me/heartbeat"));
    assert_eq!(count(&at_once(beats).await, [204]), [8]);
    assert!(all_are(&[&anna], true).await);
    all_become(&[&anna], false).await;
    told(world, &anna, &[true, false]);
}

pub(crate) async fn without_the_key_nobody_reports(world: &World) {
    let anna = world.person("anna").await;
    let report = Relay::new(world).reporting(1, &[&anna], &[]);
    report.authorization("Bearer nonsense").answer().await.unauthorized();
    assert!(all_are(&[&anna], false).await);
    let many: Vec<&Person> = (0..=1_000).map(|_| &anna).collect();
    Relay::new(world).reports(1, &many, &[]).await.problem(422, "invalid_event");
}
