//! A process that outlives this one by a moment, and stops the server when this one is gone.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Waits for the end of its input, which comes when the other end of the pipe is closed, by whatever
/// death. Stops the server only if the pid file still names it: the number may belong to another
/// process by then. `$1` is the pid, `$2` the pid file, the rest are directories to remove.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
read -r _ || :
pid=$1 file=$2
shift 2
runs() { [ "$(head -n 1 "$file" 2>/dev/null)" = "$pid" ] && kill -0 "$pid" 2>/dev/null; }
for signal in INT QUIT KILL; do
    runs || break
    kill -s "$signal" "$pid" 2>/dev/null
    glances=0
    while runs && [ "$glances" -lt 200 ]; do
        sleep 0.1
        glances=$((glances + 1))
    done
done
[ "$#" -eq 0 ] || rm -rf -- "$@"
"#;

/// The guardian of one server.
#[derive(Debug)]
pub(super) struct Guardian(Child);

impl Guardian {
    /// Starts a guardian for the server with this process id.
    pub fn start(pid: u32, cluster: &Path, to_remove: &[&Path]) -> io::Result<Self> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "regcred-guardian"])
            .arg(pid.to_string())
            .arg(cluster.join("postmaster.pid"));
        command.args(to_remove).current_dir("/");
        // Ctrl-C in a terminal goes to a whole process group; the order of stopping is not the terminal's.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().map(Self)
    }

    /// Lets the guardian do its work and waits for its end.
    pub fn dismiss(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
