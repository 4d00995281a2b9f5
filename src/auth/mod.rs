//! Who calls, and what they may do.

pub mod caller;
pub mod permission;
pub mod proxies;
pub mod role;
pub mod token;
