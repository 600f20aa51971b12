//! What the end-to-end tests share beyond the support crate: the table of routes, forged tokens, and the checks that
//! several tests make of what was written and what arrived.

pub mod check;
pub mod example;
pub mod forge;
pub mod load;
pub mod routes;
pub mod statistics;
pub mod town;
