//! The server process: is it there, is it ready, and how it is made to go.

use super::address::PORT;
use super::{Account, Error};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How a server is asked to stop, ever less politely, and how long it may take: fast, immediate, by force.
const WAYS_TO_STOP: [(Signal, Duration); 3] = [
    (Signal::INT, Duration::from_secs(20)),
    (Signal::QUIT, Duration::from_secs(5)),
    (Signal::KILL, Duration::from_secs(5)),
];

/// A process id that no system gives out.
const NOBODY: &str = "2147483647";

/// What the process is that a cluster's `postmaster.pid` names.
#[derive(Debug, PartialEq, Eq)]
enum Holder {
    /// There is none.
    Gone,
    /// The cluster's server.
    Server,
    /// Something else, which has the number by chance.
    Stranger,
    /// A PostgreSQL; whether the cluster's, the system does not tell.
    Unclear,
}

/// Whether the server with this process id accepts connections.
pub(super) fn is_ready(cluster: &Path, pid: u32) -> bool {
    let bytes = fs::read(pid_file(cluster)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines();
    lines
        .next()
        .is_some_and(|line| line.trim() == pid.to_string())
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// Makes a start possible: stops a server left from a run that was killed, and disarms lock files left by a server that
/// was. Whoever calls this holds the data directory's lock, so nobody else is starting one.
pub(super) fn clear_way(cluster: &Path, account: &Account) -> Result<(), Error> {
    let file = pid_file(cluster);
    let content = match fs::read(&file) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return remove_socket(cluster),
        Err(error) => return Err(Error::io("read", &file)(error)),
    };
    let Some(pid) = first_number(&content) else {
        // Cut short by a crash of the machine.
        fs::remove_file(&file).map_err(Error::io("remove", &file))?;
        return remove_socket(cluster);
    };
    match holder(pid, cluster, account) {
        // One that ended and that nobody waits for, as in a container whose first process waits for no child, still has its
        // number: the new server would take it for a living one.
        Holder::Gone | Holder::Stranger => {
            disown(&file, &content).and_then(|()| remove_socket(cluster))
        }
        Holder::Server => stop_leftover(pid, cluster, account)
            .and_then(|()| disown_leftover(&file))
            .and_then(|()| remove_socket(cluster)),
        Holder::Unclear => Ok(()),
    }
}

/// Asks the process to stop until it is gone; `false` if it stays.
pub(super) fn shut_down(pid: u32, mut gone: impl FnMut() -> bool) -> bool {
    let Some(process) = number(pid) else {
        return true;
    };
    for (signal, patience) in WAYS_TO_STOP {
        // A failure means that it is gone, which is asked next.
        let _sent = kill_process(process, signal);
        if wait_until(patience, &mut gone) {
            return true;
        }
    }
    false
}

/// Waits until the condition holds; `false` if it does not in time.
pub(super) fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn pid_file(cluster: &Path) -> PathBuf {
    cluster.join("postmaster.pid")
}

/// The number in the first line; the lines after it may be of other bytes than text.
fn first_number(content: &[u8]) -> Option<u32> {
    std::str::from_utf8(content.split(|byte| *byte == b'\n').next()?)
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn number(pid: u32) -> Option<Pid> {
    Pid::from_raw(pid.cast_signed())
}

fn stop_leftover(pid: u32, cluster: &Path, account: &Account) -> Result<(), Error> {
    let gone = || holder(pid, cluster, account) != Holder::Server;
    if shut_down(pid, gone) {
        Ok(())
    } else {
        Err(Error::Leftover { pid })
    }
}

/// Takes the process id out of the file, not the file away: with the rest of it the server makes sure that no child of
/// its predecessor still works on the data.
fn disown(file: &Path, content: &[u8]) -> Result<(), Error> {
    let rest = content.iter().skip_while(|byte| **byte != b'\n').copied();
    fs::write(file, NOBODY.bytes().chain(rest).collect::<Vec<u8>>())
        .map_err(Error::io("write", file))
}

/// The same where a server may have taken its file along as it stopped.
fn disown_leftover(file: &Path) -> Result<(), Error> {
    match fs::read(file) {
        Ok(content) => disown(file, &content),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", file)(error)),
    }
}

fn remove_socket(cluster: &Path) -> Result<(), Error> {
    for file in
        [format!(".s.PGSQL.{PORT}.lock"), format!(".s.PGSQL.{PORT}")].map(|name| cluster.join(name))
    {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(Error::io("remove", &file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn holder(pid: u32, cluster: &Path, account: &Account) -> Holder {
    if number(pid).is_none_or(|process| test_kill_process(process) == Err(rustix::io::Errno::SRCH))
    {
        return Holder::Gone;
    }
    if Path::new("/proc/self/cwd").exists() {
        holder_by_proc(pid, cluster, account)
    } else {
        holder_by_ps(pid, cluster)
    }
}

/// A server works in its cluster's directory, under a name of its own.
fn holder_by_proc(pid: u32, cluster: &Path, account: &Account) -> Holder {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return Holder::Gone;
    };
    // Everything after the name, which is in parentheses; the first field is the state.
    let (before, after) = stat.rsplit_once(')').unwrap_or(("", ""));
    if after.trim_start().starts_with(['Z', 'X']) {
        return Holder::Gone;
    }
    if !before.ends_with("(postgres") {
        return Holder::Stranger;
    }
    match working_directory(pid, account) {
        Some(found) if found == cluster => Holder::Server,
        Some(_) => Holder::Stranger,
        None => Holder::Unclear,
    }
}

/// In a container root may be denied what the process's own user may see.
fn working_directory(pid: u32, account: &Account) -> Option<PathBuf> {
    let link = format!("/proc/{pid}/cwd");
    fs::read_link(&link).ok().or_else(|| {
        let output = account.command("readlink").arg(&link).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output
            .status
            .success()
            .then(|| PathBuf::from(text.trim_end_matches('\n')))
    })
}

fn holder_by_ps(pid: u32, cluster: &Path) -> Holder {
    let Ok(output) = Command::new("ps")
        .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
        .output()
    else {
        return Holder::Unclear;
    };
    let line = String::from_utf8_lossy(&output.stdout);
    if line.trim().is_empty() {
        Holder::Gone
    } else if line.contains("postgres") && line.contains(&format!("-D {} ", cluster.display())) {
        Holder::Server
    } else if line.contains("postgres") {
        Holder::Unclear
    } else {
        Holder::Stranger
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anybody() -> Account {
        Account::for_cluster(Path::new("/nonexistent")).expect("account")
    }

    #[test]
    fn a_number_that_no_process_has_is_gone() {
        assert_eq!(
            holder(NOBODY.parse().expect("number"), Path::new("/"), &anybody()),
            Holder::Gone
        );
    }

    #[test]
    fn a_process_of_another_name_is_a_stranger() {
        let here = std::env::current_dir().expect("directory");

        assert_eq!(
            holder(std::process::id(), &here, &anybody()),
            Holder::Stranger
        );
    }

    #[test]
    fn a_process_that_ended_is_gone_even_before_its_parent_looks() {
        let mut child = Command::new("true").spawn().expect("spawn");

        let gone = || holder(child.id(), Path::new("/"), &anybody()) == Holder::Gone;

        assert!(wait_until(Duration::from_secs(5), gone));
        child.wait().expect("wait");
    }

    #[test]
    fn a_server_that_ended_unwaited_for_does_not_hold_its_cluster() {
        let cluster = std::env::temp_dir().join(format!("regcred-zombie-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&cluster).expect("a directory");
        let mut child = Command::new("true").spawn().expect("spawn");
        let dead = || holder(child.id(), &cluster, &anybody()) == Holder::Gone;
        assert!(wait_until(Duration::from_secs(5), dead));
        let file = pid_file(&cluster);
        fs::write(
            &file,
            format!("{}\n{}\nready\n", child.id(), cluster.display()),
        )
        .expect("written");

        clear_way(&cluster, &anybody()).expect("the way is clear");

        let content = fs::read_to_string(&file).expect("the rest stays");
        assert_eq!(content.lines().next(), Some(NOBODY));
        assert!(content.ends_with("ready\n"));
        child.wait().expect("wait");
        fs::remove_dir_all(&cluster).expect("ours");
    }

    #[test]
    fn ps_tells_the_server_of_this_cluster_from_others() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 5; :", "postgres", "-D", "/a", "x"])
            .spawn()
            .expect("spawn");

        let here = holder_by_ps(child.id(), Path::new("/a"));
        let there = holder_by_ps(child.id(), Path::new("/b"));
        let stranger = holder_by_ps(std::process::id(), Path::new("/a"));

        assert_eq!(
            (here, there, stranger),
            (Holder::Server, Holder::Unclear, Holder::Stranger)
        );
        child.kill().and_then(|()| child.wait()).expect("end");
    }
}
