//! Private: who is in which room, for the other contexts.
//!
//! `?user_id=U` answers the rooms of a user, the most recently active first; with `&room_id=R` only that one, if they
//! are in it. `?room_ids=R1,R2` answers who is in these rooms.

use plaza_domain::id::{RoomId, UserId};
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use serde::Serialize;
use std::collections::HashMap;

plaza_kit::function!(handle);

/// The most rooms of one user that are answered: each takes two channels of a stream, beside those of up to a thousand friends, and
/// the relay holds 2,500 for one.
const ROOMS_MAX: u32 = 600;

#[derive(Serialize)]
struct Rooms {
    room_ids: Vec<RoomId>,
}

#[derive(Serialize)]
struct Participants {
    participants: HashMap<RoomId, Vec<UserId>>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let database = Database::open(plaza_chat::DATABASE).await?;
    if let Some(list) = request.query("room_ids") {
        let ids: Vec<RoomId> = list.split(',').filter_map(|id| id.parse().ok()).collect();
        let by_room = plaza_chat::participants(&database, &ids).await?;
        let users = |participants: Vec<plaza_domain::chat::Participant>| {
            participants.into_iter().map(|participant| participant.user_id).collect()
        };
        let participants = by_room.into_iter().map(|(room, participants)| (room, users(participants))).collect();
        return reply::json(200, &Participants { participants });
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let rows = if let Some(room) = request.query_as::<RoomId>("room_id", "an id")? {
        let sql = "SELECT room_id FROM participants WHERE user_id = ? AND room_id = ?";
        database.query(sql, &params![user, room]).await?
    } else {
        let sql = "SELECT room.id FROM participants JOIN rooms room ON room.id = participants.room_id
             WHERE participants.user_id = ? ORDER BY room.last_activity_at DESC LIMIT ?";
        database.query(sql, &params![user, ROOMS_MAX]).await?
    };
    reply::json(200, &Rooms { room_ids: rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()? })
}
