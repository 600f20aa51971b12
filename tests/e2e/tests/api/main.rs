//! The API as a client sees it: every route, what it does and what it refuses. One server is shared by all tests here;
//! each makes its own users, so they run side by side and in any order.

mod auth;
mod blocks;
mod deletion;
mod export;
mod friends;
mod groups;
mod message_changes;
mod messages;
mod notifications;
mod operations;
mod pictures;
mod presence;
mod reading;
mod refusals;
mod revocation;
mod rooms;
mod search;
mod security;
mod sessions;
mod story;
mod streams;
mod users;
mod web;
