//! What a batch of events does to the inboxes of those whom it is about.

use crate::telling::Telling;
use plaza_domain::chat::Message;
use plaza_domain::id::{NotificationId, RoomId, UserId};
use plaza_domain::notification::{self, Kind, MutedRoom, Notice, Notification};
use plaza_domain::{Event, Problem, Timestamp};
use plaza_kit::clock::{self, Fresh};
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, params};
use plaza_notification::{Inbox, of_users};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The most notifications that lose the name of somebody whose account is gone in one statement's look.
const NAMES_AT_ONCE_MAX: u32 = 500;

/// The most people whose notifications of a message are changed in one statement.
const CORRECTED_AT_ONCE_MAX: usize = 500;

/// Does what these events ask for, in their order.
pub(crate) async fn all(
    change: &Change<'_>,
    tellings: &[&Telling],
    participants: &HashMap<RoomId, Vec<UserId>>,
) -> Result<(), Problem> {
    let notices: Vec<Vec<Notice>> = tellings.iter().map(|telling| telling.notices(participants)).collect();
    let told = notices.iter().flatten().map(|notice| notice.user_id);
    let readers = tellings.iter().filter_map(|telling| telling.reader());
    let users: BTreeSet<UserId> = told.chain(readers).collect();
    let users = Vec::from_iter(users);
    let mut desk = Desk {
        change,
        now: clock::now(),
        inboxes: Inbox::lock_all(change, &users).await?,
        unwanted: Unwanted::of(change, &users).await?,
        gone: gone(change, notices.iter().flatten()).await?,
        rows: Vec::new(),
        events: Vec::new(),
        written: BTreeMap::new(),
    };
    for (telling, notices) in tellings.iter().zip(notices) {
        for notice in notices {
            desk.tell(notice);
        }
        match telling {
            Telling::Cancellation(request) => desk.cancel(request.addressee_id, &request.id.to_string()).await?,
            Telling::Reading(reading) => desk.read(reading.user_id, reading.room_id, reading.seq).await?,
            Telling::Deletion(user) => desk.close(user.user_id).await?,
            Telling::Message(message) => {
                desk.written.insert((message.user_id, message.room_id), message.seq);
            }
            Telling::Correction(message) => {
                let participants = participants.get(&message.room_id).map_or(&[][..], Vec::as_slice);
                desk.correct(message, participants).await?;
            }
            Telling::Request(_) | Telling::Acceptance(_) | Telling::Registration(_) => {}
        }
    }
    desk.finish().await
}

/// Those whose names must no longer be told: a message may be told of after its author's account is gone.
async fn gone(change: &Change<'_>, notices: impl Iterator<Item = &Notice>) -> Result<HashSet<UserId>, Problem> {
    let actors: BTreeSet<UserId> = notices.filter_map(|notice| notice.about.actor).collect();
    let sql = "SELECT user_id FROM inboxes WHERE user_id IN ({ids}) AND closed_at IS NOT NULL";
    of_users(change, sql, &Vec::from_iter(actors), false).await?.iter().map(|row| row.get(0)).collect()
}

/// What users do not want to be told of.
struct Unwanted {
    kinds: HashSet<(UserId, String)>,
    rooms: HashMap<(UserId, String), MutedRoom>,
}

impl Unwanted {
    async fn of(change: &Change<'_>, users: &[UserId]) -> Result<Self, Problem> {
        let sql = "SELECT user_id, kind FROM disabled_kinds WHERE user_id IN ({ids})";
        let rows = of_users(change, sql, users, false).await?;
        let kinds = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<_, Problem>>()?;
        let sql = "SELECT user_id, room_id, muted_until FROM muted_rooms WHERE user_id IN ({ids})";
        let mut rooms = HashMap::new();
        for row in of_users(change, sql, users, false).await? {
            let room = MutedRoom { room_id: row.get(1)?, muted_until: row.get(2)? };
            rooms.insert((row.get(0)?, room.room_id.to_string()), room);
        }
        Ok(Self { kinds, rooms })
    }

    fn has(&self, notice: &Notice, now: Timestamp) -> bool {
        if self.kinds.contains(&(notice.user_id, notice.kind.name().to_owned())) {
            return true;
        }
        let muted = notice.about.subject.clone().and_then(|room| self.rooms.get(&(notice.user_id, room)));
        notice.kind == Kind::Message && muted.is_some_and(|room| room.holds(now))
    }
}

/// A batch under way.
struct Desk<'a> {
    change: &'a Change<'a>,
    now: Timestamp,
    inboxes: HashMap<UserId, Inbox>,
    unwanted: Unwanted,
    gone: HashSet<UserId>,
    /// New notifications that are not in the table yet.
    rows: Vec<Vec<Value>>,
    /// What is to be told of it all, in the order in which it happened.
    events: Vec<Event>,
    /// The newest message of each author in each room: they have read what came before. It is marked once, at the end.
    written: BTreeMap<(UserId, RoomId), u64>,
}

