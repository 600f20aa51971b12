//! `POST /api/auth/logout`: ends this session, or with `{"all": true}` every session of the caller. At once: the tokens
//! are no longer good when the answer is there, and open streams end.

use plaza_kit::{Database, Problem, Reply, Request, auth, reply};
use plaza_user::session;
use std::cell::RefCell;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let all = !request.body().is_empty() && wants_all(&request)?;

    let database = Database::open(plaza_user::DATABASE).await?;
    let ended = RefCell::default();
    let answer = database
        .once(&request, caller.user_id, async |change| {
            if all {
                ended.replace(session::revoke_all_but(change, caller.user_id, None).await?);
            } else {
                session::revoke(change, caller.user_id, caller.session_id).await?;
                ended.replace(vec![caller.session_id]);
            }
            reply::no_content()
        })
        .await?;
    session::forget_all(&ended.take())?;
    Ok(answer)
}

fn wants_all(request: &Request) -> Result<bool, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    match input.optional::<bool>("all") {
        Some(all) => Ok(all.unwrap_or(false)),
        None => Err(input.problem()),
    }
}
