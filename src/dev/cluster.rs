//! Creating a cluster, so that it is whole or not there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Account, Binaries, Durability, Error, Wanted, find, reach, unique};

const NAME: &str = "postgresql";
const UNFINISHED: &str = "postgresql.new-";
/// The superuser of the cluster; nobody but the owner of the directory can be it.
pub(super) const SUPERUSER: &str = "regcred";

/// A cluster on disk, with the programs that fit it and the user who owns it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub path: PathBuf,
    pub account: Account,
    pub binaries: Binaries,
}

impl Cluster {
    /// Opens the cluster below a claimed directory; creates it first if need be.
    pub fn open_or_create(directory: &Path, durability: Durability) -> Result<Self, Error> {
        let path = directory.join(NAME);
        remove_unfinished(directory)?;
        let account = Account::for_cluster(&path)?;
        let wanted = match major_of(&path) {
            Some(major) => Wanted::WriterOf {
                cluster: path.clone(),
                major,
            },
            None => Wanted::Any,
        };
        let binaries = find(&wanted, &account)?;
        let cluster = Self {
            path,
            account,
            binaries,
        };
        if !cluster.path.exists() {
            cluster.create(directory, durability)?;
        }
        Ok(cluster)
    }

    /// Creates the cluster under another name and renames it: an `initdb` that is killed half-way leaves
    /// nothing that looks like one.
    fn create(&self, directory: &Path, durability: Durability) -> Result<(), Error> {
        if !self.account.has_name() {
            return Err(Error::NamelessAccount {
                uid: self.account.uid(),
            });
        }
        let unfinished = unique::create(directory, UNFINISHED, 0o700)?;
        self.account.take(&unfinished)?;
        self.run_initdb(
            &unfinished,
            &[
                "--username",
                SUPERUSER,
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-instructions",
                "--no-sync",
            ],
        )?;
        if durability == Durability::Durable {
            self.run_initdb(&unfinished, &["--sync-only"])?;
        }
        fs::rename(&unfinished, &self.path).map_err(Error::io("rename", &unfinished))
    }

    fn run_initdb(&self, directory: &Path, arguments: &[&str]) -> Result<(), Error> {
        let mut command =
            reach::command(&self.account, &self.binaries.program("initdb"), directory)?;
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let output = command
            .output()
            .map_err(Error::io("run initdb for", directory))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Init {
            cluster: self.path.clone(),
            output: one_line(&said, 3),
        })
    }
}

fn remove_unfinished(directory: &Path) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::io("read", directory))?;
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(Error::io("remove", &entry.path()))?;
        }
    }
    Ok(())
}

fn major_of(cluster: &Path) -> Option<u32> {
    fs::read_to_string(cluster.join("PG_VERSION"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// The last lines of what a program said, as one.
pub(super) fn one_line(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    all[all.len().saturating_sub(lines)..].join("; ")
}
