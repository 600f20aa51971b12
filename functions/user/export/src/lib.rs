//! `GET /api/profile/me/export`: everything that Plaza keeps of the caller, as a list: first what this context keeps, then what the
//! others say that they do, each asked in its turn. A page ends where a context ends, though it may have had room for more.

use plaza_domain::export::{self, Entry, Position};
use plaza_domain::page::{self, Page};
use plaza_kit::auth::{self, Caller};
use plaza_kit::{Database, Problem, Reply, Request, exports, lookup, params, reply};
use plaza_user::{presence, session};

plaza_kit::function!(handle);

/// The other contexts, by the components that tell what is kept there.
const OTHERS: [&str; 3] = ["friend-export", "chat-export", "notification-export"];

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, position) = request.page::<Position>()?;
    // Which context, and the cursor there.
    let Position { section: context, after: cursor } = position.unwrap_or_default();
    let cursor = (!cursor.is_empty()).then_some(cursor.as_str());
    let mut page = match context.checked_sub(1) {
        None => own(&caller, cursor, limit).await?,
        Some(other) => {
            let component = OTHERS.get(other).ok_or_else(page::foreign_cursor)?;
            lookup::exported(component, caller.user_id, cursor, limit).await?
        }
    };
    let next = match page.next_cursor {
        Some(cursor) => Some(Position { section: context, after: cursor }),
        None => (context < OTHERS.len()).then(|| Position { section: context + 1, after: String::new() }),
    };
    page.next_cursor = next.map(|next| page::encode(&next.to_string()));
    reply::json(200, &page)
}

/// What this context keeps.
async fn own(caller: &Caller, cursor: Option<&str>, limit: u32) -> Result<Page<Entry>, Problem> {
    let (user, current) = (caller.user_id, caller.session_id);
    let database = Database::open(plaza_user::DATABASE).await?;
    let position = cursor.map(page::decode).transpose()?.unwrap_or_default();
    export::page(3, position, limit, async |Position { section, after }, count| match section {
        0 => exports::only("profile", &after, plaza_user::profile(&database, user).await?),
        1 => exports::only("presence", &after, presence::look_up(&database, &[user]).await?.remove(&user)),
        _ => {
            // Those that have ended, too, as long as they are kept.
            let columns = session::COLUMNS;
            let sql = format!("SELECT {columns} FROM sessions WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?");
            let rows = database.query(&sql, &params![user, after, count]).await?;
            let entry = |row| {
                let session = session::session(row, current)?;
                Ok((session.id.to_string(), Entry::new("session", &session)?))
            };
            rows.iter().map(entry).collect()
        }
    })
    .await
}
