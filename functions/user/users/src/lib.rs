//! `GET /api/users?user_ids=…`: looks up to a hundred users up at once, in the order in which they were asked for.
//! Those that do not exist are left out.

use plaza_domain::id::UserId;
use plaza_domain::input::Invalid;
use plaza_domain::page::invalid_parameter;
use plaza_domain::user::{LOOKUP_USERS_MAX, User};
use plaza_kit::store::{Column, placeholders};
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};
use serde::Serialize;
use std::collections::HashMap;

plaza_kit::function!(handle);

#[derive(Serialize)]
struct Users {
    items: Vec<User>,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    auth::caller(&request).await?;
    let ids = asked_for(&request)?;
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

/// The ids asked for. What is no id names nobody.
fn asked_for(request: &Request) -> Result<Vec<UserId>, Problem> {
    let refuse = |code, detail: String| Err(invalid_parameter("user_ids", Invalid::new(code, detail)));
    let Some(list) = request.query("user_ids") else {
        return refuse("required", "is required".to_owned());
    };
    if list.split(',').count() > LOOKUP_USERS_MAX {
        return refuse("too_many", format!("may name at most {LOOKUP_USERS_MAX} users"));
    }
    Ok(list.split(',').filter_map(|id| id.trim().parse().ok()).collect())
}
