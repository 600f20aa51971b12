//! The end of an account.

use crate::confirmation::{self, Account};
use crate::{presence, session};
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::{UserDeleted, deleted};
use plaza_kit::{Change, Problem, clock, params};

/// What the context keeps of a user, in the order in which it goes: what belongs to something before that to which it belongs.
const EVERYTHING_OF_A_USER: [&str; 4] = [
    "DELETE FROM profile_images WHERE user_id = ?",
    "DELETE FROM refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE user_id = ?)",
    "DELETE FROM sessions WHERE user_id = ?",
    "DELETE FROM users WHERE id = ?",
];

/// Deletes an account with everything that the context keeps of it, and tells which sessions ended. Name and address are free
/// again; the id is given to nobody else, because ids are made anew. Once the change is made, [`session::forget_all`] must follow.
pub async fn delete(change: &Change<'_>, user: UserId, account: &Account) -> Result<Vec<SessionId>, Problem> {
    confirmation::lock(change, user, account).await?;
    let ended = session::revoke_all_but(change, user, None).await?;
    presence::forget(change, user).await?;
    change.forget_answers(user).await?;
    for sql in EVERYTHING_OF_A_USER {
        change.execute(sql, &params![user]).await?;
    }
    change.emit(&deleted(&UserDeleted { user_id: user, deleted_at: clock::now() })).await?;
    Ok(ended)
}
