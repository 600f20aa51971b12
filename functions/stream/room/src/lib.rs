//! `GET /api/stream/messages/:room_id`: what happens in one room, as server-sent events, for those who are in it.

use plaza_domain::event::Channel;
use plaza_domain::id::RoomId;
use plaza_kit::{Problem, Reply, Request, grip};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = plaza_stream::caller(&request).await?;
    let room: RoomId = request.segment("room_id")?;
    if plaza_stream::rooms(caller.user_id, Some(room)).await?.is_empty() {
        return Err(Problem::not_found());
    }
    let channels = [Channel::membership(room, caller.user_id), Channel::messages(room), Channel::room(room)];
    grip::hold(&request, &caller, &channels)
}
