//! `GET, PUT /api/notifications/preferences`: which kinds of notifications the caller wants, and which rooms are muted. A `PUT`
//! replaces all of it. It counts for what happens from then on.

use plaza_domain::id::UserId;
use plaza_domain::notification::{Kinds, MutedRooms, Preferences};
use plaza_kit::{Change, Database, Problem, Reply, Request, auth, clock, params, reply};
use plaza_notification::{Inbox, preferences};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => {
            let caller = auth::caller(&request).await?;
            let database = Database::open(plaza_notification::DATABASE).await?;
            reply::json(200, &preferences::of(&database, caller.user_id).await?)
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

fn wanted(request: &Request) -> Result<Preferences, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let kinds = input.required::<Kinds>("kinds");
    let rooms = input.required::<MutedRooms>("muted_rooms");
    let (Some(Kinds(kinds)), Some(MutedRooms(mut muted_rooms))) = (kinds, rooms) else { return Err(input.problem()) };
    muted_rooms.sort_by_key(|room| room.room_id);
    Ok(Preferences { kinds, muted_rooms: preferences::holding(muted_rooms, clock::now()) })
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
