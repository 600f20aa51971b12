//! `DELETE /api/friends/requests/:id`: the requester takes back a request that waits.

use plaza_domain::id::FriendRequestId;
use plaza_friend::Locked;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "DELETE" {
        return Err(Problem::method_not_allowed("DELETE"));
    }
    let caller = auth::caller(&request).await?;
    let id: FriendRequestId = request.segment("id")?;
    let database = Database::open(plaza_friend::DATABASE).await?;
    database
        .transaction(async |change| {
            let (mut locked, request) = Locked::by_request(change, id).await?;
            let event = locked.between.cancel(caller.user_id, request, clock::now())?;
            locked.store(&[event]).await
        })
        .await?;
    reply::no_content()
}
