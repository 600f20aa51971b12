//! `GET /api/users/presence?user_ids=…`: whether up to a hundred users are there, in the order in which they were asked for. Those
//! who do not exist are left out.

use plaza_domain::user::Presence;
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};
use plaza_user::presence;
use serde::Serialize;

plaza_kit::function!(handle);

#[derive(Serialize)]
struct Presences {
    items: Vec<Presence>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    auth::caller(&request).await?;
    let ids = plaza_user::asked_for(&request)?;
    let database = Database::open(plaza_user::DATABASE).await?;
    presence::end_due(&database).await?;
    let mut found = presence::look_up(&database, &ids).await?;
    reply::json(200, &Presences { items: ids.iter().filter_map(|id| found.remove(id)).collect() })
}
