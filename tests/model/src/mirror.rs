//! What a client knows that took a snapshot once and has only listened since. However much happened, it must be what another
//! look at everything shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write};

use plaza_test_support::{Event, Person};
use serde_json::{Value, json};

/// How many messages of a room are looked at at a time: few, so that pages are turned.
const PAGE: usize = 7;

/// A room, as somebody in it sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) name: Value,
    pub(crate) owner: Value,
    /// Up to which message each member has read.
    pub(crate) members: BTreeMap<String, u64>,
    pub(crate) messages: BTreeMap<u64, Value>,
    /// Under which name each message is shown. No stream tells that one has gone: it is not compared with what was heard.
    pub(crate) names: BTreeMap<u64, String>,
}

/// All that somebody sees and is told of.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    pub(crate) rooms: BTreeMap<String, View>,
    /// Their friends, with the presence of each.
    pub(crate) friends: BTreeMap<String, Value>,
    /// Whom they block.
    pub(crate) blocks: BTreeSet<String>,
    /// Who asked them to become friends and waits for an answer, by the request.
    pub(crate) asked_by: BTreeMap<String, String>,
    pub(crate) notifications: BTreeMap<String, Value>,
    pub(crate) unread_notifications: u64,
    /// Of whom notifications tell by name, and by which; not compared either.
    pub(crate) tellers: Vec<(String, String)>,
}

impl Mirror {
    /// Looks at everything.
    pub async fn snapshot(person: &Person) -> Self {
        let mut mirror = Self { friends: friends(person).await, ..Self::default() };
        for block in person.all::<Value>("/api/friends/blocks").await {
            mirror.blocks.insert(text(&block["user"]["id"]));
        }
        for request in person.all::<Value>("/api/friends/requests?direction=incoming").await {
            mirror.asked_by.insert(text(&request["id"]), text(&request["requester_id"]));
        }
        let count: Value = person.get("/api/notifications/unread-count").await;
        mirror.unread_notifications = number(&count["unread_count"]);
        for notification in person.all::<Value>("/api/notifications").await {
            mirror.notifications.insert(text(&notification["id"]), told(&notification));
            let data = &notification["data"];
            if data["username"].is_string() {
                mirror.tellers.push((text(&data["user_id"]), text(&data["username"])));
            }
        }
        for room in person.all::<Value>("/api/chat-rooms").await {
            mirror.look_into(person, &room).await;
        }
        mirror
    }

    /// Looks at one room. Where they are not in it (any more), there is nothing to see.
    async fn look_at(&mut self, person: &Person, room: &str) {
        let answer = person.client.get(format!("/api/chat-rooms/{room}")).answer().await;
        if answer.status == 200 {
            self.look_into(person, &answer.read()).await;
        } else {
            self.rooms.remove(room);
        }
    }

    /// Looks at what was said in a room that they see.
    async fn look_into(&mut self, person: &Person, room: &Value) {
        let id = text(&room["id"]);
        let mut view = View { name: room["name"].clone(), owner: room["owner_id"].clone(), ..View::default() };
        for member in room["participants"].as_array().into_iter().flatten() {
            view.members.insert(text(&member["user_id"]), number(&member["last_read_seq"]));
        }
        // They may be sent away between two looks.
        let mut after = 0;
        loop {
            let path = format!("/api/messages/{id}?after={after}&limit={PAGE}");
            let answer = person.client.get(path).answer().await;
            if answer.status != 200 {
                self.rooms.remove(&id);
                return;
            }
            let page: Value = answer.read();
            for message in page["items"].as_array().into_iter().flatten() {
                after = number(&message["seq"]);
                view.messages.insert(after, essence(message));
                view.names.insert(after, text(&message["username"]));
            }
            if page["next_cursor"].is_null() {
                break;
            }
        }
        self.rooms.insert(id, view);
    }

    /// Takes note of an event. What the last snapshot shows already may be told once more, and changes nothing in the end.
    pub async fn hear(&mut self, person: &Person, event: &Event) {
        let data = event.json();
        let room = text(&data["room_id"]);
        let (me, user) = (person.id(), text(&data["user_id"]));
        match event.event.as_str() {
            "ChatRoomCreated" => self.look_at(person, &text(&data["id"])).await,
            "ParticipantJoined" if user == me => self.look_at(person, &room).await,
            "ParticipantLeft" if user == me => drop(self.rooms.remove(&room)),
            "ChatRoomDeleted" => drop(self.rooms.remove(&text(&data["id"]))),
            "ChatRoomUpdated" => {
                if let Some(view) = self.rooms.get_mut(&text(&data["id"])) {
                    view.name = data["name"].clone();
                    view.owner = data["owner_id"].clone();
                }
            }
            "NotificationSent" | "NotificationRead" => self.hear_notification(&event.event, &data),
            "UserOnlineStatusChanged" => {
                if let Some(presence) = self.friends.get_mut(&user) {
                    *presence = there(&data);
                }
            }
            "FriendRequestSent"
            | "FriendRequestAccepted"
            | "FriendRequestRejected"
            | "FriendRequestCancelled"
            | "FriendRemoved"
            | "UserBlocked"
            | "UserUnblocked" => self.hear_friends(person, &event.event, &data).await,
            _ => {
                if let Some(view) = self.rooms.get_mut(&room) {
                    view.hear(&event.event, &user, &data);
                }
            }
        }
    }

