//! `GET, POST /api/chat-rooms/:room_id/participants`: who is in a room, in the order in which they came; anybody in a group adds others.

use plaza_chat::{Locked, PARTICIPANT_COLUMNS, Position};
use plaza_domain::chat::{self, PARTICIPANTS_MAX, PARTICIPANTS_PER_REQUEST_MAX, Participant, ParticipantJoined};
use plaza_domain::id::{RoomId, UserId};
use plaza_domain::input::Invalid;
use plaza_domain::page::Page;
use plaza_domain::user::User;
use plaza_kit::auth::{self, Caller};
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Change, Database, Json, Problem, Reply, Request, clock, lookup, params, reply};
use std::collections::HashMap;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => list(&request, &auth::caller(&request).await?).await,
        "POST" => add(&request, &auth::caller(&request).await?).await,
        _ => Err(Problem::method_not_allowed("GET, POST")),
    }
}

async fn list(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let room: RoomId = request.segment("room_id")?;
    let (limit, after) = request.page::<Position<UserId>>()?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let is_in = "SELECT 1 FROM participants WHERE room_id = ? AND user_id = ?";
    database.query_one(is_in, &params![room, caller.user_id]).await?.ok_or_else(Problem::not_found)?;
    let sql = format!(
        "SELECT {PARTICIPANT_COLUMNS} FROM participants
         WHERE room_id = ? AND (joined_at > ? OR (joined_at = ? AND user_id > ?)) ORDER BY joined_at, user_id LIMIT ?"
    );
    let (at, id) = after.map_or_else(|| (-1, String::new()), |Position(at, id)| (at, id.to_string()));
    let rows = database.query(&sql, &params![room, at, at, id, limit + 1]).await?;
    let found = rows.iter().map(|row| plaza_chat::participant(row, 0)).collect::<Result<Vec<_>, _>>()?;
    let position = |one: &Participant| Position(one.joined_at.unix_ms(), one.user_id).to_string();
    reply::json(200, &Page::forward(found, limit, position))
}

async fn add(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let id: RoomId = request.segment("room_id")?;
    let named = read(&request.json()?)?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    if let Some(answer) = database.repeated(request, caller.user_id).await? {
        return Ok(answer);
    }
    // Whoever is not in the room does not learn who exists.
    let is_in = "SELECT 1 FROM participants WHERE room_id = ? AND user_id = ?";
    database.query_one(is_in, &params![id, caller.user_id]).await?.ok_or_else(Problem::not_found)?;
    let users = lookup::users(request, &named).await?;
    if users.len() < named.len() {
        return Err(Problem::new(404, "user_not_found", "One of the participants does not exist."));
    }
    database
        .once(request, caller.user_id, async |change| {
            let room = plaza_chat::lock_room(change, caller.user_id, id).await?;
            room.must_be_group()?;
            let items = join(change, &room, caller.user_id, &users).await?;
            reply::json(200, &Page { items, next_cursor: None, prev_cursor: None })
        })
        .await
}

fn read(body: &Json) -> Result<Vec<UserId>, Problem> {
    let mut input = body.input();
    let Some(mut named) = input.required::<Vec<UserId>>("user_ids") else { return Err(input.problem()) };
    named.sort_unstable();
    named.dedup();
    if !(1..=PARTICIPANTS_PER_REQUEST_MAX).contains(&named.len()) {
        input.note::<()>("user_ids", Invalid::new("wrong_count", "must name 1 to 100 users"));
        return Err(input.problem());
    }
    Ok(named)
}

/// Adds those who are not there yet. Gives all of them, as they are in the room.
async fn join(change: &Change<'_>, room: &Locked, by: UserId, users: &[User]) -> Result<Vec<Participant>, Problem> {
    let sql = format!(
        "SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = ? AND user_id IN ({})",
        placeholders(users.len())
    );
    let params: Vec<_> = [room.id.to_value()].into_iter().chain(users.iter().map(|user| user.id.to_value())).collect();
    let mut there = HashMap::new();
    for row in change.query(&sql, &params).await? {
        let participant = plaza_chat::participant(&row, 0)?;
        there.insert(participant.user_id, participant);
    }
    let count = "SELECT COUNT(*) FROM participants WHERE room_id = ?";
    let count: u64 = change.query_one(count, &params![room.id]).await?.ok_or_else(Problem::internal)?.get(0)?;
    if count + (users.len() - there.len()) as u64 > PARTICIPANTS_MAX as u64 {
        return Err(Problem::conflict("room_full", format!("A group can have at most {PARTICIPANTS_MAX} people.")));
    }
    let now = clock::now();
    // What was said before they came, they can read; it does not count as unread.
    let participant = |user: &User| Participant {
        user_id: user.id,
        username: user.username.clone(),
        joined_at: now,
        last_read_seq: room.last_seq,
    };
    let new: Vec<Participant> = users.iter().filter(|user| !there.contains_key(&user.id)).map(participant).collect();
    let row = |one: &Participant| params![room.id, one.user_id, one.username, now, one.last_read_seq].to_vec();
    let rows: Vec<_> = new.iter().map(row).collect();
    change.insert_all("participants (room_id, user_id, username, joined_at, last_read_seq)", &rows).await?;
    for participant in new {
        let joined = ParticipantJoined { room_id: room.id, participant, added_by: by };
        change.emit(&chat::participant_joined(&joined)).await?;
        there.insert(joined.participant.user_id, joined.participant);
    }
    Ok(users.iter().filter_map(|user| there.remove(&user.id)).collect())
}
