//! `GET, POST /api/messages/:room_id`: reads a room's messages in pages; sends one.

mod page;
mod send;

use plaza_kit::{Problem, Reply, Request, auth};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => page::page(&request, &auth::caller(&request).await?).await,
        "POST" => send::send(&request, &auth::caller(&request).await?).await,
        _ => Err(Problem::method_not_allowed("GET, POST")),
    }
}
