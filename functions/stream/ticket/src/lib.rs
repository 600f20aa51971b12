//! `POST /api/stream/ticket`: a short-lived ticket, good once, for clients that cannot set a header (EventSource).

use plaza_domain::user::TICKET_LIFETIME;
use plaza_kit::{Database, Problem, Reply, Request, auth, clock, params, reply, secret};
use serde::Serialize;

plaza_kit::function!(handle);

#[derive(Serialize)]
struct Ticket {
    ticket: String,
    /// Seconds.
    expires_in: u64,
}

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    let ticket = secret::new();
    let now = clock::now();
    let database = Database::open(plaza_stream::DATABASE).await?;
    database
        .transaction(async |change| {
            change.query("DELETE FROM tickets WHERE expires_at <= ?", &params![now]).await?;
            change
                .query(
                    "INSERT INTO tickets (hash, user_id, username, session_id, token_expires_at, expires_at)
                     VALUES (?, ?, ?, ?, ?, ?)",
                    &params![
                        secret::hash(&ticket),
                        caller.user_id,
                        caller.username,
                        caller.session_id,
                        caller.expires_at,
                        now.after(TICKET_LIFETIME),
                    ],
                )
                .await
        })
        .await?;
    reply::json(200, &Ticket { ticket, expires_in: TICKET_LIFETIME.as_secs() })
}
