//! `POST /api/messages/:room_id/typing`: tells those in the room that the caller is typing. It is over by itself: whoever goes on typing
//! says so again.

use plaza_domain::chat::{self, Standing, TYPING_LIFETIME, Typing};
use plaza_domain::id::RoomId;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let room: RoomId = request.segment("room_id")?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let sql = format!(
        "SELECT {} FROM participants participant JOIN rooms room ON room.id = participant.room_id
         WHERE participant.room_id = ? AND participant.user_id = ?",
        plaza_chat::STANDING_COLUMNS
    );
    let row = database.query_one(&sql, &params![room, caller.user_id]).await?.ok_or_else(Problem::not_found)?;
    // Who cannot write cannot be seen typing. They are not told: their client says this on its own.
    if plaza_chat::standing(&row, 0)? != Standing::Open {
        return reply::no_content();
    }
    let typing = Typing {
        room_id: room,
        user_id: caller.user_id,
        username: caller.username,
        expires_at: clock::now().after(TYPING_LIFETIME),
    };
    database
        .once(&request, caller.user_id, async |change| {
            change.emit(&chat::typing(&typing)).await?;
            reply::no_content()
        })
        .await
}
