//! Private: who is a friend of whom, and who blocks whom, for the other contexts.
//!
//! `?user_id=U` answers the friends of a user; with `&user_ids=A,B` in their place which of these are hidden from the user:
//! those who block them, and whom they block.

use plaza_domain::id::UserId;
use plaza_domain::user::LOOKUP_USERS_MAX;
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use serde::Serialize;

plaza_kit::function!(handle);

/// The most friends that are answered: each takes a channel of a stream, and the relay holds 2,500 for one.
const FRIENDS_MAX: u32 = 1_000;

#[derive(Serialize)]
struct Friends {
    friend_ids: Vec<UserId>,
}

#[derive(Serialize)]
struct Hidden {
    hidden_ids: Vec<UserId>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let database = Database::open(plaza_friend::DATABASE).await?;
    if let Some(list) = request.query("user_ids") {
        let ids: Vec<UserId> = list.split(',').filter_map(|id| id.parse().ok()).take(LOOKUP_USERS_MAX).collect();
        return reply::json(200, &Hidden { hidden_ids: hidden(&database, user, &ids).await? });
    }
    let sql = "SELECT friend_id FROM friendships WHERE user_id = ? ORDER BY friend_id LIMIT ?";
    let rows = database.query(sql, &params![user, FRIENDS_MAX]).await?;
    reply::json(200, &Friends { friend_ids: rows.iter().map(|row| row.get(0)).collect::<Result<_, _>>()? })
}

async fn hidden(database: &Database, user: UserId, ids: &[UserId]) -> Result<Vec<UserId>, Problem> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let those = placeholders(ids.len());
    let sql = format!(
        "SELECT blocked_user_id FROM blocks WHERE user_id = ? AND blocked_user_id IN ({those})
         UNION SELECT user_id FROM blocks WHERE blocked_user_id = ? AND user_id IN ({those})"
    );
    let one_way = || std::iter::once(user.to_value()).chain(ids.iter().map(Column::to_value));
    let params: Vec<_> = one_way().chain(one_way()).collect();
    database.query(&sql, &params).await?.iter().map(|row| row.get(0)).collect()
}
