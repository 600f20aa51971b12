//! `GET /api/users/search?q=…`: finds users by address (the whole of it) or by the beginning of a name. Those who block the
//! caller, and whom the caller blocks, are not found.

use plaza_domain::input::Invalid;
use plaza_domain::page::{Page, invalid_parameter};
use plaza_domain::user::{DISPLAY_NAME_LENGTH_MAX, EMAIL_LENGTH_MAX, Email, SEARCH_LENGTH_MIN, User};
use plaza_kit::store::prefix_range;
use plaza_kit::{Database, Problem, Reply, Request, auth, limit, lookup, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, after) = request.page::<String>()?;
    let query = request.query("q").unwrap_or_default();
    let length_max = if Email::is_meant_by(&query) { EMAIL_LENGTH_MAX } else { DISPLAY_NAME_LENGTH_MAX };
    // As it was written: in lower case some texts are longer.
    if !(SEARCH_LENGTH_MIN..=length_max).contains(&query.trim().chars().count()) {
        return Err(invalid_parameter("q", Invalid::length(SEARCH_LENGTH_MIN, length_max)));
    }
    limit::take(&limit::SEARCH, &caller.user_id.to_string())?;
    let text = query.trim().to_lowercase();
    let database = Database::open(plaza_user::DATABASE).await?;
    let columns = plaza_user::USER_COLUMNS;
    let rows = if Email::is_meant_by(&text) {
        database.query(&format!("SELECT {columns} FROM users WHERE email = ?"), &params![text]).await?
    } else {
        let sql = format!(
            "SELECT {columns} FROM users
             WHERE ((username_key >= ? AND username_key < ?) OR (display_name_key >= ? AND display_name_key < ?))
             AND username_key > ? ORDER BY username_key LIMIT ?"
        );
        let (first, end) = prefix_range(&text);
        database.query(&sql, &params![first, end, first, end, after.unwrap_or_default(), limit + 1]).await?
    };
    let users = rows.iter().map(plaza_user::user).collect::<Result<Vec<_>, _>>()?;
    let mut page: Page<User> = Page::forward(users, limit, |user| user.username.to_lowercase());
    let ids: Vec<_> = page.items.iter().map(|user| user.id).collect();
    let hidden = lookup::hidden_from(caller.user_id, &ids).await?;
    page.items.retain(|user| !hidden.contains(&user.id));
    reply::json(200, &page)
}
