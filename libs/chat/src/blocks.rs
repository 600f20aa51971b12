//! Who blocks whom: a copy of what the friend context tells, for direct rooms.

use plaza_domain::chat::{Standing, direct_key};
use plaza_domain::id::UserId;
use plaza_kit::{Change, Problem, params};

/// How `user` stands to another with whom they want to talk.
pub async fn between(change: &Change<'_>, user: UserId, other: UserId) -> Result<Standing, Problem> {
    let sql = "SELECT blocker_id FROM blocks WHERE pair = ?";
    let rows = change.query(sql, &params![direct_key(user, other)]).await?;
    let blockers = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<UserId>, _>>()?;
    Ok(match blockers[..] {
        [] => Standing::Open,
        _ if blockers.contains(&user) => Standing::Blocks,
        _ => Standing::Closed,
    })
}

/// One blocks another.
pub async fn block(change: &Change<'_>, user: UserId, other: UserId) -> Result<(), Problem> {
    let sql = "INSERT INTO blocks (pair, blocker_id, blocked_id) VALUES (?, ?, ?)";
    change.insert_new(sql, &params![direct_key(user, other), user, other]).await.map(drop)
}

/// One no longer blocks another.
pub async fn unblock(change: &Change<'_>, user: UserId, other: UserId) -> Result<(), Problem> {
    let sql = "DELETE FROM blocks WHERE pair = ? AND blocker_id = ?";
    change.execute(sql, &params![direct_key(user, other), user]).await
}
