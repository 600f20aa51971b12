//! `GET, PUT /api/notifications/preferences`: which kinds of notifications the caller wants, and which rooms are muted. A `PUT`
//! replaces all of it. It counts for what happens from then on.

use plaza_domain::Timestamp;
use plaza_domain::id::UserId;
use plaza_domain::notification::{Kind, Kinds, MutedRoom, MutedRooms, Preferences};
use plaza_kit::{Change, Database, Problem, Reply, Request, auth, clock, params, reply};
use plaza_notification::Inbox;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => {
            let caller = auth::caller(&request).await?;
            reply::json(200, &stored(caller.user_id).await?)
        }
        "PUT" => {
            let caller = auth::caller(&request).await?;
            let preferences = wanted(&request)?;
            let database = Database::open(plaza_notification::DATABASE).await?;
            database.transaction(async |change| store(change, caller.user_id, &preferences).await).await?;
            reply::json(200, &preferences)
        }
        _ => Err(Problem::method_not_allowed("GET, PUT")),
    }
}

async fn stored(user: UserId) -> Result<Preferences, Problem> {
    let database = Database::open(plaza_notification::DATABASE).await?;
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

fn wanted(request: &Request) -> Result<Preferences, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let kinds = input.required::<Kinds>("kinds");
    let rooms = input.required::<MutedRooms>("muted_rooms");
    let (Some(Kinds(kinds)), Some(MutedRooms(mut muted_rooms))) = (kinds, rooms) else { return Err(input.problem()) };
    muted_rooms.sort_by_key(|room| room.room_id);
    Ok(Preferences { kinds, muted_rooms: holding(muted_rooms, clock::now()) })
}

/// What was muted until a time that has passed is no longer.
fn holding(mut rooms: Vec<MutedRoom>, now: Timestamp) -> Vec<MutedRoom> {
    rooms.retain(|room| room.holds(now));
    rooms
}

async fn store(change: &Change<'_>, user: UserId, preferences: &Preferences) -> Result<(), Problem> {
    // Of two at once one comes after the other, whole.
    Inbox::lock(change, user).await?;
    change.execute("DELETE FROM disabled_kinds WHERE user_id = ?", &params![user]).await?;
    change.execute("DELETE FROM muted_rooms WHERE user_id = ?", &params![user]).await?;
    let disabled = preferences.kinds.iter().filter(|(_, wanted)| !**wanted);
    let rows: Vec<_> = disabled.map(|(kind, _)| params![user, kind.name()].to_vec()).collect();
    change.insert_all("disabled_kinds (user_id, kind)", &rows).await?;
    let rows = preferences.muted_rooms.iter().map(|room| params![user, room.room_id, room.muted_until].to_vec());
    change.insert_all("muted_rooms (user_id, room_id, muted_until)", &rows.collect::<Vec<_>>()).await
}
