//! Where the machine keeps PostgreSQL's server programs.

use super::error::Skipped;
use super::{Account, Error};
use std::cmp::Reverse;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest major version that will do.
const OLDEST: u32 = 14;

/// Where packages put versions side by side: parent directory, how the name begins, what follows it.
const INSTALLATIONS: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
];

/// PostgreSQL's server programs of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
    major: u32,
}

impl Binaries {
    /// The path of one of the programs.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }
}

/// Which versions will do.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Any that regcred supports, for a new cluster.
    Any,
    /// The one that wrote the cluster.
    WriterOf {
        /// The directory with the data.
        cluster: PathBuf,
        /// The major version.
        major: u32,
    },
}

/// Finds server programs that the account can run: on `PATH`, where `pg_config` says, then where packages put them,
/// newest first.
///
/// # Errors
/// [`Error::NoPostgres`] or [`Error::OtherVersion`] where there are none of the version wanted.
pub fn find(wanted: &Wanted, account: &Account) -> Result<Binaries, Error> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = on_path(&path)
        .into_iter()
        .chain(from_pg_config())
        .chain(installed(Path::new("/")));
    choose(places, wanted, account)
}

fn choose(
    places: impl Iterator<Item = PathBuf>,
    wanted: &Wanted,
    account: &Account,
) -> Result<Binaries, Error> {
    let mut skipped = Skipped::default();
    for directory in places.filter_map(|place| complete(&place)) {
        match version(&directory, account) {
            Some(major) if fits(major, wanted) => return Ok(Binaries { directory, major }),
            Some(major) => skipped.note(format!("version {major} in {}", directory.display())),
            None => skipped.note(format!(
                "one in {} that does not run as {}",
                directory.display(),
                account.display_name()
            )),
        }
    }
    Err(match wanted {
        Wanted::Any => Error::NoPostgres {
            oldest: OLDEST,
            skipped,
        },
        Wanted::WriterOf { cluster, major } => Error::OtherVersion {
            cluster: cluster.clone(),
            written_by: *major,
            skipped,
        },
    })
}

impl Skipped {
    fn note(&mut self, found: String) {
        if !self.0.contains(&found) {
            self.0.push(found);
        }
    }
}

fn fits(major: u32, wanted: &Wanted) -> bool {
    match wanted {
        Wanted::Any => major >= OLDEST,
        Wanted::WriterOf {
            major: written_by, ..
        } => major == *written_by,
    }
}

fn on_path(path: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .collect()
}

fn from_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config")
        .arg("--bindir")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(line.trim_end()))
}

/// The installations below `root`, each place's newest first.
fn installed(root: &Path) -> Vec<PathBuf> {
    INSTALLATIONS
        .iter()
        .flat_map(|(parent, prefix, below)| {
            let parent = root.join(parent.trim_start_matches('/'));
            let mut found: Vec<(u32, PathBuf)> = entries(&parent)
                .into_iter()
                .filter_map(|name| {
                    Some((
                        leading_number(name.strip_prefix(prefix)?)?,
                        parent.join(&name).join(below),
                    ))
                })
                .collect();
            found.sort_by_key(|(major, _)| Reverse(*major));
            found.into_iter().map(|(_, path)| path)
        })
        .collect()
}

fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// The directory, through symbolic links, if it has the programs that are needed.
fn complete(place: &Path) -> Option<PathBuf> {
    let through_links = place
        .join("postgres")
        .canonicalize()
        .ok()?
        .parent()?
        .to_owned();
    [through_links, place.to_owned()]
        .into_iter()
        .find(|directory| {
            ["postgres", "initdb"]
                .iter()
                .all(|program| directory.join(program).is_file())
        })
}

fn version(directory: &Path, account: &Account) -> Option<u32> {
    let output = account
        .command(directory.join("postgres"))
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    leading_number(
        String::from_utf8(output.stdout)
            .ok()?
            .split_once("(PostgreSQL) ")?
            .1,
    )
}

fn leading_number(text: &str) -> Option<u32> {
    text.split(|character: char| !character.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::super::unique;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// An installation that says it has the given version.
    fn fake(root: &Path, place: &str, version: &str) -> PathBuf {
        let directory = root.join(place);
        fs::create_dir_all(&directory).expect("create");
        for program in ["postgres", "initdb"] {
            let file = directory.join(program);
            fs::write(
                &file,
                format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version} (Test 1.0)'\n"),
            )
            .expect("write");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("mode");
        }
        directory
    }

    fn scratch() -> PathBuf {
        let root = unique::create(&std::env::temp_dir(), "regcred-", 0o755).expect("create");
        root.canonicalize().expect("resolve")
    }

    fn anybody() -> Account {
        Account::for_cluster(Path::new("/nonexistent")).expect("account")
    }

    #[test]
    fn the_newest_of_several_installations_comes_first() {
        let root = scratch();
        let nine = fake(&root, "usr/lib/postgresql/9.6/bin", "9.6.24");
        let sixteen = fake(&root, "usr/lib/postgresql/16/bin", "16.2");
        let fedora = fake(&root, "usr/pgsql-15/bin", "15.1");
        let homebrew = fake(&root, "opt/homebrew/opt/postgresql@17/bin", "17beta1");

        let places = installed(&root);

        assert_eq!(places, [sixteen, nine, fedora, homebrew]);
        fs::remove_dir_all(root).expect("clean up");
    }

    #[test]
    fn a_version_too_old_is_passed_over() {
        let root = scratch();
        fake(&root, "usr/lib/postgresql/13/bin", "13.9");
        let fedora = fake(&root, "usr/pgsql-15/bin", "15.1");

        let found = choose(installed(&root).into_iter(), &Wanted::Any, &anybody()).expect("found");

        assert_eq!(
            found,
            Binaries {
                directory: fedora,
                major: 15
            }
        );
        fs::remove_dir_all(root).expect("clean up");
    }

    #[test]
    fn the_version_that_wrote_the_data_is_chosen() {
        let root = scratch();
        fake(&root, "usr/lib/postgresql/16/bin", "16.9");
        fake(&root, "usr/lib/postgresql/15/bin", "15.1");
        let wanted = |major| Wanted::WriterOf {
            cluster: PathBuf::from("/data"),
            major,
        };

        let fifteen = choose(installed(&root).into_iter(), &wanted(15), &anybody()).expect("found");
        let missing =
            choose(installed(&root).into_iter(), &wanted(14), &anybody()).expect_err("missing");

        assert_eq!(fifteen.major(), 15);
        assert!(missing.to_string().starts_with(
            "/data holds data of PostgreSQL 14, which is not installed (there is version 16"
        ));
        fs::remove_dir_all(root).expect("clean up");
    }

    #[test]
    fn programs_behind_symbolic_links_are_found_where_they_are() {
        let root = scratch();
        let real = fake(&root, "usr/lib/postgresql/15/bin", "15.1");
        let links = root.join("links");
        fs::create_dir(&links).expect("create");
        std::os::unix::fs::symlink(real.join("postgres"), links.join("postgres")).expect("link");

        assert_eq!(complete(&links), Some(real));
        fs::remove_dir_all(root).expect("clean up");
    }

    #[test]
    fn where_there_is_none_the_message_names_the_packages_and_the_other_way() {
        let message = choose(std::iter::empty(), &Wanted::Any, &anybody())
            .expect_err("none")
            .to_string();

        for part in [
            "apt-get install postgresql",
            "dnf install postgresql-server",
            "brew install postgresql@17",
            "DATABASE_URL",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(message.lines().count(), 1);
    }
}
