//! Reads a room's messages: always in ascending `seq`, the newest page where nothing is asked for.
//!
//! `before`, `after` and `around` take a message's id or its `seq`; cursors stand for the same. As `seq` has no gap, a
//! page is a range, whatever its direction.

use plaza_domain::chat::Message;
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::input::Invalid;
use plaza_domain::page::{self, Page, invalid_parameter};
use plaza_kit::auth::Caller;
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use std::str::FromStr;

/// A place in a room's order.
#[derive(Clone, Copy)]
enum Place {
    Before(u64),
    After(u64),
    Around(u64),
}

/// What a cursor of this list says: `<5` or `>5`.
struct Cursor(Place);

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let seq = |seq: &str| seq.parse().map_err(|_| ());
        match text.split_at_checked(1).ok_or(())? {
            ("<", rest) => Ok(Self(Place::Before(seq(rest)?))),
            (">", rest) => Ok(Self(Place::After(seq(rest)?))),
            _ => Err(()),
        }
    }
}

pub(crate) async fn page(request: &Request, caller: &Caller) -> Result<Reply, Problem> {
    let room: RoomId = request.segment("room_id")?;
    let (limit, cursor) = request.page::<Cursor>()?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let newest = "SELECT room.last_seq FROM participants JOIN rooms room ON room.id = participants.room_id
         WHERE participants.room_id = ? AND participants.user_id = ?";
    let row = database.query_one(newest, &params![room, caller.user_id]).await?.ok_or_else(Problem::not_found)?;
    let last_seq: u64 = row.get(0)?;

    let place = match cursor {
        Some(Cursor(place)) => place,
        None => asked_for(&database, request, room).await?.unwrap_or(Place::Before(last_seq + 1)),
    };
    let (first, last) = range(place, u64::from(limit), last_seq);
    let columns = plaza_chat::MESSAGE_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM messages message WHERE message.room_id = ? AND message.seq BETWEEN ? AND ? ORDER BY message.seq"
    );
    let rows = database.query(&sql, &params![room, first, last]).await?;
    let items = rows.iter().map(plaza_chat::message).collect::<Result<Vec<Message>, _>>()?;
    let prev_cursor = (first > 1).then(|| page::encode(&format!("<{first}")));
    let next_cursor = (last < last_seq).then(|| page::encode(&format!(">{last}")));
    reply::json(200, &Page { items, next_cursor, prev_cursor })
}

/// The first and the last `seq` of a page; an empty range where there is nothing on that side.
fn range(place: Place, limit: u64, last_seq: u64) -> (u64, u64) {
    match place {
        Place::Before(seq) => {
            let last = seq.saturating_sub(1).min(last_seq);
            (last.saturating_sub(limit - 1).max(1), last)
        }
        Place::After(seq) => {
            let first = seq.min(last_seq) + 1;
            (first, first.saturating_add(limit - 1).min(last_seq))
        }
        Place::Around(seq) => {
            let seq = seq.clamp(1, last_seq.max(1));
            let first = seq.saturating_sub(limit / 2).min((last_seq + 1).saturating_sub(limit)).max(1);
            (first, (first + limit - 1).min(last_seq))
        }
    }
}

async fn asked_for(database: &Database, request: &Request, room: RoomId) -> Result<Option<Place>, Problem> {
    for (name, place) in
        [("before", Place::Before as fn(u64) -> Place), ("after", Place::After), ("around", Place::Around)]
    {
        if let Some(text) = request.query(name) {
            return seq_of(database, room, name, &text).await.map(|seq| Some(place(seq)));
        }
    }
    Ok(None)
}

async fn seq_of(database: &Database, room: RoomId, name: &'static str, text: &str) -> Result<u64, Problem> {
    // What is stored is at most i64::MAX: beyond it there is no message either.
    if let Ok(seq) = text.parse::<u64>() {
        return Ok(seq.min(i64::MAX.unsigned_abs() - 1));
    }
    let refuse =
        || invalid_parameter(name, Invalid::new("not_found", "must be the id or the seq of a message of this room"));
    let id: MessageId = text.parse().map_err(|_| refuse())?;
    let sql = "SELECT seq FROM messages WHERE id = ? AND room_id = ?";
    database.query_one(sql, &params![id, room]).await?.ok_or_else(refuse)?.get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_range_inside_the_room() {
        let cases = [
            (Place::Before(11), 3, 10, (8, 10)),
            (Place::Before(3), 5, 10, (1, 2)),
            (Place::Before(1), 5, 10, (1, 0)),
            (Place::After(8), 5, 10, (9, 10)),
            (Place::After(10), 5, 10, (11, 10)),
            (Place::After(99), 5, 10, (11, 10)),
            (Place::Around(5), 3, 10, (4, 6)),
            (Place::Around(1), 3, 10, (1, 3)),
            (Place::Around(10), 4, 10, (7, 10)),
            (Place::Before(1), 5, 0, (1, 0)),
            (Place::Around(1), 5, 0, (1, 0)),
        ];
        for (place, limit, last_seq, expected) in cases {
            assert_eq!(range(place, limit, last_seq), expected);
        }
    }
}
