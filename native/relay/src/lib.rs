//! Placeholder of `plaza-relay` until its first commit.
