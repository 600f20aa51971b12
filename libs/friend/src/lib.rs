//! What the functions of the friend context share: what is between two people, read under its lock and stored with its
//! changes; and lists of people.

pub mod list;

use plaza_domain::friend::{Between, FriendRequest, Status};
use plaza_domain::id::{FriendRequestId, UserId};
use plaza_domain::{Event, Timestamp};
use plaza_kit::{Change, Database, Problem, Reply, Request, Row, auth, clock, params, reply};

/// The label of the context's database.
pub const DATABASE: &str = "friend";

/// The columns that [`request`] reads, in its order.
pub const REQUEST_COLUMNS: &str = "id, requester_id, addressee_id, status, created_at, hidden";

/// A friend request from the columns of [`REQUEST_COLUMNS`].
pub fn request(row: &Row) -> Result<FriendRequest, Problem> {
    let status: String = row.get(3)?;
    Ok(FriendRequest {
        id: row.get(0)?,
        requester_id: row.get(1)?,
        addressee_id: row.get(2)?,
        status: Status::from_name(&status).ok_or_else(Problem::internal)?,
        created_at: row.get(4)?,
        hidden: row.get(5)?,
    })
}

/// What is between two people, locked until the change is over: of two changes of a pair, from whichever side, one sees what the
/// other did. All that belongs to the pair is changed under this lock alone.
#[derive(Debug)]
pub struct Locked<'c, 'd> {
    change: &'c Change<'d>,
    stored: Between,
    /// What is there, and then what is to be there.
    pub between: Between,
}

impl<'c, 'd> Locked<'c, 'd> {
    /// Locks a pair.
    pub async fn pair(change: &'c Change<'d>, a: UserId, b: UserId) -> Result<Self, Problem> {
        let strangers = Between::strangers(a, b);
        let (first, second) = strangers.people;
        let sql = "SELECT request_id, friends_since, first_blocks_since, second_blocks_since FROM pairs
             WHERE first_id = ? AND second_id = ?";
        let key = params![first, second];
        // What is not there cannot be locked: MySQL would lock the gap, and with it other pairs.
        if change.query_one(sql, &key).await?.is_none() {
            change.execute("INSERT INTO pairs (first_id, second_id) VALUES (?, ?)", &key).await?;
            return Ok(Self { change, stored: strangers.clone(), between: strangers });
        }
        let row = change.lock_one(sql, &key).await?.ok_or_else(|| change.again())?;
        let request = match row.get::<Option<FriendRequestId>>(0)? {
            Some(id) => locked_request(change, id).await?,
            None => None,
        };
        let stored = Between {
            request,
            friends_since: row.get(1)?,
            first_blocks_since: row.get(2)?,
            second_blocks_since: row.get(3)?,
            ..strangers
        };
        Ok(Self { change, between: stored.clone(), stored })
    }

    /// Locks the pair of a request, and gives the request as it stands.
    pub async fn by_request(change: &'c Change<'d>, id: FriendRequestId) -> Result<(Self, FriendRequest), Problem> {
        // Whose it is never changes; all else may, until the pair is locked.
        let sql = "SELECT requester_id, addressee_id FROM friend_requests WHERE id = ?";
        let row = change.query_one(sql, &params![id]).await?.ok_or_else(Problem::not_found)?;
        let locked = Self::pair(change, row.get(0)?, row.get(1)?).await?;
        let request = locked_request(change, id).await?.ok_or_else(Problem::not_found)?;
        Ok((locked, request))
    }

    /// Ends all that is between the two, because one of them is gone. The other is told of what they can see.
    pub async fn forget(mut self, gone: UserId, now: Timestamp) -> Result<(), Problem> {
        let events = self.between.forget(gone, now);
        let (change, (first, second)) = (self.change, self.between.people);
        self.store(&events).await?;
        let sql = "DELETE FROM pairs WHERE first_id = ? AND second_id = ?";
        change.execute(sql, &params![first, second]).await
    }

