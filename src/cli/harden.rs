//! Keeping the memory of a process that holds keys to itself.

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior};
use rustix::process::{getrlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities};

use crate::config::{Config, CoreDumps};

/// Keeps memory out of core dumps and out of other processes of the same user, unless it is configured
/// that it need not be. Before keys are read.
pub(super) fn close(config: &Config) {
    if config.core_dumps == CoreDumps::Off {
        no_core_dumps();
    }
}

/// The limit keeps the system from writing one; not being dumpable keeps it from handing one to a
/// collector, for which the limit does not count, and keeps debuggers of the same user away.
pub(super) fn no_core_dumps() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, none);
    let closed = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    for error in [limited.err(), closed.err()].into_iter().flatten() {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
}

/// Keeps the system from writing a dump of a command that ends soon. Such a process stays dumpable: one that is not
/// cannot open `/dev/stdin` or `/dev/fd/63`, where a document may come from.
pub(super) fn no_core_file() {
    let limit = getrlimit(Resource::Core);
    let none = Rlimit {
        current: Some(0),
        ..limit
    };
    // Where it is refused, nothing can be done, and the command says no more than its result.
    let _ = setrlimit(Resource::Core, none);
}

/// Keeps memory out of swap where the system allows that. What is not allowed is logged, and no reason
/// not to serve.
///
/// Locks pages as they come into use: nothing is held that is not used, such as the unused part of
/// stacks. Under a limit nothing is locked, because at the limit every allocation would fail.
pub(super) fn lock_memory() {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    let may = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK));
    if !unlimited && !may {
        tracing::info!(
            "memory may be swapped out: locking it needs CAP_IPC_LOCK or an unlimited RLIMIT_MEMLOCK"
        );
        return;
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    match mlockall(flags) {
        Ok(()) => tracing::info!("memory is locked"),
        Err(error) => tracing::info!(%error, "memory may be swapped out: it cannot be locked"),
    }
}
