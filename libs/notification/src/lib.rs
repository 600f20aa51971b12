//! What the functions of the notification context share: reading notifications, and a user's inbox, which knows how many of
//! them are unread.

pub mod preferences;

use plaza_domain::id::{NotificationId, RoomId, UserId};
use plaza_domain::notification::{self, Kind, Notification, READ_AT_ONCE_MAX, Which};
use plaza_domain::{Event, Problem, Timestamp};
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, Database, Row, params};
use std::collections::HashMap;

/// The label of the context's database.
pub const DATABASE: &str = "notification";

/// The columns that [`notification`] reads, in its order.
pub const NOTIFICATION_COLUMNS: &str = "id, kind, data, created_at, read_at";

/// The most values of one `IN (…)`.
const IN_MAX: usize = 500;

/// A notification from the columns of [`NOTIFICATION_COLUMNS`].
pub fn notification(row: &Row) -> Result<Notification, Problem> {
    let (kind, data): (String, String) = (row.get(1)?, row.get(2)?);
    Ok(Notification {
        id: row.get(0)?,
        kind: Kind::from_name(&kind).ok_or_else(Problem::internal)?,
        data: serde_json::from_str(&data).map_err(|_| Problem::internal())?,
        created_at: row.get(3)?,
        read_at: row.get(4)?,
    })
}

/// How many notifications a user has not read.
pub async fn unread_count(database: &Database, user: UserId) -> Result<u64, Problem> {
    let row = database.query_one("SELECT unread_count FROM inboxes WHERE user_id = ?", &params![user]).await?;
    row.map_or(Ok(0), |row| row.get(0))
}

/// All rows of a query whose `{ids}` stands for these users, however many they are.
pub async fn of_users(change: &Change<'_>, sql: &str, users: &[UserId], lock: bool) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    for users in users.chunks(IN_MAX) {
        let sql = sql.replace("{ids}", &placeholders(users.len()));
        let params: Vec<Value> = users.iter().map(Column::to_value).collect();
        rows.extend(if lock { change.lock(&sql, &params).await? } else { change.query(&sql, &params).await? });
    }
    Ok(rows)
}

/// What is known of a user's notifications as a whole. While a change holds it, nobody else changes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbox {
    /// Whose.
    pub user_id: UserId,
    /// How many are unread.
    pub unread_count: u64,
    /// Whether the account is gone: then nothing is told any more.
    pub closed: bool,
    /// How many were unread when it was locked.
    stored_count: u64,
}

impl Inbox {
    /// Locks the inbox of one user.
    pub async fn lock(change: &Change<'_>, user: UserId) -> Result<Self, Problem> {
        Self::lock_all(change, &[user]).await?.remove(&user).ok_or_else(Problem::internal)
    }

    /// Locks the inboxes of these users, each once and in their order, so that nobody waits in a circle. Those that are not
    /// there yet are made.
    pub async fn lock_all(change: &Change<'_>, users: &[UserId]) -> Result<HashMap<UserId, Self>, Problem> {
        let known = of_users(change, "SELECT user_id FROM inboxes WHERE user_id IN ({ids})", users, false).await?;
        let known = known.iter().map(|row| row.get(0)).collect::<Result<Vec<UserId>, _>>()?;
        for user in users.iter().filter(|user| !known.contains(user)) {
            let sql = "INSERT INTO inboxes (user_id, unread_count) VALUES (?, 0)";
            change.insert_new(sql, &params![user]).await?;
        }
        let sql = "SELECT user_id, unread_count, closed_at FROM inboxes WHERE user_id IN ({ids}) ORDER BY user_id";
        let mut inboxes = HashMap::new();
        for row in of_users(change, sql, users, true).await? {
            let (user_id, unread_count) = (row.get(0)?, row.get(1)?);
            let closed = row.get::<Option<Timestamp>>(2)?.is_some();
            inboxes.insert(user_id, Self { user_id, unread_count, closed, stored_count: unread_count });
        }
        Ok(inboxes)
    }

