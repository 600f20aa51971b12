//! Triggered by `friend.events`, `message.events` and `user.events`, or `POST /events/notification`: makes the notifications that
//! follow from them, and marks those as read that are settled elsewhere.
//!
//! An event may come twice: its id is stored with what it caused, in one change, so that the second time has no effect.
//! Events may come in batches; a batch is one change.

mod deliver;
mod telling;

use plaza_domain::id::{RoomId, UserId};
use plaza_kit::lookup::Question;
use plaza_kit::{Database, Problem, Reply, Request, cloudevents, reply};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use telling::Telling;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut tellings = Vec::new();
    for event in cloudevents::receive(&request)? {
        if let Some(telling) = Telling::of(&event)? {
            tellings.push((event.id, telling));
        }
    }
    if tellings.is_empty() {
        return reply::no_content();
    }
    let participants = participants(&tellings).await?;
    let database = Database::open(plaza_notification::DATABASE).await?;
    database
        .transaction(async |change| {
            let mut first_time = change.first_time(tellings.iter().map(|(event_id, _)| event_id.as_str())).await?;
            // An event may also come twice in one batch.
            let new = tellings.iter().filter(|(event_id, _)| first_time.remove(event_id.as_str()));
            let new: Vec<&Telling> = new.map(|(_, telling)| telling).collect();
            deliver::all(change, &new, &participants).await
        })
        .await?;
    reply::no_content()
}

/// Who is in the rooms that the messages were sent to, as the chat context knows them.
async fn participants(tellings: &[(String, Telling)]) -> Result<HashMap<RoomId, Vec<UserId>>, Problem> {
    #[derive(Deserialize)]
    struct Answer {
        participants: HashMap<RoomId, Vec<UserId>>,
    }
    let rooms = tellings.iter().filter_map(|(_, telling)| telling.room());
    let rooms: BTreeSet<String> = rooms.map(|room| room.to_string()).collect();
    if rooms.is_empty() {
        return Ok(HashMap::new());
    }
    let list = Vec::from_iter(rooms).join(",");
    let answer: Answer =
        Question::get("chat-membership", &format!("/?room_ids={list}")).ask(Vec::new()).await?.json()?;
    Ok(answer.participants)
}
