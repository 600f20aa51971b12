//! The search, and its index.

use plaza_test_stores::World;
use plaza_test_support::{Message, Page, Person, unique};
use serde_json::{Value, json};

use crate::{at_once, count};

fn event(kind: &str, message: &Message) -> Value {
    let data = json!({ "room_id": message.room_id, "seq": message.seq });
    let kind = format!("plaza.chat.{kind}.v1");
    json!({ "specversion": "1.0", "id": unique("event"), "source": "/test", "type": kind, "data": data })
}

/// Has messages looked at by the index: where nobody publishes, nobody else does; and where somebody does, it is no harm.
async fn index(world: &World, messages: &[&Message]) {
    let events: Vec<Value> = messages.iter().map(|message| event("MessageSent", message)).collect();
    for events in events.chunks(100) {
        let _ = world.bringing_to("chat-index", events).answer().await.is(204);
    }
}

async fn page(person: &Person, q: &str, more: &[(&str, &str)]) -> Page<Message> {
    let query: Vec<(&str, &str)> = [("q", q)].into_iter().chain(more.iter().copied()).collect();
    person.client.get("/api/messages/search").query(&query).answer().await.ok(200)
}

async fn found(person: &Person, q: &str) -> Vec<String> {
    page(person, q, &[]).await.items.into_iter().filter_map(|message| message.content).collect()
}

pub(crate) async fn words_of_every_script_are_found(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    let mark = unique("Mark").replace('_', "x");
    let contents = [
        format!("{mark} 우리는 내일 대한민국에서 만나요"),
        format!("{mark} 来週は東京都へ行きます"),
        format!("{mark} Größe 100% under_score back\\slash o'clock"),
        format!("{mark} {}", "가".repeat(3_900)),
    ];
    let mut messages = Vec::new();
    for content in &contents {
        messages.push(anna.say(&room, content).await);
    }
    index(world, &messages.iter().collect::<Vec<_>>()).await;
    for (q, which) in [
        ("한민", Some(0)),
        ("민국에서", Some(0)),
        ("요", Some(0)),
        ("만나 대한", Some(0)),
        ("京都", Some(1)),
        ("GRÖSSE", None),
        ("größe", Some(2)),
        ("100", Some(2)),
        ("score", Some(2)),
        ("o'clock", Some(2)),
        ("back\\slash", Some(2)),
        ("underXscore", None),
        ("한국", None),
        ("clock' OR '1'='1", None),
        ("가가가가가가가가가가가가가가가가가가가가", Some(3)),
    ] {
        // With a word that only this test has, so that others' messages do not matter.
        let expected: Vec<String> = which.map(|at: usize| contents[at].clone()).into_iter().collect();
        assert_eq!(found(&ben, &format!("{mark} {q}")).await, expected, "{q}");
        assert_eq!(found(&ben, q).await, expected, "{q}");
    }
    assert_eq!(found(&anna, &mark.to_uppercase()).await.len(), 4);
    // Signs that mean something to SQL mean nothing here.
    for q in ["%", "_", "'", "\\", "a", "", "👍"] {
        let answer = anna.client.get("/api/messages/search").query(&[("q", q)]).answer().await;
        answer.problem(422, "validation_failed").field("q");
    }
}

pub(crate) async fn only_what_is_said_now_is_found(world: &World) {
    let (anna, ben) = world.two().await;
    let room = anna.direct_room(&ben).await;
    let (old, new) = (unique("old").replace('_', "x"), unique("new").replace('_', "x"));
    let message = anna.say(&room, &old).await;
    index(world, &[&message]).await;
    assert_eq!(found(&ben, &old).await.len(), 1);
    let path = format!("/api/messages/{}/{}", room.id, message.id);
    let edit = anna.client.patch(path.clone()).json(&json!({ "content": new }));
    let _: Message = edit.answer().await.ok(200);
    assert!(found(&ben, &old).await.is_empty(), "before the index knows");
    let events = [event("MessageEdited", &message), event("MessageSent", &message)];
    // However often, and in whatever order.
    let answers = at_once([(); 4].map(|()| world.bringing_to("chat-index", &events))).await;
    assert_eq!(count(&answers, [204]), [4]);
    assert_eq!((found(&ben, &old).await.len(), found(&ben, &new).await.len()), (0, 1));
    let _ = anna.client.delete(path).answer().await.is(204);
    assert!(found(&ben, &new).await.is_empty(), "before the index knows");
    index(world, &[&message]).await;
    assert!(found(&ben, &new).await.is_empty());
    if let Some(mariadb) = world.mariadb() {
        let sql = format!("SELECT COUNT(*) FROM message_terms WHERE room_id = '{}'", room.id);
        assert_eq!(mariadb.sql("chat", &sql)[0][0], "0", "nothing of it is left");
    }
}

