//! The API's shapes as its contract names them, and a person who uses it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Answer, Call, Client, Stream};

/// A name that no other call of this function gives, in any process that talks to the same server. It begins with
/// `hint` and has only characters that a user name may have.
pub fn unique(hint: &str) -> String {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let process = PROCESS.get_or_init(|| fastrand::u32(..));
    format!("{hint}_{process:08x}_{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A user as others see them; their own profile adds the address.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct User {
    /// Opaque.
    pub id: String,
    /// Unique.
    pub username: String,
    /// What others see; the user name where none was given.
    pub display_name: Option<String>,
    /// Where the picture is.
    pub profile_image_url: Option<String>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Only in one's own profile.
    pub email: Option<String>,
}

/// What a login answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Tokens {
    /// For the `Authorization` header.
    pub access_token: String,
    /// `bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
    /// For the next pair, once.
    pub refresh_token: String,
}

/// One page of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Towards the end of the list.
    pub next_cursor: Option<String>,
    /// Towards its start.
    pub prev_cursor: Option<String>,
}

/// A friend request.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct FriendRequest {
    /// Opaque.
    pub id: String,
    /// Who asked.
    pub requester_id: String,
    /// Who was asked.
    pub addressee_id: String,
    /// `pending`, `accepted`, `rejected` or `cancelled`.
    pub status: String,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// Somebody in a room.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Participant {
    /// Who.
    pub user_id: String,
    /// Their name.
    pub username: String,
    /// RFC 3339, UTC.
    pub joined_at: String,
    /// Up to which message they have read.
    pub last_read_seq: u64,
}

/// A chat room.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Room {
    /// Opaque.
    pub id: String,
    /// `direct` or `group`.
    pub room_type: String,
    /// A group's name.
    pub name: Option<String>,
    /// A group's owner.
    pub owner_id: Option<String>,
    /// Who is in it.
    pub participants: Vec<Participant>,
    /// The newest message.
    pub last_message: Option<Message>,
    /// Messages after the caller's read position.
    pub unread_count: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
}

/// A message.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Message {
    /// Opaque.
    pub id: String,
    /// Its room.
    pub room_id: String,
    /// Its place in the room: 1, 2, 3, …
    pub seq: u64,
    /// Who wrote it.
    pub user_id: String,
    /// Their name.
    pub username: String,
    /// 1 to 4,000 characters; null when it was deleted.
    pub content: Option<String>,
    /// `text`, `image` or `file`.
    pub message_type: String,
    /// The sender's own id.
    pub client_message_id: Option<String>,
    /// The message that it answers.
    pub reply_to: Option<String>,
    /// Reactions by emoji.
    pub reactions: Vec<Value>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub edited_at: Option<String>,
    /// Whether it was deleted.
    pub deleted: bool,
}

/// A notification.
#[derive(Clone, Debug, Deserialize)]
pub struct Notification {
    /// Opaque.
    pub id: String,
    /// `friend_request`, `friend_request_accepted` or `message`.
    pub kind: String,
    /// The ids of what it is about.
    pub data: Value,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub read_at: Option<String>,
}

/// A short-lived, single-use pass for a stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Ticket {
    /// For the `ticket` query parameter.
    pub ticket: String,
    /// Seconds.
    pub expires_in: u64,
}

/// What somebody registers with.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Unique.
    pub email: String,
    /// Unique.
    pub username: String,
    /// At least 8 characters, not a common one.
    pub password: String,
}

impl Credentials {
    /// New ones that nobody else has.
    pub fn unique(hint: &str) -> Self {
        let username = unique(hint);
        Self { email: format!("{username}@example.com"), password: format!("correct horse {username}"), username }
    }

    /// The body of a registration.
    pub fn registration(&self) -> Value {
        json!({ "email": self.email, "username": self.username, "password": self.password })
    }

    /// The body of a login.
    pub fn login(&self) -> Value {
        json!({ "email": self.email, "password": self.password })
    }

    /// Registers them.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn register(&self, client: &Client) -> User {
        client.post("/api/auth/register").json(&self.registration()).answer().await.ok(201)
    }

    /// Opens a session.
    ///
    /// # Panics
    /// If that is refused.
    pub async fn log_in(&self, client: &Client) -> Tokens {
        client.post("/api/auth/login/json").json(&self.login()).answer().await.ok(200)
    }
}

/// A registered user with an open session. The methods panic, with the whole exchange, where the API refuses.
#[derive(Clone, Debug)]
pub struct Person {
    /// A client with their access token.
    pub client: Client,
    /// What they registered with.
    pub credentials: Credentials,
    /// Themselves.
    pub user: User,
    /// Their session's tokens.
    pub tokens: Tokens,
}

impl Person {
    /// Registers somebody new and logs them in.
    pub async fn new(client: &Client, hint: &str) -> Self {
        Self::registered(client, Credentials::unique(hint)).await
    }

