//! Triggered by `message.events`, or `POST /events/chat-index`: keeps the index of the search.
//!
//! An event only says which message to look at: what it says now is what is indexed. So it does not matter how often, or in which
//! order, events come.

use plaza_domain::chat::search;
use plaza_domain::id::RoomId;
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, Database, Problem, Reply, Request, cloudevents, params, reply};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

plaza_kit::function!(handle);

/// How many messages are indexed in one change: 4,000 characters each make at most 64,000 entries, and as a rule a hundred.
const MESSAGES_AT_ONCE: usize = 16;

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
    for event in cloudevents::receive(&request)? {
        if matches!(
            event.kind.as_str(),
            "plaza.chat.MessageSent.v1" | "plaza.chat.MessageEdited.v1" | "plaza.chat.MessageDeleted.v1"
        ) {
            let place: Place = event.data()?;
            by_room.entry(place.room_id).or_default().insert(place.seq);
        }
    }
    if by_room.is_empty() {
        return reply::no_content();
    }
    let database = Database::open(plaza_chat::DATABASE).await?;
    for (room, seqs) in by_room {
        let seqs: Vec<u64> = seqs.into_iter().collect();
        for some in seqs.chunks(MESSAGES_AT_ONCE) {
            database.transaction(async |change| index(change, room, some).await).await?;
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
