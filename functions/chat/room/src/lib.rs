//! `GET, PATCH, DELETE /api/chat-rooms/:room_id`: one room, as the caller sees it. Anybody in a group names it; its owner deletes it.

use plaza_domain::chat::{self, RoomName, RoomUpdated};
use plaza_domain::id::RoomId;
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Database, Problem, Reply, Request, clock, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = match request.method() {
        "GET" | "PATCH" | "DELETE" => auth::caller(&request).await?,
        _ => return Err(Problem::method_not_allowed("GET, PATCH, DELETE")),
    };
    let room: RoomId = request.segment("room_id")?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    match request.method() {
        "PATCH" => rename(&request, &caller, &database, room).await?,
        "DELETE" => return delete(&caller, &database, room).await,
        _ => {}
    }
    reply::json(200, &plaza_chat::room(&database, caller.user_id, room).await?)
}

async fn rename(request: &Request, caller: &Caller, database: &Database, id: RoomId) -> Result<(), Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let Some(name) = input.required::<RoomName>("name") else { return Err(input.problem()) };
    database
        .transaction(async |change| {
            let room = plaza_chat::lock_room(change, caller.user_id, id).await?;
            room.must_be_group()?;
            let name = Some(name.as_str().to_owned());
            if room.name == name {
                return Ok(());
            }
            change.execute("UPDATE rooms SET name = ? WHERE id = ?", &params![name, id]).await?;
            let update = RoomUpdated { id, name, owner_id: room.owner_id, updated_at: clock::now() };
            change.emit(&chat::room_updated(&update)).await
        })
        .await
}

async fn delete(caller: &Caller, database: &Database, id: RoomId) -> Result<Reply, Problem> {
    database
        .transaction(async |change| {
            let room = plaza_chat::lock_room(change, caller.user_id, id).await?;
            room.must_be_group()?;
            room.must_be_owner(caller.user_id)?;
            plaza_chat::close(change, &room).await
        })
        .await?;
    reply::no_content()
}