    /// Registers somebody with these and logs them in.
    pub async fn registered(client: &Client, credentials: Credentials) -> Self {
        let user = credentials.register(client).await;
        Self::with_session(client, credentials, user).await
    }

    /// The same user with a session of its own, as on another device.
    pub async fn on_another_device(&self) -> Self {
        Self::with_session(&self.client, self.credentials.clone(), self.user.clone()).await
    }

    async fn with_session(client: &Client, credentials: Credentials, user: User) -> Self {
        let tokens = credentials.log_in(client).await;
        Self { client: client.with_token(&tokens.access_token), credentials, user, tokens }
    }

    /// Their id.
    pub fn id(&self) -> &str {
        &self.user.id
    }

    /// Their user name.
    pub fn name(&self) -> &str {
        &self.user.username
    }

    /// GET of JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> T {
        self.client.get(path).answer().await.ok(200)
    }

    /// Asks the other to become friends.
    pub async fn request(&self, other: &Person) -> Answer {
        self.client.post("/api/friends/request").json(&json!({ "target_user_id": other.id() })).answer().await
    }

    /// Asks the other to become friends, and the other accepts.
    pub async fn befriend(&self, other: &Person) -> FriendRequest {
        let request: FriendRequest = self.request(other).await.ok(201);
        let accept = other.client.post(format!("/api/friends/requests/{}/accept", request.id));
        accept.answer().await.ok(200)
    }

    /// Creates a room, or finds the one that is there.
    pub async fn create_room(&self, body: &Value) -> Answer {
        self.client.post("/api/chat-rooms").json(body).answer().await
    }

    /// A new direct room with the other.
    pub async fn direct_room(&self, other: &Person) -> Room {
        self.create_room(&json!({ "room_type": "direct", "participant_ids": [other.id()] })).await.ok(201)
    }

    /// A new group with the others.
    pub async fn group(&self, name: &str, others: &[&Person]) -> Room {
        let ids: Vec<&str> = others.iter().map(|other| other.id()).collect();
        self.create_room(&json!({ "room_type": "group", "participant_ids": ids, "name": name })).await.ok(201)
    }

    /// The call that sends a message, with a `client_message_id` where one is given.
    pub fn sending(&self, room: &str, content: &str, client_message_id: Option<&str>) -> Call {
        let mut body = json!({ "content": content, "message_type": "text" });
        if let Some(id) = client_message_id {
            body["client_message_id"] = id.into();
        }
        self.client.post(format!("/api/messages/{room}")).json(&body)
    }

    /// Sends a new message.
    pub async fn say(&self, room: &Room, content: &str) -> Message {
        self.sending(&room.id, content, None).answer().await.ok(201)
    }

    /// A page of a room; `query` is empty or begins with a question mark.
    pub async fn messages(&self, room: &str, query: &str) -> Page<Message> {
        self.get(format!("/api/messages/{room}{query}")).await
    }

    /// Every message of a room, oldest first, paged forwards from the start.
    pub async fn all_messages(&self, room: &str) -> Vec<Message> {
        let path = format!("/api/messages/{room}?limit=100");
        // The cursor holds the position; a second word for it would be a contradiction.
        self.all_pages(format!("{path}&after=0"), &path).await
    }

    /// Every item of a list, paged by `next_cursor`; `path` may have a query.
    pub async fn all<T: DeserializeOwned>(&self, path: &str) -> Vec<T> {
        let path = format!("{path}{}limit=100", if path.contains('?') { '&' } else { '?' });
        self.all_pages(path.clone(), &path).await
    }

    async fn all_pages<T: DeserializeOwned>(&self, first: String, path: &str) -> Vec<T> {
        let mut items = Vec::new();
        let mut page: Page<T> = self.get(first).await;
        loop {
            items.extend(page.items);
            let Some(cursor) = page.next_cursor else { return items };
            page = self.get(format!("{path}&cursor={cursor}")).await;
            assert_ne!(page.next_cursor.as_ref(), Some(&cursor), "the list {path} stands still");
        }
    }

    /// A fresh ticket for a stream.
    pub async fn ticket(&self) -> Ticket {
        self.client.post("/api/stream/ticket").answer().await.ok(200)
    }

    /// Opens a stream with the `Authorization` header.
    pub async fn stream(&self, path: &str) -> Stream {
        Stream::open(self.client.get(path), None).await.unwrap_or_else(|refused| panic!("{refused}"))
    }

    /// Opens a stream after `last_event_id`.
    pub async fn resume(&self, path: &str, last_event_id: &str) -> Stream {
        let stream = Stream::open(self.client.get(path), Some(last_event_id)).await;
        stream.unwrap_or_else(|refused| panic!("{refused}"))
    }
}
