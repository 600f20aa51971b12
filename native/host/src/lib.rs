//! Placeholder of `plaza-host` until its first commit.
