//! Showing once more that one knows the password: for what a token alone must not do.

use plaza_domain::id::UserId;
use plaza_domain::user::{Email, Username};
use plaza_kit::limit::{self, Rule};
use plaza_kit::{Change, Database, Problem, params, password};
use std::time::Duration;

/// For whoever has come by a token, and tries passwords. As many as at a login.
const PER_ACCOUNT: Rule =
    Rule { name: "password", variable: "login_per_account_per_minute", window: Duration::from_mins(1) };

/// An account whose password was given.
#[derive(Debug)]
pub struct Account {
    /// Its name.
    pub username: Username,
    /// Its address.
    pub email: Email,
    /// The hash that the password was found to have.
    password_hash: String,
}

/// Whether this is the caller's password: 403 where it is not. Not 401, which clients take for the end of their token.
pub async fn confirm(database: &Database, user: UserId, given: &str) -> Result<Account, Problem> {
    limit::take(&PER_ACCOUNT, &user.to_string())?;
    let sql = "SELECT username, email, password_hash FROM users WHERE id = ?";
    let row = database.query_one(sql, &params![user]).await?.ok_or_else(Problem::unauthorized)?;
    let password_hash: String = row.get(2)?;
    if !password::verify(given, Some(&password_hash))? {
        return Err(wrong_password());
    }
    let (username, email) = (row.get::<String>(0)?, row.get::<String>(1)?);
    Ok(Account { username: Username::stored(username), email: Email::stored(email), password_hash })
}

/// Locks the account for a change, if its password is still the one that was given.
pub async fn lock(change: &Change<'_>, user: UserId, account: &Account) -> Result<(), Problem> {
    if is_still(change, user, &account.password_hash).await? { Ok(()) } else { Err(wrong_password()) }
}

/// Whether an account's password is still the one of this hash. It stays so until the change is over.
pub async fn is_still(change: &Change<'_>, user: UserId, password_hash: &str) -> Result<bool, Problem> {
    let row = change.lock_one("SELECT password_hash FROM users WHERE id = ?", &params![user]).await?;
    Ok(row.map(|row| row.get::<String>(0)).transpose()?.as_deref() == Some(password_hash))
}

fn wrong_password() -> Problem {
    Problem::new(403, "wrong_password", "This is not the password of the account.")
}
