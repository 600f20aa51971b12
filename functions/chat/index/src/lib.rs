//! Triggered by `message.events` and `chat.events`, or `POST /events/chat-index`: keeps the index of the search, and empties rooms
//! that are gone.
//!
//! An event only says what to look at: what a message says now is what is indexed. So it does not matter how often, or in which
//! order, events come.

use plaza_domain::chat::{RoomDeleted, search};
use plaza_domain::id::{MessageId, RoomId};
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, Database, Problem, Reply, Request, cloudevents, params, reply};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

plaza_kit::function!(handle);

/// How many messages are indexed in one change: 4,000 characters each make at most 64,000 entries, and as a rule a hundred.
const MESSAGES_AT_ONCE: usize = 16;

/// How many messages of a room that is gone are emptied in one change.
const EMPTIED_AT_ONCE: u32 = 256;

/// Where a message is, of whatever its event tells.
#[derive(Deserialize)]
struct Place {
    room_id: RoomId,
    seq: u64,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut by_room: BTreeMap<RoomId, BTreeSet<u64>> = BTreeMap::new();
    let mut gone = Vec::new();
    for event in cloudevents::receive(&request)? {
        match event.kind.as_str() {
            "plaza.chat.MessageSent.v1" | "plaza.chat.MessageEdited.v1" | "plaza.chat.MessageDeleted.v1" => {
                let place: Place = event.data()?;
                by_room.entry(place.room_id).or_default().insert(place.seq);
            }
            "plaza.chat.ChatRoomDeleted.v1" => gone.push(event.data::<RoomDeleted>()?.id),
            _ => {}
        }
    }
    if by_room.is_empty() && gone.is_empty() {
        return reply::no_content();
    }
    let database = Database::open(plaza_chat::DATABASE).await?;
    for (room, seqs) in by_room {
        let seqs: Vec<u64> = seqs.into_iter().collect();
        for some in seqs.chunks(MESSAGES_AT_ONCE) {
            database.transaction(async |change| index(change, room, some).await).await?;
        }
    }
    for room in gone {
        let mut after = Some(0);
        while let Some(seq) = after {
            after = database.transaction(async |change| empty(change, room, seq).await).await?;
        }
    }
    reply::no_content()
}

async fn index(change: &Change<'_>, room: RoomId, seqs: &[u64]) -> Result<(), Problem> {
    let these = format!("room_id = ? AND seq IN ({})", placeholders(seqs.len()));
    let params: Vec<Value> = [room.to_value()].into_iter().chain(seqs.iter().map(Column::to_value)).collect();
    // Locked, so that nobody edits them meanwhile and is indexed first.
    let rows = change.lock(&format!("SELECT seq, content FROM messages WHERE {these}"), &params).await?;
    change.execute(&format!("DELETE FROM message_terms WHERE {these}"), &params).await?;
    let mut entries = Vec::new();
    for row in rows {
        let seq: u64 = row.get(0)?;
        let content: Option<String> = row.get(1)?;
        let terms = search::terms(&content.unwrap_or_default());
        entries.extend(terms.into_iter().map(|term| params![room, term, seq].to_vec()));
    }
    change.insert_all("message_terms (room_id, term, seq)", &entries).await
}

/// Empties some messages of a room that is gone, after this one; gives the last of them, if there were any. Their rows stay: a
/// `client_message_id` is used up for ever.
async fn empty(change: &Change<'_>, room: RoomId, after: u64) -> Result<Option<u64>, Problem> {
    let sql = "SELECT message.id, message.seq, room.closed_at FROM rooms room JOIN messages message ON message.room_id = room.id
         WHERE room.id = ? AND room.closed_at IS NOT NULL AND room.room_type = 'group' AND message.deleted_at IS NULL
             AND message.seq > ?
         ORDER BY message.seq LIMIT ?";
    let rows = change.lock(sql, &params![room, after, EMPTIED_AT_ONCE]).await?;
    let (mut ids, mut seqs, mut closed_at, mut last) = (Vec::new(), vec![room.to_value()], 0, None);
    for row in &rows {
        ids.push(row.get::<MessageId>(0)?.to_value());
        last = Some(row.get::<u64>(1)?);
        seqs.push(last.to_value());
        closed_at = row.get::<i64>(2)?;
    }
    if rows.is_empty() {
        return Ok(None);
    }
    let these = placeholders(rows.len());
    change.execute(&format!("DELETE FROM message_edits WHERE message_id IN ({these})"), &ids).await?;
    change.execute(&format!("DELETE FROM message_terms WHERE room_id = ? AND seq IN ({these})"), &seqs).await?;
    let sql = format!(
        "UPDATE messages SET content = NULL, reactions = NULL, deleted_at = ? WHERE room_id = ? AND seq IN ({these})"
    );
    seqs.insert(0, closed_at.to_value());
    change.execute(&sql, &seqs).await?;
    Ok(last)
}
