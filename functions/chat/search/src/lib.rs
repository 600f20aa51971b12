//! `GET /api/messages/search?q=`: what was said in the caller's rooms, or in one of them, the newest first.
//!
//! The longest word is looked up in the index; what that gives is read and looked at, so that what was edited or deleted a moment
//! ago, and is still in the index, is not found.

use plaza_chat::MESSAGE_COLUMNS;
use plaza_domain::chat::Message;
use plaza_domain::chat::search::Search;
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::input::Invalid;
use plaza_domain::page::{AFTER_EVERY_ID, Page, encode, invalid_parameter};
use plaza_kit::store::{Column, prefix_range};
use plaza_kit::{Database, Problem, Reply, Request, auth, limit, params, reply};

plaza_kit::function!(handle);

/// How many messages are read at a time.
const CANDIDATES_AT_ONCE: usize = 200;

/// The most messages that are read for one page. Where so many have the longest word and not the others, the page is shorter, and
/// its cursor goes on from there.
const CANDIDATES_MAX: usize = 1_000;

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, before) = request.page::<MessageId>()?;
    let query = request.query("q").ok_or_else(|| invalid_parameter("q", Invalid::new("required", "is required")))?;
    let search = Search::new(&query).map_err(|invalid| invalid_parameter("q", invalid))?;
    let room: Option<RoomId> = request.query_as("room_id", "an id")?;

    limit::take(&limit::SEARCH, &caller.user_id.to_string())?;
    let database = Database::open(plaza_chat::DATABASE).await?;
    let in_room = if room.is_some() { "AND participants.room_id = ?" } else { "" };
    let sql = format!(
        "SELECT {MESSAGE_COLUMNS} FROM
             (SELECT DISTINCT term.room_id, term.seq FROM participants
              JOIN message_terms term ON term.room_id = participants.room_id AND term.term >= ? AND term.term < ?
              WHERE participants.user_id = ? {in_room}) hit
         JOIN messages message ON message.room_id = hit.room_id AND message.seq = hit.seq
         WHERE message.id < ? AND message.deleted_at IS NULL ORDER BY message.id DESC LIMIT ?"
    );
    let (first, end) = prefix_range(&search.term());
    let mut items: Vec<Message> = Vec::new();
    let mut before = before.map_or_else(|| AFTER_EVERY_ID.to_owned(), |id| id.to_string());
    let mut looked_at = 0;
    // Until the page is full; one more tells that there is a next one.
    while items.len() <= limit as usize && looked_at < CANDIDATES_MAX {
        let mut params = params![first, end, caller.user_id].to_vec();
        params.extend(room.map(|room| room.to_value()));
        params.extend(params![before, i64::try_from(CANDIDATES_AT_ONCE).unwrap_or(i64::MAX)]);
        let candidates = database.query(&sql, &params).await?;
        for row in &candidates {
            let message = plaza_chat::message(row)?;
            before = message.id.to_string();
            if message.content.as_deref().is_some_and(|content| search.finds(content)) {
                items.push(message);
            }
        }
        looked_at += candidates.len();
        if candidates.len() < CANDIDATES_AT_ONCE {
            return reply::json(200, &Page::forward(items, limit, |message| message.id.to_string()));
        }
    }
    let full = items.len() > limit as usize;
    let mut page = Page::forward(items, limit, |message| message.id.to_string());
    if !full {
        page.next_cursor = Some(encode(&before));
    }
    reply::json(200, &page)
}
