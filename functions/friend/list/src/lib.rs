//! `GET /api/friends`: the caller's friends, with profile and presence, in the order in which they joined Plaza.

use plaza_domain::page::Page;
use plaza_friend::list::{self, People};
use plaza_kit::{Database, Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "GET" {
        return Err(Problem::method_not_allowed("GET"));
    }
    let caller = auth::caller(&request).await?;
    let (limit, after) = request.page()?;
    let database = Database::open(plaza_friend::DATABASE).await?;
    let people = People::Friends.of(&database, caller.user_id, after, limit + 1).await?;
    let page = Page::forward(people, limit, |(id, _)| id.to_string());
    let friends = list::friends(&request, list::profiles(&request, &page.items).await?).await?;
    reply::json(200, &page.with(friends))
}
