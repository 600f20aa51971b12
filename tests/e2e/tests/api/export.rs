//! Everything that Plaza keeps of somebody, for them to take away.

use plaza_test_support::{PATIENCE, Page, Person, World, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn page(person: &Person, limit: usize, cursor: Option<&str>) -> Page<Value> {
    let limit = limit.to_string();
    let mut query = vec![("limit", limit.as_str())];
    query.extend(cursor.map(|cursor| ("cursor", cursor)));
    person.client.get("/api/profile/me/export").query(&query).answer().await.ok(200)
}

/// The whole of it, and how many pages that were.
async fn export(person: &Person, limit: usize) -> (Vec<Value>, usize) {
    let (mut entries, mut cursor) = (Vec::new(), None);
    for pages in 1..1_000 {
        let page = page(person, limit, cursor.as_deref()).await;
        assert!(page.items.len() <= limit, "{page:?}");
        entries.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return (entries, pages);
        }
    }
    panic!("it has no end");
}

fn of_kind<'a>(entries: &'a [Value], kind: &str) -> Vec<&'a Value> {
    entries.iter().filter(|entry| entry["kind"] == kind).map(|entry| &entry["data"]).collect()
}

#[tokio::test]
async fn everything_that_is_kept_of_somebody_is_there_once() {
    let world = World::shared();
    let (anna, ben, cem) = tokio::join!(world.person("anna"), world.person("ben"), world.person("cem"));
    anna.befriend(&ben).await;
    let _ = anna.client.post("/api/friends/blocks").json(&json!({ "user_id": cem.id() })).answer().await.is(201);
    // Hidden by the block: Anna must not learn of it here, either.
    let _ = cem.request(&anna).await.is(201);
    let room = anna.direct_room(&ben).await;
    let group = anna.group("산책", &[&ben]).await;
    for n in 0..7 {
        anna.say(&room, &format!("mine {n}")).await;
        ben.say(&room, &format!("his {n}")).await;
    }
    let said = anna.say(&group, "before").await;
    let path = format!("/api/messages/{}/{}", group.id, said.id);
    let _ = anna.client.patch(path).json(&json!({ "content": "after" })).answer().await.is(200);
    // What was said stays one's own where one no longer is.
    let leaving = format!("/api/chat-rooms/{}/participants/{}", group.id, anna.id());
    let _ = anna.client.delete(leaving).answer().await.is(204);
    eventually(PATIENCE, "a notification of each of his messages and the welcome", async || {
        let notified: Page<Value> = anna.get("/api/notifications?limit=100").await;
        (notified.items.len() >= 8).then_some(())
    })
    .await;
    let wanted = json!({ "kinds": {}, "muted_rooms": [{ "room_id": room.id, "muted_until": null }] });
    let _ = anna.client.put("/api/notifications/preferences").json(&wanted).answer().await.is(200);

    let (entries, _) = export(&anna, 100).await;
    assert_eq!(of_kind(&entries, "profile")[0]["email"], anna.credentials.email.to_lowercase());
    assert_eq!(of_kind(&entries, "presence")[0]["user_id"], anna.id());
    assert_eq!(of_kind(&entries, "session")[0]["current"], true);
    assert_eq!(of_kind(&entries, "friend")[0]["user_id"], ben.id());
    assert_eq!(of_kind(&entries, "block")[0]["user_id"], cem.id());
    assert_eq!(of_kind(&entries, "friend_request").len(), 1, "the one to Ben");
    assert_eq!(of_kind(&entries, "room").len(), 1, "the one that she is still in");
    let messages = of_kind(&entries, "message");
    assert_eq!(messages.len(), 8, "hers alone: {messages:#?}");
    assert!(messages.iter().all(|message| message["user_id"] == anna.id()));
    let edited = messages.iter().find(|message| message["id"] == said.id).expect("the one in the group");
    assert_eq!((&edited["content"], &edited["edits"][0]["content"]), (&json!("after"), &json!("before")));
    assert_eq!(of_kind(&entries, "notification_preferences")[0]["muted_rooms"][0]["room_id"], room.id);
    assert!(of_kind(&entries, "notification").len() >= 8);
    let text = entries.iter().map(Value::to_string).collect::<String>();
    for secret in [ben.credentials.email.as_str(), &cem.credentials.email, "password", "hash"] {
        assert!(!text.contains(secret), "{secret} is nobody's business");
    }

    for limit in [1, 3, 8] {
        let (same, pages) = export(&anna, limit).await;
        let ids = |entries: &[Value]| entries.iter().map(Value::to_string).collect::<BTreeSet<_>>();
        assert_eq!(same.len(), entries.len(), "{limit} at a time, in {pages} pages");
        assert_eq!(ids(&same), ids(&entries), "{limit} at a time");
    }
}

#[tokio::test]
async fn a_cursor_that_was_made_up_is_refused() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));
    // A cursor names a place, not a person: Ben's leads Anna to the same place in what is kept of her.
    let cursor = page(&ben, 1, None).await.next_cursor.expect("there is more");
    let entry = page(&anna, 1, Some(&cursor)).await.items.remove(0);
    assert_eq!(entry["data"]["user_id"].as_str().unwrap_or(anna.id()), anna.id(), "{entry}");
    // `0 `, `1 x`, `2 0 1 2`, `9 `, `-1 `, and no base64.
    for cursor in ["MCB4", "MSB4", "MiAwIDEgMg", "OSA", "LTEg", "!", "AAAA"] {
        let call = anna.client.get("/api/profile/me/export").query(&[("cursor", cursor)]);
        let answer = call.answer().await;
        answer.problem(400, "invalid_cursor");
    }
}
