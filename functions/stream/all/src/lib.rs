//! `GET /api/stream`: everything for the caller, as server-sent events. Asked again whenever they join or leave a room, and whenever
//! they gain or lose a friend.

use plaza_domain::event::Channel;
use plaza_kit::{Problem, Reply, Request, grip, lookup};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    let caller = plaza_stream::caller(&request).await?;
    let me = caller.user_id;
    let mut channels = vec![Channel::user(me), Channel::friends(me), Channel::notifications(me)];
    for room in plaza_stream::rooms(me, None).await? {
        channels.extend([Channel::messages(room), Channel::room(room)]);
    }
    channels.extend(lookup::friends_of(me).await?.into_iter().map(Channel::online_status));
    grip::hold(&request, &caller, &channels)
}
