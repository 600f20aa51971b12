//! `GET, POST /api/chat-rooms`: the caller's rooms by last activity; makes a room.

use plaza_chat::Position;
use plaza_domain::chat::{self, Participant, Room, RoomName, RoomType};
use plaza_domain::id::{RoomId, UserId};
use plaza_domain::input::Invalid;
use plaza_domain::page::Page;
use plaza_domain::user::User;
use plaza_kit::auth::{self, Caller};
use plaza_kit::clock::{self, Fresh};
use plaza_kit::{Change, Database, Json, Problem, Reply, Request, lookup, params, reply};

plaza_kit::function!(handle);

struct NewRoom {
    room_type: RoomType,
    /// Without the caller, each once.
    others: Vec<UserId>,
    name: Option<RoomName>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = match request.method() {
        "GET" | "POST" => auth::caller(&request).await?,
        _ => return Err(Problem::method_not_allowed("GET, POST")),
    };
    if request.method() == "GET" { list(&request, &caller).await } else { create(&request, &caller).await }
}

async fn list(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let (limit, after) = request.page::<Position<RoomId>>()?;
    let after = after.map(|Position(at, id)| (at, id));
    let database = Database::open(plaza_chat::DATABASE).await?;
    let pick = plaza_chat::Pick::ByActivity(after.as_ref(), limit + 1);
    let rooms = plaza_chat::rooms(&database, caller.user_id, pick).await?;
    let page = Page::forward(rooms, limit, |(room, at)| Position(*at, room.id).to_string());
    let items: Vec<Room> = page.items.into_iter().map(|(room, _)| room).collect();
    reply::json(200, &Page { items, next_cursor: page.next_cursor, prev_cursor: page.prev_cursor })
}

async fn create(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let new = read(&request.json()?, caller.user_id)?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    if let Some(answer) = database.repeated(request, caller.user_id).await? {
        return Ok(answer);
    }
    let others = lookup::users(request, &new.others).await?;
    if others.len() < new.others.len() {
        return Err(Problem::new(404, "user_not_found", "One of the participants does not exist."));
    }
    database
        .once(request, caller.user_id, async |change| {
            if new.room_type == RoomType::Direct {
                if let Some(existing) = direct_room(change, caller.user_id, new.others[0]).await? {
                    return reply::json(200, &plaza_chat::room(change, caller.user_id, existing).await?);
                }
                plaza_chat::between(change, caller.user_id, new.others[0]).await?.may_write()?;
            }
            let room = insert(change, caller, &new, &others).await?;
            change.emit(&chat::room_created(&room)).await?;
            reply::json(201, &plaza_chat::room(change, caller.user_id, room.id).await?)
        })
        .await
}

fn read(body: &Json, caller: UserId) -> Result<NewRoom, Problem> {
    let mut input = body.input();
    let (Some(room_type), Some(mut others), Some(name)) = (
        input.required::<RoomType>("room_type"),
        input.required::<Vec<UserId>>("participant_ids"),
        input.optional::<RoomName>("name"),
    ) else {
        return Err(input.problem());
    };
    others.retain(|user| *user != caller);
    others.sort_unstable();
    others.dedup();
    let wrong = match room_type {
        RoomType::Direct if others.len() != 1 => Some("must name exactly one other user"),
        RoomType::Group if others.is_empty() => Some("must name at least one other user"),
        RoomType::Group if others.len() > chat::PARTICIPANTS_PER_REQUEST_MAX => Some("may name at most 100 users"),
        _ => None,
    };
    if let Some(detail) = wrong {
        input.note::<()>("participant_ids", Invalid::new("wrong_count", detail));
    }
    if room_type == RoomType::Direct && name.is_some() {
        input.note::<()>("name", Invalid::new("not_allowed", "belongs to groups; a direct room has none"));
    }
    if wrong.is_some() || (room_type == RoomType::Direct && name.is_some()) {
        return Err(input.problem());
    }
    Ok(NewRoom { room_type, others, name })
}

async fn direct_room(change: &Change<'_>, a: UserId, b: UserId) -> Result<Option<RoomId>, Problem> {
    let sql = "SELECT id FROM rooms WHERE direct_key = ?";
    change.query_one(sql, &params![chat::direct_key(a, b)]).await?.map(|row| row.get(0)).transpose()
}

async fn insert(change: &Change<'_>, caller: &Caller, new: &NewRoom, others: &[User]) -> Result<Room, Problem> {
    let now = clock::now();
    let participant = |user_id, username: &str| Participant {
        user_id,
        username: username.to_owned(),
        joined_at: now,
        last_read_seq: 0,
    };
    let mut participants = vec![participant(caller.user_id, &caller.username)];
    participants.extend(others.iter().map(|user| participant(user.id, &user.username)));
    let room = Room {
        id: RoomId::fresh(),
        room_type: new.room_type,
        name: new.name.as_ref().map(|name| name.as_str().to_owned()),
        owner_id: (new.room_type == RoomType::Group).then_some(caller.user_id),
        participants,
        last_message: None,
        unread_count: 0,
        created_at: now,
    };
    let direct_key = (new.room_type == RoomType::Direct).then(|| chat::direct_key(caller.user_id, new.others[0]));
    change
        .execute(
            "INSERT INTO rooms (id, room_type, name, owner_id, direct_key, last_activity_at, created_at)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
            &params![room.id, room.room_type.name(), room.name, room.owner_id, direct_key, now, now],
        )
        .await?;
    let row = |participant: &Participant| params![room.id, participant.user_id, participant.username, now].to_vec();
    let rows: Vec<_> = room.participants.iter().map(row).collect();
    change.insert_all("participants (room_id, user_id, username, joined_at)", &rows).await?;
    Ok(room)
}