    /// Stores what `between` has become, and tells of it.
    pub async fn store(self, events: &[Event]) -> Result<(), Problem> {
        let Self { change, stored, between } = self;
        let (first, second) = between.people;
        if let Some(request) = between.request.as_ref().filter(|request| stored.request.as_ref() != Some(request)) {
            store_request(change, stored.request.as_ref(), request).await?;
        }
        for (user, other) in [(first, second), (second, first)] {
            let (was, is) = (stored.friends_since, between.friends_since);
            store_side(change, ("friendships", "friend_id"), (user, other), was, is).await?;
            let (was, is) = (stored.blocks_since(user), between.blocks_since(user));
            store_side(change, ("blocks", "blocked_user_id"), (user, other), was, is).await?;
        }
        let sql = "UPDATE pairs SET request_id = ?, friends_since = ?, first_blocks_since = ?, second_blocks_since = ?
             WHERE first_id = ? AND second_id = ?";
        let request = between.request.as_ref().map(|request| request.id);
        let (first_blocks, second_blocks) = (between.first_blocks_since, between.second_blocks_since);
        let state = params![request, between.friends_since, first_blocks, second_blocks, first, second];
        change.execute(sql, &state).await?;
        for event in events {
            change.emit(event).await?;
        }
        Ok(())
    }
}

async fn locked_request(change: &Change<'_>, id: FriendRequestId) -> Result<Option<FriendRequest>, Problem> {
    let sql = format!("SELECT {REQUEST_COLUMNS} FROM friend_requests WHERE id = ?");
    change.lock_one(&sql, &params![id]).await?.map(|row| request(&row)).transpose()
}

/// Stores a new request, or what has become of the one that was the newest.
async fn store_request(
    change: &Change<'_>,
    newest: Option<&FriendRequest>,
    request: &FriendRequest,
) -> Result<(), Problem> {
    let status = request.status.name();
    if newest.is_some_and(|newest| newest.id == request.id) {
        let answered_at = (request.status != Status::Pending).then(clock::now);
        let sql = "UPDATE friend_requests SET status = ?, hidden = ?, answered_at = ? WHERE id = ?";
        return change.execute(sql, &params![status, request.hidden, answered_at, request.id]).await;
    }
    let FriendRequest { id, requester_id, addressee_id, created_at, hidden, .. } = *request;
    let sql = "INSERT INTO friend_requests (id, requester_id, addressee_id, status, created_at, hidden)
         VALUES (?, ?, ?, ?, ?, ?)";
    change.execute(sql, &params![id, requester_id, addressee_id, status, created_at, hidden]).await
}

/// Stores one side of a friendship or a block in the table from which that side's list is read.
async fn store_side(
    change: &Change<'_>,
    (table, column): (&str, &str),
    (user, other): (UserId, UserId),
    was: Option<Timestamp>,
    is: Option<Timestamp>,
) -> Result<(), Problem> {
    match (was, is) {
        (None, Some(since)) => {
            let sql = format!("INSERT INTO {table} (user_id, {column}, created_at) VALUES (?, ?, ?)");
            change.execute(&sql, &params![user, other, since]).await
        }
        (Some(_), None) => {
            let sql = format!("DELETE FROM {table} WHERE user_id = ? AND {column} = ?");
            change.execute(&sql, &params![user, other]).await
        }
        _ => Ok(()),
    }
}

/// `DELETE …/:user_id`: ends something that is between the caller and another.
pub async fn end(
    http: &Request,
    rule: impl Fn(&mut Between, UserId, Timestamp) -> Result<Event, Problem>,
) -> Result<Reply, Problem> {
    if http.method() != "DELETE" {
        return Err(Problem::method_not_allowed("DELETE"));
    }
    let caller = auth::caller(http).await?.user_id;
    let other: UserId = http.segment("user_id")?;
    let database = Database::open(DATABASE).await?;
    database
        .transaction(async |change| {
            let mut locked = Locked::pair(change, caller, other).await?;
            let event = rule(&mut locked.between, caller, clock::now())?;
            locked.store(&[event]).await
        })
        .await?;
    reply::no_content()
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
            let (mut locked, request) = Locked::by_request(change, id).await?;
            let (answered, event) = locked.between.answer(caller.user_id, request, status, clock::now())?;
            locked.store(&[event]).await?;
            reply::json(200, &answered)
        })
        .await
}
