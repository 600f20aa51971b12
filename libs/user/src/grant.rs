//! What a login and a refresh answer.

use crate::session;
use plaza_domain::Timestamp;
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::{OPERATOR, Tokens, is_operator};
use plaza_kit::auth::Caller;
use plaza_kit::store::once;
use plaza_kit::{Change, Database, Problem, Reply, clock, params, reply, secret, tokens, variable};

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

/// An access token that is signed and not yet given to anybody: signing takes long, so it comes before the change.
#[derive(Debug)]
pub struct Access {
    token: String,
    caller: Caller,
}

impl Access {
    /// Signs one for a session.
    pub async fn sign(database: &Database, user: UserId, username: &str, session: SessionId) -> Result<Self, Problem> {
        let roles = roles(database, user).await?;
        let (token, caller) = tokens::sign(user, username, session, roles)?;
        Ok(Self { token, caller })
    }

    /// The answer with both tokens.
    pub fn answer(&self, refresh_token: String) -> Result<Reply, Problem> {
        let expires_in = seconds_until(self.caller.expires_at);
        let access_token = self.token.clone();
        let mut reply = reply::json(200, &Tokens { access_token, token_type: "bearer", expires_in, refresh_token })?;
        // RFC 6749, section 5.1.
        reply.headers_mut().insert("cache-control", http::HeaderValue::from_static("no-store"));
        Ok(reply)
    }

    /// Makes the token known, once the change is made that gave this answer. A repeated answer has another token, which is
    /// known already.
    pub async fn hand_out(self, database: &Database, answer: Reply) -> Result<Reply, Problem> {
        if once::is_replayed(&answer) || session::remember(database, &self.caller, &self.token).await? {
            return Ok(answer);
        }
        Err(invalid_refresh_token())
    }
}

/// What a user may do beyond what everybody may: the variable `operators` names those who operate this installation.
async fn roles(database: &Database, user: UserId) -> Result<Vec<String>, Problem> {
    let operators = variable::required("operators")?;
    if operators.trim().is_empty() {
        return Ok(Vec::new());
    }
    let row = database.query_one("SELECT email FROM users WHERE id = ?", &params![user]).await?;
    let email = row.map(|row| row.get::<Option<String>>(0)).transpose()?.flatten();
    let operates = is_operator(&operators, user, email.as_deref());
    Ok(if operates { vec![OPERATOR.to_owned()] } else { Vec::new() })
}

fn seconds_until(at: Timestamp) -> u64 {
    at.since(clock::now()).as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
