//! `/api/friends/blocks`: whom the caller blocks, and blocking somebody. Whoever is blocked is not told.

use plaza_domain::friend::BlockedUser;
use plaza_domain::id::UserId;
use plaza_domain::page::Page;
use plaza_friend::Locked;
use plaza_friend::list::{self, People};
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, lookup, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    match request.method() {
        "GET" => list(&request).await,
        "POST" => block(&request).await,
        _ => Err(Problem::method_not_allowed("GET, POST")),
    }
}

async fn list(request: &Request) -> Result<Reply, Problem> {
    let caller = auth::caller(request).await?;
    let (limit, after) = request.page()?;
    let database = Database::open(plaza_friend::DATABASE).await?;
    let people = People::Blocked.of(&database, caller.user_id, after, limit + 1).await?;
    let page = Page::forward(people, limit, |(id, _)| id.to_string());
    let profiles = list::profiles(request, &page.items).await?;
    let blocked = |(user, blocked_at)| BlockedUser { user, blocked_at };
    reply::json(200, &page.with(profiles.into_iter().map(blocked).collect()))
}

async fn block(request: &Request) -> Result<Reply, Problem> {
    let caller = auth::caller(request).await?.user_id;
    let body = request.json()?;
    let mut input = body.input();
    let Some(target) = input.required::<UserId>("user_id") else { return Err(input.problem()) };
    if target == caller {
        return Err(Problem::bad_request("cannot_block_yourself", "One cannot block oneself."));
    }
    let database = Database::open(plaza_friend::DATABASE).await?;
    if let Some(answer) = database.repeated(request, caller).await? {
        return Ok(answer);
    }
    let found = lookup::users(request, &[target]).await?.into_iter().next();
    let user = found.ok_or_else(|| Problem::new(404, "user_not_found", "There is no such user."))?;
    database
        .once(request, caller, async |change| {
            let mut locked = Locked::pair(change, caller, target).await?;
            let events = locked.between.block(caller, clock::now());
            let blocked_at = locked.between.blocks_since(caller).ok_or_else(Problem::internal)?;
            locked.store(&events).await?;
            let status = if events.is_empty() { 200 } else { 201 };
            reply::json(status, &BlockedUser { user: user.clone(), blocked_at })
        })
        .await
}
