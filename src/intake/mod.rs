//! What people have today, taken in: documents of several forms are read, the auth files in them
//! found, and their entries turned into accounts at registry paths.
//!
//! Plain functions over plain values; what becomes of the accounts is the broker's to decide.

pub mod account;
pub mod convert;
pub mod document;
pub mod entry;
pub mod find;
pub mod form;
pub mod format;
pub mod name;
pub mod request;
pub mod wrapping;
