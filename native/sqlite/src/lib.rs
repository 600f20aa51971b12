//! Placeholder of `plaza-sqlite` until its first commit.
