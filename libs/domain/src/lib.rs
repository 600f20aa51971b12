//! Plaza's rules, and nothing else: what a valid name, message or request is, what may follow what, how things look
//! to a client, and which event tells of which change.
//!
//! Everything here is a pure function of its arguments. The time and fresh identifiers come in from outside, so each
//! rule can be tested without a clock, a store or a runtime. The modules follow the bounded contexts.

pub mod analytics;
pub mod chat;
pub mod event;
pub mod export;
pub mod friend;
pub mod id;
pub mod input;
pub mod notification;
pub mod page;
pub mod presence;
pub mod problem;
pub mod schema;
pub mod time;
pub mod user;

pub use event::Event;
pub use input::Input;
pub use problem::Problem;
pub use time::Timestamp;
