//! `PUT /api/auth/password`: changes the password. This session goes on; every other one ends at once, because whoever changes
//! a password may do so for fear that somebody else has it.

use plaza_domain::user::{Password, repeated_password};
use plaza_kit::{Database, Problem, Reply, Request, auth, params, password, reply};
use plaza_user::{confirmation, session};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "PUT" {
        return Err(Problem::method_not_allowed("PUT"));
    }
    let caller = auth::caller(&request).await?;
    let body = request.json()?;
    let mut input = body.input();
    let (Some(current), Some(new)) =
        (input.required::<String>("current_password"), input.required::<Password>("new_password"))
    else {
        return Err(input.problem());
    };
    let database = Database::open(plaza_user::DATABASE).await?;
    let account = confirmation::confirm(&database, caller.user_id, &current).await?;
    if new.repeats(&account.username, &account.email) {
        input.note::<()>("new_password", repeated_password());
        return Err(input.problem());
    }
    // Hashing takes long: before the change, which holds locks.
    let hash = password::hash(new.as_str())?;
    let ended = database
        .transaction(async |change| {
            confirmation::lock(change, caller.user_id, &account).await?;
            change.execute("UPDATE users SET password_hash = ? WHERE id = ?", &params![hash, caller.user_id]).await?;
            session::revoke_all_but(change, caller.user_id, Some(caller.session_id)).await
        })
        .await?;
    session::forget_all(&ended)?;
    reply::no_content()
}
