//! What the private server is started with.

use super::address::PORT;
use std::time::Duration;

/// What the data must outlast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Crashes of the server and of the machine.
    Durable,
    /// Nothing: for tests, fast.
    Ephemeral,
}

/// The settings of a [`Server`](super::Server).
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the data must outlast.
    pub durability: Durability,
    /// How many connections the server takes.
    pub max_connections: u32,
    /// How long a start may take; recovery after a crash is part of it.
    pub start_timeout: Duration,
}

impl Settings {
    /// For `regcred dev`.
    #[must_use]
    pub fn durable() -> Self {
        Self {
            durability: Durability::Durable,
            max_connections: 100,
            start_timeout: Duration::from_secs(60),
        }
    }

    /// For tests.
    #[must_use]
    pub fn ephemeral() -> Self {
        Self {
            durability: Durability::Ephemeral,
            max_connections: 400,
            ..Self::durable()
        }
    }

    /// The arguments for `postgres`. They are given at each start, so that nothing of them is in the cluster's own files
    /// and a later regcred can change its mind.
    pub(super) fn arguments(&self) -> Vec<String> {
        let connections = format!("max_connections={}", self.max_connections);
        let port = format!("port={PORT}");
        let specific = match self.durability {
            Durability::Durable => DURABLE,
            Durability::Ephemeral => EPHEMERAL,
        };
        COMMON
            .iter()
            .chain(specific)
            .copied()
            .chain([connections.as_str(), port.as_str()])
            .flat_map(|setting| ["-c".to_owned(), setting.to_owned()])
            .collect()
    }
}

/// The server's working directory is its cluster: a socket directory of `.` has no length limit and needs no quoting.
const COMMON: &[&str] = &[
    "listen_addresses=",
    "unix_socket_directories=.",
    "unix_socket_permissions=0700",
    "logging_collector=off",
    "log_destination=stderr",
    "log_line_prefix=%m [%p] ",
    "timezone=UTC",
    "log_timezone=UTC",
    "jit=off",
    // Containers often have little of the shared memory that parallel queries take.
    "max_parallel_workers_per_gather=0",
];

const DURABLE: &[&str] = &["fsync=on", "synchronous_commit=on", "full_page_writes=on"];

const EPHEMERAL: &[&str] = &[
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=64MB",
];
