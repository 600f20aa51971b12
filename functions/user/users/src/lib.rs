//! `GET /api/users?user_ids=…`: looks up to a hundred users up at once, in the order in which they were asked for.
//! Those that do not exist are left out.

use plaza_domain::user::Users;
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};
use std::collections::HashMap;

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    auth::caller(&request).await?;
    let ids = plaza_user::asked_for(&request)?;
    if ids.is_empty() {
        return reply::json(200, &Users { items: Vec::new() });
    }
    let database = Database::open(plaza_user::DATABASE).await?;
    let columns = plaza_user::USER_COLUMNS;
    let sql = format!("SELECT {columns} FROM users WHERE id IN ({})", placeholders(ids.len()));
    let params: Vec<_> = ids.iter().map(Column::to_value).collect();
    let mut found = HashMap::new();
    for row in database.query(&sql, &params).await? {
        let user = plaza_user::user(&row)?;
        found.insert(user.id, user);
    }
    reply::json(200, &Users { items: ids.iter().filter_map(|id| found.remove(id)).collect() })
}
