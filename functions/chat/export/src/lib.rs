//! Private: what the chat context keeps of a user (`?user_id=`), for their export: the rooms that they are in, and what they said
//! in those and in others, with what it said before it was edited.

use plaza_chat::{MESSAGE_COLUMNS, PARTICIPANT_COLUMNS};
use plaza_domain::chat::{Edit, MessageDetail};
use plaza_domain::export::{self, Entry, Position};
use plaza_domain::id::{MessageId, UserId};
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use serde_json::json;
use std::collections::HashMap;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let (limit, _) = request.page::<String>()?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let cursor = request.query("cursor");
    let page = export::page(2, cursor.as_deref(), limit, async |Position { section, after }, count| match section {
        0 => rooms(&database, user, &after, count).await,
        _ => messages(&database, user, &after, count).await,
    });
    reply::json(200, &page.await?)
}

async fn rooms(database: &Database, user: UserId, after: &str, count: u32) -> Result<Vec<(String, Entry)>, Problem> {
    let sql = format!(
        "SELECT room.id, room.room_type, room.name, {PARTICIPANT_COLUMNS}
         FROM participants JOIN rooms room ON room.id = participants.room_id
         WHERE user_id = ? AND room.id > ? ORDER BY room.id LIMIT ?"
    );
    let rows = database.query(&sql, &params![user, after, count]).await?;
    let entry = |row| {
        let own = plaza_chat::participant(row, 3)?;
        let (id, room_type, name): (String, String, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let data = json!({
            "room_id": id, "room_type": room_type, "name": name,
            "username": own.username, "joined_at": own.joined_at, "last_read_seq": own.last_read_seq,
        });
        Ok((id, Entry::new("room", &data)?))
    };
    rows.iter().map(entry).collect()
}

async fn messages(database: &Database, user: UserId, after: &str, count: u32) -> Result<Vec<(String, Entry)>, Problem> {
    let sql =
        format!("SELECT {MESSAGE_COLUMNS} FROM messages message WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?");
    let rows = database.query(&sql, &params![user, after, count]).await?;
    let mut messages = rows.iter().map(plaza_chat::message).collect::<Result<Vec<_>, _>>()?;
    let edited: Vec<MessageId> =
        messages.iter().filter(|message| message.edited_at.is_some()).map(|message| message.id).collect();
    let mut edits = edits(database, &edited).await?;
    for message in &mut messages {
        // What others answered with a picture of a smile is theirs.
        message.reactions.clear();
    }
    let entry = |message: plaza_domain::chat::Message| {
        let edits = edits.remove(&message.id).unwrap_or_default();
        Ok((message.id.to_string(), Entry::new("message", &MessageDetail { message, edits })?))
    };
    messages.into_iter().map(entry).collect()
}

async fn edits(database: &Database, messages: &[MessageId]) -> Result<HashMap<MessageId, Vec<Edit>>, Problem> {
    let mut edits: HashMap<MessageId, Vec<Edit>> = HashMap::new();
    if messages.is_empty() {
        return Ok(edits);
    }
    let sql = format!(
        "SELECT message_id, content, replaced_at FROM message_edits WHERE message_id IN ({}) ORDER BY message_id, number",
        placeholders(messages.len())
    );
    let params: Vec<_> = messages.iter().map(Column::to_value).collect();
    for row in database.query(&sql, &params).await? {
        let edit = Edit { content: row.get(1)?, replaced_at: row.get(2)? };
        edits.entry(row.get(0)?).or_default().push(edit);
    }
    Ok(edits)
}
