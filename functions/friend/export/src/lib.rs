//! Private: what the friend context keeps of a user (`?user_id=`), for their export.

use plaza_domain::export::{self, Entry, Position};
use plaza_domain::id::UserId;
use plaza_friend::list::People;
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use serde_json::json;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let (limit, _) = request.page::<String>()?;
    let database = Database::open(plaza_friend::DATABASE).await?;
    let cursor = request.query("cursor");
    let page = export::page(4, cursor.as_deref(), limit, async |Position { section, after }, count| match section {
        0 => people(&database, People::Friends, user, &after, count).await,
        1 => people(&database, People::Blocked, user, &after, count).await,
        2 => requests(&database, "requester_id = ?", user, &after, count).await,
        // What was asked under a block was never told.
        _ => requests(&database, "addressee_id = ? AND hidden = 0", user, &after, count).await,
    });
    reply::json(200, &page.await?)
}

async fn people(
    database: &Database,
    people: People,
    user: UserId,
    after: &str,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    let found = people.of(database, user, after.parse().ok(), count).await?;
    let entry = |(id, since): (UserId, _)| {
        let entry = match people {
            People::Friends => Entry::new("friend", &json!({ "user_id": id, "friends_since": since })),
            People::Blocked => Entry::new("block", &json!({ "user_id": id, "blocked_at": since })),
        };
        Ok((id.to_string(), entry?))
    };
    found.into_iter().map(entry).collect()
}

async fn requests(
    database: &Database,
    whose: &str,
    user: UserId,
    after: &str,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    let columns = plaza_friend::REQUEST_COLUMNS;
    let sql = format!("SELECT {columns} FROM friend_requests WHERE {whose} AND id > ? ORDER BY id LIMIT ?");
    let rows = database.query(&sql, &params![user, after, count]).await?;
    let entry = |row| {
        let request = plaza_friend::request(row)?;
        Ok((request.id.to_string(), Entry::new("friend_request", &request)?))
    };
    rows.iter().map(entry).collect()
}
