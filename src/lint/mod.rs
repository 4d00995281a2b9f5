//! Judging auth files and manifests before clients do: what each client will refuse, ignore or never
//! find, and a corrected document where there is one.
//!
//! Whether a client ever uses a key is not decided here but asked of the clients' own rules
//! ([`crate::auth_file::explain`]), for images that the key is meant for.

use zeroize::Zeroizing;

use crate::intake::document::{self, Content, Documents, Syntax};
use crate::intake::find::unknown;
use crate::intake::form::{Shape, form_in};
use crate::intake::format::Format;
use crate::intake::wrapping::Wrapping;
use crate::model::json::{Exposed, Json};
use file::FileContext;
use finding::{Code, Finding, Findings};

pub mod asking;
mod effect;
mod entry;
pub mod file;
pub mod finding;
pub mod fix;
mod images;
pub mod key;
pub mod manifest;
mod references;
mod repeats;
mod sealed;
mod secret;
mod values;

/// What there is to say of a document. The corrected document holds its secrets.
pub struct Report {
    /// What was found, worst first, in the order of the document.
    pub findings: Vec<Finding>,
    /// The document corrected as far as it can be; none where nothing was to correct.
    pub fixed: Option<Zeroizing<String>>,
}

/// Judges a document.
pub fn lint(content: &Content) -> Report {
    let mut findings = Findings::default();
    let fixed = match content {
        Content::Object(document) => {
            let documents = Documents {
                syntax: Syntax::Json,
                documents: vec![document.clone()],
            };
            lint_documents(documents, None, None, &mut findings)
        }
        Content::Text(text) => match text.strip_prefix('\u{feff}') {
            Some(bare) => lint_text(bare, Some(Wrapping::ByteOrderMark), &mut findings),
            None => lint_text(text, None, &mut findings),
        },
        Content::Wide(text) => {
            let bare = text.trim_start_matches('\u{feff}');
            lint_text(bare, Some(Wrapping::Utf16), &mut findings)
        }
    };
    Report {
        findings: findings.sorted(),
        fixed,
    }
}

fn lint_text(
    text: &str,
    wrapping: Option<Wrapping>,
    findings: &mut Findings,
) -> Option<Zeroizing<String>> {
    match document::read(text) {
        Ok(documents) => lint_documents(documents, Some(text), wrapping, findings),
        Err(fault) if fault.code == "json-syntax" || fault.code == "empty" => {
            lint_wrapping(wrapping, findings);
            // The readers of auth files tell which clients refuse it, and where.
            file::lint(
                text.as_bytes(),
                Shape::Config,
                "",
                FileContext::Alone,
                findings,
            );
            None
        }
        Err(fault) => {
            findings.push(Code::Unreadable, "", fault.detail);
            None
        }
    }
}

/// No client takes what is around an auth file; readers of manifests do.
fn lint_wrapping(wrapping: Option<Wrapping>, findings: &mut Findings) {
    if let Some(wrapping) = wrapping {
        let code = Code::Unreadable;
        let detail = wrapping.detail();
        findings.push_for(code, code.severity(), "", &asking::everybody(), detail);
    }
}

fn lint_documents(
    documents: Documents,
    text: Option<&str>,
    wrapping: Option<Wrapping>,
    findings: &mut Findings,
) -> Option<Zeroizing<String>> {
    let Documents {
        syntax,
        mut documents,
    } = documents;
    let several = documents.len() > 1;
    let is_file = |document: &Json| {
        let form = form_in(document, syntax);
        matches!(form, Some(Format::DockerConfig | Format::DockerCfg))
    };
    let unwrapped = wrapping.filter(|_| documents.iter().any(is_file));
    lint_wrapping(unwrapped, findings);
    let mut changed = false;
    for (index, document) in documents.iter_mut().enumerate() {
        let pointer = if several {
            format!("/{index}")
        } else {
            String::new()
        };
        let original = text.filter(|_| syntax == Syntax::Json);
        changed |= lint_document(document, &pointer, original, syntax, findings);
    }
    if documents.is_empty() {
        findings.push(Code::UnknownDocument, "", "there is nothing in it");
    }
    match (changed, unwrapped, text) {
        (true, ..) => Some(written(&documents, syntax)),
        // What is around it comes off, and nothing else is touched.
        (false, Some(_), Some(text)) => Some(Zeroizing::new(text.to_owned())),
        _ => None,
    }
}

/// Judges one document and corrects it; true if that changed it.
fn lint_document(
    document: &mut Json,
    pointer: &str,
    original: Option<&str>,
    syntax: Syntax,
    findings: &mut Findings,
) -> bool {
    let shape = match form_in(document, syntax) {
        Some(Format::Secret) => return manifest::lint(document, pointer, findings),
        Some(Format::DockerCfg) => Shape::Flat,
        Some(Format::DockerConfig | Format::PodmanAuth | Format::Auto) => Shape::Config,
        Some(Format::PullSecret | Format::Data) => {
            return manifest::lint_holder(document, pointer, findings);
        }
        Some(Format::HelmValues) => {
            values::lint(document, pointer, findings);
            return false;
        }
        None => {
            findings.push(Code::UnknownDocument, pointer, unknown(document));
            return false;
        }
    };
    if syntax == Syntax::Yaml {
        let detail = "an auth file is JSON; no client reads it as YAML";
        findings.push(Code::Unreadable, pointer, detail);
    }
    let bytes = match original {
        Some(text) => Zeroizing::new(text.as_bytes().to_vec()),
        None => document.to_bytes(),
    };
    file::lint(&bytes, shape, pointer, FileContext::Alone, findings);
    fix::auth_file(document, shape, FileContext::Alone)
}

/// Writes documents as they were written.
fn written(documents: &[Json], syntax: Syntax) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for document in documents {
        match syntax {
            Syntax::Json => {
                // Every value here is one of JSON.
                let pretty = serde_json::to_string_pretty(&Exposed(document));
                text.push_str(&Zeroizing::new(pretty.unwrap_or_default()));
                text.push('\n');
            }
            Syntax::Yaml => {
                if !text.is_empty() {
                    text.push_str("---\n");
                }
                if let Ok(yaml) = crate::render::objects::yaml(&Exposed(document)) {
                    text.push_str(&yaml);
                }
            }
        }
    }
    text
}
