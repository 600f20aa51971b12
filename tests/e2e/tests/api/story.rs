//! The story that the demo tells: two people meet, become friends and talk.

use plaza_e2e::check;
use plaza_test_support::{FriendRequest, Message, Notification, PATIENCE, Page, Room, Stream, World, eventually};
use serde_json::{Value, json};

#[tokio::test]
async fn two_people_meet_and_talk() {
    let world = World::shared();
    let (anna, ben) = tokio::join!(world.person("anna"), world.person("ben"));

    // Ben listens, as a browser would: with a ticket, since EventSource cannot set a header.
    let ticket = ben.ticket().await;
    let call = world.client().get(format!("/api/stream?ticket={}", ticket.ticket));
    let mut stream = Stream::open(call, None).await.unwrap_or_else(|refused| panic!("{refused}"));

    // Anna finds Ben and asks; Ben's stream tells him, and his notifications do.
    let found: Page<Value> = anna.get(format!("/api/users/search?q={}", ben.name())).await;
    assert!(found.items.iter().any(|user| user["id"] == ben.id()), "{found:?}");
    let request: FriendRequest = anna.request(&ben).await.ok(201);
    let event = stream.find("the friend request", PATIENCE, |event| event.event == "FriendRequestSent").await;
    assert_eq!(event.json()["id"], request.id.as_str());

    let incoming: Page<FriendRequest> = ben.get("/api/friends/requests?direction=incoming").await;
    assert_eq!(incoming.items, std::slice::from_ref(&request));
    let path = format!("/api/friends/requests/{}/accept", request.id);
    let accepted: FriendRequest = ben.client.post(path).answer().await.ok(200);
    assert_eq!((&accepted.id, accepted.status.as_str()), (&request.id, "accepted"));
    for (one, other) in [(&anna, &ben), (&ben, &anna)] {
        let friends: Page<Value> = one.get("/api/friends").await;
        assert_eq!(friends.items.len(), 1, "{friends:?}");
        assert_eq!(friends.items[0]["id"], other.id());
    }

    // They open a room. Ben's open stream learns of it without being opened again.
    let room = anna.direct_room(&ben).await;
    let event = stream.find("the room", PATIENCE, |event| event.event == "ChatRoomCreated").await;
    assert_eq!(event.json()["id"], room.id.as_str());

    // Anna talks; Ben reads it on his stream, in order, and finds it in the room and among his notifications.
    let mut said: Vec<Message> = Vec::new();
    for line in ["안녕하세요!", "Shall we meet at the plaza?", "🌱"] {
        said.push(anna.say(&room, line).await);
    }
    for message in &said {
        let event = stream.find("a message", PATIENCE, |event| event.event == "MessageSent").await;
        assert_eq!(serde_json::from_value::<Message>(event.json()).ok().as_ref(), Some(message), "{event:?}");
        assert!(!event.id.is_empty(), "a client cannot resume after {event:?}");
    }
    assert_eq!(ben.messages(&room.id, "").await.items, said);
    let reply = json!({ "content": "See you there.", "reply_to": said[1].id });
    let reply: Message = ben.client.post(format!("/api/messages/{}", room.id)).json(&reply).answer().await.ok(201);
    assert_eq!((reply.seq, reply.reply_to.as_ref()), (4, Some(&said[1].id)));

    let rooms: Page<Room> = anna.get("/api/chat-rooms").await;
    assert_eq!(rooms.items.len(), 1);
    assert_eq!(rooms.items[0].last_message.as_ref(), Some(&reply));

    // He has answered the messages, and so has read them.
    let what = "Ben's notifications of the request and, read, of three messages";
    let notifications = eventually(PATIENCE, what, async || {
        let mut page: Page<Notification> = ben.get("/api/notifications").await;
        // The welcome comes when it comes.
        page.items.retain(|notification| notification.kind != "welcome");
        let read = page.items.iter().filter(|notification| notification.read_at.is_some()).count();
        (page.items.len() >= 4 && read >= 3).then_some(page.items)
    })
    .await;
    let kinds: Vec<&str> = notifications.iter().map(|notification| notification.kind.as_str()).collect();
    assert_eq!(kinds, ["message", "message", "message", "friend_request"], "newest first");
    check::notified_once(&notifications, &said).unwrap_or_else(|why| panic!("{why}"));
    for notification in &notifications {
        check::is_time(&notification.created_at);
        assert_eq!(notification.read_at.is_some(), notification.kind == "message", "{notification:?}");
    }
}
