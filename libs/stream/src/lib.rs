//! What the functions of the stream context share: who opens a stream, by which ticket, and which rooms they are in.

pub mod ticket;

use plaza_domain::Problem;
use plaza_domain::id::{RoomId, UserId};
use plaza_kit::auth::Caller;
use plaza_kit::lookup::Question;
use plaza_kit::{Request, grip};
use serde::Deserialize;

/// Who opens a stream: by token, by a ticket, or, on the proxy's second look, by the pass in its link.
pub async fn caller(request: &Request) -> Result<Caller, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    if let Some(caller) = grip::caller(request).await? {
        return Ok(caller);
    }
    let ticket = request.query("ticket").ok_or_else(Problem::unauthorized)?;
    let caller = ticket::redeem(&ticket)?;
    grip::still_signed_in(&caller).await?;
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
