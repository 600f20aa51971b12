//! What the functions of the chat context share: reading rooms and messages, and locking them.

mod blocks;
mod leave;
mod position;

pub use blocks::{between, block, unblock};
pub use leave::{close, forget, take_out};
pub use position::Position;

use plaza_domain::chat::{Edit, Message, MessageType, Participant, Reaction, Room, RoomType, Standing};
use plaza_domain::id::{MessageId, RoomId, UserId};
use plaza_kit::store::{Column, Source, placeholders};
use plaza_kit::{Change, Problem, Row, params};
use std::collections::HashMap;

/// The label of the context's database.
pub const DATABASE: &str = "chat";

/// The columns that [`message`] reads, in its order.
pub const MESSAGE_COLUMNS: &str = "message.id, message.room_id, message.seq, message.user_id, message.username, \
     message.content, message.message_type, message.client_message_id, message.reply_to, message.created_at, \
     message.edited_at, message.deleted_at, message.reactions";

/// A message from the columns of [`MESSAGE_COLUMNS`].
pub fn message(row: &Row) -> Result<Message, Problem> {
    let message_type: String = row.get(6)?;
    let reactions: Option<String> = row.get(12)?;
    Ok(Message {
        id: row.get(0)?,
        room_id: row.get(1)?,
        seq: row.get(2)?,
        user_id: row.get(3)?,
        username: row.get(4)?,
        content: row.get(5)?,
        message_type: MessageType::from_name(&message_type).ok_or_else(Problem::internal)?,
        client_message_id: row.get(7)?,
        reply_to: row.get(8)?,
        reactions: reactions
            .map_or_else(|| Ok(Vec::new()), |json| serde_json::from_str(&json))
            .map_err(|error| unreadable(&error))?,
        created_at: row.get(9)?,
        edited_at: row.get(10)?,
        deleted: row.get::<Option<i64>>(11)?.is_some(),
    })
}

/// What these messages said before they were edited, the oldest first.
pub async fn edits(source: &impl Source, messages: &[MessageId]) -> Result<HashMap<MessageId, Vec<Edit>>, Problem> {
    let mut edits: HashMap<MessageId, Vec<Edit>> = HashMap::new();
    if messages.is_empty() {
        return Ok(edits);
    }
    let sql = format!(
        "SELECT message_id, content, replaced_at FROM message_edits WHERE message_id IN ({}) ORDER BY message_id, number",
        placeholders(messages.len())
    );
    let params: Vec<_> = messages.iter().map(Column::to_value).collect();
    for row in source.query(&sql, &params).await? {
        let edit = Edit { content: row.get(1)?, replaced_at: row.get(2)? };
        edits.entry(row.get(0)?).or_default().push(edit);
    }
    Ok(edits)
}

/// Reactions, as [`message`] reads them.
pub fn reactions_column(reactions: &[Reaction]) -> Option<String> {
    // They have string keys and no foreign serializers: they cannot fail to serialize.
    (!reactions.is_empty()).then(|| serde_json::to_string(reactions).unwrap_or_default())
}

/// The columns by which [`standing`] tells whether `participant` may write in `room`.
pub const STANDING_COLUMNS: &str = "room.closed_at IS NOT NULL, \
     (SELECT MAX(CASE WHEN blocker_id = participant.user_id THEN 2 ELSE 1 END) FROM blocks WHERE pair = room.direct_key)";

/// Whether somebody may write in a room, from the columns of [`STANDING_COLUMNS`], the first of which is at `index`.
pub fn standing(row: &Row, index: usize) -> Result<Standing, Problem> {
    let closed: bool = row.get(index)?;
    let blocked: Option<u32> = row.get(index + 1)?;
    Ok(match blocked {
        Some(2) => Standing::Blocks,
        Some(_) => Standing::Closed,
        None if closed => Standing::Closed,
        None => Standing::Open,
    })
}

/// A room that is locked until the change is over, as one who is in it stands in it.
#[derive(Debug)]
pub struct Locked {
    /// Which.
    pub id: RoomId,
    /// Two people, or a group.
    pub room_type: RoomType,
    /// A group's name.
    pub name: Option<String>,
    /// Who owns the group.
    pub owner_id: Option<UserId>,
    /// Whether they may write.
    pub standing: Standing,
    /// The newest message's place.
    pub last_seq: u64,
}

impl Locked {
    /// Refuses what only groups have.
    pub fn must_be_group(&self) -> Result<(), Problem> {
        match self.room_type {
            RoomType::Group => Ok(()),
            RoomType::Direct => Err(Problem::conflict(
                "direct_room",
                "A direct room is these two, for ever: nobody joins or leaves, and it has no name.",
            )),
        }
    }

    /// Refuses those who do not own the group.
    pub fn must_be_owner(&self, caller: UserId) -> Result<(), Problem> {
        if self.owner_id == Some(caller) {
            return Ok(());
        }
        Err(Problem::new(403, "not_owner", "Only the owner of the group can do this."))
    }
}

/// Locks a room; 404 where `caller` is not in it. Every change of a room, its messages or who is in it begins so; what is read after
/// it is the newest.
pub async fn lock_room(change: &Change<'_>, caller: UserId, room: RoomId) -> Result<Locked, Problem> {
    let sql = format!(
        "SELECT room.room_type, room.name, room.owner_id, room.last_seq, {STANDING_COLUMNS}
         FROM participants participant JOIN rooms room ON room.id = participant.room_id
         WHERE participant.room_id = ? AND participant.user_id = ?"
    );
    let row = change.lock_one(&sql, &params![room, caller]).await?.ok_or_else(Problem::not_found)?;
    let room_type: String = row.get(0)?;
    Ok(Locked {
        id: room,
        room_type: RoomType::from_name(&room_type).ok_or_else(Problem::internal)?,
        name: row.get(1)?,
        owner_id: row.get(2)?,
        last_seq: row.get(3)?,
        standing: standing(&row, 4)?,
    })
}

