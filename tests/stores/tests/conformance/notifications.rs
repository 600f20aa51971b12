//! The notification context: events come in, more than once and at once, and each has its effect once.

use plaza_test_stores::World;
use plaza_test_support::{Notification, Page, Person, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

/// A well-formed id of a user and of a friend request that nobody has.
const SOMEBODY: &str = "016f5e66-e800-7000-8000-000000000001";

/// An event by which `person` is told of a friend request.
fn event(id: &str, person: &Person) -> Value {
    let data = json!({
        "id": SOMEBODY, "requester_id": SOMEBODY, "addressee_id": person.id(), "status": "pending",
        "created_at": "2026-01-31T09:30:00.000Z",
    });
    json!({ "specversion": "1.0", "id": id, "source": "/test", "type": "plaza.friend.FriendRequestSent.v1", "data": data })
}

async fn told(person: &Person) -> Vec<Notification> {
    person.all("/api/notifications?unread=false").await
}

pub(crate) async fn an_event_that_comes_at_once_counts_once(world: &World) {
    for _ in 0..5 {
        let (anna, ben) = world.two().await;
        let ids: Vec<String> = (0..4).map(|_| unique("event")).collect();
        let forwards: Vec<Value> = ids.iter().map(|id| event(id, &anna)).collect();
        let backwards: Vec<Value> = forwards.iter().rev().cloned().chain([event(&unique("event"), &ben)]).collect();
        let answers =
            at_once([&forwards, &backwards, &forwards, &backwards].map(|events| world.bringing(events))).await;
        assert_eq!(count(&answers, [204]), [4]);
        assert_eq!((told(&anna).await.len(), told(&ben).await.len()), (4, 1));
    }
    let anna = world.person("anna").await;
    let id = unique("event");
    let twice = [event(&id, &anna), event(&id, &anna)];
    let _ = world.bringing(&twice).answer().await.is(204);
    assert_eq!(told(&anna).await.len(), 1);
}

pub(crate) async fn events_are_told_apart_to_the_byte(world: &World) {
    let anna = world.person("anna").await;
    let id = unique("Event");
    let ids = [
        id.clone(),
        id.to_lowercase(),
        format!("{id} "),
        format!("{id}é"),
        format!("{id}e\u{301}"),
        format!("{id}🌱"),
        format!("{id:.<255}"),
    ];
    for _ in 0..2 {
        for id in &ids {
            let _ = world.bringing(&[event(id, &anna)]).answer().await.is(204);
        }
    }
    assert_eq!(told(&anna).await.len(), ids.len());
    for bad in [String::new(), format!("{id:.<256}")] {
        world.bringing(&[event(&bad, &anna)]).answer().await.problem(400, "malformed_event");
    }
}

pub(crate) async fn notifications_come_in_pages(world: &World) {
    let anna = world.person("anna").await;
    // More than are inserted at once, and no power of two.
    let events: Vec<Value> = (0..77).map(|_| event(&unique("event"), &anna)).collect();
    let _ = world.bringing(&events).answer().await.is(204);
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Notification> = anna.get(format!("/api/notifications?unread=true&limit=10{cursor}")).await;
        assert!(page.items.iter().all(|notification| notification.read_at.is_none()));
        found.extend(page.items.into_iter().map(|notification| notification.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found.len(), 77);
    assert!(found.is_sorted_by(|one, next| one > next), "the newest first, each once");
}

pub(crate) async fn without_the_key_no_event_is_taken(world: &World) {
    let anna = world.person("anna").await;
    let events = Value::from(vec![event(&unique("event"), &anna)]).to_string();
    let bring = |client: &plaza_test_support::Client| {
        client.post("/events/notification").body("application/cloudevents-batch+json", events.clone())
    };
    bring(world.client()).answer().await.unauthorized();
    bring(&anna.client).answer().await.unauthorized();
    bring(&world.client().with_token(&plaza_test_stores::EVENTS_KEY[1..])).answer().await.unauthorized();
    assert!(told(&anna).await.is_empty());
}
