//! What the functions of the user context share: reading accounts, and sessions with their tokens.

#[cfg(feature = "passwords")]
pub mod confirmation;
#[cfg(feature = "passwords")]
pub mod deletion;
#[cfg(feature = "tokens")]
pub mod grant;
pub mod session;

use plaza_domain::id::UserId;
use plaza_domain::user::{Profile, User};
use plaza_kit::{Change, Database, Problem, Row, params};

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
