//! `POST /api/auth/refresh`: gives a session new tokens for its refresh token.
//!
//! A refresh token is good once. One that comes a second time has been stolen, by the first who used it or by the
//! second: the session ends, whoever asked (RFC 9700, section 4.14.2). Only whoever repeats the request with its
//! `Idempotency-Key`, because the answer was lost, is the same one as before, and gets that answer.

use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::SESSION_IDLE_MAX;
use plaza_domain::{Problem, Timestamp};
use plaza_kit::{Change, Database, Reply, Request, auth, clock, params, secret};
use plaza_user::grant::{self, Access};
use plaza_user::session;
use std::cell::Cell;

plaza_kit::function!(handle);

/// Whose a refresh token is.
struct Holder {
    session: SessionId,
    user: UserId,
    username: String,
}

/// What became of a refresh token.
enum Outcome {
    Rotated(String),
    Reused,
    Unknown,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let body = request.json()?;
    let mut input = body.input();
    let Some(token) = input.required::<String>("refresh_token") else { return Err(input.problem()) };
    let hash = secret::hash(&token);

    let database = Database::open(plaza_user::DATABASE).await?;
    let Some(holder) = holder(&database, &hash).await? else { return Err(grant::invalid_refresh_token()) };
    let access = Access::sign(&database, holder.user, &holder.username, holder.session).await?;
    let reused = Cell::new(false);
    let outcome = database
        .once_sealed(&request, holder.user, async |change| {
            let outcome = rotate(change, &hash, holder.session).await?;
            reused.set(matches!(outcome, Outcome::Reused));
            if let Outcome::Rotated(refresh_token) = outcome {
                access.answer(refresh_token)
            } else {
                Err(grant::invalid_refresh_token())
            }
        })
        .await;
    if reused.get() {
        database.transaction(async |change| session::revoke(change, holder.user, holder.session).await).await?;
        auth::forget(holder.session)?;
    }
    access.hand_out(&database, outcome?).await
}

/// Whose session the token belongs to, if it lives.
async fn holder(database: &Database, hash: &str) -> Result<Option<Holder>, Problem> {
    let sql = "SELECT session.id, user.id, user.username FROM refresh_tokens token
         JOIN sessions session ON session.id = token.session_id JOIN users user ON user.id = session.user_id
         WHERE token.hash = ? AND session.revoked_at IS NULL AND session.expires_at > ?";
    let found = database.query_one(sql, &params![hash, clock::now()]).await?;
    let holder = |row: plaza_kit::Row| Ok(Holder { session: row.get(0)?, user: row.get(1)?, username: row.get(2)? });
    found.map(holder).transpose()
}

async fn rotate(change: &Change<'_>, hash: &str, session: SessionId) -> Result<Outcome, Problem> {
    let now = clock::now();
    let found = change
        .lock_one(
            "SELECT token.rotated_at, session.created_at FROM refresh_tokens token
             JOIN sessions session ON session.id = token.session_id
             WHERE token.hash = ? AND session.revoked_at IS NULL AND session.expires_at > ?",
            &params![hash, now],
        )
        .await?;
    let Some(row) = found else { return Ok(Outcome::Unknown) };
    if row.get::<Option<Timestamp>>(0)?.is_some() {
        return Ok(Outcome::Reused);
    }
    change.execute("UPDATE refresh_tokens SET rotated_at = ? WHERE hash = ?", &params![now, hash]).await?;
    let expires_at = now.after(SESSION_IDLE_MAX);
    let prolong = "UPDATE sessions SET last_used_at = ?, expires_at = ? WHERE id = ?";
    change.execute(prolong, &params![now, expires_at, session]).await?;
    // What was rotated longer ago than a session may idle is of no use even to a thief.
    let forgotten = Timestamp::from_unix_ms(now.unix_ms() - i64::try_from(SESSION_IDLE_MAX.as_millis()).unwrap_or(0));
    if row.get::<Timestamp>(1)? < forgotten {
        let forget = "DELETE FROM refresh_tokens WHERE session_id = ? AND rotated_at < ?";
        change.execute(forget, &params![session, forgotten]).await?;
    }
    grant::new_refresh_token(change, session).await.map(Outcome::Rotated)
}
