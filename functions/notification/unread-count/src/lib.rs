//! `GET /api/notifications/unread-count`: how many notifications the caller has not read.

use plaza_domain::notification::Unread;
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let database = Database::open(plaza_notification::DATABASE).await?;
    let unread_count = plaza_notification::unread_count(&database, caller.user_id).await?;
    reply::json(200, &Unread { unread_count })
}
