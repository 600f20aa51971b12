//! Tickets for streams: each opens one stream, within seconds of being got.

use plaza_domain::id::{SessionId, UserId};
use plaza_domain::user::TICKET_LIFETIME;
use plaza_domain::{Problem, Timestamp};
use plaza_kit::auth::Caller;
use plaza_kit::key_value::KeyValue;
use plaza_kit::{clock, secret};
use serde::{Deserialize, Serialize};

/// The label of the store that holds tickets.
pub const STORE: &str = "tickets";

/// What the store holds under a ticket's hash. Times are milliseconds since the Unix epoch.
#[derive(Serialize, Deserialize)]
struct Ticket {
    user_id: UserId,
    username: String,
    session_id: SessionId,
    /// When the token ends that the ticket was got with, and the stream with it.
    token_expires_at: i64,
    /// When the ticket itself is of no more use.
    expires_at: i64,
}

/// Makes a ticket for this caller.
pub fn issue(caller: &Caller) -> Result<String, Problem> {
    let secret = secret::new();
    let ticket = Ticket {
        user_id: caller.user_id,
        username: caller.username.clone(),
        session_id: caller.session_id,
        token_expires_at: caller.expires_at.unix_ms(),
        expires_at: clock::now().after(TICKET_LIFETIME).unix_ms(),
    };
    let value = serde_json::to_vec(&ticket).map_err(|_| Problem::internal())?;
    KeyValue::open(STORE)?.set(&key(&secret::hash(&secret)), &value)?;
    Ok(secret)
}

/// Whom a ticket stands for, once: whoever counts its first use has it. The count stays where it is, so that one who read the
/// ticket before it was removed counts the second.
pub fn redeem(ticket: &str) -> Result<Caller, Problem> {
    let hash = secret::hash(ticket);
    let store = KeyValue::open(STORE)?;
    let value = store.get(&key(&hash))?.ok_or_else(invalid)?;
    // What cannot be read was written by another version: as good as not there.
    let ticket: Ticket = serde_json::from_slice(&value).map_err(|_| invalid())?;
    let in_time = ticket.expires_at > clock::now().unix_ms();
    let ours = in_time && store.count(&format!("used:{hash}"))? == 1;
    store.delete(&key(&hash))?;
    if !ours {
        return Err(invalid());
    }
    Ok(Caller {
        user_id: ticket.user_id,
        username: ticket.username,
        session_id: ticket.session_id,
        expires_at: Timestamp::from_unix_ms(ticket.token_expires_at),
        // A ticket opens streams, which ask for none.
        roles: Vec::new(),
    })
}

fn key(hash: &str) -> String {
    format!("ticket:{hash}")
}

fn invalid() -> Problem {
    Problem::unauthenticated("invalid_ticket", "The ticket is not valid, was used, or has expired.")
}
