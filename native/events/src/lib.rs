//! Placeholder of `plaza-events` until its first commit.
