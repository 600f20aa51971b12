//! `POST /api/messages/:room_id/read`: the caller has read up to a message. A position never goes back.

use plaza_domain::chat::{self, ReadPosition, ReadUpTo};
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_kit::{Change, Database, Json, Problem, Reply, Request, auth, clock, params, reply};

plaza_kit::function!(handle);

/// What was read.
#[derive(Clone, Copy)]
enum UpTo {
    Message(MessageId),
    Seq(u64),
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let room: RoomId = request.segment("room_id")?;
    let up_to = read(&request.json()?)?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    database
        .once(&request, caller.user_id, async |change| {
            // The caller's row alone is locked: nobody else's position is touched, and nobody who writes is in the way.
            let sql = "SELECT participant.last_read_seq, (SELECT last_seq FROM rooms WHERE id = participant.room_id)
                 FROM participants participant WHERE participant.room_id = ? AND participant.user_id = ?";
            let params = params![room, caller.user_id];
            let row = change.lock_one(sql, &params).await?.ok_or_else(Problem::not_found)?;
            let (before, last_seq): (u64, u64) = (row.get(0)?, row.get(1)?);
            // The snapshot of the room may be older than what the caller has written since.
            let last_seq = last_seq.max(before);
            let seq = seq_of(change, room, up_to).await?.min(last_seq);
            if seq <= before {
                let unread_count = last_seq - before;
                return reply::json(200, &ReadUpTo { room_id: room, last_read_seq: before, unread_count });
            }
            let sql = "UPDATE participants SET last_read_seq = ? WHERE room_id = ? AND user_id = ?";
            change.execute(sql, &params![seq, room, caller.user_id]).await?;
            let position = ReadPosition { room_id: room, user_id: caller.user_id, seq, read_at: clock::now() };
            change.emit(&chat::message_read(&position)).await?;
            reply::json(200, &ReadUpTo { room_id: room, last_read_seq: seq, unread_count: last_seq - seq })
        })
        .await
}

fn read(body: &Json) -> Result<UpTo, Problem> {
    let mut input = body.input();
    let (Some(message), Some(seq)) = (input.optional::<MessageId>("message_id"), input.optional::<chat::Seq>("seq"))
    else {
        return Err(input.problem());
    };
    match (message, seq) {
        (Some(id), None) => Ok(UpTo::Message(id)),
        (None, Some(seq)) => Ok(UpTo::Seq(seq.get())),
        _ => {
            input.note::<()>("message_id", Invalid::new("one_of", "is required, or else seq; not both"));
            Err(input.problem())
        }
    }
}

async fn seq_of(change: &Change<'_>, room: RoomId, up_to: UpTo) -> Result<u64, Problem> {
    match up_to {
        UpTo::Seq(seq) => Ok(seq),
        UpTo::Message(id) => {
            let sql = "SELECT seq FROM messages WHERE id = ? AND room_id = ?";
            let row = change.query_one(sql, &params![id, room]).await?;
            let refuse = || invalid_parameter("message_id", Invalid::new("not_found", "is no message of this room"));
            row.ok_or_else(refuse)?.get(0)
        }
    }
}
