//! `GET, PATCH, DELETE /api/messages/:room_id/:message_id`: one message with what it said before; its author says it in other words,
//! or takes it back.

use plaza_chat::MESSAGE_COLUMNS;
use plaza_domain::chat::{self, Content, EDITS_MAX, Edit, Message, MessageDetail};
use plaza_domain::id::{MessageId, RoomId};
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Change, Database, Problem, Reply, Request, clock, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => detail(&request, &auth::caller(&request).await?).await,
        "PATCH" => edit(&request, &auth::caller(&request).await?).await,
        "DELETE" => delete(&request, &auth::caller(&request).await?).await,
        _ => Err(Problem::method_not_allowed("GET, PATCH, DELETE")),
    }
}

fn named(request: &Request) -> Result<(RoomId, MessageId), Problem> {
    Ok((request.segment("room_id")?, request.segment("message_id")?))
}

async fn detail(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let (room, id) = named(request)?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM participants JOIN messages message ON message.room_id = participants.room_id
         WHERE participants.room_id = ? AND participants.user_id = ? AND message.id = ?"
    );
    let row = database.query_one(&sql, &params![room, caller.user_id, id]).await?.ok_or_else(Problem::not_found)?;
    let message = plaza_chat::message(&row)?;
    let edited: &[MessageId] = if message.edited_at.is_some() { &[id] } else { &[] };
    let edits = plaza_chat::edits(&database, edited).await?.remove(&id).unwrap_or_default();
    reply::json(200, &MessageDetail { message, edits })
}

async fn edit(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let (room, id) = named(request)?;
    let body = request.json()?;
    let mut input = body.input();
    let Some(content) = input.required::<Content>("content") else { return Err(input.problem()) };
    let database = Database::open(plaza_chat::DATABASE).await?;
    let message = database
        .transaction(async |change| {
            let locked = plaza_chat::lock_room(change, caller.user_id, room).await?;
            let mut message = plaza_chat::lock_message(change, room, id).await?;
            let edit = message.edit(caller.user_id, &content, clock::now())?;
            // Other words are a message, too.
            locked.standing.may_write()?;
            if let Some(edit) = edit {
                store(change, &message, &edit).await?;
            }
            Ok(message)
        })
        .await?;
    reply::json(200, &message)
}

async fn store(change: &Change<'_>, message: &Message, edit: &Edit) -> Result<(), Problem> {
    let count = "SELECT COUNT(*) FROM message_edits WHERE message_id = ?";
    let before: u32 = change.query_one(count, &params![message.id]).await?.ok_or_else(Problem::internal)?.get(0)?;
    if before >= EDITS_MAX {
        return Err(Problem::conflict("too_many_edits", format!("A message can be edited {EDITS_MAX} times.")));
    }
    let keep = "INSERT INTO message_edits (message_id, number, content, replaced_at) VALUES (?, ?, ?, ?)";
    change.execute(keep, &params![message.id, before + 1, edit.content, edit.replaced_at]).await?;
    let sql = "UPDATE messages SET content = ?, edited_at = ? WHERE room_id = ? AND seq = ?";
    change.execute(sql, &params![message.content, message.edited_at, message.room_id, message.seq]).await?;
    change.emit(&chat::message_edited(message)).await
}

async fn delete(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let (room, id) = named(request)?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    database
        .transaction(async |change| {
            let locked = plaza_chat::lock_room(change, caller.user_id, room).await?;
            let mut message = plaza_chat::lock_message(change, room, id).await?;
            if !message.delete(caller.user_id, locked.owner_id)? {
                return Ok(());
            }
            // What it said before goes as well.
            change.execute("DELETE FROM message_edits WHERE message_id = ?", &params![id]).await?;
            let sql =
                "UPDATE messages SET content = NULL, reactions = NULL, deleted_at = ? WHERE room_id = ? AND seq = ?";
            change.execute(sql, &params![clock::now(), room, message.seq]).await?;
            change.emit(&chat::message_deleted(&message)).await
        })
        .await?;
    reply::no_content()
}
