//! `POST /api/auth/logout`: ends this session, or with `{"all": true}` every session of the caller. At once: the tokens
//! are no longer good when the answer is there, and open streams end.

use plaza_domain::id::SessionId;
use plaza_kit::{Database, Problem, Reply, Request, auth, params, reply};
use plaza_user::session;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let all = !request.body().is_empty() && wants_all(&request)?;

    let database = Database::open(plaza_user::DATABASE).await?;
    let ended = database
        .transaction(async |change| {
            let sessions: Vec<SessionId> = if all {
                let sql = "SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL";
                let rows = change.query(sql, &params![caller.user_id]).await?;
                rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?
            } else {
                vec![caller.session_id]
            };
            for id in &sessions {
                session::revoke(change, caller.user_id, *id).await?;
            }
            Ok(sessions)
        })
        .await?;
    for session in ended {
        auth::forget(session)?;
    }
    reply::no_content()
}

fn wants_all(request: &Request) -> Result<bool, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    match input.optional::<bool>("all") {
        Some(all) => Ok(all.unwrap_or(false)),
        None => Err(input.problem()),
    }
}
