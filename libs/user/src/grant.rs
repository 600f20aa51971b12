//! What a login and a refresh answer.

use crate::session;
use plaza_domain::Timestamp;
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::Tokens;
use plaza_kit::{Change, Database, Problem, Reply, clock, params, reply, secret, tokens};

/// 401: the refresh token is not good, or no longer.
pub fn invalid_refresh_token() -> Problem {
    Problem::unauthenticated("invalid_refresh_token", "The refresh token is not valid. Log in again.")
}

/// Gives a session its next refresh token.
pub async fn new_refresh_token(change: &Change<'_>, session: SessionId) -> Result<String, Problem> {
    let token = secret::new();
    let sql = "INSERT INTO refresh_tokens (hash, session_id, created_at) VALUES (?, ?, ?)";
    change.execute(sql, &params![secret::hash(&token), session, clock::now()]).await?;
    Ok(token)
}

/// Signs an access token and answers with both.
pub async fn answer(
    database: &Database,
    user: UserId,
    username: &str,
    session: SessionId,
    refresh_token: String,
) -> Result<Reply, Problem> {
    let (access_token, caller) = tokens::sign(user, username, session)?;
    if !session::remember(database, &caller, &access_token).await? {
        return Err(invalid_refresh_token());
    }
    let expires_in = seconds_until(caller.expires_at);
    let mut reply = reply::json(200, &Tokens { access_token, token_type: "bearer", expires_in, refresh_token })?;
    // RFC 6749, section 5.1.
    reply.headers_mut().insert("cache-control", http::HeaderValue::from_static("no-store"));
    Ok(reply)
}

fn seconds_until(at: Timestamp) -> u64 {
    at.since(clock::now()).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
