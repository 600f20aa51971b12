//! `POST /api/friends/request`: asks somebody to become friends. Where they asked first, it is a yes.

use plaza_domain::friend::Status;
use plaza_domain::id::UserId;
use plaza_friend::Locked;
use plaza_kit::clock::{self, Fresh};
use plaza_kit::{Database, Problem, Reply, Request, auth, lookup, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let body = request.json()?;
    let mut input = body.input();
    let Some(target) = input.required::<UserId>("target_user_id") else { return Err(input.problem()) };
    if target == caller.user_id {
        return Err(Problem::bad_request("cannot_befriend_yourself", "One cannot become friends with oneself."));
    }
    let database = Database::open(plaza_friend::DATABASE).await?;
    if let Some(answer) = database.repeated(&request, caller.user_id).await? {
        return Ok(answer);
    }
    if lookup::users(&request, &[target]).await?.is_empty() {
        return Err(Problem::new(404, "user_not_found", "There is no such user."));
    }
    database
        .once(&request, caller.user_id, async |change| {
            let mut locked = Locked::pair(change, caller.user_id, target).await?;
            let (asked, event) = locked.between.ask(caller.user_id, Fresh::fresh(), clock::now())?;
            locked.store(&[event]).await?;
            reply::json(if asked.status == Status::Pending { 201 } else { 200 }, &asked)
        })
        .await
}
