//! `POST /api/users/me/heartbeat`: the caller is there, though they hold no stream. It counts for a minute.

use plaza_kit::{Database, Problem, Reply, Request, auth, reply, variable};
use plaza_user::presence;
use std::time::Duration;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let lifetime = Duration::from_millis(variable::number("heartbeat_lifetime_ms")?);
    let database = Database::open(plaza_user::DATABASE).await?;
    presence::beat(&database, caller.user_id, lifetime).await?;
    reply::no_content()
}
