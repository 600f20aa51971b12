//! What a user wants to be told of.

use plaza_domain::Timestamp;
use plaza_domain::id::UserId;
use plaza_domain::notification::{Kind, MutedRoom, Preferences};
use plaza_kit::{Database, Problem, clock, params};

/// Which kinds a user wants, and which rooms are muted.
pub async fn of(database: &Database, user: UserId) -> Result<Preferences, Problem> {
    let rows = database.query("SELECT kind FROM disabled_kinds WHERE user_id = ?", &params![user]).await?;
    let disabled = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
    let kinds = Kind::ALL.into_iter().map(|kind| (kind, !disabled.iter().any(|name| name == kind.name()))).collect();
    let sql = "SELECT room_id, muted_until FROM muted_rooms WHERE user_id = ? ORDER BY room_id";
    let mut muted_rooms = Vec::new();
    for row in database.query(sql, &params![user]).await? {
        muted_rooms.push(MutedRoom { room_id: row.get(0)?, muted_until: row.get(1)? });
    }
    Ok(Preferences { kinds, muted_rooms: holding(muted_rooms, clock::now()) })
}

/// What was muted until a time that has passed is no longer.
pub fn holding(mut rooms: Vec<MutedRoom>, now: Timestamp) -> Vec<MutedRoom> {
    rooms.retain(|room| room.holds(now));
    rooms
}
