//! Private: what the notification context keeps of a user (`?user_id=`), for their export.

use plaza_domain::export::{self, Entry, Position};
use plaza_domain::id::UserId;
use plaza_kit::{Database, Problem, Reply, Request, params, reply};
use plaza_notification::preferences;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let user: UserId = request.query_as("user_id", "an id")?.ok_or_else(Problem::not_found)?;
    let (limit, _) = request.page::<String>()?;
    let database = Database::open(plaza_notification::DATABASE).await?;
    let cursor = request.query("cursor");
    let page = export::page(2, cursor.as_deref(), limit, async |Position { section, after }, count| match section {
        0 if after.is_empty() => {
            let entry = Entry::new("notification_preferences", &preferences::of(&database, user).await?)?;
            Ok(vec![(user.to_string(), entry)])
        }
        0 => Ok(Vec::new()),
        _ => notifications(&database, user, &after, count).await,
    });
    reply::json(200, &page.await?)
}

async fn notifications(
    database: &Database,
    user: UserId,
    after: &str,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    let columns = plaza_notification::NOTIFICATION_COLUMNS;
    let sql = format!("SELECT {columns} FROM notifications WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?");
    let rows = database.query(&sql, &params![user, after, count]).await?;
    let entry = |row| {
        let notification = plaza_notification::notification(row)?;
        Ok((notification.id.to_string(), Entry::new("notification", &notification)?))
    };
    rows.iter().map(entry).collect()
}
