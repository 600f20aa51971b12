//! Random histories of several people on a real Plaza, held against a model in memory.
//!
//! - [`Step`] is what somebody may do; proptest makes lists of them, and shortens one that fails.
//! - [`Model`] is what Plaza should make of it: as simple as it can be written.
//! - [`Mirror`] is what a client knows that took a snapshot once and has only listened since.
//! - [`Town`] has people of flesh and blood do the steps, and compares: each answer with the model's; now and then, and at the end,
//!   everything that anybody can see with the model, and what everybody's mirror has become with another snapshot.
//!
//! So it is checked of every history that rooms, members, messages and their `seq`, edits, deletions, reactions, read positions,
//! unread counts, friends and requests, blocks, whom a search finds, who is seen online, and notifications are as the model says;
//! and that a snapshot plus the events of a stream, which may end anywhere and go on with `Last-Event-ID`, is what a fresh look
//! shows. Many histories are played on one Plaza at the same time, each by people of its own.
//!
//! What follows from an answer by an event (notifications, presence, what chat knows of blocks, everything on streams) is awaited,
//! and no wait is without an end; all else must be there with the answer. Steps whose outcome depends on whether an
//! earlier event has come wait for it first. Some histories end with somebody's account going. Not part of it: what depends on
//! the time of day (limits, `muted_until`, typing, `last_seen_at` but for its being told), search of messages, pictures and sessions;
//! they have tests of their own.
//!
//! ```sh
//! cargo test --locked --release -p plaza-test-model
//! PLAZA_MODEL_HISTORIES=5000 cargo test --locked --release -p plaza-test-model
//! PLAZA_SEED=… cargo test …    # the same histories once more
//! ```

mod compare;
mod mirror;
mod model;
mod step;
mod town;

pub use mirror::Mirror;
pub use model::Model;
pub use step::Step;
pub use town::Town;

/// How many people a history has.
pub const PEOPLE: usize = 4;

/// Why a history fails.
pub type Outcome = Result<(), String>;
