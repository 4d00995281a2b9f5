//! The admin token of `regcred dev`, and the files that it is in.
//!
//! A file belongs to one database: that of another is never overwritten, and nothing is made in a database that is not
//! ours which would never end, if there is such a thing already.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use zeroize::Zeroizing;

use crate::auth::role::Role;
use crate::auth::token::Token;
use crate::broker::tokens::{Ends, TokenWrite, bootstrap_token};
use crate::model::name::Name;
use crate::store::{Database, tokens};

/// What a file says of the database that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// There is no file.
    Nothing,
    /// Its token is one of this database.
    Ours,
    /// Its token is another database's, or was of one that is gone.
    Others,
}

/// Sees to it that there is an admin token, and gives its file. `named` is the database that `DATABASE_URL` names; there, none
/// is made beside one that never ends.
///
/// # Errors
/// Those of the files and of the database.
pub(super) async fn ensure(
    database: &Database,
    directory: &Path,
    named: Option<&str>,
) -> anyhow::Result<Option<PathBuf>> {
    let file = directory.join("root-token");
    match (look(database, &file).await?, named) {
        (Found::Ours, _) => return Ok(Some(file)),
        (Found::Nothing, None) => {}
        // Whose it is, nobody can tell here: a private database that is gone, or one that was named.
        (Found::Others, None) => set_aside(&file)?,
        (found, Some(named)) => return in_named(database, &file, found, named).await,
    }
    make(database, &file).await?;
    Ok(Some(file))
}

async fn in_named(
    database: &Database,
    file: &Path,
    found: Found,
    named: &str,
) -> anyhow::Result<Option<PathBuf>> {
    let own = match found {
        Found::Others => file.with_file_name(file_name(named)),
        _ => file.to_owned(),
    };
    match look(database, &own).await? {
        Found::Ours => return Ok(Some(own)),
        Found::Others => set_aside(&own)?,
        Found::Nothing => {}
    }
    let mut tx = database.begin().await?;
    let has_one = tokens::has_endless_admin(&mut tx).await?;
    tx.commit().await?;
    if has_one {
        return Ok(None);
    }
    make(database, &own).await?;
    Ok(Some(own))
}

fn file_name(named: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-');
    let name: String = named
        .chars()
        .map(|letter| if allowed(letter) { letter } else { '-' })
        .collect();
    format!("root-token-of-{name}")
}

/// Keeps a file under a name that nothing has yet.
fn set_aside(file: &Path) -> anyhow::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let kept = file.with_file_name(format!("{name}.{}", uuid::Uuid::now_v7().simple()));
    std::fs::rename(file, &kept).with_context(|| format!("cannot rename {}", file.display()))?;
    tracing::warn!(
        kept = %kept.display(),
        "the admin token is not one of this database; it is kept in another file"
    );
    Ok(())
}

async fn look(database: &Database, file: &Path) -> anyhow::Result<Found> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let token = Token::parse(text.trim()).with_context(|| {
        format!(
            "{} holds no token; remove it to get a new one",
            file.display()
        )
    })?;
    let mut tx = database.begin().await?;
    let known = tokens::by_hash_with_changes(&mut tx, &token.hash().0).await?;
    tx.commit().await?;
    Ok(known.map_or(Found::Others, |_| Found::Ours))
}

async fn make(database: &Database, file: &Path) -> anyhow::Result<()> {
    let now = SystemTime::now().into();
    let name = Name::parse(&format!("root-{}", uuid::Uuid::now_v7().simple()))
        .map_err(|fault| anyhow::anyhow!(fault.detail))?;
    let write = TokenWrite {
        name,
        role: Role::Admin,
        ends: Ends::Never,
        pull_secrets: None,
        networks: None,
    };
    let token = bootstrap_token(database, now, &write, "regcred dev").await?;
    let written = write_whole(file, token.secret().expose());
    written.with_context(|| format!("cannot write {}", file.display()))
}

/// Puts the header that shows the token of a file into a file beside it, for programs that must not be given it as an
/// argument: `curl --header @FILE`.
///
/// # Errors
/// Those of the files.
pub(super) fn header_file(token_file: &Path) -> anyhow::Result<PathBuf> {
    let name = token_file.file_name().unwrap_or_default().to_string_lossy();
    let file = token_file.with_file_name(name.replacen("root-token", "authorization", 1));
    let written = std::fs::read_to_string(token_file).and_then(|token| {
        let token = Zeroizing::new(token);
        let header = Zeroizing::new(format!("Authorization: Bearer {}", token.trim()));
        write_whole(&file, &header)
    });
    written.with_context(|| format!("cannot write {}", file.display()))?;
    Ok(file)
}

/// Nobody meets a part of it.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let unfinished = file.with_extension("new");
    write_private(&unfinished, text)?;
    std::fs::rename(&unfinished, file)
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut out = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    writeln!(out, "{text}")?;
    out.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_gives_a_file_name() {
        assert_eq!(
            file_name("db.example.com:5432/regcred"),
            "root-token-of-db.example.com-5432-regcred"
        );
    }
}
