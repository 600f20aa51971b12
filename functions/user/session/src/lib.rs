//! Private: examines an access token for the other components (in the manner of RFC 7662), when the sessions store does
//! not know it: after the store was lost, while it does not answer, or for a token that newer ones have pushed out. Where the
//! form has a `session_id` in its place, it says whether the session lives.

use plaza_domain::id::SessionId;
use plaza_kit::auth::Caller;
use plaza_kit::{Database, Problem, Reply, Request, reply, tokens};
use plaza_user::session;
use serde::Serialize;

plaza_kit::function!(handle);

#[derive(Serialize)]
struct Verdict {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Caller>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let form = request.form()?;
    let mut input = form.input();
    let Some(session_id) = input.optional::<SessionId>("session_id") else { return Err(input.problem()) };
    if let Some(session_id) = session_id {
        let database = Database::open(plaza_user::DATABASE).await?;
        let active = session::is_alive(&database, session_id).await?;
        return reply::json(200, &Verdict { active, caller: None });
    }
    let Some(token) = input.required::<String>("token") else { return Err(input.problem()) };
    let Some(caller) = tokens::verify(&token)? else {
        return reply::json(200, &Verdict { active: false, caller: None });
    };
    let database = Database::open(plaza_user::DATABASE).await?;
    let active = session::remember(&database, &caller, &token).await?;
    reply::json(200, &Verdict { active, caller: active.then_some(caller) })
}
