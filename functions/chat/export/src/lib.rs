//! Private: what the chat context keeps of a user (`?user_id=`), for their export: the rooms that they are in, and what they said
//! in those and in others, with what it said before it was edited.

use plaza_chat::{MESSAGE_COLUMNS, PARTICIPANT_COLUMNS};
use plaza_domain::chat::{Message, MessageDetail};
use plaza_domain::export::{Entry, Position};
use plaza_domain::id::{MessageId, UserId};
use plaza_kit::exports::{self, Section};
use plaza_kit::{Database, Problem, Reply, Request, Row, params};
use serde_json::{Value, json};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    exports::answer(&request, plaza_chat::DATABASE, 2, section).await
}

async fn section(
    database: &Database,
    user: UserId,
    Position { section, after }: Position,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    if section > 0 {
        return messages(database, user, &after, count).await;
    }
    let sql = &format!(
        "SELECT room.id, room.room_type, room.name, {PARTICIPANT_COLUMNS}
         FROM participants JOIN rooms room ON room.id = participants.room_id
         WHERE user_id = ? AND room.id > ? ORDER BY room.id LIMIT ?"
    );
    let key = |room: &Value| room["room_id"].as_str().unwrap_or_default().to_owned();
    Section { kind: "room", sql, read: room, key }.entries(database, user, &after, count).await
}

fn room(row: &Row) -> Result<Value, Problem> {
    let (id, room_type, name): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let own = plaza_chat::participant(row, 3)?;
    Ok(json!({
        "room_id": id, "room_type": room_type, "name": name,
        "username": own.username, "joined_at": own.joined_at, "last_read_seq": own.last_read_seq,
    }))
}

async fn messages(database: &Database, user: UserId, after: &str, count: u32) -> Result<Vec<(String, Entry)>, Problem> {
    let sql =
        format!("SELECT {MESSAGE_COLUMNS} FROM messages message WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?");
    let rows = database.query(&sql, &params![user, after, count]).await?;
    let messages = rows.iter().map(plaza_chat::message).collect::<Result<Vec<_>, _>>()?;
    let edited: Vec<MessageId> =
        messages.iter().filter(|message| message.edited_at.is_some()).map(|message| message.id).collect();
    let mut edits = plaza_chat::edits(database, &edited).await?;
    let entry = |mut message: Message| {
        // What others answered with a picture of a smile is theirs.
        message.reactions.clear();
        let edits = edits.remove(&message.id).unwrap_or_default();
        Ok((message.id.to_string(), Entry::new("message", &MessageDetail { message, edits })?))
    };
    messages.into_iter().map(entry).collect()
}
