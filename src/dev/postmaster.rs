//! The server's process as seen from outside: its pid file, and what an earlier run left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::Error;
use super::socket::LOCK_NAME;

/// How often processes and files are looked at while waiting for them.
pub(super) const GLANCE: Duration = Duration::from_millis(20);
/// How long an orderly stop may take: sessions are ended and a checkpoint is written.
const FAST_STOP: Duration = Duration::from_secs(20);
/// How long a stop without a checkpoint may take.
const IMMEDIATE_STOP: Duration = Duration::from_secs(10);
/// Line of the pid file that holds the state, counted from 0 (`miscadmin.h`, `LOCK_FILE_LINE_PM_STATUS`).
const STATE_LINE: usize = 7;

fn pid_file(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// Whether the server with this process id takes connections.
pub(super) fn is_ready(cluster: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(pid_file(cluster)).unwrap_or_default();
    let mut lines = text.lines();
    lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid)
        && lines
            .nth(STATE_LINE - 1)
            .is_some_and(|state| state.trim() == "ready")
}

/// Stops a server that an earlier run left, and makes sure that what it left on disk keeps nobody from
/// starting.
pub(super) fn clear_leftovers(cluster: &Path) -> Result<(), Error> {
    for name in ["postmaster.pid", LOCK_NAME] {
        let file = cluster.join(name);
        let Some((pid, text)) = read_pid(&file) else {
            continue;
        };
        if is_server_of(pid, cluster) {
            stop(pid).map_err(|()| Error::Leftover {
                pid: pid.as_raw_nonzero().get().cast_unsigned(),
            })?;
        } else if test_kill_process(pid).is_ok() {
            disown(&file, &text)?;
        }
    }
    Ok(())
}

/// The process id in the file now belongs to something else, and PostgreSQL would take that for a
/// server. It takes its own parent's id for a stale one, and then still looks whether old sessions hold
/// the shared memory, which deleting the file would keep it from doing.
fn disown(file: &Path, text: &str) -> Result<(), Error> {
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    fs::write(file, format!("{}\n{rest}", std::process::id())).map_err(Error::io("write", file))
}

fn read_pid(file: &Path) -> Option<(Pid, String)> {
    let text = fs::read_to_string(file).ok()?;
    let pid = text
        .lines()
        .next()?
        .trim()
        .parse::<i32>()
        .ok()
        .and_then(Pid::from_raw)?;
    Some((pid, text))
}

/// Whether the process is a server that works in the cluster's directory.
#[cfg(target_os = "linux")]
fn is_server_of(pid: Pid, cluster: &Path) -> bool {
    let process = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let works_here = fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == cluster);
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    works_here && matches!(name.trim(), "postgres" | "postmaster")
}

/// Whether the process is a server; its directory cannot be told without `/proc`.
#[cfg(not(target_os = "linux"))]
fn is_server_of(pid: Pid, _cluster: &Path) -> bool {
    let pid = pid.as_raw_nonzero().to_string();
    let output = std::process::Command::new("ps")
        .args(["-o", "comm=", "-p", &pid])
        .output();
    output.is_ok_and(|output| {
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .ends_with("postgres")
    })
}

/// Stops a server that is not our child: orderly, and if that takes too long, at once.
fn stop(pid: Pid) -> Result<(), ()> {
    for (signal, patience) in [(Signal::INT, FAST_STOP), (Signal::QUIT, IMMEDIATE_STOP)] {
        let _ = kill_process(pid, signal);
        if wait_until(patience, || test_kill_process(pid).is_err()) {
            return Ok(());
        }
    }
    Err(())
}

/// Stops a child in the same way; `ended` tells whether it has, and reaps it.
pub(super) fn stop_child(pid: u32, mut ended: impl FnMut() -> bool) {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    for (signal, patience) in [
        (Signal::INT, FAST_STOP),
        (Signal::QUIT, IMMEDIATE_STOP),
        (Signal::KILL, IMMEDIATE_STOP),
    ] {
        if ended() {
            return;
        }
        let _ = kill_process(pid, signal);
        if wait_until(patience, &mut ended) {
            return;
        }
    }
}

/// Waits for something; false if it took too long.
pub(super) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    while !done() {
        if Instant::now() >= until {
            return false;
        }
        sleep(GLANCE);
    }
    true
}
