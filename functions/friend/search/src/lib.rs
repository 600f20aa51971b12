//! `GET /api/friends/search?q=…`: the caller's friends whose user or display name begins with a text.

use plaza_domain::Timestamp;
use plaza_domain::id::UserId;
use plaza_domain::input::Invalid;
use plaza_domain::page::{self, Page, invalid_parameter};
use plaza_domain::user::{DISPLAY_NAME_LENGTH_MAX, LOOKUP_USERS_MAX, User};
use plaza_friend::list::{self, People};
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

/// How often the user context is asked for names, a hundred at a time. Whoever has more friends gets a cursor that goes on where
/// the search stopped.
const LOOKUPS_MAX: u32 = 10;

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, after) = request.page()?;
    let query = request.query("q").unwrap_or_default();
    let text = query.trim();
    if !(1..=DISPLAY_NAME_LENGTH_MAX).contains(&text.chars().count()) {
        return Err(invalid_parameter("q", Invalid::length(1, DISPLAY_NAME_LENGTH_MAX)));
    }
    let database = Database::open(plaza_friend::DATABASE).await?;
    let (found, stopped_at) = search(&request, &database, caller.user_id, after, text, limit as usize + 1).await?;
    let mut page = Page::forward(found, limit, |(user, _)| user.id.to_string());
    page.next_cursor = page.next_cursor.or(stopped_at.map(|id| page::encode(&id.to_string())));
    let friends = list::friends(&request, std::mem::take(&mut page.items)).await?;
    reply::json(200, &page.with(friends))
}

/// At most `count` friends who are meant, and where there are more friends than were looked at, the last who was.
async fn search(
    request: &Request,
    database: &Database,
    caller: UserId,
    mut after: Option<UserId>,
    text: &str,
    count: usize,
) -> Result<(Vec<(User, Timestamp)>, Option<UserId>), Problem> {
    let chunk = u32::try_from(LOOKUP_USERS_MAX).unwrap_or(u32::MAX);
    let mut found = Vec::new();
    for _ in 0..LOOKUPS_MAX {
        let people = People::Friends.of(database, caller, after, chunk).await?;
        let profiles = list::profiles(request, &people).await?;
        found.extend(profiles.into_iter().filter(|(user, _)| user.name_begins_with(text)));
        if people.len() < LOOKUP_USERS_MAX {
            return Ok((found, None));
        }
        after = people.last().map(|(id, _)| *id);
        if found.len() >= count {
            break;
        }
    }
    Ok((found, after))
}
