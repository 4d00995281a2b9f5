//! The helper's settings: `~/.config/regcred/helper.toml`, and over it the environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::HelperError;

/// Key in the file and variable.
const SETTINGS: [(&str, &str); 5] = [
    ("url", "REGCRED_URL"),
    ("tenant", "REGCRED_TENANT"),
    ("pull_secret", "REGCRED_PULL_SECRET"),
    ("token_file", "REGCRED_TOKEN_FILE"),
    ("ca_file", "REGCRED_CA_BUNDLE"),
];

/// Where and as whom the helper asks.
#[derive(Debug)]
pub(super) struct HelperSettings {
    pub(super) url: String,
    pub(super) tenant: String,
    pub(super) pull_secret: String,
    pub(super) token_file: PathBuf,
    pub(super) ca_file: Option<PathBuf>,
}

/// Reads the settings of this process.
pub(super) fn load() -> Result<HelperSettings, HelperError> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let home = variable("HOME").map(PathBuf::from);
    let file = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| home.as_ref().map(|home| home.join(".config")))
        .map(|directory| directory.join("regcred/helper.toml"));
    let mut texts = match &file {
        Some(file) => read(file)?,
        None => BTreeMap::new(),
    };
    for (key, name) in SETTINGS {
        if let Some(value) = variable(name) {
            texts.insert(key, value);
        }
    }
    settings(&texts, home.as_deref(), file.as_deref())
}

fn settings(
    texts: &BTreeMap<&'static str, String>,
    home: Option<&Path>,
    file: Option<&Path>,
) -> Result<HelperSettings, HelperError> {
    let needed = |key: &str| {
        texts.get(key).cloned().ok_or_else(|| {
            let variable = SETTINGS.iter().find(|(known, _)| *known == key);
            let variable = variable.map_or("", |(_, variable)| variable);
            let file = file.unwrap_or(Path::new("helper.toml")).display();
            HelperError::Settings(format!("set {variable}, or `{key}` in {file}"))
        })
    };
    let path = |text: String| match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    Ok(HelperSettings {
        url: needed("url")?,
        tenant: needed("tenant")?,
        pull_secret: needed("pull_secret")?,
        token_file: path(needed("token_file")?),
        ca_file: texts.get("ca_file").cloned().map(path),
    })
}

/// A file that is not there says nothing.
fn read(file: &Path) -> Result<BTreeMap<&'static str, String>, HelperError> {
    let trouble = |why: &str| HelperError::Settings(format!("{}: {why}", file.display()));
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(trouble(&error.to_string())),
    };
    let table: toml::Table = toml::from_str(&text).map_err(|_| trouble("it is not TOML"))?;
    let mut texts = BTreeMap::new();
    for (key, value) in table {
        let Some((known, _)) = SETTINGS.iter().find(|(known, _)| *known == key) else {
            let known: Vec<&str> = SETTINGS.iter().map(|(key, _)| *key).collect();
            return Err(trouble(&format!(
                "unknown key `{key}`; known are {}",
                known.join(", ")
            )));
        };
        let toml::Value::String(text) = value else {
            return Err(trouble(&format!("`{key}` is no text in quotes")));
        };
        texts.insert(*known, text);
    }
    Ok(texts)
}
