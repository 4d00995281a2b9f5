//! The files that are judged: those that are named, and those in directories that are.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Most files of all directories together.
const MOST_FILES: usize = 20_000;
/// How deep directories are gone into.
const MOST_DEPTH: usize = 32;

/// Where a file comes from.
pub(super) enum Source {
    /// Somebody named it.
    Named(PathBuf),
    /// It stands in a directory that somebody named.
    Found(PathBuf),
}

impl Source {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Named(path) | Self::Found(path) => path,
        }
    }
}

/// What is to be judged.
pub(super) struct Given {
    pub(super) sources: Vec<Source>,
    /// Whether several files are meant, even if there is one.
    pub(super) several: bool,
}

/// Goes through what was named.
///
/// # Errors
/// A directory that cannot be read or holds too much, or nothing to judge.
pub(super) fn given(paths: &[PathBuf]) -> anyhow::Result<Given> {
    let mut sources = Vec::new();
    let mut several = paths.len() > 1;
    for path in paths {
        if path == Path::new("-") || !path.is_dir() {
            sources.push(Source::Named(path.clone()));
            continue;
        }
        several = true;
        let before = sources.len();
        walk(path, MOST_DEPTH, &mut sources)?;
        if sources.len() == before {
            bail!(
                "{} holds no YAML, no JSON and no .dockercfg",
                path.display()
            );
        }
    }
    Ok(Given { sources, several })
}

/// Links are not followed: they lead out of the directory, or round in it.
fn walk(directory: &Path, depth: usize, sources: &mut Vec<Source>) -> anyhow::Result<()> {
    let shown = || format!("cannot read {}", directory.display());
    let mut entries = std::fs::read_dir(directory)
        .with_context(shown)?
        .collect::<Result<Vec<_>, _>>()
        .with_context(shown)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().with_context(shown)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && depth > 0 && is_walked(&name) {
            walk(&entry.path(), depth - 1, sources)?;
        } else if kind.is_file() && is_judged(&name) {
            sources.push(Source::Found(entry.path()));
        }
        if sources.len() > MOST_FILES {
            bail!("there are more than {MOST_FILES} files; name fewer directories");
        }
    }
    Ok(())
}

/// What tools keep for themselves is nobody's manifest; Docker's own directory is an exception.
fn is_walked(name: &str) -> bool {
    name == ".docker" || !(name.starts_with('.') || name == "node_modules")
}

fn is_judged(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let by_end = [".yaml", ".yml", ".json"];
    by_end.iter().any(|end| lower.ends_with(end))
        || matches!(lower.as_str(), ".dockercfg" | ".dockerconfigjson")
}
