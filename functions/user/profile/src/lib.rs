//! `GET /api/profile/:user_id`: somebody's public profile.

use plaza_domain::id::UserId;
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    auth::caller(&request).await?;
    let id: UserId = request.segment("user_id")?;
    let database = Database::open(plaza_user::DATABASE).await?;
    let profile = plaza_user::profile(&database, id).await?.ok_or_else(Problem::not_found)?;
    reply::json(200, &profile.user)
}
