//! Lists of people: of one's friends, of those whom one blocks. In the order in which they joined Plaza.

use plaza_domain::Timestamp;
use plaza_domain::friend::Friend;
use plaza_domain::id::UserId;
use plaza_domain::user::{Presence, User};
use plaza_kit::{Database, Problem, Request, lookup, params};
use std::collections::HashMap;

/// Somebody's list of people, each with a time.
#[derive(Debug, Clone, Copy)]
pub enum People {
    /// Friends, and since when.
    Friends,
    /// Whom they block, and since when.
    Blocked,
}

impl People {
    /// At most `count` of a user's list, after one of them.
    pub async fn of(
        self,
        database: &Database,
        user: UserId,
        after: Option<UserId>,
        count: u32,
    ) -> Result<Vec<(UserId, Timestamp)>, Problem> {
        let (table, column) = match self {
            Self::Friends => ("friendships", "friend_id"),
            Self::Blocked => ("blocks", "blocked_user_id"),
        };
        let sql = format!(
            "SELECT {column}, created_at FROM {table} WHERE user_id = ? AND {column} > ? ORDER BY {column} LIMIT ?"
        );
        let after = after.map_or_else(String::new, |id| id.to_string());
        let rows = database.query(&sql, &params![user, after, count]).await?;
        rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
    }
}

/// The profiles of these, asked for on the caller's behalf. Those who are gone are left out.
pub async fn profiles(request: &Request, people: &[(UserId, Timestamp)]) -> Result<Vec<(User, Timestamp)>, Problem> {
    let ids: Vec<UserId> = people.iter().map(|(id, _)| *id).collect();
    let users = lookup::users(request, &ids).await?.into_iter();
    let mut by_id: HashMap<UserId, User> = users.map(|user| (user.id, user)).collect();
    Ok(people.iter().filter_map(|(id, since)| Some((by_id.remove(id)?, *since))).collect())
}

/// These as the caller's friends.
pub async fn friends(request: &Request, profiles: Vec<(User, Timestamp)>) -> Result<Vec<Friend>, Problem> {
    let ids: Vec<UserId> = profiles.iter().map(|(user, _)| user.id).collect();
    let mut presences = lookup::presences(request, &ids).await?;
    let friend = |(user, friends_since): (User, Timestamp)| {
        let nowhere = Presence { user_id: user.id, online: false, last_seen_at: None };
        let presence = presences.remove(&user.id).unwrap_or(nowhere);
        Friend { user, presence, friends_since }
    };
    Ok(profiles.into_iter().map(friend).collect())
}
