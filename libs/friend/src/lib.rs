//! What the functions of the friend context share: reading requests, answering them.

use plaza_domain::friend::{self, FriendRequest, Status};
use plaza_domain::id::FriendRequestId;
use plaza_kit::{Change, Database, Problem, Reply, Request, Row, auth, clock, params, reply};

/// The label of the context's database.
pub const DATABASE: &str = "friend";

/// The columns that [`request`] reads, in its order.
pub const REQUEST_COLUMNS: &str = "id, requester_id, addressee_id, status, created_at";

/// A friend request from the columns of [`REQUEST_COLUMNS`].
pub fn request(row: &Row) -> Result<FriendRequest, Problem> {
    let status: String = row.get(3)?;
    Ok(FriendRequest {
        id: row.get(0)?,
        requester_id: row.get(1)?,
        addressee_id: row.get(2)?,
        status: Status::from_name(&status).ok_or_else(Problem::internal)?,
        created_at: row.get(4)?,
    })
}

/// A friend request, as it stands until the change is over.
pub async fn locked_request(change: &Change<'_>, id: FriendRequestId) -> Result<Option<FriendRequest>, Problem> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM friend_requests WHERE id = ?");
    change.lock_one(&sql, &params![id]).await?.map(|row| request(&row)).transpose()
}

/// Stores an answer to a request that is locked, and tells of it.
pub async fn store_answer(change: &Change<'_>, request: &FriendRequest) -> Result<(), Problem> {
    let now = clock::now();
    let sql = "UPDATE friend_requests SET status = ?, answered_at = ? WHERE id = ?";
    change.execute(sql, &params![request.status.name(), now, request.id]).await?;
    if request.status != Status::Accepted {
        return change.emit(&friend::rejected(request)).await;
    }
    for (user, friend) in [(request.requester_id, request.addressee_id), (request.addressee_id, request.requester_id)] {
        let sql = "INSERT INTO friendships (user_id, friend_id, created_at) VALUES (?, ?, ?)";
        change.execute(sql, &params![user, friend, now]).await?;
    }
    change.emit(&friend::accepted(request)).await
}

/// `POST …/:id/accept` and `…/:id/reject`: the addressee's answer to a request that waits.
pub async fn answer(http: &Request, status: Status) -> Result<Reply, Problem> {
    if http.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(http).await?;
    let id: FriendRequestId = http.segment("id")?;
    let database = Database::open(DATABASE).await?;
    database
        .once(http, caller.user_id, async |change| {
            let request = locked_request(change, id).await?.ok_or_else(Problem::not_found)?;
            let answered = request.answer(caller.user_id, status)?;
            store_answer(change, &answered).await?;
            reply::json(200, &answered)
        })
        .await
}
