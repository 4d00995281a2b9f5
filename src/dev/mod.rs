//! A private, real PostgreSQL run from the machine's own binaries, for `regcred dev` and for the tests.
//!
//! [`DataDir`] claims a directory for one process, [`Server`] creates a cluster below it, runs it and stops it, and
//! [`Supervisor`] starts it again when it dies. The server listens on a Unix socket inside the cluster's own directory
//! (mode 0700) and on no network address, so only its owner and root can reach it or read it. A small guardian
//! process stops the server when this process dies in any way, `kill -9` included.
//!
//! Everything here blocks; asynchronous callers use `spawn_blocking`. The server, and anything else that PostgreSQL
//! brings, runs as an unprivileged [`Account`], because `postgres` refuses to run as root.

mod account;
mod address;
mod cluster;
mod error;
mod guardian;
mod locate;
mod lock;
mod log;
mod postmaster;
mod reach;
mod server;
mod settings;
mod supervisor;
mod unique;

pub use account::Account;
pub use error::Error;
pub use locate::{Binaries, Wanted, find};
pub use lock::DataDir;
pub use server::Server;
pub use settings::{Durability, Settings};
pub use supervisor::{State, Supervisor};
