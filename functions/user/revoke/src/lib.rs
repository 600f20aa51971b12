//! `DELETE /api/auth/sessions/:id`: ends one of the caller's sessions, this one or another. At once, as a logout does.

use plaza_domain::id::{SessionId, UserId};
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};
use plaza_user::session;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "DELETE" {
        return Err(Problem::method_not_allowed("DELETE"));
    }
    let caller = auth::caller(&request).await?;
    let id: SessionId = request.segment("id")?;
    let database = Database::open(plaza_user::DATABASE).await?;
    database
        .transaction(async |change| {
            let sql = "SELECT user_id FROM sessions WHERE id = ? AND revoked_at IS NULL AND expires_at > ?";
            let found = change.lock_one(sql, &params![id, clock::now()]).await?.ok_or_else(Problem::not_found)?;
            // Whether somebody else has such a session is not for the caller to know.
            if found.get::<UserId>(0)? != caller.user_id {
                return Err(Problem::not_found());
            }
            session::revoke(change, caller.user_id, id).await
        })
        .await?;
    auth::forget(id)?;
    reply::no_content()
}
