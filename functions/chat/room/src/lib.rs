//! `GET /api/chat-rooms/:room_id`: one room, as the caller sees it.

use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    reply::json(200, &plaza_chat::room(&database, caller.user_id, request.segment("room_id")?).await?)
}
