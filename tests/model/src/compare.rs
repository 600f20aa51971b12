//! What people see, held against the model, and what they have heard, held against what they see.

use std::collections::BTreeSet;
use std::fmt::Debug;

use plaza_test_support::Person;
use serde_json::{Value, json};

use crate::mirror::{View, text};
use crate::model::{EMOJI, Status, Who};
use crate::town::Wait;
use crate::{Mirror, Outcome, Town};

impl Town {
    /// Everything that anybody can see is what the model says, and what everybody has heard of it is the same.
    ///
    /// # Errors
    /// What is different.
    pub async fn compare(&mut self) -> Outcome {
        // What was answered holds at once; what follows from events and from streams holds soon.
        self.await_notifications().await?;
        for who in self.model.people() {
            self.await_presence(who).await?;
        }
        for who in self.model.people() {
            let wait = Wait::new(format!("person {who} to see what becomes of those who go"), self.patience);
            loop {
                let seen = Mirror::snapshot(&self.people[who]).await;
                let Err(why) = self.compare_all(who, &seen).await else { break };
                // The other contexts learn by an event that an account is gone.
                if self.model.gone.is_empty() {
                    return Err(format!("person {who}: {why}"));
                }
                wait.pass(why).await?;
            }
        }
        for who in self.model.people() {
            self.compare_heard(who).await?;
        }
        Ok(())
    }

    /// What somebody has heard since their snapshot, and the snapshot, make what a new snapshot shows. Whoever is away hears
    /// nothing.
    async fn compare_heard(&mut self, who: Who) -> Outcome {
        let wait = Wait::new(format!("person {who} to have heard what there is"), self.patience);
        while self.model.online.contains(&who) {
            self.listen(who).await?;
            let seen = Mirror::snapshot(&self.people[who]).await;
            let Some(difference) = self.mirrors[who].difference(&seen) else { break };
            wait.pass(difference).await?;
        }
        Ok(())
    }

    async fn compare_all(&self, who: Who, seen: &Mirror) -> Outcome {
        self.compare_friends(who, seen).await?;
        self.compare_rooms(who, seen).await?;
        let expected = self.model.notifications_of(who);
        let unread = expected.iter().filter(|(_, read)| !read).count() as u64;
        same("notifications", self.notifications_in(seen.notifications.values())?, expected)?;
        same("unread notifications", seen.unread_notifications, unread)?;
        for (id, name) in &seen.tellers {
            let teller =
                self.people.iter().position(|person| person.id() == id).ok_or("a notification of a stranger")?;
            same("name in a notification", name.as_str(), self.shown_name(teller))?;
        }
        let listed: Vec<Value> = self.people[who].all("/api/notifications?unread=true").await;
        same("unread notifications in the list", listed.len() as u64, unread)
    }

    async fn compare_friends(&self, who: Who, seen: &Mirror) -> Outcome {
        let me = &self.people[who];
        let those = |wanted: &dyn Fn(Who) -> bool| -> BTreeSet<String> {
            let others = self.model.people().filter(|other| *other != who && wanted(*other));
            others.map(|other| self.people[other].id().to_owned()).collect()
        };
        same("friends", seen.friends.keys().cloned().collect(), those(&|other| self.model.are_friends(who, other)))?;
        same("blocks", seen.blocks.clone(), those(&|other| self.model.blocks(who, other)))?;
        let found: Vec<Value> = me.all(&format!("/api/users/search?q={}", self.name())).await;
        let found: BTreeSet<String> = found.iter().map(|user| text(&user["id"])).filter(|id| id != me.id()).collect();
        same("whom they find", found, those(&|other| !self.model.are_hidden(who, other)))?;
        let waiting = |wanted: &dyn Fn(Who, Who, bool) -> bool| -> BTreeSet<String> {
            let all = self.model.requests.iter().zip(&self.requests);
            let all = all.filter(|(request, _)| request.status == Status::Pending);
            all.filter(|(request, _)| wanted(request.from, request.to, request.hidden))
                .map(|(_, id)| id.clone())
                .collect()
        };
        let incoming = waiting(&|_, to, hidden| to == who && !hidden);
        same("incoming requests", seen.asked_by.keys().cloned().collect(), incoming)?;
        let outgoing: Vec<Value> = me.all("/api/friends/requests?direction=outgoing").await;
        let outgoing = outgoing.iter().map(|request| text(&request["id"])).collect();
        same("outgoing requests", outgoing, waiting(&|from, _, _| from == who))
    }

