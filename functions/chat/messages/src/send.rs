//! Sends a message: it gets the room's next `seq`, and whoever sends it twice gets the first one again.

use plaza_domain::chat::{self, ClientMessageId, Content, Message, MessageType};
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_kit::auth::Caller;
use plaza_kit::clock::{self, Fresh};
use plaza_kit::limit::{self, Rule};
use plaza_kit::{Change, Database, Problem, Reply, Request, params, reply};
use std::time::Duration;

/// For a client that writes faster than anybody can read.
const PER_USER: Rule = Rule { name: "send", variable: "send_per_user_per_minute", window: Duration::from_mins(1) };

struct NewMessage {
    content: Content,
    message_type: MessageType,
    client_message_id: Option<ClientMessageId>,
    reply_to: Option<MessageId>,
}

pub(crate) async fn send(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let room: RoomId = request.segment("room_id")?;
    let new = read(request)?;
    limit::take(&PER_USER, &caller.user_id.to_string())?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    database
        .once(request, caller.user_id, async |change| {
            let (status, message) = store(change, room, caller, &new).await?;
            reply::json(status, &message)
        })
        .await
}

fn read(request: &Request) -> Result<NewMessage, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let (Some(content), Some(message_type), Some(client_message_id), Some(reply_to)) = (
        input.required("content"),
        input.optional("message_type"),
        input.optional("client_message_id"),
        input.optional("reply_to"),
    ) else {
        return Err(input.problem());
    };
    Ok(NewMessage { content, message_type: message_type.unwrap_or(MessageType::Text), client_message_id, reply_to })
}

async fn store(
    change: &Change<'_>,
    room: RoomId,
    caller: &Caller,
    new: &NewMessage,
) -> Result<(u16, Message), Problem> {
    let name = new.client_message_id.as_ref().map(ClientMessageId::as_str);
    // Whether they are in the room and may write, its next place, and whether they sent this before: one look. The room is
    // locked: its messages come one after the other. (Two rooms are not: whoever comes second under the same name, begins again.)
    let look = format!(
        "SELECT room.last_seq + 1,
             (SELECT id FROM messages WHERE user_id = participant.user_id AND client_message_id = ?), {}
         FROM participants participant JOIN rooms room ON room.id = participant.room_id
         WHERE participant.room_id = ? AND participant.user_id = ?",
        plaza_chat::STANDING_COLUMNS
    );
    let row = change.lock_one(&look, &params![name, room, caller.user_id]).await?.ok_or_else(Problem::not_found)?;
    if let Some(first) = row.get::<Option<MessageId>>(1)? {
        return sent_before(change, room, first).await.map(|message| (200, message));
    }
    plaza_chat::standing(&row, 2)?.may_write()?;
    if let Some(reply_to) = new.reply_to {
        let sql = "SELECT 1 FROM messages WHERE id = ? AND room_id = ?";
        if change.query_one(sql, &params![reply_to, room]).await?.is_none() {
            return Err(invalid_parameter("reply_to", Invalid::new("not_found", "is no message of this room")));
        }
    }
    let message = Message {
        id: MessageId::fresh(),
        room_id: room,
        seq: row.get(0)?,
        user_id: caller.user_id,
        username: caller.username.clone(),
        content: Some(new.content.as_str().to_owned()),
        message_type: new.message_type,
        client_message_id: name.map(str::to_owned),
        reply_to: new.reply_to,
        reactions: Vec::new(),
        created_at: clock::now(),
        edited_at: None,
        deleted: false,
    };
    change
        .execute(
            "INSERT INTO messages (id, room_id, seq, user_id, username, content, message_type, client_message_id, reply_to,
                 created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &params![
                message.id,
                room,
                message.seq,
                message.user_id,
                message.username,
                message.content,
                message.message_type.name(),
                message.client_message_id,
                message.reply_to,
                message.created_at,
            ],
        )
        .await?;
    let newest = "UPDATE rooms SET last_seq = ?, last_activity_at = ? WHERE id = ?";
    change.execute(newest, &params![message.seq, message.created_at, room]).await?;
    // Whoever writes has read what came before.
    let read = "UPDATE participants SET last_read_seq = ? WHERE room_id = ? AND user_id = ?";
    change.execute(read, &params![message.seq, room, caller.user_id]).await?;
    change.emit(&chat::message_sent(&message)).await?;
    Ok((201, message))
}

/// The message that the caller sent under this name before. One name means one message: to another room it is refused.
async fn sent_before(change: &Change<'_>, room: RoomId, id: MessageId) -> Result<Message, Problem> {
    let columns = plaza_chat::MESSAGE_COLUMNS;
    let sql = format!("SELECT {columns} FROM messages message WHERE message.id = ?");
    let row = change.query_one(&sql, &params![id]).await?.ok_or_else(Problem::internal)?;
    let first = plaza_chat::message(&row)?;
    if first.room_id == room {
        return Ok(first);
    }
    Err(Problem::conflict(
        "client_message_id_used",
        "You have used this client_message_id for a message in another room.",
    ))
}
