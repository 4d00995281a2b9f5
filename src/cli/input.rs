//! Files that commands read: bounded, and `-` for standard input.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use zeroize::Zeroizing;

use crate::intake::document::Content;
use crate::intake::wrapping;

/// Largest file in bytes.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a file that may hold secrets. What is neither UTF-16 nor UTF-8 is U+FFFD, as clients read it.
///
/// # Errors
/// As [`read_bytes`].
pub(super) fn read(path: &Path) -> anyhow::Result<Content> {
    let bytes = read_bytes(path)?;
    if let Some(text) = wrapping::utf16(&bytes) {
        return Ok(Content::Wide(text));
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Content::Text(Zeroizing::new(text)))
}

/// Reads a file as it is.
///
/// # Errors
/// A file that cannot be read, or is too large to be an auth file.
pub(super) fn read_bytes(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let shown = path.display();
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new("-") {
        std::io::stdin()
            .take(MOST_BYTES + 1)
            .read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("{shown} has more than {MOST_BYTES} bytes; no client reads such a file");
    }
    Ok(bytes)
}
