//! `GET /api/friends/requests?direction=incoming|outgoing`: the requests that wait, newest first.

use plaza_domain::id::FriendRequestId;
use plaza_domain::input::Invalid;
use plaza_domain::page::{AFTER_EVERY_ID, Page, invalid_parameter};
use plaza_kit::{Database, Problem, Reply, Request, auth, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, before) = request.page::<FriendRequestId>()?;
    let side = match request.query("direction").as_deref() {
        // Those of people whom the caller blocks are not for them.
        None | Some("incoming") => "hidden = 0 AND addressee_id",
        Some("outgoing") => "requester_id",
        Some(_) => {
            let invalid = Invalid::new("unknown_value", "must be \"incoming\" or \"outgoing\"");
            return Err(invalid_parameter("direction", invalid));
        }
    };
    let database = Database::open(plaza_friend::DATABASE).await?;
    let columns = plaza_friend::REQUEST_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM friend_requests WHERE {side} = ? AND status = 'pending' AND id < ? ORDER BY id DESC LIMIT ?"
    );
    let before = before.map_or_else(|| AFTER_EVERY_ID.to_owned(), |id| id.to_string());
    let rows = database.query(&sql, &params![caller.user_id, before, limit + 1]).await?;
    let requests = rows.iter().map(plaza_friend::request).collect::<Result<Vec<_>, _>>()?;
    reply::json(200, &Page::forward(requests, limit, |request| request.id.to_string()))
}
