//! Triggered by `friend.events` and `message.events`, or `POST /events/notification`: makes the notifications that follow from
//! them.
//!
//! An event may come twice: its id is stored with what it caused, in one change, so that the second time has no effect.
//! Events may come in batches; a batch is one change.

use plaza_domain::chat::Message;
use plaza_domain::id::NotificationId;
use plaza_domain::id::{EventId, RoomId, UserId};
use plaza_domain::notification::{self, Notice};
use plaza_domain::{Timestamp, friend::FriendRequest};
use plaza_kit::clock::{self, Fresh};
use plaza_kit::cloudevents::{self, CloudEvent};
use plaza_kit::lookup::Question;
use plaza_kit::store::{Column, Value, placeholders};
use plaza_kit::{Change, Database, Problem, Reply, Request, params, reply};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

plaza_kit::function!(handle);

/// How long an event's id is remembered: longer than the log keeps the event (7 days), so that it cannot come again.
const CONSUMED_KEPT: Duration = Duration::from_hours(8 * 24);

/// The most events that are forgotten in one change: more than come in one.
const FORGOTTEN_AT_ONCE_MAX: u32 = 256;

/// An event that somebody is told of.
enum Telling {
    Request(FriendRequest),
    Acceptance(FriendRequest),
    Message(Message),
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut tellings = Vec::new();
    for event in cloudevents::receive(&request)? {
        if let Some(telling) = telling(&event)? {
            tellings.push((event.id, telling));
        }
    }
    if tellings.is_empty() {
        return reply::no_content();
    }
    let participants = participants(&tellings).await?;
    let database = Database::open("notification").await?;
    database
        .transaction(async |change| {
            forget_old_events(change).await?;
            let mut first_time = change.first_time(tellings.iter().map(|(event_id, _)| event_id.as_str())).await?;
            let mut rows = Vec::new();
            for (event_id, telling) in &tellings {
                // An event may also come twice in one batch.
                if first_time.remove(event_id.as_str()) {
                    rows.extend(notices(telling, &participants).iter().map(row));
                }
            }
            change.insert_all("notifications (id, user_id, kind, data, created_at)", &rows).await
        })
        .await?;
    reply::no_content()
}

/// What an event tells; nothing where nobody is told of it, now or in a later version of its producer.
fn telling(event: &CloudEvent) -> Result<Option<Telling>, Problem> {
    Ok(match event.kind.as_str() {
        "plaza.friend.FriendRequestSent.v1" => Some(Telling::Request(event.data()?)),
        "plaza.friend.FriendRequestAccepted.v1" => Some(Telling::Acceptance(event.data()?)),
        "plaza.chat.MessageSent.v1" => Some(Telling::Message(event.data()?)),
        _ => None,
    })
}

/// Who is in the rooms that the messages were sent to, as the chat context knows them.
async fn participants(tellings: &[(String, Telling)]) -> Result<HashMap<RoomId, Vec<UserId>>, Problem> {
    #[derive(Deserialize)]
    struct Answer {
        participants: HashMap<RoomId, Vec<UserId>>,
    }
    let room = |(_, telling): &(String, Telling)| {
        if let Telling::Message(message) = telling { Some(message.room_id.to_string()) } else { None }
    };
    let rooms: BTreeSet<String> = tellings.iter().filter_map(room).collect();
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let list = Vec::from_iter(rooms).join(",");
    let answer: Answer =
        Question::get("chat-membership", &format!("/?room_ids={list}")).ask(Vec::new()).await?.json()?;
    Ok(answer.participants)
}

fn notices(telling: &Telling, participants: &HashMap<RoomId, Vec<UserId>>) -> Vec<Notice> {
    match telling {
        Telling::Request(request) => vec![notification::of_request(request)],
        Telling::Acceptance(request) => vec![notification::of_acceptance(request)],
        Telling::Message(message) => {
            notification::of_message(message, participants.get(&message.room_id).map_or(&[], Vec::as_slice))
        }
    }
}

fn row(notice: &Notice) -> Vec<Value> {
    params![NotificationId::fresh(), notice.user_id, notice.kind, notice.data.to_string(), clock::now()].to_vec()
}

/// Event ids sort by time, so those that are old enough are the low end of the table. They are looked up first: deleting a
/// range locks its edge even where nothing is in it.
async fn forget_old_events(change: &Change<'_>) -> Result<(), Problem> {
    let kept = i64::try_from(CONSUMED_KEPT.as_millis()).unwrap_or(i64::MAX);
    let oldest = EventId::new(Timestamp::from_unix_ms((clock::now().unix_ms() - kept).max(0)), [0; 10]);
    let sql = "SELECT event_id FROM consumed_events WHERE event_id < ? ORDER BY event_id LIMIT ?";
    let old = change.query(sql, &params![oldest, FORGOTTEN_AT_ONCE_MAX]).await?;
    if old.is_empty() {
        return Ok(());
    }
    let ids = old.iter().map(|row| row.get::<String>(0)).collect::<Result<Vec<_>, _>>()?;
    let sql = format!("DELETE FROM consumed_events WHERE event_id IN ({})", placeholders(ids.len()));
    change.execute(&sql, &ids.iter().map(Column::to_value).collect::<Vec<_>>()).await
}