    /// Stores how many are unread now. Users with the same change are written in one statement.
    pub async fn store(change: &Change<'_>, inboxes: impl IntoIterator<Item = Self>) -> Result<(), Problem> {
        let mut by_difference: HashMap<i64, Vec<UserId>> = HashMap::new();
        for inbox in inboxes {
            let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            let difference = count(inbox.unread_count) - count(inbox.stored_count);
            if difference != 0 {
                by_difference.entry(difference).or_default().push(inbox.user_id);
            }
        }
        for (difference, users) in by_difference {
            for users in users.chunks(IN_MAX) {
                let ids = placeholders(users.len());
                let sql = format!("UPDATE inboxes SET unread_count = unread_count + ? WHERE user_id IN ({ids})");
                let params: Vec<Value> =
                    std::iter::once(difference.to_value()).chain(users.iter().map(Column::to_value)).collect();
                change.execute(&sql, &params).await?;
            }
        }
        Ok(())
    }

    /// Marks those of these that are unread; what of it is to be told.
    pub async fn read(
        &mut self,
        change: &Change<'_>,
        ids: &[NotificationId],
        now: Timestamp,
    ) -> Result<Vec<Event>, Problem> {
        let mut events = Vec::new();
        for ids in ids.chunks(READ_AT_ONCE_MAX) {
            let own = || std::iter::once(self.user_id.to_value()).chain(ids.iter().map(Column::to_value));
            let condition = format!("user_id = ? AND read_at IS NULL AND id IN ({})", placeholders(ids.len()));
            let sql = format!("SELECT id FROM notifications WHERE {condition}");
            let unread = change.lock(&sql, &own().collect::<Vec<_>>()).await?;
            let unread = unread.iter().map(|row| row.get(0)).collect::<Result<Vec<NotificationId>, _>>()?;
            let params: Vec<Value> = std::iter::once(now.to_value()).chain(own()).collect();
            events.extend(self.mark(change, &condition, &params, unread.len(), Which::Ids(unread), now).await?);
        }
        Ok(events)
    }

    /// Marks those of a room's messages, up to this place. Only what came since the last time is looked through: a user was told of
    /// many messages of a room, and has read most.
    pub async fn read_room(
        &mut self,
        change: &Change<'_>,
        room: RoomId,
        seq: u64,
        now: Timestamp,
    ) -> Result<Vec<Event>, Problem> {
        if self.unread_count == 0 {
            return Ok(Vec::new());
        }
        let sql = "SELECT seq FROM rooms_read WHERE user_id = ? AND room_id = ?";
        let known = change.query_one(sql, &params![self.user_id, room]).await?;
        let known: Option<u64> = known.map(|row| row.get(0)).transpose()?;
        let after = known.unwrap_or(0);
        if seq <= after {
            return Ok(Vec::new());
        }
        let note = match known {
            None => "INSERT INTO rooms_read (seq, user_id, room_id) VALUES (?, ?, ?)",
            Some(_) => "UPDATE rooms_read SET seq = ? WHERE user_id = ? AND room_id = ?",
        };
        change.execute(note, &params![seq, self.user_id, room]).await?;
        let condition = "user_id = ? AND subject = ? AND seq > ? AND seq <= ? AND read_at IS NULL";
        let sql = format!("SELECT COUNT(*) FROM notifications WHERE {condition}");
        let count = change.lock_one(&sql, &params![self.user_id, room, after, seq]).await?;
        let count = count.map_or(Ok(0), |row| row.get::<u32>(0))? as usize;
        let params = params![now, self.user_id, room, after, seq];
        self.mark(change, condition, &params, count, Which::Room(room, seq), now).await
    }

    /// Marks every one.
    pub async fn read_all(&mut self, change: &Change<'_>, now: Timestamp) -> Result<Vec<Event>, Problem> {
        let count = usize::try_from(self.unread_count).unwrap_or(usize::MAX);
        let condition = "user_id = ? AND read_at IS NULL";
        self.mark(change, condition, &params![now, self.user_id], count, Which::All, now).await
    }

    async fn mark(
        &mut self,
        change: &Change<'_>,
        condition: &str,
        params: &[Value],
        count: usize,
        which: Which,
        now: Timestamp,
    ) -> Result<Vec<Event>, Problem> {
        if count == 0 {
            return Ok(Vec::new());
        }
        change.execute(&format!("UPDATE notifications SET read_at = ? WHERE {condition}"), params).await?;
        self.unread_count = self.unread_count.saturating_sub(count as u64);
        Ok(vec![notification::read(self.user_id, &which, now, self.unread_count)])
    }
}
