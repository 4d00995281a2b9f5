//! The server's log file.

use super::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Past this size a log is set aside when the server starts.
const LARGE: u64 = 4 << 20;

/// How many of its last lines an error shows.
const LINES: usize = 4;

/// The file that takes what the server says.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
}

impl Log {
    /// The log of the server below `base`; a large one of earlier runs is set aside.
    pub(super) fn below(base: &Path) -> Self {
        let path = base.join("server.log");
        if fs::metadata(&path).is_ok_and(|found| found.len() > LARGE) {
            // Not worth failing for: the log goes on in the same file.
            let _kept = fs::rename(&path, base.join("server.log.1"));
        }
        Self { path }
    }

    /// Opens the file so that writes go to its end, whoever else writes.
    pub(super) fn append(&self) -> Result<File, Error> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&self.path)
            .map_err(Error::io("open", &self.path))
    }

    /// The size now: what comes later begins here.
    pub(super) fn mark(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |found| found.len())
    }

    /// The last lines written since the mark, as one line.
    pub(super) fn tail(&self, mark: u64) -> String {
        let mut bytes = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            let start = mark.max(file.metadata()?.len().saturating_sub(8192));
            file.seek(SeekFrom::Start(start))?;
            file.read_to_end(&mut bytes)
        });
        match read {
            Ok(_) => last_lines(&String::from_utf8_lossy(&bytes)),
            Err(_) => "(nothing)".to_owned(),
        }
    }

    /// Where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// The last lines of a text, as one line.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() {
        return "(nothing)".to_owned();
    }
    lines[lines.len().saturating_sub(LINES)..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_become_one() {
        assert_eq!(last_lines("a\nb\n\n c\nd\ne\n"), "b | c | d | e");
        assert_eq!(last_lines(" \n"), "(nothing)");
    }
}