    async fn compare_rooms(&self, who: Who, seen: &Mirror) -> Outcome {
        let mine = |room: &usize| self.model.rooms[*room].members.contains(&who);
        let expected = (0..self.rooms.len()).filter(mine).map(|room| &self.rooms[room]);
        same("rooms", seen.rooms.keys().collect::<BTreeSet<_>>(), expected.collect())?;
        let listed: Vec<Value> = self.people[who].all("/api/chat-rooms").await;
        let activity = |room: &Value| text(room.pointer("/last_message/created_at").unwrap_or(&room["created_at"]));
        let by_activity = listed.iter().map(activity).collect::<Vec<_>>();
        same("whether the last active room is first", by_activity.is_sorted_by(|a, b| a >= b), true)?;
        for (room, id) in self.rooms.iter().enumerate() {
            let Some(view) = seen.rooms.get(id) else { continue };
            self.compare_view(room, view).map_err(|why| format!("room {room}: {why}"))?;
            let shown = listed.iter().find(|shown| shown["id"] == id.as_str()).unwrap_or(&Value::Null);
            same("unread count", &shown["unread_count"], &json!(self.model.unread(who, room)))?;
            self.compare_edits(who, room).await.map_err(|why| format!("room {room}: {why}"))?;
            let last = self.model.rooms[room].messages.len().checked_sub(1).map(|last| &self.messages[room][last]);
            same("last message", &shown["last_message"]["id"], &json!(last))?;
        }
        Ok(())
    }

    fn compare_view(&self, room: usize, view: &View) -> Outcome {
        let id = |who: &Who| self.people[*who].id();
        let expected = &self.model.rooms[room];
        same("name", &view.name, &json!(expected.name))?;
        same("owner", &view.owner, &json!(expected.owner.as_ref().map(id)))?;
        let members = expected.members.iter().map(|who| (id(who).to_owned(), expected.read[who] as u64));
        same("read positions of members", &view.members, &members.collect())?;
        same(
            "seqs",
            view.messages.keys().copied().collect::<Vec<_>>(),
            (1..=expected.messages.len() as u64).collect(),
        )?;
        for (n, (shown, expected)) in view.messages.values().zip(&expected.messages).enumerate() {
            let reactions = expected.reactions.iter();
            let reactions = reactions.map(|(emoji, people)| {
                json!({ "emoji": EMOJI[*emoji], "user_ids": people.iter().map(id).collect::<Vec<_>>() })
            });
            let expected = json!({
                "id": self.messages[room][n], "user_id": id(&expected.author), "content": expected.content,
                "reply_to": expected.reply_to.map(|first| &self.messages[room][first]),
                "reactions": reactions.collect::<Vec<_>>(), "edited_at": shown["edited_at"],
                "deleted": expected.content.is_none(),
            });
            same("message", shown, &expected)?;
        }
        for (name, message) in view.names.values().zip(&expected.messages) {
            same("name", name.as_str(), self.shown_name(message.author))?;
        }
        Ok(())
    }

    /// Under which name somebody is shown where they have said or done something.
    fn shown_name(&self, who: Who) -> &str {
        if self.model.gone.contains(&who) { "(deleted)" } else { self.people[who].name() }
    }

    /// What messages said before: of those that were edited, and of those that were deleted, which say nothing any more.
    async fn compare_edits(&self, who: Who, room: usize) -> Outcome {
        let messages = self.model.rooms[room].messages.iter().zip(&self.messages[room]);
        for (message, id) in messages.filter(|(message, _)| !message.edits.is_empty() || message.content.is_none()) {
            let shown: Value = self.people[who].get(format!("/api/messages/{}/{id}", self.rooms[room])).await;
            let edits = shown["edits"].as_array().into_iter().flatten().map(|edit| text(&edit["content"]));
            same("edits", edits.collect(), message.edits.clone())?;
        }
        Ok(())
    }

    /// Waits until somebody sees of everybody else whether they are there: they come and go a little later than their streams.
    async fn await_presence(&self, who: Who) -> Outcome {
        let wait = Wait::new(format!("person {who} to see who is there"), self.patience);
        loop {
            let seen = self.presence(who).await?;
            let expected: Vec<bool> = self.model.people().map(|other| self.model.sees_online(who, other)).collect();
            if seen == expected {
                return Ok(());
            }
            wait.pass(format!("{seen:?} in place of {expected:?}")).await?;
        }
    }

    /// Whom of those who have an account somebody sees to be there. Of whom a block lies between there is nothing to see, at once.
    pub(crate) async fn presence(&self, who: Who) -> Result<Vec<bool>, String> {
        let ids: Vec<&str> = self.people.iter().map(Person::id).collect();
        let answer: Value = self.people[who].get(format!("/api/users/presence?user_ids={}", ids.join(","))).await;
        let shown = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let there = self.model.people().map(|other| self.people[other].id().to_owned());
        same(
            "whose presence is shown",
            shown.iter().map(|item| text(&item["user_id"])).collect::<Vec<_>>(),
            there.collect(),
        )?;
        for (other, item) in self.model.people().zip(shown).filter(|(other, _)| self.model.are_hidden(who, *other)) {
            let nothing = (&item["online"], &item["last_seen_at"]) == (&json!(false), &Value::Null);
            same(&format!("whether the presence of person {other} is hidden from person {who}"), nothing, true)?;
        }
        Ok(shown.iter().map(|item| item["online"] == true).collect())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "most are made for this call")]
fn same<T: PartialEq + Debug>(what: &str, seen: T, expected: T) -> Outcome {
    if seen == expected { Ok(()) } else { Err(format!("{what}:\n  seen     {seen:?}\n  expected {expected:?}")) }
}
