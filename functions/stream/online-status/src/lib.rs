//! `GET /api/stream/online-status`: which of the caller's friends come and go, as server-sent events. Asked again whenever they gain
//! or lose a friend, which is told here, too.

use plaza_domain::event::Channel;
use plaza_kit::{Problem, Reply, Request, grip, lookup};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = plaza_stream::caller(&request).await?;
    let mut channels = vec![Channel::friendships(caller.user_id)];
    channels.extend(lookup::friends_of(caller.user_id).await?.into_iter().map(Channel::online_status));
    grip::hold(&request, &caller, &channels)
}
