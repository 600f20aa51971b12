//! Private: what the notification context keeps of a user (`?user_id=`), for their export.

use plaza_domain::export::{Entry, Position};
use plaza_domain::id::UserId;
use plaza_kit::exports::{self, Section};
use plaza_kit::{Database, Problem, Reply, Request};
use plaza_notification::{NOTIFICATION_COLUMNS, notification, preferences};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    exports::answer(&request, plaza_notification::DATABASE, 2, section).await
}

async fn section(
    database: &Database,
    user: UserId,
    Position { section, after }: Position,
    count: u32,
) -> Result<Vec<(String, Entry)>, Problem> {
    if section == 0 {
        let preferences = preferences::of(database, user).await?;
        return exports::only("notification_preferences", &after, Some(preferences));
    }
    let sql =
        &format!("SELECT {NOTIFICATION_COLUMNS} FROM notifications WHERE user_id = ? AND id > ? ORDER BY id LIMIT ?");
    let notifications =
        Section { kind: "notification", sql, read: notification, key: |notification| notification.id.to_string() };
    notifications.entries(database, user, &after, count).await
}
