//! `POST /api/auth/login` (OAuth 2 password form) and `/api/auth/login/json`: begins a session.
//!
//! Whether an account exists must not show, neither in the answer nor in its time: an unknown name costs the same
//! password hash, and is refused in the same words.

use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::{self, Email, SESSION_IDLE_MAX};
use plaza_kit::clock::{self, Fresh};
use plaza_kit::limit::{self, Rule};
use plaza_kit::{Database, Problem, Reply, Request, params, password};
use plaza_user::grant::{self, Access};
use plaza_user::{confirmation, session};
use std::cell::RefCell;
use std::time::Duration;

plaza_kit::function!(handle);

/// For whoever tries many passwords on one account, from wherever. It counts the name that was given, whether or not anybody has it.
const PER_ACCOUNT: Rule =
    Rule { name: "login-account", variable: "login_per_account_per_minute", window: Duration::from_mins(1) };

/// For whoever tries many accounts.
const PER_ADDRESS: Rule =
    Rule { name: "login-address", variable: "login_per_address_per_minute", window: Duration::from_mins(1) };

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "POST" => login(&request).await,
        _ => Err(Problem::method_not_allowed("POST")),
    }
}

async fn login(request: &Request) -> Result<Reply, Problem> {
    let (name, password) = credentials(request)?;
    // Before anything is looked up, so that a refusal tells nothing of accounts.
    limit::take(&PER_ADDRESS, &limit::client_address(request)?)?;
    limit::take(&PER_ACCOUNT, &name.to_lowercase())?;
    let database = Database::open(plaza_user::DATABASE).await?;
    let name = name.to_lowercase();
    let column = if Email::is_meant_by(&name) { "email" } else { "username_key" };
    let sql = format!("SELECT id, username, password_hash FROM users WHERE {column} = ?");
    let row = database.query_one(&sql, &params![name]).await?;
    let hash = row.as_ref().map(|row| row.get::<String>(2)).transpose()?;
    if !password::verify(&password, hash.as_deref())? {
        return Err(invalid_credentials());
    }
    let (Some(row), Some(hash)) = (row, hash) else { return Err(Problem::internal()) };
    let (id, username): (UserId, String) = (row.get(0)?, row.get(1)?);

    let session_id = SessionId::fresh();
    let device = user::device(request.header("user-agent").unwrap_or_default());
    let access = Access::sign(&database, id, &username, session_id).await?;
    let ended = RefCell::default();
    let answer = database
        .once_sealed(request, id, async |change| {
            // Since the look at it the password may have been changed, which ends all other sessions, or the account be gone.
            if !confirmation::is_still(change, id, &hash).await? {
                return Err(invalid_credentials());
            }
            ended.replace(session::make_room(change, id).await?);
            let now = clock::now();
            change
                .execute(
                    "INSERT INTO sessions (id, user_id, device, created_at, last_used_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
                    &params![session_id, id, device, now, now, now.after(SESSION_IDLE_MAX)],
                )
                .await?;
            access.answer(grant::new_refresh_token(change, session_id).await?)
        })
        .await?;
    session::forget_all(&ended.take())?;
    access.hand_out(&database, answer).await
}

fn invalid_credentials() -> Problem {
    Problem::unauthenticated("invalid_credentials", "The name or the password is wrong.")
}

/// The name (a user name or an address) and the password: from a form as OAuth 2 has it (RFC 6749, section 4.3.2),
/// or from JSON, where the name may also stand as `email`.
fn credentials(request: &Request) -> Result<(String, String), Problem> {
    let is_form = request.has_content_type("application/x-www-form-urlencoded");
    let body = if is_form { request.form()? } else { request.json()? };
    let mut input = body.input();
    let given_as = |input: &mut plaza_domain::Input<'_>, field| input.optional::<String>(field);
    let name = match given_as(&mut input, "username") {
        Some(None) if is_form => input.required("username"),
        Some(None) => input.required("email"),
        Some(name) => name,
        None => None,
    };
    let (Some(name), Some(password)) = (name, input.required::<String>("password")) else {
        return Err(input.problem());
    };
    Ok((name, password))
}
