//! Facts about Spin, stated here because no Spin is at hand: what its manifest may hold ([`manifest`]), what it makes of one
//! for its triggers ([`locked`]), and what a component may import ([`imports`]).
//!
//! Each says where it is taken from. They are of Spin 3.6; Spin 4 has all of it, and more.

pub mod imports;
pub mod locked;
pub mod manifest;
pub mod paths;
