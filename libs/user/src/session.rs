//! Sessions. The database says whether one lives; the sessions store only repeats it, for speed.

use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::{SESSIONS_MAX, Session, session_revoked};
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Change, Database, Problem, Row, clock, params};

/// The columns that [`session`] reads, in its order.
pub const COLUMNS: &str = "id, device, created_at, last_used_at";

/// A session from the columns of [`COLUMNS`], as the session `current` sees it.
pub fn session(row: &Row, current: SessionId) -> Result<Session, Problem> {
    let id = row.get(0)?;
    Ok(Session { id, device: row.get(1)?, created_at: row.get(2)?, last_used_at: row.get(3)?, current: id == current })
}

/// Whether a session lives.
pub async fn is_alive(database: &Database, session: SessionId) -> Result<bool, Problem> {
    let sql = "SELECT 1 FROM sessions WHERE id = ? AND revoked_at IS NULL AND expires_at > ?";
    Ok(database.query_one(sql, &params![session, clock::now()]).await?.is_some())
}

/// Ends a session; its streams end with it. Once the change is made, [`auth::forget`] must follow.
///
/// The store forgets it first here, so that nothing is changed where the store does not answer; and again after the change,
/// because somebody may have found the session alive in between.
pub async fn revoke(change: &Change<'_>, user: UserId, session: SessionId) -> Result<(), Problem> {
    auth::forget(session)?;
    let alive = "SELECT 1 FROM sessions WHERE id = ? AND revoked_at IS NULL";
    if change.lock_one(alive, &params![session]).await?.is_some() {
        let sql = "UPDATE sessions SET revoked_at = ? WHERE id = ?";
        change.execute(sql, &params![clock::now(), session]).await?;
        change.emit(&session_revoked(user, session)).await?;
    }
    Ok(())
}

/// Ends every session of a user but this one, and tells which. Once the change is made, [`forget_all`] must follow.
pub async fn revoke_all_but(
    change: &Change<'_>,
    user: UserId,
    kept: Option<SessionId>,
) -> Result<Vec<SessionId>, Problem> {
    let sql = "SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL ORDER BY id";
    let mut sessions = ids(&change.lock(sql, &params![user]).await?)?;
    sessions.retain(|session| Some(*session) != kept);
    for session in &sessions {
        revoke(change, user, *session).await?;
    }
    Ok(sessions)
}

/// Ends those sessions of a user that have not been used for longest, so that there is room for one more: a user has at most
/// [`SESSIONS_MAX`]. The change has locked the user. Once it is made, [`forget_all`] must follow.
pub async fn make_room(change: &Change<'_>, user: UserId) -> Result<Vec<SessionId>, Problem> {
    let sql = "SELECT id FROM sessions WHERE user_id = ? AND revoked_at IS NULL AND expires_at > ?
               ORDER BY last_used_at DESC, id DESC LIMIT ? OFFSET ?";
    let surplus = change.query(sql, &params![user, clock::now(), SESSIONS_MAX, SESSIONS_MAX - 1]).await?;
    let sessions = ids(&surplus)?;
    for session in &sessions {
        revoke(change, user, *session).await?;
    }
    Ok(sessions)
}

/// Has the sessions store forget sessions that have ended.
pub fn forget_all(sessions: &[SessionId]) -> Result<(), Problem> {
    sessions.iter().try_for_each(|session| auth::forget(*session))
}

fn ids(rows: &[Row]) -> Result<Vec<SessionId>, Problem> {
    rows.iter().map(|row| row.get(0)).collect()
}

/// Repeats in the sessions store that a token is good; `false` where its session has ended. Where the store does not take it,
/// the token will be examined again.
///
/// The session may end between the look at the database and the write to the store, and would come back to life there:
/// so the look is repeated after the write.
pub async fn remember(database: &Database, caller: &Caller, token: &str) -> Result<bool, Problem> {
    if !is_alive(database, caller.session_id).await? {
        return Ok(false);
    }
    // The store's failure is in the log.
    let _ = auth::remember(caller, token);
    if is_alive(database, caller.session_id).await? {
        return Ok(true);
    }
    auth::forget(caller.session_id)?;
    Ok(false)
}
