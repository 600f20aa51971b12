//! The analytics context: events come in, more than once and at once, and each counts once.

use plaza_test_stores::World;
use plaza_test_support::unique;
use serde_json::{Value, json};

use crate::{at_once, count};

/// Well-formed ids of users.
fn user(n: usize) -> String {
    format!("016f5e66-e800-7000-8000-{n:012x}")
}

/// An event at a point in time; each case has a day of its own.
fn event(kind: &str, time: &str, data: &Value) -> Value {
    let id = unique("event");
    json!({ "specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time, "data": data })
}

fn message(time: &str, sender: usize) -> Value {
    event("plaza.chat.MessageSent.v1", time, &json!({ "user_id": user(sender), "content": "hello" }))
}

async fn bring(world: &World, events: &[Value]) {
    let _ = world.bringing_to("analytics", events).answer().await.is(204);
}

/// The periods in which something was counted: when each began, and one of its counters.
async fn stats(world: &World, query: &str, metric: &str) -> Vec<(String, u64)> {
    let stats: Value = world.operator().await.get(format!("/api/stats?{query}")).answer().await.ok(200);
    let items = stats["items"].as_array().expect("a list").iter();
    let counter = |item: &Value| {
        (item["starts_at"].as_str().expect("a time").to_owned(), item[metric].as_u64().expect("a number"))
    };
    items.map(counter).filter(|(_, count)| *count > 0).collect()
}

pub(crate) async fn an_event_that_comes_at_once_counts_once_in_the_statistics(world: &World) {
    let forwards: Vec<Value> = (0..5).map(|n| message("2020-01-01T10:00:00.000Z", n)).collect();
    let backwards: Vec<Value> = forwards.iter().rev().cloned().collect();
    let answers =
        at_once([&forwards, &backwards, &forwards, &backwards].map(|events| world.bringing_to("analytics", events)))
            .await;
    assert_eq!(count(&answers, [204]), [4]);
    let twice = [forwards[0].clone(), forwards[0].clone()];
    bring(world, &twice).await;
    let query = "step=day&from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z";
    for metric in ["messages_sent", "active_users"] {
        assert_eq!(stats(world, query, metric).await, [("2020-01-01T00:00:00.000Z".to_owned(), 5)], "{metric}");
    }
}

pub(crate) async fn events_that_come_at_once_are_all_in_the_statistics(world: &World) {
    // As from ten partitions: each has all five people, and none of the others' events.
    let batches: Vec<Vec<Value>> =
        (0..6).map(|batch| (0..10).map(|n| message("2020-02-01T10:00:00.000Z", (n + batch) % 5)).collect()).collect();
    let answers = at_once(batches.iter().map(|events| world.bringing_to("analytics", events))).await;
    // Who was in the way too often is told to come again, as a trigger does.
    count(&answers, [204, 503]);
    for (events, answer) in batches.iter().zip(&answers) {
        if answer.status != 204 {
            bring(world, events).await;
        }
    }
    for step in ["hour", "day"] {
        let query = format!("step={step}&from=2020-02-01T00:00:00Z&to=2020-02-02T00:00:00Z");
        let all = |metric| stats(world, &query, metric);
        let sum = |counters: Vec<(String, u64)>| counters.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!((sum(all("messages_sent").await), sum(all("active_users").await)), (60, 5), "{step}");
    }
}

pub(crate) async fn hours_and_days_begin_in_utc(world: &World) {
    let kinds = [
        ("plaza.user.UserRegistered.v1", "registrations", json!({ "id": user(1) })),
        ("plaza.user.UserDeleted.v1", "deletions", json!({ "user_id": user(1) })),
        ("plaza.chat.MessageEdited.v1", "messages_edited", json!({})),
        ("plaza.chat.MessageDeleted.v1", "messages_deleted", json!({})),
        ("plaza.chat.ReactionChanged.v1", "reactions", json!({ "added": true })),
    ];
    let times = ["2020-03-01T23:59:59.999Z", "2020-03-02T00:00:00.000Z", "2020-03-02T09:30:00+09:00"];
    for (kind, _, data) in &kinds {
        let mut events: Vec<Value> = times.iter().map(|time| event(kind, time, data)).collect();
        events.push(event("plaza.chat.SomethingElse.v1", times[0], data));
        events.push(event("plaza.chat.ReactionChanged.v1", times[0], &json!({ "added": false })));
        bring(world, &events).await;
    }
    let range = "from=2020-03-01T00:00:00Z&to=2020-03-03T00:00:00Z";
    let at = |time: &str, count| (format!("{time}:00:00.000Z"), count);
    for (_, metric, _) in &kinds {
        let by_day = stats(world, &format!("step=day&{range}"), metric).await;
        assert_eq!(by_day, [at("2020-03-01T00", 1), at("2020-03-02T00", 2)], "{metric}");
        let by_hour = stats(world, &format!("step=hour&{range}"), metric).await;
        assert_eq!(by_hour, [at("2020-03-01T23", 1), at("2020-03-02T00", 2)], "{metric}");
    }
}

pub(crate) async fn statistics_are_for_operators(world: &World) {
    let anna = world.person("anna").await;
    anna.client.get("/api/stats").answer().await.problem(403, "operator_required");
    let operator = world.operator().await;
    let today: Value = operator.get("/api/stats").answer().await.ok(200);
    assert_eq!((today["step"].as_str(), today["items"].as_array().map(Vec::len)), (Some("day"), Some(30)));
    let today: Value = operator.get("/api/stats?step=hour").answer().await.ok(200);
    assert_eq!(today["items"].as_array().map(Vec::len), Some(24));
    for (query, field) in [
        ("step=week", "step"),
        ("from=yesterday", "from"),
        ("to=2020-01-01", "to"),
        ("from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z", "to"),
        ("step=hour&from=2020-01-01T00:00:00Z&to=2020-02-02T00:00:00Z", "from"),
        ("step=day&from=1970-01-01T00:00:00Z", "from"),
        ("to=-262143-01-01T00:00:00Z", "to"),
    ] {
        let answer = operator.get(format!("/api/stats?{query}")).answer().await;
        answer.problem(422, "validation_failed").field(field);
    }
}
