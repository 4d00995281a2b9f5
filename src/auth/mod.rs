//! Who calls, and what they may do.

pub mod binding;
pub mod caller;
pub mod limits;
pub mod oidc;
pub mod proxies;
pub mod role;
pub mod token;
