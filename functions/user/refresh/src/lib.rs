//! `POST /api/auth/refresh`: gives a session new tokens for its refresh token.
//!
//! A refresh token is good once. One that comes a second time has been stolen, by the first who used it or by the
//! second: the session ends, whoever asked (RFC 9700, section 4.14.2).

use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::SESSION_IDLE_MAX;
use plaza_domain::{Problem, Timestamp};
use plaza_kit::{Change, Database, Reply, Request, auth, clock, params, secret};
use plaza_user::{grant, session};

plaza_kit::function!(handle);

enum Outcome {
    Rotated { user: UserId, username: String, session: SessionId, refresh_token: String },
    Reused(SessionId),
    Unknown,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let body = request.json()?;
    let mut input = body.input();
    let Some(token) = input.required::<String>("refresh_token") else { return Err(input.problem()) };

    let database = Database::open(plaza_user::DATABASE).await?;
    match database.transaction(async |change| rotate(change, &secret::hash(&token)).await).await? {
        Outcome::Rotated { user, username, session, refresh_token } => {
            grant::answer(&database, user, &username, session, refresh_token).await
        }
        Outcome::Reused(session) => {
            auth::forget(session)?;
            Err(grant::invalid_refresh_token())
        }
        Outcome::Unknown => Err(grant::invalid_refresh_token()),
    }
}

async fn rotate(change: &Change<'_>, hash: &str) -> Result<Outcome, Problem> {
    let now = clock::now();
    let found = change
        .lock_one(
            "SELECT session.id, token.rotated_at, user.id, user.username, session.created_at FROM refresh_tokens token
             JOIN sessions session ON session.id = token.session_id JOIN users user ON user.id = session.user_id
             WHERE token.hash = ? AND session.revoked_at IS NULL AND session.expires_at > ?",
            &params![hash, now],
        )
        .await?;
    let Some(row) = found else { return Ok(Outcome::Unknown) };
    let (session, user): (SessionId, UserId) = (row.get(0)?, row.get(2)?);
    if row.get::<Option<Timestamp>>(1)?.is_some() {
        session::revoke(change, user, session).await?;
        return Ok(Outcome::Reused(session));
    }
    change.execute("UPDATE refresh_tokens SET rotated_at = ? WHERE hash = ?", &params![now, hash]).await?;
    let expires_at = now.after(SESSION_IDLE_MAX);
    let prolong = "UPDATE sessions SET last_used_at = ?, expires_at = ? WHERE id = ?";
    change.execute(prolong, &params![now, expires_at, session]).await?;
    // What was rotated longer ago than a session may idle is of no use even to a thief.
    let forgotten = Timestamp::from_unix_ms(now.unix_ms() - i64::try_from(SESSION_IDLE_MAX.as_millis()).unwrap_or(0));
    if row.get::<Timestamp>(4)? < forgotten {
        let forget = "DELETE FROM refresh_tokens WHERE session_id = ? AND rotated_at < ?";
        change.execute(forget, &params![session, forgotten]).await?;
    }
    let refresh_token = grant::new_refresh_token(change, session).await?;
    Ok(Outcome::Rotated { user, username: row.get(3)?, session, refresh_token })
}