/// A message of a room that is locked; 404 where it is none of it.
pub async fn lock_message(change: &Change<'_>, room: RoomId, id: MessageId) -> Result<Message, Problem> {
    let sql = format!("SELECT {MESSAGE_COLUMNS} FROM messages message WHERE message.id = ? AND message.room_id = ?");
    message(&change.lock_one(&sql, &params![id, room]).await?.ok_or_else(Problem::not_found)?)
}

fn unreadable(error: &serde_json::Error) -> Problem {
    eprintln!("reactions that cannot be read: {error}");
    Problem::internal()
}

/// The condition that picks rooms in [`rooms`], with its parameters.
#[derive(Debug, Clone, Copy)]
pub enum Pick<'a> {
    /// One room.
    One(RoomId),
    /// The caller's rooms by last activity, newest first: after a position (milliseconds, id), and how many.
    ByActivity(Option<&'a (i64, RoomId)>, u32),
}

/// Rooms that `caller` is in, as they see them. With each its last activity (milliseconds since the Unix epoch).
pub async fn rooms(source: &impl Source, caller: UserId, pick: Pick<'_>) -> Result<Vec<(Room, i64)>, Problem> {
    let columns = "room.id, room.room_type, room.name, room.owner_id, room.created_at, room.last_activity_at,
        room.last_seq - caller.last_read_seq";
    let from = "FROM participants caller JOIN rooms room ON room.id = caller.room_id WHERE caller.user_id = ?";
    let rows = match pick {
        Pick::One(room) => {
            source.query(&format!("SELECT {columns} {from} AND room.id = ?"), &params![caller, room]).await?
        }
        Pick::ByActivity(after, count) => {
            let sql = format!(
                "SELECT {columns} {from} AND (room.last_activity_at < ? OR (room.last_activity_at = ? AND room.id < ?))
                 ORDER BY room.last_activity_at DESC, room.id DESC LIMIT ?"
            );
            let (at, id) = after.map_or_else(|| (i64::MAX, String::new()), |(at, id)| (*at, id.to_string()));
            source.query(&sql, &params![caller, at, at, id, count]).await?
        }
    };
    let ids = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<RoomId>, _>>()?;
    let mut participants = participants(source, &ids).await?;
    let mut last_messages = last_messages(source, &ids).await?;
    let room = |row: &Row| {
        let id: RoomId = row.get(0)?;
        let room_type: String = row.get(1)?;
        let room = Room {
            id,
            room_type: RoomType::from_name(&room_type).ok_or_else(Problem::internal)?,
            name: row.get(2)?,
            owner_id: row.get(3)?,
            participants: participants.remove(&id).unwrap_or_default(),
            last_message: last_messages.remove(&id),
            unread_count: row.get(6)?,
            created_at: row.get(4)?,
        };
        Ok((room, row.get(5)?))
    };
    rows.iter().map(room).collect()
}

/// One room, as `caller` sees it; 404 where they are not in it.
pub async fn room(source: &impl Source, caller: UserId, id: RoomId) -> Result<Room, Problem> {
    let found = rooms(source, caller, Pick::One(id)).await?;
    found.into_iter().next().map(|(room, _)| room).ok_or_else(Problem::not_found)
}

/// The columns that [`participant`] reads, in its order.
pub const PARTICIPANT_COLUMNS: &str = "user_id, username, joined_at, last_read_seq";

/// A participant from the columns of [`PARTICIPANT_COLUMNS`], the first of which is at `index`.
pub fn participant(row: &Row, index: usize) -> Result<Participant, Problem> {
    Ok(Participant {
        user_id: row.get(index)?,
        username: row.get(index + 1)?,
        joined_at: row.get(index + 2)?,
        last_read_seq: row.get(index + 3)?,
    })
}

/// Who is in these rooms, in the order in which they came.
pub async fn participants(
    source: &impl Source,
    rooms: &[RoomId],
) -> Result<HashMap<RoomId, Vec<Participant>>, Problem> {
    let mut by_room: HashMap<RoomId, Vec<Participant>> = HashMap::new();
    if rooms.is_empty() {
        return Ok(by_room);
    }
    let sql = format!(
        "SELECT room_id, {PARTICIPANT_COLUMNS} FROM participants WHERE room_id IN ({}) ORDER BY joined_at, user_id",
        placeholders(rooms.len())
    );
    let params: Vec<_> = rooms.iter().map(Column::to_value).collect();
    for row in source.query(&sql, &params).await? {
        by_room.entry(row.get(0)?).or_default().push(participant(&row, 1)?);
    }
    Ok(by_room)
}

async fn last_messages(source: &impl Source, rooms: &[RoomId]) -> Result<HashMap<RoomId, Message>, Problem> {
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM rooms room
         JOIN messages message ON message.room_id = room.id AND message.seq = room.last_seq WHERE room.id IN ({})",
        placeholders(rooms.len())
    );
    let params: Vec<_> = rooms.iter().map(Column::to_value).collect();
    let rows = source.query(&sql, &params).await?;
    rows.iter().map(|row| message(row).map(|message| (message.room_id, message))).collect()
}
