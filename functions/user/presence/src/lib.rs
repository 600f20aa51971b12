//! `GET /api/users/presence?user_ids=…`: whether up to a hundred users are there, in the order in which they were asked for. Those
//! who do not exist are left out; those who are hidden from the caller by a block were never there.

use plaza_domain::user::Presences;
use plaza_kit::{Database, Problem, Reply, Request, auth, lookup, reply};
use plaza_user::presence;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let ids = plaza_user::asked_for(&request)?;
    let database = Database::open(plaza_user::DATABASE).await?;
    presence::end_due(&database).await?;
    let mut found = presence::look_up(&database, &ids).await?;
    for hidden in lookup::hidden_from(caller.user_id, &ids).await? {
        found.entry(hidden).and_modify(|presence| (presence.online, presence.last_seen_at) = (false, None));
    }
    reply::json(200, &Presences { items: ids.iter().filter_map(|id| found.remove(id)).collect() })
}
