//! Placeholder of `plaza-domain` until its first commit.
