//! Judging auth files and manifests before clients do: what each client will refuse, ignore or never
//! find, and a corrected document where there is one.
//!
//! Whether a client ever uses a key is not decided here but asked of the clients' own rules
//! ([`crate::auth_file::explain`]), for images that the key is meant for.

use zeroize::Zeroizing;

use crate::intake::document::{self, Content, Documents, Syntax};
use crate::intake::find::{Shape, form_of};
use crate::intake::format::Format;
use crate::model::json::{Exposed, Json};
use file::FileContext;
use finding::{Code, Finding, Findings};

pub mod file;
pub mod finding;
pub mod fix;
pub mod key;
pub mod manifest;

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
            lint_documents(documents, None, &mut findings)
        }
        Content::Text(text) => lint_text(text, &mut findings),
    };
    Report {
        findings: findings.sorted(),
        fixed,
    }
}

fn lint_text(text: &str, findings: &mut Findings) -> Option<Zeroizing<String>> {
    match document::read(text) {
        Ok(documents) => lint_documents(documents, Some(text), findings),
        Err(fault) if fault.code == "json-syntax" || fault.code == "empty" => {
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

fn lint_documents(
    documents: Documents,
    text: Option<&str>,
    findings: &mut Findings,
) -> Option<Zeroizing<String>> {
    let Documents {
        syntax,
        mut documents,
    } = documents;
    let several = documents.len() > 1;
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
    changed.then(|| written(&documents, syntax))
}

/// Judges one document and corrects it; true if that changed it.
fn lint_document(
    document: &mut Json,
    pointer: &str,
    original: Option<&str>,
    syntax: Syntax,
    findings: &mut Findings,
) -> bool {
    let form = form_of(document);
    let shape = match form {
        Some(Format::Secret) => return manifest::lint(document, pointer, findings),
        Some(Format::DockerCfg) => Shape::Flat,
        Some(Format::DockerConfig | Format::PodmanAuth | Format::Auto) => Shape::Config,
        Some(Format::PullSecret | Format::Data | Format::HelmValues) => {
            return manifest::lint_holder(document, pointer, findings);
        }
        None => {
            let detail = "it is neither an auth file nor a manifest with one";
            findings.push(Code::UnknownDocument, pointer, detail);
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
    fix::auth_file(document, shape)
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
