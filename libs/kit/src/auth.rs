//! Who calls.
//!
//! An access token is a JWT (RFC 9068). Whether it is good is known in one look: the sessions store holds, by session,
//! the hashes of the tokens that were issued to it or found good. Only a token that is not there is examined anew, by
//! the component that holds the keys; and a session that ended is simply gone from the store, so its tokens end at once.
//! Where the store does not answer, every token is examined: slower, not wrong. Only the end of a session needs the store.

use crate::lookup::Question;
use crate::{Request, clock, secret};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::OPERATOR;
use plaza_domain::{Problem, Timestamp};
use serde::{Deserialize, Serialize};
use spin_sdk::key_value::Store;

/// The key-value store that holds what is known of sessions.
pub const STORE: &str = "sessions";

/// The component that examines tokens (RFC 7662).
const EXAMINER: &str = "user-session";

/// The most tokens of one session that are known as good at a time: the newest, and those that it replaced and that
/// are still in use.
const KNOWN_TOKENS_MAX: usize = 4;

/// A caller whose token is good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Who.
    pub user_id: UserId,
    /// Their unique name.
    pub username: String,
    /// By which session.
    pub session_id: SessionId,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// What they may do beyond what everybody may (RFC 9068, section 2.2.3.1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl Caller {
    /// 403 to whoever does not operate this installation.
    pub fn require_operator(&self) -> Result<(), Problem> {
        if self.roles.iter().any(|role| role == OPERATOR) {
            return Ok(());
        }
        Err(Problem::new(403, "operator_required", "Only those who operate this service may see this."))
    }
}

/// What the store holds of a session.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    user_id: UserId,
    username: String,
    #[serde(default)]
    roles: Vec<String>,
    /// Hashes of tokens, and when each ends (milliseconds since the Unix epoch); the newest last.
    tokens: Vec<(String, i64)>,
}

/// What a token says of itself, before anyone has looked at its signature.
#[derive(Deserialize)]
struct Claimed {
    sid: SessionId,
    exp: i64,
}

/// The bearer token of a request, if it has one (RFC 6750, section 2.1).
pub fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// The caller of a request; 401 where there is no good token.
pub async fn caller(request: &Request) -> Result<Caller, Problem> {
    let token = bearer(request).ok_or_else(Problem::unauthorized)?;
    let claimed = claimed(token).ok_or_else(invalid_token)?;
    let now = clock::now();
    if claimed.exp <= now.unix_seconds() {
        return Err(invalid_token());
    }
    if let Some(known) = known(claimed.sid) {
        let hash = secret::hash(token);
        let found = known.tokens.iter().find(|(known_hash, ends)| *known_hash == hash && *ends > now.unix_ms());
        if let Some((_, ends)) = found {
            return Ok(Caller {
                user_id: known.user_id,
                username: known.username,
                session_id: claimed.sid,
                expires_at: Timestamp::from_unix_ms(*ends),
                roles: known.roles,
            });
        }
    }
    examine(token).await
}

/// Whether a session still lives.
pub async fn is_alive(session: SessionId) -> Result<bool, Problem> {
    if known(session).is_some() {
        return Ok(true);
    }
    let verdict = ask_examiner("session_id", &session.to_string()).await?;
    Ok(verdict.active)
}

/// Remembers a token as good.
pub fn remember(caller: &Caller, token: &str) -> Result<(), Problem> {
    let now = clock::now().unix_ms();
    let mut tokens = known(caller.session_id).map_or_else(Vec::new, |known| known.tokens);
    tokens.retain(|(_, ends)| *ends > now);
    tokens.push((secret::hash(token), caller.expires_at.unix_ms()));
    let surplus = tokens.len().saturating_sub(KNOWN_TOKENS_MAX);
    tokens.drain(..surplus);
    let (username, roles) = (caller.username.clone(), caller.roles.clone());
    let known = Known { user_id: caller.user_id, username, roles, tokens };
    let value = serde_json::to_vec(&known).map_err(|error| refuse(&error))?;
    store()?.set(&key(caller.session_id), &value).map_err(|error| refuse(&error))
}

/// Forgets a session: its tokens are no longer good.
pub fn forget(session: SessionId) -> Result<(), Problem> {
    store()?.delete(&key(session)).map_err(|error| refuse(&error))
}

/// 401: a token, but not a good one (RFC 6750, section 3.1).
pub fn invalid_token() -> Problem {
    Problem::unauthorized().with_header("www-authenticate", "Bearer error=\"invalid_token\"")
}

fn claimed(token: &str) -> Option<Claimed> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// What the examiner says.
#[derive(Deserialize)]
struct Verdict {
    active: bool,
    caller: Option<Caller>,
}

async fn examine(token: &str) -> Result<Caller, Problem> {
    let verdict = ask_examiner("token", token).await?;
    verdict.caller.filter(|_| verdict.active).ok_or_else(invalid_token)
}

async fn ask_examiner(field: &str, value: &str) -> Result<Verdict, Problem> {
    let question = Question::post(EXAMINER, "/").header("content-type", "application/x-www-form-urlencoded");
    let body = form_urlencoded::Serializer::new(String::new()).append_pair(field, value).finish();
    question.ask(body.into_bytes()).await?.json()
}

/// What the store has of a session. Where it does not answer, nothing is known.
fn known(session: SessionId) -> Option<Known> {
    let value = store().and_then(|store| store.get(&key(session)).map_err(|error| refuse(&error)));
    // What cannot be read was written by another version: as good as not known.
    value.ok().flatten().and_then(|value| serde_json::from_slice(&value).ok())
}

fn store() -> Result<Store, Problem> {
    Store::open(STORE).map_err(|error| refuse(&error))
}

fn key(session: SessionId) -> String {
    format!("session:{session}")
}

fn refuse(error: &dyn std::fmt::Display) -> Problem {
    eprintln!("sessions store: {error}");
    Problem::unavailable("The session store does not answer. Ask again.")
}
