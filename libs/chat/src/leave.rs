//! Ends: of one's being in a room, and of the room.

use crate::{Locked, PARTICIPANT_COLUMNS, participant};
use plaza_domain::chat::{self, NAME_OF_THE_DELETED, ParticipantLeft, RoomDeleted, RoomType, RoomUpdated};
use plaza_domain::id::{RoomId, UserId};
use plaza_kit::{Change, Database, Problem, clock, params};

/// How many messages of a deleted user are looked through and changed at a time.
const MESSAGES_AT_ONCE: u32 = 256;

/// Takes somebody out of a room that is locked; 404 where they are not in it. A group that they owned passes to the one who has been
/// there longest; one that nobody is left in is gone.
pub async fn take_out(
    change: &Change<'_>,
    room: &Locked,
    user: UserId,
    removed_by: Option<UserId>,
) -> Result<(), Problem> {
    let sql = format!("SELECT {PARTICIPANT_COLUMNS} FROM participants WHERE room_id = ? AND user_id = ?");
    let row = change.lock_one(&sql, &params![room.id, user]).await?.ok_or_else(Problem::not_found)?;
    leave(change, room, user, participant(&row, 0)?.username, removed_by).await
}

async fn leave(
    change: &Change<'_>,
    room: &Locked,
    user: UserId,
    username: String,
    removed_by: Option<UserId>,
) -> Result<(), Problem> {
    change.execute("DELETE FROM participants WHERE room_id = ? AND user_id = ?", &params![room.id, user]).await?;
    let left = ParticipantLeft { room_id: room.id, user_id: user, username, removed_by, left_at: clock::now() };
    change.emit(&chat::participant_left(&left)).await?;
    let sql = "SELECT user_id FROM participants WHERE room_id = ? ORDER BY joined_at, user_id LIMIT 1";
    let Some(heir) = change.query_one(sql, &params![room.id]).await? else { return close(change, room).await };
    if room.room_type == RoomType::Direct {
        // The other can read what was said, and nobody can write any more.
        let sql = "UPDATE rooms SET closed_at = ? WHERE id = ?";
        return change.execute(sql, &params![clock::now(), room.id]).await;
    }
    if room.owner_id == Some(user) {
        let owner: UserId = heir.get(0)?;
        change.execute("UPDATE rooms SET owner_id = ? WHERE id = ?", &params![owner, room.id]).await?;
        let update =
            RoomUpdated { id: room.id, name: room.name.clone(), owner_id: Some(owner), updated_at: clock::now() };
        change.emit(&chat::room_updated(&update)).await?;
    }
    Ok(())
}

/// Ends a group that is locked: nobody is in it any more. Its messages can no longer be reached, and are emptied by whoever hears of
/// it.
pub async fn close(change: &Change<'_>, room: &Locked) -> Result<(), Problem> {
    let now = clock::now();
    let members = change.query("SELECT user_id FROM participants WHERE room_id = ?", &params![room.id]).await?;
    let members = members.iter().map(|row| row.get(0)).collect::<Result<Vec<UserId>, _>>()?;
    change.execute("DELETE FROM participants WHERE room_id = ?", &params![room.id]).await?;
    change.execute("UPDATE rooms SET closed_at = ? WHERE id = ?", &params![now, room.id]).await?;
    if room.room_type == RoomType::Direct {
        return Ok(());
    }
    change.emit(&chat::room_deleted(&RoomDeleted { id: room.id, deleted_at: now }, &members)).await
}

/// Forgets somebody whose account is gone: they leave every room, and what they said stays under no name. It can be done again, from
/// wherever it ended.
pub async fn forget(database: &Database, user: UserId) -> Result<(), Problem> {
    loop {
        let sql = "SELECT room_id FROM participants WHERE user_id = ? LIMIT 1";
        let Some(row) = database.query_one(sql, &params![user]).await? else { break };
        let id: RoomId = row.get(0)?;
        // A room at a time: those who write in one do not wait for all the others.
        let left = database.transaction(async |change| {
            let room = crate::lock_room(change, user, id).await?;
            leave(change, &room, user, NAME_OF_THE_DELETED.to_owned(), None).await
        });
        match left.await {
            // Somebody removed them meanwhile.
            Err(problem) if problem.status == 404 => {}
            left => left?,
        }
    }
    database
        .transaction(async |change| {
            let sql = "DELETE FROM blocks WHERE blocker_id = ? OR blocked_id = ?";
            change.execute(sql, &params![user, user]).await?;
            change.forget_answers(user).await
        })
        .await?;
    let mut after = String::new();
    loop {
        let sql = "SELECT id FROM messages WHERE user_id = ? AND username <> ? AND id > ? ORDER BY id LIMIT ?";
        let rows = database.query(sql, &params![user, NAME_OF_THE_DELETED, after, MESSAGES_AT_ONCE]).await?;
        let ids = rows.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
        let Some(last) = ids.last() else { return Ok(()) };
        after.clone_from(last);
        database
            .transaction(async |change| {
                for id in &ids {
                    change
                        .execute("UPDATE messages SET username = ? WHERE id = ?", &params![NAME_OF_THE_DELETED, id])
                        .await?;
                }
                Ok(())
            })
            .await?;
    }
}
