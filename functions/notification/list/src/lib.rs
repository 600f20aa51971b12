//! `GET /api/notifications`: what the caller is told of, newest first; with `unread=true` only what they have not read.

use plaza_domain::id::NotificationId;
use plaza_domain::page::{AFTER_EVERY_ID, Page};
use plaza_kit::{Database, Problem, Reply, Request, auth, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, before) = request.page::<NotificationId>()?;
    let unread_only = request.query_as::<bool>("unread", "\"true\" or \"false\"")?.unwrap_or(false);
    let database = Database::open(plaza_notification::DATABASE).await?;
    let (columns, unread) =
        (plaza_notification::NOTIFICATION_COLUMNS, if unread_only { "AND read_at IS NULL" } else { "" });
    let sql =
        format!("SELECT {columns} FROM notifications WHERE user_id = ? AND id < ? {unread} ORDER BY id DESC LIMIT ?");
    let before = before.map_or_else(|| AFTER_EVERY_ID.to_owned(), |id| id.to_string());
    let rows = database.query(&sql, &params![caller.user_id, before, limit + 1]).await?;
    let notifications = rows.iter().map(plaza_notification::notification).collect::<Result<Vec<_>, _>>()?;
    reply::json(200, &Page::forward(notifications, limit, |notification| notification.id.to_string()))
}