pub(crate) async fn a_search_pages_through_own_rooms_and_no_others(world: &World) {
    let (anna, ben) = world.two().await;
    let cleo = world.person("cleo").await;
    let rooms = [anna.direct_room(&ben).await, anna.group("one", &[&ben]).await, anna.group("two", &[&ben]).await];
    let secret = anna.direct_room(&cleo).await;
    let looked_for = unique("word").replace('_', "x");
    let mut messages = Vec::new();
    for n in 0..23 {
        messages.push(anna.say(&rooms[n % 3], &format!("{looked_for} {n}")).await);
    }
    let hidden = anna.say(&secret, &looked_for).await;
    index(world, &messages.iter().chain([&hidden]).collect::<Vec<_>>()).await;
    let newest_first: Vec<&str> = messages.iter().rev().map(|message| message.id.as_str()).collect();
    for limit in ["1", "5", "23", "100"] {
        let mut ids = Vec::new();
        let mut cursor = String::new();
        loop {
            let mut more = vec![("limit", limit)];
            if !cursor.is_empty() {
                more.push(("cursor", &cursor));
            }
            let page = page(&ben, &looked_for, &more).await;
            assert!(page.items.len() <= limit.parse().expect("a number"));
            ids.extend(page.items.into_iter().map(|message| message.id));
            let Some(next) = page.next_cursor else { break };
            cursor = next;
        }
        assert_eq!(ids, newest_first, "in pages of {limit}");
    }
    let in_one = page(&ben, &looked_for, &[("room_id", &rooms[1].id)]).await;
    assert_eq!(in_one.items.len(), 8);
    assert!(in_one.items.iter().all(|message| message.room_id == rooms[1].id));
    assert!(
        page(&ben, &looked_for, &[("room_id", &secret.id)]).await.items.is_empty(),
        "another's room has nothing to find"
    );
    assert_eq!(found(&cleo, &looked_for).await.len(), 1);
    // Whoever has left finds nothing any more.
    let leave = ben.client.delete(format!("/api/chat-rooms/{}/participants/{}", rooms[1].id, ben.id()));
    let _ = leave.answer().await.is(204);
    assert_eq!(found(&ben, &looked_for).await.len(), 15);
}

pub(crate) async fn a_deleted_group_is_emptied(world: &World) {
    let (anna, ben) = world.two().await;
    let (room, other) = (anna.group("gone", &[&ben]).await, anna.group("still there", &[&ben]).await);
    let mut messages: Vec<Message> = Vec::new();
    for n in 0..300 {
        messages.push(
            anna.sending(&room.id, &format!("words {n}"), Some(&format!("{}{n}", room.id))).answer().await.ok(201),
        );
    }
    let left = anna.say(&other, "words").await;
    let edit = json!({ "content": "other words" });
    let first = format!("/api/messages/{}/{}", room.id, messages[0].id);
    let _ = anna.client.patch(first).json(&edit).answer().await.is(200);
    index(world, &messages.iter().collect::<Vec<_>>()).await;
    index(world, &[&left]).await;
    // Only what is gone is emptied, whatever an event says.
    let gone = |room: &str| {
        let data = json!({ "id": room, "deleted_at": "2026-01-31T09:30:00.000Z" });
        json!({ "specversion": "1.0", "id": unique("event"), "source": "/test", "type": "plaza.chat.ChatRoomDeleted.v1", "data": data })
    };
    let tell = async |rooms: &[&str]| {
        let events: Vec<Value> = rooms.iter().map(|room| gone(room)).collect();
        let _ = world.bringing_to("chat-index", &events).answer().await.is(204);
    };
    tell(&[&room.id]).await;
    assert_eq!(anna.all_messages(&room.id).await[1..], messages[1..]);
    let _ = anna.client.delete(format!("/api/chat-rooms/{}", room.id)).answer().await.is(204);
    for _ in 0..2 {
        tell(&[&room.id, &other.id]).await;
    }
    assert_eq!(ben.messages(&other.id, "").await.items, [left]);
    // A name that was used there stays used.
    let again = anna.sending(&other.id, "x", Some(&format!("{}7", room.id)));
    again.answer().await.problem(409, "client_message_id_used");
    if let Some(mariadb) = world.mariadb() {
        let sql = format!(
            "SELECT (SELECT COUNT(*) FROM messages WHERE room_id = '{id}' AND content IS NOT NULL),
                 (SELECT COUNT(*) FROM messages WHERE room_id = '{id}' AND deleted_at IS NOT NULL),
                 (SELECT COUNT(*) FROM message_terms WHERE room_id = '{id}'),
                 (SELECT COUNT(*) FROM message_edits WHERE message_id = '{first}')",
            id = room.id,
            first = messages[0].id,
        );
        assert_eq!(mariadb.sql("chat", &sql)[0], ["0", "300", "0", "0"]);
    }
}
