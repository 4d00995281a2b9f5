//! Judging documents: what clients will make of them.
