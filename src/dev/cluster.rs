//! The directory with the data: made once, whole or not at all.

use super::address::USER;
use super::log::last_lines;
use super::{Account, Binaries, Durability, Error, Wanted, find, reach, unique};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Clusters in the making; one that an interrupted run left is removed by the next.
const UNFINISHED: &str = "cluster.new-";

/// A complete cluster, the account that owns it and the programs of its version.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) directory: PathBuf,
    pub(super) account: Account,
    pub(super) binaries: Binaries,
}

impl Cluster {
    /// Opens the cluster below `base`, creating it at first use.
    pub(super) fn open(base: &Path, durability: Durability) -> Result<Self, Error> {
        let directory = base.join("cluster");
        let account = Account::for_cluster(&directory)?;
        let binaries = find(&wanted(&directory)?, &account)?;
        let cluster = Self {
            directory,
            account,
            binaries,
        };
        if cluster.directory.exists() {
            cluster.take_from_root()?;
        } else {
            remove_unfinished(base)?;
            cluster.create(base, durability)?;
        }
        Ok(cluster)
    }

    /// A command for one of the cluster's programs, on the cluster.
    pub(super) fn command(&self, program: &str) -> Result<Command, Error> {
        reach::command(
            &self.account,
            &self.binaries.program(program),
            &self.directory,
        )
    }

    /// A copy made by root (`cp -r`, a restored backup) may have lost its owner, and the server refuses such a cluster.
    fn take_from_root(&self) -> Result<(), Error> {
        let owner = fs::metadata(&self.directory)
            .map_err(Error::io("read", &self.directory))?
            .uid();
        if owner == self.account.uid() {
            Ok(())
        } else {
            self.account.take_all(&self.directory)
        }
    }

    /// Makes the cluster under another name and renames it when it is whole and, if it shall last, on the disk.
    fn create(&self, base: &Path, durability: Durability) -> Result<(), Error> {
        if !self.account.has_name() {
            return Err(Error::NamelessAccount {
                uid: self.account.uid(),
            });
        }
        let unfinished = unique::create(base, UNFINISHED, 0o700)?;
        self.account.take(&unfinished)?;
        let initdb = self.binaries.program("initdb");
        let mut command = reach::command(&self.account, &initdb, &unfinished)?;
        command.args([
            "--username",
            USER,
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
        ]);
        // Trust is safe here: who can reach the socket can read the files, too, and that is the owner and root.
        command.args(["--auth-local=trust", "--auth-host=reject"]);
        if durability == Durability::Ephemeral {
            command.arg("--no-sync");
        }
        let output = command.output().map_err(Error::io("run", &initdb))?;
        if !output.status.success() {
            let output = last_lines(&String::from_utf8_lossy(&output.stderr));
            return Err(Error::Init {
                cluster: unfinished,
                output,
            });
        }
        fs::rename(&unfinished, &self.directory).map_err(Error::io("rename", &unfinished))?;
        File::open(base)
            .and_then(|open| open.sync_all())
            .map_err(Error::io("write", base))
    }
}

fn wanted(cluster: &Path) -> Result<Wanted, Error> {
    if !cluster.exists() {
        return Ok(Wanted::Any);
    }
    let file = cluster.join("PG_VERSION");
    let text = fs::read_to_string(&file).map_err(Error::io("read", &file))?;
    let major = text.trim().parse().map_err(|_| Error::Init {
        cluster: cluster.to_owned(),
        output:
            "its file PG_VERSION does not hold a version; move the directory away to begin anew"
                .to_owned(),
    })?;
    Ok(Wanted::WriterOf {
        cluster: cluster.to_owned(),
        major,
    })
}

/// Removes what interrupted runs left. An `initdb` that outlived its parent for a moment may still be adding files, and
/// fails once they are gone; hence more than one try.
fn remove_unfinished(base: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(base).map_err(Error::io("read", base))? {
        let entry = entry.map_err(Error::io("read", base))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            let path = entry.path();
            (0..5)
                .find_map(|_| fs::remove_dir_all(&path).ok())
                .map_or_else(
                    || fs::remove_dir_all(&path).map_err(Error::io("remove", &path)),
                    Ok,
                )?;
        }
    }
    Ok(())
}
