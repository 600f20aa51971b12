//! Placeholder of `plaza-kit` until its first commit.
