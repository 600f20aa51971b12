//! What the functions of the stream context share: who opens a stream, and which rooms they are in.

use plaza_domain::Problem;
use plaza_domain::id::{RoomId, UserId};
use plaza_kit::auth::Caller;
use plaza_kit::lookup::Question;
use plaza_kit::{Database, Request, clock, grip, params, secret};
use serde::Deserialize;

/// The label of the context's database.
pub const DATABASE: &str = "stream";

/// Who opens a stream: by token, by a ticket, or, on the proxy's second look, by the pass in its link.
pub async fn caller(request: &Request) -> Result<Caller, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    if let Some(caller) = grip::caller(request).await? {
        return Ok(caller);
    }
    let ticket = request.query("ticket").ok_or_else(Problem::unauthorized)?;
    let database = Database::open(DATABASE).await?;
    // A ticket is good once: whoever deletes it has it.
    let row = database
        .query_one(
            "DELETE FROM tickets WHERE hash = ? AND expires_at > ?
             RETURNING user_id, username, session_id, token_expires_at",
            &params![secret::hash(&ticket), clock::now()],
        )
        .await?
        .ok_or_else(|| {
            Problem::unauthenticated("invalid_ticket", "The ticket is not valid, was used, or has expired.")
        })?;
    let caller =
        Caller { user_id: row.get(0)?, username: row.get(1)?, session_id: row.get(2)?, expires_at: row.get(3)? };
    grip::still_signed_in(&caller)?;
    Ok(caller)
}

/// The rooms of a user, as the chat context knows them; only `room`, where one is asked for.
pub async fn rooms(user: UserId, room: Option<RoomId>) -> Result<Vec<RoomId>, Problem> {
    #[derive(Deserialize)]
    struct Rooms {
        room_ids: Vec<RoomId>,
    }
    let path = match room {
        Some(room) => format!("/?user_id={user}&room_id={room}"),
        None => format!("/?user_id={user}"),
    };
    let rooms: Rooms = Question::get("chat-membership", &path).ask(Vec::new()).await?.json()?;
    Ok(rooms.room_ids)
}
