//! `GET /api/stream/notifications`: the caller's notifications, and what of them was read elsewhere, as server-sent events.

use plaza_domain::event::Channel;
use plaza_kit::{Problem, Reply, Request, grip};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = plaza_stream::caller(&request).await?;
    let channels = [Channel::notifications(caller.user_id)];
    grip::hold(&request, &caller, &channels)
}
