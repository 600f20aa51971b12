//! What the functions of the chat context share: reading rooms and messages.

use plaza_domain::chat::{Message, MessageType, Participant, Room, RoomType};
use plaza_domain::id::{RoomId, UserId};
use plaza_kit::store::{Column, Source, placeholders};
use plaza_kit::{Problem, Row, params};
use std::collections::HashMap;

/// The label of the context's database.
pub const DATABASE: &str = "chat";

/// The columns that [`message`] reads, in its order.
pub const MESSAGE_COLUMNS: &str = "message.id, message.room_id, message.seq, message.user_id, message.username, \
     message.content, message.message_type, message.client_message_id, message.reply_to, message.created_at, \
     message.edited_at, message.deleted_at";

/// A message from the columns of [`MESSAGE_COLUMNS`].
pub fn message(row: &Row) -> Result<Message, Problem> {
    let message_type: String = row.get(6)?;
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
        reactions: Vec::new(),
        created_at: row.get(9)?,
        edited_at: row.get(10)?,
        deleted: row.get::<Option<i64>>(11)?.is_some(),
    })
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
        let room_type =
            if row.get::<String>(1)? == RoomType::Direct.name() { RoomType::Direct } else { RoomType::Group };
        let room = Room {
            id,
            room_type,
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
        "SELECT room_id, user_id, username, joined_at FROM participants WHERE room_id IN ({}) ORDER BY joined_at, user_id",
        placeholders(rooms.len())
    );
    let params: Vec<_> = rooms.iter().map(Column::to_value).collect();
    for row in source.query(&sql, &params).await? {
        let participant = Participant { user_id: row.get(1)?, username: row.get(2)?, joined_at: row.get(3)? };
        by_room.entry(row.get(0)?).or_default().push(participant);
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
