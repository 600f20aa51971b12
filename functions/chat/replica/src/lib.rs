//! Triggered by `friend.events` and `user.events`, or `POST /events/chat`: who blocks whom, and whose account is gone.
//!
//! Blocks and their ends come in the order in which they happened. An event may come twice, and then later than others: its id is
//! stored with what it caused, so that the second time has no effect.

use plaza_domain::id::UserId;
use plaza_domain::user::{USER_DELETED, UserDeleted};
use plaza_kit::cloudevents::{self, CloudEvent};
use plaza_kit::{Database, Problem, Reply, Request, reply};
use serde::Deserialize;

plaza_kit::function!(handle);

/// What a block's events tell that matters here.
#[derive(Deserialize)]
struct Block {
    user_id: UserId,
    blocked_user_id: UserId,
}

enum News {
    Blocked(Block),
    Unblocked(Block),
    Gone(UserId),
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let mut news = Vec::new();
    for event in cloudevents::receive(&request)? {
        if let Some(one) = read(&event)? {
            news.push((event.id, one));
        }
    }
    if news.is_empty() {
        return reply::no_content();
    }
    let database = Database::open(plaza_chat::DATABASE).await?;
    for (_, one) in &news {
        if let News::Gone(user) = one {
            plaza_chat::forget(&database, *user).await?;
        }
    }
    store_blocks(&database, &news).await?;
    reply::no_content()
}

/// What an event means here; nothing where it means nothing, now or in a later version of its producer.
fn read(event: &CloudEvent) -> Result<Option<News>, Problem> {
    Ok(match event.kind.as_str() {
        "plaza.friend.UserBlocked.v1" => Some(News::Blocked(event.data()?)),
        "plaza.friend.UserUnblocked.v1" => Some(News::Unblocked(event.data()?)),
        USER_DELETED => Some(News::Gone(event.data::<UserDeleted>()?.user_id)),
        _ => None,
    })
}

async fn store_blocks(database: &Database, news: &[(String, News)]) -> Result<(), Problem> {
    let blocks: Vec<_> = news.iter().filter(|(_, one)| !matches!(one, News::Gone(_))).collect();
    if blocks.is_empty() {
        return Ok(());
    }
    database
        .transaction(async |change| {
            let mut first_time = change.first_time(blocks.iter().map(|(event_id, _)| event_id.as_str())).await?;
            for (event_id, one) in &blocks {
                // An event may also come twice in one batch.
                if !first_time.remove(event_id.as_str()) {
                    continue;
                }
                match one {
                    News::Blocked(block) => plaza_chat::block(change, block.user_id, block.blocked_user_id).await?,
                    News::Unblocked(block) => plaza_chat::unblock(change, block.user_id, block.blocked_user_id).await?,
                    News::Gone(_) => {}
                }
            }
            Ok(())
        })
        .await
}
