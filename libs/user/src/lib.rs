//! What the functions of the user context share: reading accounts, and sessions with their tokens.

#[cfg(feature = "passwords")]
pub mod confirmation;
#[cfg(feature = "passwords")]
pub mod deletion;
#[cfg(feature = "tokens")]
pub mod grant;
pub mod presence;
pub mod session;

use plaza_domain::id::UserId;
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_domain::user::{LOOKUP_USERS_MAX, Profile, User};
use plaza_kit::{Change, Database, Problem, Request, Row, params};

/// The label of the context's database.
pub const DATABASE: &str = "user";

/// The columns that [`user`] reads, in its order.
pub const USER_COLUMNS: &str = "id, username, display_name, profile_image_url, created_at";

/// A user from the columns of [`USER_COLUMNS`].
pub fn user(row: &Row) -> Result<User, Problem> {
    Ok(User {
        id: row.get(0)?,
        username: row.get(1)?,
        display_name: row.get(2)?,
        profile_image_url: row.get(3)?,
        created_at: row.get(4)?,
    })
}

/// A user's own profile.
pub async fn profile(database: &Database, id: UserId) -> Result<Option<Profile>, Problem> {
    let row = database.query_one(&profile_by_id(), &params![id]).await?;
    row.map(|row| read_profile(&row)).transpose()
}

/// The same, as it stands until the change is over.
pub async fn locked_profile(change: &Change<'_>, id: UserId) -> Result<Option<Profile>, Problem> {
    let row = change.lock_one(&profile_by_id(), &params![id]).await?;
    row.map(|row| read_profile(&row)).transpose()
}

fn profile_by_id() -> String {
    format!("SELECT {USER_COLUMNS}, email FROM users WHERE id = ?")
}

fn read_profile(row: &Row) -> Result<Profile, Problem> {
    Ok(Profile { user: user(row)?, email: row.get(5)? })
}

/// The users that a look-up asks for (`user_ids=`), at most a hundred. What is no id names nobody.
pub fn asked_for(request: &Request) -> Result<Vec<UserId>, Problem> {
    let refuse = |code, detail: String| Err(invalid_parameter("user_ids", Invalid::new(code, detail)));
    let Some(list) = request.query("user_ids") else {
        return refuse("required", "is required".to_owned());
    };
    if list.split(',').count() > LOOKUP_USERS_MAX {
        return refuse("too_many", format!("may name at most {LOOKUP_USERS_MAX} users"));
    }
    Ok(list.split(',').filter_map(|id| id.trim().parse().ok()).collect())
}
