//! `POST /api/stream/ticket`: a short-lived ticket, good once, for clients that cannot set a header (EventSource).
//!
//! It takes an `Idempotency-Key` as every POST does, but a repeat gets a new ticket: the first one may be used up or over by
//! then, and one that nobody uses ends by itself.

use plaza_domain::user::{TICKET_LIFETIME, Ticket};
use plaza_kit::store::once;
use plaza_kit::{Problem, Reply, Request, auth, reply};

plaza_kit::function!(handle);

async fn handle(request: Request) -> Result<Reply, Problem> {
    if request.method() != "POST" {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = auth::caller(&request).await?;
    once::key(&request)?;
    let ticket = plaza_stream::ticket::issue(&caller)?;
    reply::json(200, &Ticket { ticket, expires_in: TICKET_LIFETIME.as_secs() })
}
