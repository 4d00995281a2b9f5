//! How a program run as the account names the cluster's directory.
//!
//! Root's data directory may lie below directories that the unprivileged account cannot pass (`/root`, `mktemp -d`).
//! Their modes are not ours to loosen, and privileges that let the server pass would let it read anything else, too. So
//! where the path does not lead there, the program is handed the open directory and names it `/proc/self/fd/9`, which
//! the kernel resolves without looking at the directories above. PostgreSQL's children inherit the handle.

use super::{Account, Error};
use std::fs::File;
use std::path::Path;
use std::process::Command;

const HANDLE: &str = "/proc/self/fd/9";

/// Moves the directory from standard input to the handle's number, then becomes the program.
const WITH_HANDLE: &str = r#"exec 9<&0 </dev/null; exec "$@""#;

/// A command `program -D DIRECTORY` run as the account, which can work in the directory.
pub(super) fn command(
    account: &Account,
    program: &Path,
    directory: &Path,
) -> Result<Command, Error> {
    if account.can_enter(directory) {
        let mut command = account.command(program);
        command.arg("-D").arg(directory);
        return Ok(command);
    }
    if !Path::new("/proc/self/fd").exists() {
        return Err(Error::Unreachable {
            path: directory.to_owned(),
            account: account.display_name(),
        });
    }
    let open = File::open(directory).map_err(Error::io("open", directory))?;
    let mut command = account.command("/bin/sh");
    command
        .args(["-c", WITH_HANDLE, "sh"])
        .arg(program)
        .args(["-D", HANDLE])
        .stdin(open);
    Ok(command)
}
