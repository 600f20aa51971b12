//! `POST /api/auth/logout`: ends this session, or with `{"all": true}` every session of the caller. At once: the tokens
//! are no longer good when the answer is there, and open streams end.

use plaza_kit::{Database, Problem, Reply, Request, auth, reply};
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
            if all {
                return session::revoke_all_but(change, caller.user_id, None).await;
            }
            session::revoke(change, caller.user_id, caller.session_id).await?;
            Ok(vec![caller.session_id])
        })
        .await?;
    session::forget_all(&ended)?;
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
