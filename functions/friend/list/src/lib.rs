//! `GET /api/friends`: the caller's friends, with profile and presence, in the order in which they joined Plaza.

use plaza_domain::Timestamp;
use plaza_domain::friend::Friend;
use plaza_domain::id::UserId;
use plaza_domain::page::Page;
use plaza_domain::user::Presence;
use plaza_kit::{Database, Problem, Reply, Request, auth, lookup, params, reply};
use std::collections::HashMap;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, after) = request.page::<UserId>()?;

    let database = Database::open(plaza_friend::DATABASE).await?;
    let sql =
        "SELECT friend_id, created_at FROM friendships WHERE user_id = ? AND friend_id > ? ORDER BY friend_id LIMIT ?";
    let after = after.map_or_else(String::new, |id| id.to_string());
    let rows = database.query(sql, &params![caller.user_id, after, limit + 1]).await?;
    let friendships = rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect::<Result<Vec<_>, Problem>>()?;
    let page: Page<(UserId, Timestamp)> = Page::forward(friendships, limit, |(id, _)| id.to_string());

    let ids: Vec<UserId> = page.items.iter().map(|(id, _)| *id).collect();
    let mut users: HashMap<_, _> =
        lookup::users(&request, &ids).await?.into_iter().map(|user| (user.id, user)).collect();
    let friend = |(id, friends_since)| {
        let user = users.remove(&id)?;
        // Nobody is seen as online until presence is kept.
        Some(Friend { user, presence: Presence { user_id: id, online: false, last_seen_at: None }, friends_since })
    };
    let items: Vec<Friend> = page.items.into_iter().filter_map(friend).collect();
    reply::json(200, &Page { items, next_cursor: page.next_cursor, prev_cursor: page.prev_cursor })
}
