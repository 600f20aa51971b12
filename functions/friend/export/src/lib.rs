//! Private: what the friend context keeps of a user (`?user_id=`), for their export.

use plaza_domain::export::{Entry, Position};
use plaza_domain::id::UserId;
use plaza_friend::list::People;
use plaza_kit::exports::{self, Section};
use plaza_kit::{Database, Problem, Reply, Request};
use serde_json::json;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    exports::answer(&request, plaza_friend::DATABASE, 4, section).await
}

async fn section(
    database: &Database,
    user: UserId,
    Position { section, after }: Position,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    let whose = match section {
        0 => return people(database, People::Friends, user, &after, count).await,
        1 => return people(database, People::Blocked, user, &after, count).await,
        2 => "requester_id = ?",
        // What was asked under a block was never told.
        _ => "addressee_id = ? AND hidden = 0",
    };
    let columns = plaza_friend::REQUEST_COLUMNS;
    let sql = &format!("SELECT {columns} FROM friend_requests WHERE {whose} AND id > ? ORDER BY id LIMIT ?");
    let requests =
        Section { kind: "friend_request", sql, read: plaza_friend::request, key: |request| request.id.to_string() };
    requests.entries(database, user, &after, count).await
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