    async fn hear_friends(&mut self, person: &Person, event: &str, data: &Value) {
        let me = person.id();
        let other = |one: &str, two: &str| text(&data[if data[one] == me { two } else { one }]);
        match event {
            "FriendRequestSent" if data["addressee_id"] == me => {
                self.asked_by.insert(text(&data["id"]), text(&data["requester_id"]));
            }
            "FriendRequestSent" => {}
            "FriendRequestAccepted" => {
                self.asked_by.remove(&text(&data["id"]));
                // How they are now is for a look to say; what changes from here on comes by the stream.
                let friend = other("requester_id", "addressee_id");
                if let Some(presence) = friends(person).await.remove(&friend) {
                    self.friends.insert(friend, presence);
                }
            }
            "FriendRemoved" => drop(self.friends.remove(&other("user_id", "friend_id"))),
            "UserBlocked" => {
                let blocked = text(&data["blocked_user_id"]);
                self.asked_by.retain(|_, requester| *requester != blocked);
                self.blocks.insert(blocked);
            }
            "UserUnblocked" => drop(self.blocks.remove(&text(&data["blocked_user_id"]))),
            _ => drop(self.asked_by.remove(&text(&data["id"]))),
        }
    }

    fn hear_notification(&mut self, event: &str, data: &Value) {
        if event == "NotificationSent" {
            self.notifications.insert(text(&data["id"]), told(data));
        } else {
            let ids = data["ids"].as_array().cloned().unwrap_or_default();
            for (id, notification) in &mut self.notifications {
                let about = &notification["data"];
                let of_room = data["room_id"].is_string()
                    && about["room_id"] == data["room_id"]
                    && about["seq"].as_u64() <= data["seq"].as_u64();
                if data["all"] == true || of_room || ids.iter().any(|read| read == id.as_str()) {
                    notification["read"] = true.into();
                }
            }
        }
        self.unread_notifications = number(&data["unread_count"]);
    }

    /// What is not the same in another one.
    pub(crate) fn difference(&self, other: &Self) -> Option<String> {
        let mut found = String::new();
        part(&mut found, "friends", &self.friends, &other.friends);
        part(&mut found, "blocks", &self.blocks, &other.blocks);
        part(&mut found, "who asked", &self.asked_by, &other.asked_by);
        part(&mut found, "notifications", &self.notifications, &other.notifications);
        part(&mut found, "unread notifications", &self.unread_notifications, &other.unread_notifications);
        for id in self.rooms.keys().chain(other.rooms.keys()).collect::<BTreeSet<_>>() {
            let what = format!("room {id}");
            match (self.rooms.get(id), other.rooms.get(id)) {
                (Some(one), Some(two)) => {
                    part(&mut found, &format!("name of {what}"), &one.name, &two.name);
                    part(&mut found, &format!("owner of {what}"), &one.owner, &two.owner);
                    part(&mut found, &format!("members of {what}"), &one.members, &two.members);
                    part(&mut found, &format!("messages of {what}"), &one.messages, &two.messages);
                }
                (one, two) => part(&mut found, &format!("whether there is {what}"), &one.is_some(), &two.is_some()),
            }
        }
        (!found.is_empty()).then_some(found)
    }
}

impl View {
    fn hear(&mut self, event: &str, user: &str, data: &Value) {
        let seq = number(&data["seq"]);
        match event {
            "MessageSent" | "MessageEdited" | "MessageDeleted" => {
                self.messages.insert(seq, essence(data));
                // Who writes has read what came before.
                if event == "MessageSent" {
                    self.has_read(user, seq);
                }
            }
            "ReactionChanged" => {
                if let Some(message) = self.messages.get_mut(&seq) {
                    message["reactions"] = data["reactions"].clone();
                }
            }
            "MessageRead" => self.has_read(user, seq),
            "ParticipantJoined" => {
                // What they have written since may have been heard before.
                let written = self.messages.iter().filter(|(_, message)| message["user_id"] == user);
                let read = written.map(|(seq, _)| *seq).max().unwrap_or_default();
                self.members.entry(user.to_owned()).or_insert(read.max(number(&data["last_read_seq"])));
            }
            "ParticipantLeft" => drop(self.members.remove(user)),
            _ => {}
        }
    }

    fn has_read(&mut self, user: &str, up_to: u64) {
        if let Some(read) = self.members.get_mut(user) {
            *read = up_to.max(*read);
        }
    }
}

/// Somebody's friends, with the presence of each.
async fn friends(person: &Person) -> BTreeMap<String, Value> {
    let friends = person.all::<Value>("/api/friends").await;
    friends.iter().map(|friend| (text(&friend["id"]), there(&friend["presence"]))).collect()
}

/// What of a presence can change.
fn there(presence: &Value) -> Value {
    json!({ "online": presence["online"], "last_seen_at": presence["last_seen_at"] })
}

/// What a notification says, but for the name of the one of whom it tells, and the words of a message: that those have changed is
/// told by the message's own events.
fn told(notification: &Value) -> Value {
    let mut data = notification["data"].clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("username");
        data.remove("preview");
    }
    json!({ "kind": notification["kind"], "data": data, "read": notification["read_at"].is_string() })
}

/// What of a message can change, and what says which it is.
fn essence(message: &Value) -> Value {
    json!({
        "id": message["id"], "user_id": message["user_id"], "content": message["content"],
        "reply_to": message["reply_to"], "reactions": message["reactions"], "edited_at": message["edited_at"],
        "deleted": message["deleted"],
    })
}

fn part<T: PartialEq + Debug>(found: &mut String, what: &str, heard: &T, there: &T) {
    if heard != there {
        // Writing to a string does not fail.
        let _ = write!(found, "\n  {what}:\n    heard {heard:?}\n    there {there:?}");
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
