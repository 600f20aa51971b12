//! `DELETE /api/chat-rooms/:room_id/participants/:user_id`: the caller leaves a group, or its owner removes somebody.

use plaza_domain::id::{RoomId, UserId};
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "DELETE" {
        return Err(Problem::method_not_allowed("DELETE"));
    }
    let caller = auth::caller(&request).await?;
    let room: RoomId = request.segment("room_id")?;
    let user: UserId = request.segment("user_id")?;
    let removed_by = (user != caller.user_id).then_some(caller.user_id);
    let database = Database::open(plaza_chat::DATABASE).await?;
    database
        .transaction(async |change| {
            let room = plaza_chat::lock_room(change, caller.user_id, room).await?;
            room.must_be_group()?;
            if removed_by.is_some() {
                room.must_be_owner(caller.user_id)?;
            }
            plaza_chat::take_out(change, &room, user, removed_by).await
        })
        .await?;
    reply::no_content()
}
