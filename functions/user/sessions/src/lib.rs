//! `GET /api/auth/sessions`: where the caller is logged in, the newest session first.

use plaza_domain::id::SessionId;
use plaza_domain::page::{AFTER_EVERY_ID, Page};
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply};
use plaza_user::session;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, before) = request.page::<SessionId>()?;
    let before = before.map_or_else(|| AFTER_EVERY_ID.to_owned(), |id| id.to_string());
    let database = Database::open(plaza_user::DATABASE).await?;
    let columns = session::COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM sessions
         WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ? AND id < ? ORDER BY id DESC LIMIT ?"
    );
    let rows = database.query(&sql, &params![caller.user_id, clock::now(), before, limit + 1]).await?;
    let sessions = rows.iter().map(|row| session::session(row, caller.session_id)).collect::<Result<Vec<_>, _>>()?;
    reply::json(200, &Page::forward(sessions, limit, |session| session.id.to_string()))
}
