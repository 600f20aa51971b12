//! `PUT, DELETE /api/messages/:room_id/:message_id/reactions?emoji=`: reacts to a message, or takes it back. Either can be said again
//! without harm.

use plaza_domain::chat::{self, Emoji, ReactionChanged};
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let added = match request.method() {
        "PUT" => true,
        "DELETE" => false,
        _ => return Err(Problem::method_not_allowed("PUT, DELETE")),
    };
    let caller = auth::caller(&request).await?;
    let room: RoomId = request.segment("room_id")?;
    let id: MessageId = request.segment("message_id")?;
    let emoji: Emoji = request
        .query_as("emoji", "exactly one emoji")?
        .ok_or_else(|| invalid_parameter("emoji", Invalid::new("required", "is required")))?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let message = database
        .transaction(async |change| {
            let locked = plaza_chat::lock_room(change, caller.user_id, room).await?;
            let mut message = plaza_chat::lock_message(change, room, id).await?;
            let changed = if added {
                // A reaction says something, too; to take one back does not.
                locked.standing.may_write()?;
                message.react(caller.user_id, &emoji)?
            } else {
                message.unreact(caller.user_id, &emoji)
            };
            if !changed {
                return Ok(message);
            }
            let sql = "UPDATE messages SET reactions = ? WHERE room_id = ? AND seq = ?";
            let reactions = plaza_chat::reactions_column(&message.reactions);
            change.execute(sql, &params![reactions, room, message.seq]).await?;
            let event = ReactionChanged {
                room_id: room,
                message_id: id,
                seq: message.seq,
                user_id: caller.user_id,
                emoji: emoji.as_str().to_owned(),
                added,
                reactions: message.reactions.clone(),
                changed_at: clock::now(),
            };
            change.emit(&chat::reaction_changed(&event)).await?;
            Ok(message)
        })
        .await?;
    reply::json(200, &message)
}
