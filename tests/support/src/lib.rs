//! What Plaza's tests, its load generator and its demo share: they all know Plaza only as a process that listens on
//! a port. Nothing here depends on a crate of the product, so a shape or a rule that changes by accident is caught
//! instead of followed.
//!
//! - [`Plaza`] starts the real binary in a directory of its own on a free port, and kills and restarts it.
//! - [`Client`], [`Call`] and [`Answer`] are one HTTP exchange; [`Problem`] checks an error document.
//! - [`Person`] is a registered user with the calls of the API as methods.
//! - [`Stream`] is an SSE client whose connection can be cut at any byte.
//! - [`World`] ties them together for a test and, when the test fails, prints what is needed to repeat it.

mod api;
mod http;
mod paths;
mod problem;
mod process;
mod seed;
mod sse;
mod stack;
mod stream;
mod world;

pub use api::{
    Credentials, FriendRequest, Message, Notification, Page, Participant, Person, Room, Ticket, Tokens, User, unique,
};
pub use http::{Answer, Call, Client, Lost, REQUEST_DEADLINE};
pub use paths::{binary, manifest, workspace};
pub use problem::{FieldError, Problem};
pub use process::{Options, Plaza, Role};
pub use seed::Seed;
pub use sse::{Event, Parser};
pub use stack::{Servers, Stack};
pub use stream::{Next, Refused, Stream};
pub use world::World;

use std::time::{Duration, Instant};

/// How long an effect that follows another "at once" may take on a busy two-core machine before a test calls it
/// missing. Generous: a test that passes never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// What `spin.toml` has a password's hash cost, for those that measure it: everybody else's Plaza hashes at next to no cost.
pub const PASSWORD_COST_IN_PRODUCTION: &str = "m=19456,t=2,p=1";

/// The shortest and longest pause between two probes of [`eventually`].
const PROBE_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Calls `probe` until it gives a value, and panics, naming `what`, when that took longer than `within`.
///
/// For effects that nothing announces; where there is an event to wait for, wait for the event.
pub async fn eventually<T>(within: Duration, what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let mut pause = PROBE_PAUSE.0;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PROBE_PAUSE.1);
    }
}
