//! People who do the steps on a real Plaza, which must answer as the model says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use plaza_test_support::{Answer, Client, Credentials, Event, Next, Person, Stream, unique};
use reqwest::Method;
use serde_json::{Value, json};

use crate::model::{self, About, EMOJI, Model, Status, Who};
use crate::{Mirror, Outcome, PEOPLE, Step};

/// What everybody's stream carries.
const STREAM: &str = "/api/stream";

/// How long a stream may be quiet before it is taken to have said everything for now.
const QUIET: Duration = Duration::from_millis(2);

/// How long to wait before looking again for what is to follow.
const PAUSE: Duration = Duration::from_millis(10);

/// The people of one history, and what they have made.
#[derive(Debug)]
pub struct Town {
    /// The beginning of all their names.
    name: String,
    pub(crate) people: Vec<Person>,
    /// Nothing for who is away.
    streams: Vec<Option<Stream>>,
    /// Up to where each has heard their stream.
    heard: Vec<String>,
    pub(crate) mirrors: Vec<Mirror>,
    pub(crate) model: Model,
    /// Ids by their numbers in the model.
    pub(crate) requests: Vec<String>,
    pub(crate) rooms: Vec<String>,
    pub(crate) messages: Vec<Vec<String>>,
    /// The names under which messages were sent.
    names: Vec<Vec<String>>,
    /// Blocks, and ends of blocks, that the chat context may not have heard of: at most one of each direction.
    unheard: BTreeSet<(Who, Who)>,
    /// What each was told by when somebody last waited for it.
    told: Vec<Vec<(About, bool)>>,
    words: usize,
    /// How long what follows may take.
    pub(crate) patience: Duration,
}

/// A wait that ends: with what it is for, or with what was there instead.
pub(crate) struct Wait {
    what: String,
    began: Instant,
    patience: Duration,
}

impl Wait {
    pub(crate) fn new(what: impl Into<String>, patience: Duration) -> Self {
        Self { what: what.into(), began: Instant::now(), patience }
    }

