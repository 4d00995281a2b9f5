//! The user whom the server runs as.

use super::Error;
use rustix::process::{getegid, geteuid};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The users that root may run the server as, best first.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An unprivileged user: this process's own, or for root one that exists for such things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
    name: Option<String>,
    change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Stay,
    Drop,
}

impl Account {
    /// Chooses the account for a cluster: its owner if it exists, else this process's user, else for root `postgres` or
    /// `nobody`.
    ///
    /// # Errors
    /// [`Error::NotOwner`] where a plain user meets the cluster of another, [`Error::NoAccount`] where root finds nobody.
    pub fn for_cluster(cluster: &Path) -> Result<Self, Error> {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let owner = fs::metadata(cluster)
            .ok()
            .map(|found| (found.uid(), found.gid()));
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        match owner {
            Some((owner, _)) if uid != 0 && owner != uid => Err(Error::NotOwner {
                path: cluster.to_owned(),
                owner,
            }),
            _ if uid != 0 => Ok(Self {
                uid,
                gid,
                name: name_of(&passwd, uid),
                change: Change::Stay,
            }),
            Some((owner, group)) if owner != 0 => Ok(Self {
                uid: owner,
                gid: group,
                name: name_of(&passwd, owner),
                change: Change::Drop,
            }),
            _ => UNPRIVILEGED
                .iter()
                .find_map(|name| named(&passwd, name))
                .ok_or(Error::NoAccount),
        }
    }

    /// The user's name, or its number where it has none.
    #[must_use]
    pub fn display_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.uid.to_string())
    }

    /// The user id.
    #[must_use]
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Whether the user has a name, which `initdb` insists on.
    pub(super) fn has_name(&self) -> bool {
        self.name.is_some()
    }

    /// A command run as this user, with no groups but its own, nothing of this process's environment that could change
    /// how PostgreSQL behaves, and a working directory that everybody can enter.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        for kept in ["PATH", "LD_LIBRARY_PATH", "TMPDIR"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if self.change == Change::Drop {
            // The standard library drops root's supplementary groups as well.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }

    /// Whether this user can work in the directory by its path: asks the kernel, not the modes.
    pub(super) fn can_enter(&self, directory: &Path) -> bool {
        if self.change == Change::Stay {
            return true;
        }
        let mut command = self.command("/bin/sh");
        command
            .args(["-c", r#"cd "$1" && test -w ."#, "sh"])
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Makes a file or directory this user's own.
    pub(super) fn take(&self, path: &Path) -> Result<(), Error> {
        match self.change {
            Change::Stay => Ok(()),
            Change::Drop => chown(path, Some(self.uid), Some(self.gid))
                .map_err(Error::io("change the owner of", path)),
        }
    }

    /// Makes a directory and all below it this user's own.
    pub(super) fn take_all(&self, path: &Path) -> Result<(), Error> {
        lchown(path, Some(self.uid), Some(self.gid))
            .map_err(Error::io("change the owner of", path))?;
        if !path
            .symlink_metadata()
            .map_err(Error::io("read", path))?
            .is_dir()
        {
            return Ok(());
        }
        for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
            self.take_all(&entry.map_err(Error::io("read", path))?.path())?;
        }
        Ok(())
    }
}

/// The fields of the lines of a passwd file: name, password, user id, group id.
fn users(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = number(fields.nth(1)?)?;
        let gid = number(fields.next()?)?;
        Some((name, uid, gid))
    })
}

/// Some systems write the highest ids as negative numbers.
fn number(field: &str) -> Option<u32> {
    field
        .parse::<u32>()
        .ok()
        .or_else(|| field.parse::<i32>().ok().map(i32::cast_unsigned))
}

fn named(passwd: &str, wanted: &str) -> Option<Account> {
    users(passwd)
        .find(|(name, uid, _)| *name == wanted && *uid != 0)
        .map(|(name, uid, gid)| Account {
            uid,
            gid,
            name: Some(name.to_owned()),
            change: Change::Drop,
        })
}

fn name_of(passwd: &str, wanted: u32) -> Option<String> {
    users(passwd)
        .find(|(_, uid, _)| *uid == wanted)
        .map(|(name, ..)| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\npostgres:x:101:104:,,,:/:/bin/sh\nnobody:*:-2:-2::/:/bin/false\n";

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        let found = named(PASSWD, "postgres").expect("found");

        assert_eq!((found.uid, found.gid), (101, 104));
        assert_eq!(name_of(PASSWD, 101).as_deref(), Some("postgres"));
        assert_eq!(name_of(PASSWD, 1), None);
    }

    #[test]
    fn a_negative_id_is_one_of_the_highest() {
        assert_eq!(
            named(PASSWD, "nobody").map(|found| found.uid),
            Some(u32::MAX - 1)
        );
    }

    #[test]
    fn a_user_that_is_root_by_another_name_is_not_chosen() {
        assert_eq!(named("postgres:x:0:0::/:/bin/sh\n", "postgres"), None);
    }
}
