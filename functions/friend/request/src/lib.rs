//! `POST /api/friends/request`: asks somebody to become friends. Where they asked first, it is a yes.

use plaza_domain::friend::{self, FriendRequest, Status};
use plaza_domain::id::UserId;
use plaza_kit::clock::{self, Fresh};
use plaza_kit::{Change, Database, Problem, Reply, Request, auth, lookup, params, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let body = request.json()?;
    let mut input = body.input();
    let Some(target) = input.required::<UserId>("target_user_id") else { return Err(input.problem()) };
    if target == caller.user_id {
        return Err(Problem::bad_request("cannot_befriend_yourself", "One cannot become friends with oneself."));
    }
    let database = Database::open(plaza_friend::DATABASE).await?;
    if let Some(answer) = database.repeated(&request, caller.user_id).await? {
        return Ok(answer);
    }
    if lookup::users(&request, &[target]).await?.is_empty() {
        return Err(Problem::new(404, "user_not_found", "There is no such user."));
    }
    database
        .once(&request, caller.user_id, async |change| {
            let (status, asked) = ask(change, caller.user_id, target).await?;
            reply::json(status, &asked)
        })
        .await
}

async fn ask(change: &Change<'_>, caller: UserId, target: UserId) -> Result<(u16, FriendRequest), Problem> {
    if let Some(waiting) = waiting_between(change, caller, target).await? {
        if waiting.requester_id == caller {
            return Err(Problem::conflict(
                "request_exists",
                "You have asked already; the request waits for an answer.",
            ));
        }
        let crossing = plaza_friend::locked_request(change, waiting.id).await?;
        // It may have been answered since the first look.
        let crossing = crossing.filter(|crossing| crossing.status == Status::Pending).ok_or_else(|| change.again())?;
        let accepted = crossing.answer(caller, Status::Accepted)?;
        plaza_friend::store_answer(change, &accepted).await?;
        return Ok((200, accepted));
    }
    let request = FriendRequest {
        id: Fresh::fresh(),
        requester_id: caller,
        addressee_id: target,
        status: Status::Pending,
        created_at: clock::now(),
    };
    // Only one request waits between two people: from here on nobody else makes one of these two, or answers one.
    let sql = "INSERT INTO friend_requests (id, requester_id, addressee_id, status, created_at) VALUES (?, ?, ?, ?, ?)";
    change.execute(sql, &params![request.id, caller, target, request.status.name(), request.created_at]).await?;
    let friends = "SELECT 1 FROM friendships WHERE user_id = ? AND friend_id = ?";
    if change.lock_one(friends, &params![caller, target]).await?.is_some() {
        return Err(Problem::conflict("already_friends", "You are friends already."));
    }
    change.emit(&friend::requested(&request)).await?;
    Ok((201, request))
}

/// The request that waits between two people, whoever asked.
async fn waiting_between(change: &Change<'_>, a: UserId, b: UserId) -> Result<Option<FriendRequest>, Problem> {
    let columns = plaza_friend::REQUEST_COLUMNS;
    let sql = format!(
        "SELECT {columns} FROM friend_requests WHERE status = 'pending'
         AND ((requester_id = ? AND addressee_id = ?) OR (requester_id = ? AND addressee_id = ?))"
    );
    change.query_one(&sql, &params![a, b, b, a]).await?.map(|row| plaza_friend::request(&row)).transpose()
}
