//! `POST /api/notifications/read`: marks some notifications as read, or all of them. Those that the caller does not have are
//! passed over: they have nothing to read.

use plaza_domain::id::NotificationId;
use plaza_domain::input::Invalid;
use plaza_domain::notification::{READ_AT_ONCE_MAX, Unread};
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, reply};
use plaza_notification::Inbox;

plaza_kit::function!(handle);

/// What is to be marked.
enum Wanted {
    Ids(Vec<NotificationId>),
    All,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let wanted = wanted(&request)?;
    let database = Database::open(plaza_notification::DATABASE).await?;
    database
        .once(&request, caller.user_id, async |change| {
            let mut inbox = Inbox::lock(change, caller.user_id).await?;
            let events = match &wanted {
                Wanted::Ids(ids) => inbox.read(change, ids, clock::now()).await?,
                Wanted::All => inbox.read_all(change, clock::now()).await?,
            };
            Inbox::store(change, [inbox]).await?;
            change.emit_all(&events).await?;
            reply::json(200, &Unread { unread_count: inbox.unread_count })
        })
        .await
}

fn wanted(request: &Request) -> Result<Wanted, Problem> {
    let body = request.json()?;
    let mut input = body.input();
    let ids = input.optional::<Vec<NotificationId>>("ids");
    let all = input.optional::<bool>("all");
    let (Some(ids), Some(all)) = (ids, all) else { return Err(input.problem()) };
    let refused = match (ids, all.unwrap_or(false)) {
        (Some(ids), false) if ids.len() <= READ_AT_ONCE_MAX => return Ok(Wanted::Ids(ids)),
        (Some(_), false) => Invalid::new("too_many", format!("may name at most {READ_AT_ONCE_MAX} notifications")),
        (None, true) => return Ok(Wanted::All),
        (Some(_), true) => Invalid::new("contradiction", "cannot be given together with \"all\": true"),
        (None, false) => Invalid::new("required", "is required, unless \"all\" is true"),
    };
    input.note::<()>("ids", refused);
    Err(input.problem())
}