    /// Lets some time pass.
    ///
    /// # Errors
    /// When all the time has passed: what was awaited, and `there`.
    pub(crate) async fn pass(&self, there: impl std::fmt::Display) -> Outcome {
        if self.began.elapsed() > self.patience {
            return Err(format!("waited {:?} for {}; there was {there}", self.patience, self.what));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

impl Town {
    /// Four strangers, each with a stream. What follows from a step must be there within `patience`.
    ///
    /// # Errors
    /// Why somebody cannot listen.
    pub async fn new(client: &Client, patience: Duration) -> Result<Self, String> {
        let mut town = Self {
            name: format!("{}_", unique("town")),
            people: Vec::new(),
            streams: Vec::new(),
            heard: Vec::new(),
            mirrors: Vec::new(),
            model: Model::default(),
            requests: Vec::new(),
            rooms: Vec::new(),
            messages: Vec::new(),
            names: Vec::new(),
            unheard: BTreeSet::new(),
            told: vec![Vec::new(); PEOPLE],
            words: 0,
            patience,
        };
        for name in ["anna", "ben", "cleo", "dan"] {
            let credentials = Credentials { username: format!("{}{name}", town.name), ..Credentials::unique(name) };
            town.people.push(Person::registered(client, credentials).await);
            town.streams.push(None);
            town.heard.push(String::new());
            town.mirrors.push(Mirror::default());
            town.begin(town.people.len() - 1).await?;
        }
        Ok(town)
    }

    /// The beginning of all their names, and of no other's.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Somebody does something; Plaza must answer as the model says.
    ///
    /// # Errors
    /// What it answered instead.
    pub async fn play(&mut self, step: Step) -> Outcome {
        match step {
            Step::Ask { .. }
            | Step::Accept { .. }
            | Step::Reject { .. }
            | Step::Cancel { .. }
            | Step::Unfriend { .. }
            | Step::Block { .. }
            | Step::Unblock { .. } => self.play_friends(step).await,
            Step::DirectRoom { .. }
            | Step::Group { .. }
            | Step::Rename { .. }
            | Step::CloseGroup { .. }
            | Step::Add { .. }
            | Step::Remove { .. } => self.play_rooms(step).await,
            Step::Mute { .. }
            | Step::ReadNotifications { .. }
            | Step::Reload { .. }
            | Step::Leave { .. }
            | Step::Return { .. } => self.play_alone(step).await,
            _ => self.play_messages(step).await,
        }
        .map_err(|why| format!("{step:?}: {why}"))
    }

    async fn play_friends(&mut self, step: Step) -> Outcome {
        match step {
            Step::Ask { who, whom } => {
                let body = json!({ "target_user_id": self.people[whom].id() });
                let answer = self.call(who, Method::POST, "/api/friends/request", Some(body)).await;
                let (expected, request) = self.model.ask(who, whom);
                agree(&answer, expected)?;
                if request == Some(self.requests.len()) {
                    self.requests.push(id_of(&answer));
                }
                Ok(())
            }
            Step::Accept { who, request } => self.answer(who, request, "accept", Status::Accepted).await,
            Step::Reject { who, request } => self.answer(who, request, "reject", Status::Rejected).await,
            Step::Cancel { who, request } => {
                let Some(request) = nth(request, self.requests.len()) else { return Ok(()) };
                // Taken back before it was told of, it is never told of.
                self.await_notifications().await?;
                let path = format!("/api/friends/requests/{}", self.requests[request]);
                let answer = self.call(who, Method::DELETE, &path, None).await;
                agree(&answer, self.model.cancel(who, request))
            }
            Step::Unfriend { who, whom } => {
                let path = format!("/api/friends/{}", self.people[whom].id());
                let answer = self.call(who, Method::DELETE, &path, None).await;
                agree(&answer, self.model.unfriend(who, whom))
            }
            Step::Block { who, whom } => {
                self.await_notifications().await?;
                self.settle(who, whom).await?;
                let body = json!({ "user_id": self.people[whom].id() });
                let answer = self.call(who, Method::POST, "/api/friends/blocks", Some(body)).await;
                let expected = self.model.block(who, whom);
                agree(&answer, expected)?;
                self.presence(who).await?;
                self.chat_will_hear(who, whom, expected == Ok(201)).await
            }
            Step::Unblock { who, whom } => {
                self.settle(who, whom).await?;
                let path = format!("/api/friends/blocks/{}", self.people[whom].id());
                let answer = self.call(who, Method::DELETE, &path, None).await;
                let expected = self.model.unblock(who, whom);
                agree(&answer, expected)?;
                self.chat_will_hear(who, whom, expected.is_ok()).await
            }
            _ => Ok(()),
        }
    }

    async fn answer(&mut self, who: Who, request: usize, word: &str, status: Status) -> Outcome {
        let Some(request) = nth(request, self.requests.len()) else { return Ok(()) };
        let path = format!("/api/friends/requests/{}/{word}", self.requests[request]);
        let answer = self.call(who, Method::POST, &path, None).await;
        agree(&answer, self.model.answer(who, request, status))
    }

    /// Before a second block, or end of one: the chat context must know of the first, or nobody can tell which one it has heard of.
    async fn settle(&mut self, who: Who, whom: Who) -> Outcome {
        if self.unheard.contains(&(who, whom)) { self.open_direct(who, whom).await } else { Ok(()) }
    }

    /// Somebody blocks another, or no longer does. The chat context hears of it by an event.
    async fn chat_will_hear(&mut self, who: Who, whom: Who, changed: bool) -> Outcome {
        if changed {
            self.unheard.insert((who, whom));
        }
        let room = self.model.direct_room_of(who, whom);
        if let Some(room) = room { self.chat_has_heard(room, who, whom).await } else { Ok(()) }
    }

    /// Waits until the chat context knows of a block, or of its end. What shows it is whether the one who blocks can write in the
    /// direct room; where they can for a while, they do.
    async fn chat_has_heard(&mut self, room: usize, who: Who, whom: Who) -> Outcome {
        if !self.unheard.contains(&(who, whom)) {
            return Ok(());
        }
        let wait = Wait::new(format!("chat to know whether person {who} blocks person {whom}"), self.patience);
        loop {
            let content = self.new_words();
            let answer = self.send(who, room, &content, None).await;
            let mut after = self.model.clone();
            let expected = after.say(who, room, &content, None);
            if agree(&answer, expected).is_ok() {
                self.model = after;
                self.unheard.remove(&(who, whom));
                return Ok(());
            }
            if answer.status == 201 {
                // The block has not come yet: as if there were none.
                let blocks = std::mem::take(&mut self.model.blocks);
                let _ = self.model.say(who, room, &content, None);
                self.model.blocks = blocks;
            }
            wait.pass(format!("{answer} in place of {expected:?}")).await?;
        }
    }

    async fn play_rooms(&mut self, step: Step) -> Outcome {
        match step {
            Step::DirectRoom { who, whom } if who != whom => self.open_direct(who, whom).await,
            Step::Group { who, with } => {
                if (0..PEOPLE).all(|other| other == who || !with[other]) {
                    return Ok(());
                }
                let name = self.new_words();
                let others: Vec<&str> = (0..PEOPLE)
                    .filter(|other| *other != who && with[*other])
                    .map(|other| self.people[other].id())
                    .collect();
                let body = json!({ "room_type": "group", "name": name, "participant_ids": others });
                let answer = self.call(who, Method::POST, "/api/chat-rooms", Some(body)).await;
                let (expected, _) = self.model.group(who, with, &name);
                agree(&answer, expected)?;
                self.opened(&answer);
                Ok(())
            }
            Step::Rename { who, room } => {
                let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
                let name = self.new_words();
                let path = format!("/api/chat-rooms/{}", self.rooms[room]);
                let answer = self.call(who, Method::PATCH, &path, Some(json!({ "name": name }))).await;
                agree(&answer, self.model.rename(who, room, &name))
            }
            Step::CloseGroup { who, room } => {
                let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
                self.await_notifications().await?;
                let path = format!("/api/chat-rooms/{}", self.rooms[room]);
                let answer = self.call(who, Method::DELETE, &path, None).await;
                agree(&answer, self.model.close(who, room))
            }
            Step::Add { who, room, whom } => {
                let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
                self.await_notifications().await?;
                let path = format!("/api/chat-rooms/{}/participants", self.rooms[room]);
                let body = json!({ "user_ids": [self.people[whom].id()] });
                let answer = self.call(who, Method::POST, &path, Some(body)).await;
                agree(&answer, self.model.add(who, room, whom))
            }
            Step::Remove { who, room, whom } => {
                let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
                self.await_notifications().await?;
                let path = format!("/api/chat-rooms/{}/participants/{}", self.rooms[room], self.people[whom].id());
                let answer = self.call(who, Method::DELETE, &path, None).await;
                agree(&answer, self.model.remove(who, room, whom))
            }
            _ => Ok(()),
        }
    }

    /// The chat context may not have heard of a block or its end: then it is asked again, or the room is there and nobody can
    /// write in it before long.
    async fn open_direct(&mut self, who: Who, whom: Who) -> Outcome {
        let body = json!({ "room_type": "direct", "participant_ids": [self.people[whom].id()] });
        let (expected, _) = self.model.direct_room(who, whom);
        let wait = Wait::new(format!("a direct room to be answered {expected:?}"), self.patience);
        loop {
            let answer = self.call(who, Method::POST, "/api/chat-rooms", Some(body.clone())).await;
            let early = answer.status == 201 && expected.is_err();
            if early {
                let blocks = std::mem::take(&mut self.model.blocks);
                let _ = self.model.direct_room(who, whom);
                self.model.blocks = blocks;
            }
            if answer.status == 201 {
                self.opened(&answer);
            }
            if early || agree(&answer, expected).is_ok() {
                break;
            }
            wait.pass(format!("{answer}")).await?;
        }
        if let Some(room) = self.model.direct_room_of(who, whom) {
            self.chat_has_heard(room, who, whom).await?;
            return self.chat_has_heard(room, whom, who).await;
        }
        // It was refused because of what they do themselves, or because of the other and not of themselves: either way, of them it
        // is known.
        self.unheard.remove(&(who, whom));
        Ok(())
    }

    fn opened(&mut self, answer: &Answer) {
        self.rooms.push(id_of(answer));
        self.messages.push(Vec::new());
        self.names.push(Vec::new());
    }

    async fn play_messages(&mut self, step: Step) -> Outcome {
        let (Step::Say { room, .. }
        | Step::SayAgain { room, .. }
        | Step::Edit { room, .. }
        | Step::Delete { room, .. }
        | Step::React { room, .. }
        | Step::Unreact { room, .. }
        | Step::Read { room, .. }) = step
        else {
            return Ok(());
        };
        let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
        if let Step::Say { who, reply_to, .. } = step {
            let content = self.new_words();
            let reply_to = reply_to.and_then(|message| nth(message, self.messages[room].len()));
            let answer = self.send(who, room, &content, reply_to).await;
            return agree(&answer, self.model.say(who, room, &content, reply_to));
        }
        let (Step::SayAgain { message, .. }
        | Step::Edit { message, .. }
        | Step::Delete { message, .. }
        | Step::React { message, .. }
        | Step::Unreact { message, .. }
        | Step::Read { message, .. }) = step
        else {
            return Ok(());
        };
        let Some(message) = nth(message, self.messages[room].len()) else { return Ok(()) };
        let path = format!("/api/messages/{}/{}", self.rooms[room], self.messages[room][message]);
        let reactions = |emoji: usize| format!("{path}/reactions?emoji={}", EMOJI[emoji]);
        match step {
            Step::SayAgain { who, .. } => self.say_again(who, room, message).await,
            Step::Edit { who, .. } => {
                let content = self.new_words();
                let answer = self.call(who, Method::PATCH, &path, Some(json!({ "content": content }))).await;
                agree(&answer, self.model.edit(who, room, message, &content))
            }
            Step::Delete { who, .. } => {
                let answer = self.call(who, Method::DELETE, &path, None).await;
                agree(&answer, self.model.delete(who, room, message))
            }
            Step::React { who, emoji, .. } => {
                let answer = self.call(who, Method::PUT, &reactions(emoji), None).await;
                agree(&answer, self.model.react(who, room, message, emoji))
            }
            Step::Unreact { who, emoji, .. } => {
                let answer = self.call(who, Method::DELETE, &reactions(emoji), None).await;
                agree(&answer, self.model.unreact(who, room, message, emoji))
            }
            Step::Read { who, .. } => {
                let path = format!("/api/messages/{}/read", self.rooms[room]);
                let body = json!({ "message_id": self.messages[room][message] });
                let answer = self.call(who, Method::POST, &path, Some(body)).await;
                agree(&answer, self.model.read(who, room, message))
            }
            _ => Ok(()),
        }
    }

    async fn send(&mut self, who: Who, room: usize, content: &str, reply_to: Option<usize>) -> Answer {
        let mut body = json!({ "content": content, "client_message_id": content });
        if let Some(message) = reply_to {
            body["reply_to"] = json!(self.messages[room][message]);
        }
        let path = format!("/api/messages/{}", self.rooms[room]);
        let answer = self.call(who, Method::POST, &path, Some(body)).await;
        if answer.status == 201 {
            self.messages[room].push(id_of(&answer));
            self.names[room].push(content.to_owned());
        }
        answer
    }

    /// The author sends a message a second time: it is there once.
    async fn say_again(&mut self, who: Who, room: usize, message: usize) -> Outcome {
        let here = &self.model.rooms[room];
        if here.messages[message].author != who || !here.members.contains(&who) {
            return Ok(());
        }
        let body = json!({ "content": "again", "client_message_id": self.names[room][message] });
        let path = format!("/api/messages/{}", self.rooms[room]);
        let answer = self.call(who, Method::POST, &path, Some(body)).await;
        agree(&answer, Ok(200))?;
        if id_of(&answer) == self.messages[room][message] { Ok(()) } else { Err(format!("another message: {answer}")) }
    }

    async fn play_alone(&mut self, step: Step) -> Outcome {
        match step {
            Step::Mute { who, room, on } => {
                let Some(room) = nth(room, self.rooms.len()) else { return Ok(()) };
                self.await_notifications().await?;
                let changed =
                    if on { self.model.muted.insert((who, room)) } else { self.model.muted.remove(&(who, room)) };
                if !changed {
                    return Ok(());
                }
                let muted = self.model.muted.iter().filter(|(person, _)| *person == who);
                let rooms: Vec<Value> = muted.map(|(_, room)| json!({ "room_id": self.rooms[*room] })).collect();
                let body = json!({ "kinds": {}, "muted_rooms": rooms });
                let answer = self.call(who, Method::PUT, "/api/notifications/preferences", Some(body)).await;
                agree(&answer, Ok(200))
            }
            Step::ReadNotifications { who } => {
                self.await_notifications().await?;
                let body = Some(json!({ "all": true }));
                let answer = self.call(who, Method::POST, "/api/notifications/read", body).await;
                self.model.read_notifications(who);
                agree(&answer, Ok(200))
            }
            Step::Reload { who } => self.begin(who).await,
            Step::Leave { who } => {
                self.streams[who] = None;
                self.model.online.remove(&who);
                Ok(())
            }
            Step::Return { who } => self.go_on(who).await,
            _ => Ok(()),
        }
    }

    /// Somebody takes a snapshot and listens from then on.
    async fn begin(&mut self, who: Who) -> Outcome {
        // First the stream, then the look: what happens in between is heard.
        self.streams[who] = Some(self.people[who].stream(STREAM).await);
        self.heard[who].clear();
        self.model.online.insert(who);
        self.mirrors[who] = Mirror::snapshot(&self.people[who]).await;
        let wait = Wait::new("a stream to say from where it could be resumed", self.patience);
        while self.heard[who].is_empty() {
            self.listen(who).await?;
            wait.pass("none yet").await?;
        }
        Ok(())
    }

    /// Somebody goes on where they were when their stream ended, or ends now.
    async fn go_on(&mut self, who: Who) -> Outcome {
        self.streams[who] = None;
        self.streams[who] = Some(self.people[who].resume(STREAM, &self.heard[who]).await);
        self.model.online.insert(who);
        Ok(())
    }

    /// Everybody who is away comes back.
    ///
    /// # Errors
    /// Why somebody cannot listen.
    pub async fn gather(&mut self) -> Outcome {
        for who in 0..PEOPLE {
            if self.streams[who].is_none() {
                self.go_on(who).await?;
            }
        }
        Ok(())
    }

    /// Somebody deletes their account. It is the end of a history: nobody does anything after it.
    ///
    /// # Errors
    /// What it was answered instead, or what was not there before.
    pub async fn vanish(&mut self, who: Who) -> Outcome {
        self.await_notifications().await?;
        let password = json!({ "password": self.people[who].credentials.password });
        let answer = self.call(who, Method::DELETE, "/api/profile/me", Some(password)).await;
        agree(&answer, Ok(204))?;
        self.streams[who] = None;
        self.model.vanish(who);
        // No stream tells that somebody who is blocked is gone, and with them the block.
        for mirror in &mut self.mirrors {
            mirror.blocks.remove(self.people[who].id());
        }
        Ok(())
    }

    /// Hears what a stream has to say now. Whoever is away hears nothing.
    pub(crate) async fn listen(&mut self, who: Who) -> Outcome {
        while let Some(stream) = &mut self.streams[who] {
            let next = stream.poll(QUIET).await;
            if let Next::Event(event) = &next {
                hear(&mut self.mirrors[who], &self.people[who], event).await?;
            }
            if let Some(id) = stream.last_event_id() {
                id.clone_into(&mut self.heard[who]);
            }
            match next {
                Next::Event(_) => {}
                Next::Quiet => break,
                Next::Ended => return Err(format!("the stream of person {who} has ended")),
            }
        }
        Ok(())
    }

    /// Waits until everybody was told what follows from what was done so far: what it is may depend on what is done next.
    pub(crate) async fn await_notifications(&mut self) -> Outcome {
        for who in self.model.people() {
            let expected = self.model.notifications_of(who);
            if self.told[who] == expected {
                continue;
            }
            let wait = Wait::new(format!("the notifications {expected:?} of person {who}"), self.patience);
            loop {
                let all = self.people[who].all::<Value>("/api/notifications").await;
                let seen = self.notifications_in(all.iter())?;
                if seen == expected {
                    break;
                }
                wait.pass(format!("{seen:?}")).await?;
            }
            self.told[who] = expected;
        }
        Ok(())
    }

    /// What notifications are about, and whether they were read.
    pub(crate) fn notifications_in<'a>(
        &self,
        all: impl Iterator<Item = &'a Value>,
    ) -> Result<Vec<(About, bool)>, String> {
        let place = |ids: &[String], id: &Value| {
            let place = ids.iter().position(|known| id.as_str() == Some(known));
            place.ok_or_else(|| format!("a notification of {id}, which is nothing of this history"))
        };
        let mut seen = Vec::new();
        for told in all {
            let data = &told["data"];
            let about = match told["kind"].as_str().unwrap_or_default() {
                "welcome" => About::Welcome,
                "friend_request" => About::Asked { request: place(&self.requests, &data["friend_request_id"])? },
                "friend_request_accepted" => {
                    About::Accepted { request: place(&self.requests, &data["friend_request_id"])? }
                }
                "message" => {
                    let seq = data["seq"].as_u64().and_then(|seq| usize::try_from(seq).ok()).unwrap_or_default();
                    About::Message { room: place(&self.rooms, &data["room_id"])?, seq }
                }
                other => return Err(format!("a notification of kind {other:?}")),
            };
            seen.push((about, told["read"] == true || told["read_at"].is_string()));
        }
        seen.sort_unstable();
        Ok(seen)
    }

    async fn call(&self, who: Who, method: Method, path: &str, body: Option<Value>) -> Answer {
        let call = self.people[who].client.call(method, path);
        let call = if let Some(body) = body { call.json(&body) } else { call };
        call.answer().await
    }

    /// Words that nobody has said yet.
    fn new_words(&mut self) -> String {
        self.words += 1;
        format!("{}-{}", self.name, self.words)
    }
}

async fn hear(mirror: &mut Mirror, person: &Person, event: &Event) -> Outcome {
    match event.event.as_str() {
        "reset" => Err(format!("a stream was reset, though nothing is old: {}", event.data)),
        "end" => Err(format!("a stream was ended: {}", event.data)),
        _ => {
            mirror.hear(person, event).await;
            Ok(())
        }
    }
}

/// The `n`th of so many, counted round and round.
fn nth(n: usize, of: usize) -> Option<usize> {
    (of > 0).then(|| n % of)
}

fn id_of(answer: &Answer) -> String {
    answer.read::<Value>()["id"].as_str().unwrap_or_default().to_owned()
}

fn agree(answer: &Answer, expected: model::Answer) -> Outcome {
    let right = match expected {
        Ok(status) => answer.status == status,
        Err((status, code)) => answer.status == status && answer.read::<Value>()["code"] == code,
    };
    if right { Ok(()) } else { Err(format!("{answer} in place of {expected:?}")) }
}