impl Desk<'_> {
    fn tell(&mut self, notice: Notice) {
        let wanted = !self.unwanted.has(&notice, self.now);
        let Some(inbox) = self.inboxes.get_mut(&notice.user_id).filter(|inbox| wanted && !inbox.closed) else { return };
        let named = notice.about.actor.filter(|actor| !self.gone.contains(actor));
        let nameless = notice.about.actor.is_some() && named.is_none();
        let notification = Notification {
            id: NotificationId::fresh(),
            kind: notice.kind,
            data: if nameless { notification::without_name(notice.data) } else { notice.data },
            created_at: self.now,
            read_at: None,
        };
        let Notification { id, kind, data, created_at, .. } = &notification;
        let (subject, seq) = (&notice.about.subject, notice.about.seq);
        let row = params![id, notice.user_id, kind.name(), data.to_string(), created_at, subject, seq, named];
        self.rows.push(row.to_vec());
        inbox.unread_count += 1;
        self.events.push(notification::sent(notice.user_id, &notification, inbox.unread_count));
    }

    /// A message says something else, or nothing any more: so does what those in the room were told of it.
    async fn correct(&mut self, message: &Message, participants: &[UserId]) -> Result<(), Problem> {
        self.write().await?;
        for users in participants.chunks(CORRECTED_AT_ONCE_MAX) {
            let of_message = format!("subject = ? AND seq = ? AND user_id IN ({})", placeholders(users.len()));
            let key = || params![message.room_id, message.seq].into_iter().chain(users.iter().map(Column::to_value));
            // All of them were told the same.
            let sql = format!("SELECT data FROM notifications WHERE {of_message} LIMIT 1");
            let Some(row) = self.change.query_one(&sql, &key().collect::<Vec<_>>()).await? else { continue };
            let data = serde_json::from_str(&row.get::<String>(0)?).map_err(|_| Problem::internal())?;
            let data = notification::with_words_of(data, message).to_string();
            let sql = format!("UPDATE notifications SET data = ? WHERE {of_message}");
            self.change.execute(&sql, &std::iter::once(data.to_value()).chain(key()).collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// A request was taken back: there is nothing to answer any more.
    async fn cancel(&mut self, user: UserId, request: &str) -> Result<(), Problem> {
        self.write().await?;
        let sql = "SELECT id FROM notifications WHERE user_id = ? AND subject = ?";
        let rows = self.change.lock(sql, &params![user, request]).await?;
        let ids = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<NotificationId>, _>>()?;
        if let Some(inbox) = self.inboxes.get_mut(&user) {
            self.events.extend(inbox.read(self.change, &ids, self.now).await?);
        }
        Ok(())
    }

    /// A room was read up to a place: so were the notifications of its messages.
    async fn read(&mut self, user: UserId, room: RoomId, seq: u64) -> Result<(), Problem> {
        self.write().await?;
        if let Some(inbox) = self.inboxes.get_mut(&user) {
            self.events.extend(inbox.read_room(self.change, room, seq, self.now).await?);
        }
        Ok(())
    }

    /// An account is gone: what it was told, what it wanted to be told of, and its name with others.
    async fn close(&mut self, user: UserId) -> Result<(), Problem> {
        self.write().await?;
        self.gone.insert(user);
        for table in ["notifications", "disabled_kinds", "muted_rooms", "rooms_read"] {
            self.change.execute(&format!("DELETE FROM {table} WHERE user_id = ?"), &params![user]).await?;
        }
        self.change.forget_answers(user).await?;
        let sql = "UPDATE inboxes SET closed_at = ?, unread_count = 0 WHERE user_id = ?";
        self.change.execute(sql, &params![self.now, user]).await?;
        // Nothing is counted or told for it from here on.
        if let Some(inbox) = self.inboxes.remove(&user) {
            self.events.retain(|event| event.key != inbox.user_id.to_string());
        }
        loop {
            let sql = "SELECT user_id, id, data FROM notifications WHERE actor_id = ? LIMIT ?";
            let rows = self.change.lock(sql, &params![user, NAMES_AT_ONCE_MAX]).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let (owner, id): (UserId, NotificationId) = (row.get(0)?, row.get(1)?);
                let data = serde_json::from_str(&row.get::<String>(2)?).map_err(|_| Problem::internal())?;
                let data = notification::without_name(data).to_string();
                let sql = "UPDATE notifications SET data = ?, actor_id = NULL WHERE user_id = ? AND id = ?";
                self.change.execute(sql, &params![data, owner, id]).await?;
            }
        }
    }

    /// Puts the new notifications into the table, so that what comes after them finds them.
    async fn write(&mut self) -> Result<(), Problem> {
        let into = "notifications (id, user_id, kind, data, created_at, subject, seq, actor_id)";
        self.change.insert_all(into, &std::mem::take(&mut self.rows)).await
    }

    async fn finish(mut self) -> Result<(), Problem> {
        self.write().await?;
        for ((author, room), seq) in std::mem::take(&mut self.written) {
            if let Some(inbox) = self.inboxes.get_mut(&author) {
                self.events.extend(inbox.read_room(self.change, room, seq, self.now).await?);
            }
        }
        Inbox::store(self.change, self.inboxes.into_values()).await?;
        self.change.emit_all(&self.events).await
    }
}
