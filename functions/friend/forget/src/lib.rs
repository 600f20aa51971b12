//! Triggered by `user.events`, or `POST /events/friend`: when an account is gone, its requests, friendships and blocks go. Friends are
//! told of the end of the friendship, and those whom it had asked that it no longer asks.
//!
//! What is gone cannot go again: an event that comes twice has no second effect, and one whose effect was cut short goes on where
//! that stopped.

use plaza_domain::id::UserId;
use plaza_domain::user::{USER_DELETED, UserDeleted};
use plaza_friend::Locked;
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Change, Database, Problem, Reply, Request, clock, cloudevents, params, reply};

plaza_kit::function!(handle);

/// The most pairs, or requests, that go in one change.
const AT_ONCE_MAX: u32 = 100;

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    for event in cloudevents::receive(&request)? {
        if event.kind == USER_DELETED {
            forget(event.data::<UserDeleted>()?.user_id).await?;
        }
    }
    reply::no_content()
}

async fn forget(gone: UserId) -> Result<(), Problem> {
    let database = Database::open(plaza_friend::DATABASE).await?;
    while database.transaction(async |change| forget_pairs(change, gone).await).await? {}
    while database.transaction(async |change| forget_requests(change, gone).await).await? {}
    database.transaction(async |change| change.forget_answers(gone).await).await?;
    Ok(())
}

/// Forgets some of the pairs that somebody is one of. False where there was none.
async fn forget_pairs(change: &Change<'_>, gone: UserId) -> Result<bool, Problem> {
    let sql = "SELECT second_id FROM pairs WHERE first_id = ? UNION SELECT first_id FROM pairs WHERE second_id = ?
         ORDER BY 1 LIMIT ?";
    let rows = change.query(sql, &params![gone, gone, AT_ONCE_MAX]).await?;
    for row in &rows {
        Locked::pair(change, gone, row.get(0)?).await?.forget(gone, clock::now()).await?;
    }
    Ok(!rows.is_empty())
}

/// Forgets some of the requests of or to somebody that were answered. False where there was none.
async fn forget_requests(change: &Change<'_>, gone: UserId) -> Result<bool, Problem> {
    let sql = "SELECT id FROM friend_requests WHERE requester_id = ?
         UNION SELECT id FROM friend_requests WHERE addressee_id = ? ORDER BY 1 LIMIT ?";
    let rows = change.query(sql, &params![gone, gone, AT_ONCE_MAX]).await?;
    if rows.is_empty() {
        return Ok(false);
    }
    let ids = rows.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    let sql = format!("DELETE FROM friend_requests WHERE id IN ({})", placeholders(ids.len()));
    change.execute(&sql, &ids.iter().map(Column::to_value).collect::<Vec<_>>()).await?;
    Ok(true)
}
