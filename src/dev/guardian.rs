//! A small process that outlives this one, to stop the server and to remove what shall not stay.

use super::Error;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SCRIPT: &str = include_str!("guardian.sh");

/// The guardian of one server.
///
/// It acts at the end of a pipe that the kernel closes when this process ends in any way; it is in a process group of its
/// own, so that Ctrl-C in the terminal does not reach it. Dropping this value closes the pipe as well, and waits until
/// the guardian has done its work.
#[derive(Debug)]
pub(super) struct Guardian {
    process: Child,
}

impl Guardian {
    /// Starts the guardian of a server that is to come; it removes the directories when it ends.
    pub(super) fn start(remove: &[PathBuf]) -> Result<Self, Error> {
        let shell = Path::new("/bin/sh");
        let process = Command::new(shell)
            .args(["-c", SCRIPT, "regcred-guardian"])
            .args(remove)
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("run", shell))?;
        Ok(Self { process })
    }

    /// This is the server from now on.
    pub(super) fn watch(&mut self, pid: u32) {
        self.order(&format!("watch {pid}\n"));
    }

    /// The server has ended; its number may soon be another's.
    pub(super) fn forget(&mut self) {
        self.order("forget\n");
    }

    /// A guardian that somebody killed is done without: the next start finds a server that was left running.
    fn order(&mut self, line: &str) {
        if let Some(pipe) = &mut self.process.stdin {
            let _heard = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ended = self.process.wait();
    }
}
