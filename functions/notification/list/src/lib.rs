//! `GET /api/notifications`: what the caller is told of, newest first; with `unread=true` only what they have not read.

use plaza_domain::id::NotificationId;
use plaza_domain::notification::Notification;
use plaza_domain::page::{AFTER_EVERY_ID, Page};
use plaza_kit::{Database, Problem, Reply, Request, Row, auth, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, before) = request.page::<NotificationId>()?;
    let unread_only = request.query_as::<bool>("unread", "\"true\" or \"false\"")?.unwrap_or(false);
    let database = Database::open("notification").await?;
    let sql = "SELECT id, kind, data, created_at, read_at FROM notifications
         WHERE user_id = ? AND id < ? AND (read_at IS NULL OR NOT ?) ORDER BY id DESC LIMIT ?";
    let before = before.map_or_else(|| AFTER_EVERY_ID.to_owned(), |id| id.to_string());
    let rows = database.query(sql, &params![caller.user_id, before, unread_only, limit + 1]).await?;
    let notifications = rows.iter().map(notification).collect::<Result<Vec<_>, _>>()?;
    reply::json(200, &Page::forward(notifications, limit, |notification| notification.id.to_string()))
}

fn notification(row: &Row) -> Result<Notification, Problem> {
    let data: String = row.get(2)?;
    Ok(Notification {
        id: row.get(0)?,
        kind: row.get(1)?,
        data: serde_json::from_str(&data).map_err(|_| Problem::internal())?,
        created_at: row.get(3)?,
        read_at: row.get(4)?,
    })
}
