//! Text into documents: JSON or YAML, bounded before anything is built.

use serde_saphyr::options::DuplicateKeyPolicy;
use zeroize::Zeroizing;

use crate::model::json::Json;
use crate::model::mistake::Fault;

/// Most YAML documents in one text.
const MOST_DOCUMENTS: usize = 1000;
/// Most nodes of a text; a megabyte of `[` would be as many.
const MOST_NODES: usize = 200_000;
/// Deepest nesting.
const MOST_DEPTH: usize = 64;
/// Most aliases, and most nodes that they may stand for.
const MOST_ALIASES: usize = 100;
const MOST_REPLAYED: usize = 10_000;
/// Most bytes of text that aliases may copy.
const MOST_COPIED_BYTES: usize = 1024 * 1024;

/// What is to be read.
#[derive(Debug, Clone)]
pub enum Content {
    /// A file as it stands.
    Text(Zeroizing<String>),
    /// A file that was written in UTF-16. Readers of YAML take it; readers of auth files do not.
    Wide(Zeroizing<String>),
    /// A document that was sent as JSON.
    Object(Json),
}

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// One JSON value.
    Json,
    /// YAML documents.
    Yaml,
}

/// The documents of a text.
#[derive(Debug)]
pub struct Documents {
    /// How they are written.
    pub syntax: Syntax,
    /// The documents, empty ones left out.
    pub documents: Vec<Json>,
}

impl Content {
    /// The text that was given, if it was text.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Wide(text) => Some(text),
            Self::Object(_) => None,
        }
    }
}

/// Reads a text: what starts like a JSON object is one, all else is YAML.
///
/// # Errors
/// `empty`, `json-syntax` or `yaml-syntax` with line and column, never with content; `too-complex` for
/// what is nested too deep or multiplied by aliases.
pub fn read(text: &str) -> Result<Documents, Fault> {
    let start = text.trim_start();
    if start.is_empty() {
        return Err(Fault::new("empty", "there is nothing in it"));
    }
    let json = behind_comments(start.trim_start_matches('\u{feff}').trim_start());
    if json.starts_with('{') || json.starts_with('[') {
        return match Json::parse(text.as_bytes()) {
            Ok(document) => Ok(Documents {
                syntax: Syntax::Json,
                documents: vec![document],
            }),
            Err(error) => flow_manifests(text).ok_or_else(|| json_fault(&error)),
        };
    }
    read_yaml(text)
}

/// What follows comments as programmers write them: neither JSON nor YAML has those, and people put them before JSON.
fn behind_comments(text: &str) -> &str {
    let mut rest = text;
    loop {
        let behind = match rest.as_bytes() {
            [b'/', b'/', ..] => rest.split_once('\n'),
            [b'/', b'*', ..] => rest.split_once("*/"),
            _ => return rest,
        };
        rest = behind.map_or("", |(_, behind)| behind.trim_start());
    }
}

/// YAML has a flow form that starts like JSON and is more lenient. It is taken for manifests, which YAML
/// tools read, and not for auth files, which only readers of JSON do.
fn flow_manifests(text: &str) -> Option<Documents> {
    let read = read_yaml(text).ok()?;
    let manifests = |document: &Json| document.text_of("kind").is_some();
    read.documents.iter().all(manifests).then_some(read)
}

fn json_fault(error: &serde_json::Error) -> Fault {
    Fault::new(
        "json-syntax",
        format!(
            "it is no JSON at line {}, column {}",
            error.line(),
            error.column()
        ),
    )
}

fn read_yaml(text: &str) -> Result<Documents, Fault> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: MOST_DOCUMENTS,
            max_nodes: MOST_NODES,
            max_depth: MOST_DEPTH,
            max_aliases: MOST_ALIASES,
            max_anchors: MOST_ALIASES,
            max_recorded_anchor_events: MOST_REPLAYED,
            max_recorded_anchor_bytes: MOST_COPIED_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MOST_REPLAYED,
            max_replay_stack_depth: 4,
            max_alias_expansions_per_anchor: MOST_ALIASES,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    };
    let documents = serde_saphyr::from_multiple_with_options::<Json>(text, options);
    match documents {
        Ok(documents) => Ok(Documents {
            syntax: Syntax::Yaml,
            documents,
        }),
        Err(error) => Err(yaml_fault(&error)),
    }
}

/// The library's own messages name keys and values, so only the place is told.
fn yaml_fault(error: &serde_saphyr::Error) -> Fault {
    use serde_saphyr::Error as E;
    let place = match error.location() {
        Some(at) => format!(" at line {}, column {}", at.line(), at.column()),
        None => String::new(),
    };
    let mut cause = error;
    while let E::AliasError { error, .. } = cause {
        cause = error;
    }
    match cause {
        E::Budget { .. }
        | E::AliasReplayLimitExceeded { .. }
        | E::AliasExpansionLimitExceeded { .. }
        | E::AliasReplayStackDepthExceeded { .. } => Fault::new(
            "too-complex",
            format!("it has too many parts, is nested too deep, or multiplied by aliases{place}"),
        ),
        E::DuplicateMappingKey { .. } => Fault::new(
            "yaml-syntax",
            format!("a key is there twice{place}; YAML allows each once"),
        ),
        _ => Fault::new("yaml-syntax", format!("it is neither JSON nor YAML{place}")),
    }
}
