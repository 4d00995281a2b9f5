//! Documents into auth files: which of a document's texts hold entries, and in which shape.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::document::{self, Content, Documents, Syntax};
use super::form::{
    Shape, decode_data, escaped, file_key, form_in, form_of, nested_credentials, shown, text_value,
};
use super::format::Format;
use super::request::OnInvalid;
use super::wrapping::{Wrapping, unwrapped};
use crate::model::json::Json;
use crate::model::mistake::{Fault, Mistake};

/// The pointer to what is imported.
pub const CONTENT: &str = "/content";

/// Most warnings that are told.
const MOST_WARNINGS: usize = 100;

/// An auth file that was found.
#[derive(Debug)]
pub struct AuthFile {
    /// JSON pointer into the request to where it stands.
    pub pointer: String,
    /// What its entries have around them.
    pub shape: Shape,
    /// The file itself.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether these are the bytes that somebody wrote.
    pub wording: Wording,
}

/// Whether lines and columns of a file mean something to whom it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wording {
    /// The bytes are those that were written.
    AsWritten,
    /// They say the same in other words.
    Rewritten,
}

/// What was found in the content.
#[derive(Debug)]
pub struct Intake {
    /// The form that it has.
    pub format: Format,
    /// The auth files, in the order in which they stand.
    pub files: Vec<AuthFile>,
    /// What is there and was left alone.
    pub warnings: Vec<String>,
}

/// Finds the auth files of what was given.
///
/// # Errors
/// What cannot be read at all, or is another form than was said.
pub fn find(
    content: &Content,
    format: Format,
    on_invalid: OnInvalid,
) -> Result<Intake, Vec<Mistake>> {
    let text = match content {
        Content::Object(document) => {
            let documents = std::slice::from_ref(document);
            return find_in(documents, Syntax::Json, None, (format, on_invalid));
        }
        Content::Wide(text) => return find_wide(text, format, on_invalid),
        Content::Text(text) => text,
    };
    let shape = match format {
        Format::DockerConfig | Format::PodmanAuth => Some(Shape::Config),
        Format::DockerCfg => Some(Shape::Flat),
        _ => None,
    };
    if let Some(shape) = shape {
        return Ok(whole(text, shape, format));
    }
    match document::read(text) {
        Ok(read) if is_yaml_auth_file(&read) => {
            // The parser of auth files tells where it is no JSON.
            Ok(whole(text, Shape::Config, Format::DockerConfig))
        }
        Ok(read) => find_in(
            &read.documents,
            read.syntax,
            Some(text),
            (format, on_invalid),
        ),
        // The parser of auth files tells more of what clients make of it.
        Err(fault) if fault.code == "json-syntax" && format == Format::Auto => {
            Ok(whole(text, Shape::Config, Format::DockerConfig))
        }
        Err(fault) => Err(vec![fault.at(CONTENT)]),
    }
}

/// Whoever reads YAML takes UTF-16, too; readers of auth files do not.
fn find_wide(text: &str, format: Format, on_invalid: OnInvalid) -> Result<Intake, Vec<Mistake>> {
    let read = document::read(text).map_err(|fault| vec![fault.at(CONTENT)])?;
    let is_manifest = |document: &Json| document.text_of("kind").is_some();
    if read.documents.iter().all(is_manifest) {
        return find_in(
            &read.documents,
            read.syntax,
            Some(text),
            (format, on_invalid),
        );
    }
    let fault = Fault::new("utf-16", Wrapping::Utf16.detail());
    Err(vec![fault.at(CONTENT)])
}

/// No client reads an auth file that is written in YAML.
fn is_yaml_auth_file(read: &Documents) -> bool {
    let auth_file = |document: &Json| form_of(document) == Some(Format::DockerConfig);
    let is_empty =
        |document: &Json| matches!(document, Json::Object(members) if members.is_empty());
    read.syntax == Syntax::Yaml
        && read
            .documents
            .iter()
            .any(|document| auth_file(document) && !is_empty(document))
}

fn whole(text: &str, shape: Shape, format: Format) -> Intake {
    Intake {
        format,
        files: vec![AuthFile {
            pointer: CONTENT.into(),
            shape,
            bytes: Zeroizing::new(text.as_bytes().to_vec()),
            wording: Wording::AsWritten,
        }],
        warnings: Vec::new(),
    }
}

fn find_in(
    documents: &[Json],
    syntax: Syntax,
    text: Option<&str>,
    (format, on_invalid): (Format, OnInvalid),
) -> Result<Intake, Vec<Mistake>> {
    let mut finder = Finder {
        syntax,
        ..Finder::default()
    };
    let several = documents.len() > 1;
    for (index, document) in documents.iter().enumerate() {
        let pointer = match (text, several) {
            (Some(_), true) => format!("{CONTENT}/{index}"),
            _ => CONTENT.to_owned(),
        };
        // A file that was given as text is parsed as that text, not as what one reader made of it.
        let original = text.filter(|text| !several && text.trim_start().starts_with('{'));
        finder.document(document, &pointer, original);
    }
    finder.finish(format, on_invalid)
}

struct Finder {
    syntax: Syntax,
    format: Option<Format>,
    files: Vec<AuthFile>,
    warnings: Vec<String>,
    mistakes: Vec<Mistake>,
}

impl Default for Finder {
    fn default() -> Self {
        Self {
            syntax: Syntax::Json,
            format: None,
            files: Vec::new(),
            warnings: Vec::new(),
            mistakes: Vec::new(),
        }
    }
}

impl Finder {
    fn finish(mut self, asked: Format, on_invalid: OnInvalid) -> Result<Intake, Vec<Mistake>> {
        let found = self.format.unwrap_or_default();
        if self.mistakes.is_empty() && self.format.is_some() && !asked.takes(found) {
            let detail = format!(
                "it is {}, not {}; `auto` takes either",
                found.as_str(),
                asked.as_str()
            );
            self.mistakes
                .push(Fault::new("other-format", detail).at(CONTENT));
        }
        if self.mistakes.is_empty() && self.files.is_empty() {
            let fault = Fault::new("no-auth-file", "no auth file is in it");
            self.mistakes.push(fault.at(CONTENT));
        }
        if !self.mistakes.is_empty() && (self.files.is_empty() || on_invalid == OnInvalid::Reject) {
            return Err(self.mistakes);
        }
        for mistake in std::mem::take(&mut self.mistakes) {
            self.warnings.push(format!(
                "left-out: what stands at {} is not read: {}",
                mistake.place(),
                mistake.detail
            ));
        }
        let more = self.warnings.len().saturating_sub(MOST_WARNINGS);
        if more > 0 {
            self.warnings.truncate(MOST_WARNINGS);
            self.warnings
                .push(format!("more-warnings: {more} more of these"));
        }
        Ok(Intake {
            format: if asked == Format::Auto { found } else { asked },
            files: self.files,
            warnings: self.warnings,
        })
    }

    fn document(&mut self, document: &Json, pointer: &str, original: Option<&str>) {
        let Some(form) = form_in(document, self.syntax) else {
            let detail = unknown(document);
            self.mistakes
                .push(Fault::new("unknown-format", detail).at(pointer));
            return;
        };
        self.format.get_or_insert(form);
        match form {
            Format::DockerCfg => self.file(document, pointer, Shape::Flat, original),
            Format::Secret => self.object(document, pointer),
            Format::PullSecret => self.pull_secret(document, pointer),
            Format::Data => self.data(document, pointer),
            Format::HelmValues => self.helm_values(document, pointer),
            Format::Auto | Format::DockerConfig | Format::PodmanAuth => {
                self.file(document, pointer, Shape::Config, original);
            }
        }
    }

    fn file(&mut self, document: &Json, pointer: &str, shape: Shape, original: Option<&str>) {
        let pointer = pointer.to_owned();
        match original {
            Some(text) => self.text(pointer, shape, text.as_bytes()),
            None => self.rewritten(pointer, shape, document),
        }
    }

    fn text(&mut self, pointer: String, shape: Shape, bytes: &[u8]) {
        self.files.push(AuthFile {
            pointer,
            shape,
            bytes: Zeroizing::new(bytes.to_vec()),
            wording: Wording::AsWritten,
        });
    }

    fn rewritten(&mut self, pointer: String, shape: Shape, document: &Json) {
        self.files.push(AuthFile {
            pointer,
            shape,
            bytes: document.to_bytes(),
            wording: Wording::Rewritten,
        });
    }

    /// A Kubernetes object: a Secret, or a list of objects.
    fn object(&mut self, object: &Json, pointer: &str) {
        match object.text_of("kind").unwrap_or_default() {
            "Secret" => self.secret(object, pointer),
            "List" | "SecretList" => {
                let items = match object.member("items") {
                    Some(Json::List(items)) => items.as_slice(),
                    _ => &[],
                };
                for (index, item) in items.iter().enumerate() {
                    let pointer = format!("{pointer}/items/{index}");
                    match item.text_of("kind") {
                        Some("List" | "SecretList") => self.ignored("a List in a List", &pointer),
                        // The items of a SecretList need not say what they are.
                        None if object.text_of("kind") == Some("SecretList") => {
                            self.secret(item, &pointer);
                        }
                        _ => self.object(item, &pointer),
                    }
                }
            }
            kind => {
                let name = object.member("metadata").and_then(|at| at.text_of("name"));
                let name = name
                    .map(|name| format!(" {}", shown(name)))
                    .unwrap_or_default();
                self.ignored(
                    &format!("a {}{name}, which is no Secret,", shown(kind)),
                    pointer,
                );
            }
        }
    }

    fn ignored(&mut self, what: &str, pointer: &str) {
        self.warnings
            .push(format!("ignored-object: {what} stands at {pointer}"));
    }

    /// What `stringData` holds stands over `data`, as for the API server.
    fn secret(&mut self, secret: &Json, pointer: &str) {
        let before = (self.files.len(), self.mistakes.len());
        let strings = members_of(secret, "stringData");
        for (key, value) in strings {
            let at = format!("{pointer}/stringData/{}", escaped(key));
            match text_value(value) {
                Ok(text) => self.value(key, at, text.as_bytes()),
                Err(fault) => self.refused(key, at, fault),
            }
        }
        let over: HashSet<&str> = strings.iter().map(|(key, _)| key.as_str()).collect();
        for (key, value) in members_of(secret, "data") {
            if over.contains(key.as_str()) {
                continue;
            }
            let at = format!("{pointer}/data/{}", escaped(key));
            match text_value(value).and_then(decode_data) {
                Ok(bytes) => self.value(key, at, &bytes),
                Err(fault) => self.refused(key, at, fault),
            }
        }
        if before == (self.files.len(), self.mistakes.len()) {
            self.ignored(&without_file(secret), pointer);
        }
    }

    /// Only where an auth file should be does it matter that there is none.
    fn refused(&mut self, key: &str, pointer: String, fault: Fault) {
        if file_key(key).is_some() {
            self.mistakes.push(fault.at(pointer));
        }
    }

    /// A value of a Secret's data: under a key of auth files it is one, under another it may be. How it
    /// is laid out, its content says; the key does where the content does not.
    fn value(&mut self, key: &str, pointer: String, bytes: &[u8]) {
        let by_key = file_key(key);
        if let (Some(_), Some((wrapping, _))) = (by_key, unwrapped(bytes)) {
            let detail = format!("{}; regcred lint --fix mends it", wrapping.detail());
            let fault = Fault::new("wrapped", detail);
            return self.mistakes.push(fault.at(pointer));
        }
        let document = Json::parse(bytes).ok();
        let by_content = match document.as_ref().and_then(form_of) {
            Some(Format::DockerConfig) if !is_empty(bytes) => Some(Shape::Config),
            Some(Format::DockerCfg) => Some(Shape::Flat),
            _ => None,
        };
        if let (Some(by_key), Some(by_content)) = (by_key, by_content)
            && by_key != by_content
        {
            self.warnings.push(format!(
                "wrong-shape: what stands at {pointer} is laid out otherwise than {key} says; clients find nothing in it"
            ));
        }
        match by_content.or(by_key) {
            Some(shape) => self.text(pointer, shape, bytes),
            None => self
                .warnings
                .push(format!("ignored-key: no auth file is at {pointer}")),
        }
    }

    fn pull_secret(&mut self, document: &Json, pointer: &str) {
        let at = format!("{pointer}/pullSecret");
        match document.member("pullSecret") {
            Some(Json::Text(text)) => {
                self.text(at, Shape::Config, text.as_bytes());
            }
            Some(inner) if form_of(inner) == Some(Format::DockerConfig) => {
                self.rewritten(at, Shape::Config, inner);
            }
            _ => {
                let fault = Fault::new(
                    "wrong-type",
                    "expected an auth file, as text or as an object",
                );
                self.mistakes.push(fault.at(at));
            }
        }
    }

    fn data(&mut self, document: &Json, pointer: &str) {
        let Json::Object(members) = document else {
            return;
        };
        for (key, value) in members {
            let text = value.as_text().unwrap_or_default();
            let at = format!("{pointer}/{}", escaped(key));
            self.value(key, at, text.as_bytes());
        }
    }

    /// The values are entries with their registry beside them.
    fn helm_values(&mut self, document: &Json, pointer: &str) {
        let mut auths = Vec::new();
        for (at, credential) in credentials_of(document) {
            let Json::Object(mut fields) = credential.clone() else {
                continue;
            };
            let registry = fields.iter().position(|(name, _)| name == "registry");
            match registry.map(|at| fields.remove(at).1) {
                Some(Json::Text(registry)) => {
                    auths.push((registry.to_string(), Json::Object(fields)));
                }
                _ => {
                    let fault = Fault::new("required", "expected a registry");
                    self.mistakes.push(fault.at(format!("{pointer}{at}")));
                }
            }
        }
        let at = format!("{pointer}/imageCredentials");
        let file = Json::Object(vec![("auths".into(), Json::Object(auths))]);
        self.rewritten(at, Shape::Config, &file);
    }
}

/// The credentials in values for charts, each with its pointer: one map, a list of them, or a map of them.
pub fn credentials_of(document: &Json) -> Vec<(String, &Json)> {
    const AT: &str = "/imageCredentials";
    let is_credential = |value: &Json| value.member("registry").is_some();
    match document.member("imageCredentials") {
        Some(Json::List(items)) => {
            let items = items.iter().enumerate();
            items
                .map(|(index, item)| (format!("{AT}/{index}"), item))
                .collect()
        }
        Some(one @ Json::Object(members)) => {
            let of_map = members.iter().filter(|(_, value)| is_credential(value));
            let of_map: Vec<_> = of_map
                .map(|(name, value)| (format!("{AT}/{}", escaped(name)), value))
                .collect();
            match is_credential(one) || of_map.is_empty() {
                true => vec![(AT.to_owned(), one)],
                false => of_map,
            }
        }
        _ => Vec::new(),
    }
}

/// What a document is not, and where to look in it.
pub fn unknown(document: &Json) -> String {
    let expected = "expected an auth file, a Secret manifest, or a document with `pullSecret`, `imageCredentials` or a Secret's data";
    let is_base64 = |text: &str| matches!(unwrapped(text.as_bytes()), Some((Wrapping::Base64, _)));
    if document.as_text().is_some_and(is_base64) {
        return "it is the base64 of a file: decode it first, such as by `base64 -d`".to_owned();
    }
    match nested_credentials(document) {
        Some(at) => format!("{expected}; `imageCredentials` stands at {at}: give that part alone"),
        None => expected.to_owned(),
    }
}

/// A Secret that holds no auth file, by its type and name.
fn without_file(secret: &Json) -> String {
    let name = secret.member("metadata").and_then(|at| at.text_of("name"));
    let name = name
        .map(|name| format!(" {}", shown(name)))
        .unwrap_or_default();
    match secret.text_of("type") {
        Some(kind) => format!(
            "the Secret{name} of type {}, without an auth file,",
            shown(kind)
        ),
        None => format!("the Secret{name}, without an auth file,"),
    }
}

fn members_of<'a>(object: &'a Json, name: &str) -> &'a [(String, Json)] {
    match object.member(name) {
        Some(Json::Object(members)) => members,
        _ => &[],
    }
}

/// Nothing but an object without members.
fn is_empty(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
    rest.by_ref().take(2).eq([b'{', b'}'].iter()) && rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Intake {
        let content = Content::Text(Zeroizing::new(text.to_owned()));
        find(&content, Format::Auto, OnInvalid::Reject)
            .unwrap_or_else(|mistakes| panic!("{text}: {mistakes:?}"))
    }

    fn code(text: &str, format: Format) -> (&'static str, String) {
        let content = Content::Text(Zeroizing::new(text.to_owned()));
        let mistakes = find(&content, format, OnInvalid::Reject).expect_err(text);
        (mistakes[0].code, mistakes[0].place().to_owned())
    }

    #[test]
    fn every_form_is_recognised() {
        for (text, format) in [
            (r#"{"auths":{}}"#, Format::DockerConfig),
            (r#"{"AUTHS":{}}"#, Format::DockerConfig),
            (r#"{"credsStore":"desktop"}"#, Format::DockerConfig),
            ("{}", Format::DockerConfig),
            (r#"{"quay.io":{"auth":"dTpw"}}"#, Format::DockerCfg),
            (r#"{".dockercfg":"{}"}"#, Format::Data),
            (r#"{"pullSecret":"{\"auths\":{}}"}"#, Format::PullSecret),
            (
                "pullSecret: '{\"auths\":{}}'\nbaseDomain: x\n",
                Format::PullSecret,
            ),
            (
                "imageCredentials:\n  registry: quay.io\n  username: u\n  password: p\n",
                Format::HelmValues,
            ),
            (
                r#"{"kind":"Secret","data":{".dockerconfigjson":"e30="}}"#,
                Format::Secret,
            ),
            (
                "kind: Secret\nstringData:\n  .dockercfg: '{}'\n",
                Format::Secret,
            ),
            (
                "---\n---\nkind: List\nitems:\n- kind: Secret\n  data: {auth.json: e30=}\n",
                Format::Secret,
            ),
        ] {
            let intake = found(text);
            assert_eq!((intake.format, intake.files.len()), (format, 1), "{text}");
        }
    }

    #[test]
    fn each_secret_of_several_documents_gives_its_file() {
        let one = "kind: Secret\ndata:\n  .dockerconfigjson: e30=\n";
        let intake = found(&format!("{one}---\nkind: RoleBinding\n---\n{one}"));
        let pointers: Vec<&str> = intake
            .files
            .iter()
            .map(|file| file.pointer.as_str())
            .collect();
        assert_eq!(
            pointers,
            [
                "/content/0/data/.dockerconfigjson",
                "/content/2/data/.dockerconfigjson"
            ]
        );
        assert_eq!(intake.warnings.len(), 1);
    }

    #[test]
    fn string_data_stands_over_data() {
        let intake = found(
            r#"{"kind":"Secret","data":{".dockercfg":"e30="},"stringData":{".dockercfg":"{\"x\":{}}"}}"#,
        );
        assert_eq!(intake.files.len(), 1);
        assert_eq!(intake.files[0].bytes.as_slice(), br#"{"x":{}}"#);
    }

    #[test]
    fn what_holds_no_auth_file_is_refused() {
        for (text, format, expected) in [
            ("", Format::Auto, "empty"),
            ("just words", Format::Auto, "unknown-format"),
            ("[]", Format::Auto, "unknown-format"),
            ("a: 1\n", Format::Auto, "unknown-format"),
            ("a: [", Format::Auto, "yaml-syntax"),
            ("a: 1\na: 2\n", Format::Auto, "yaml-syntax"),
            ("kind: ServiceAccount\n", Format::Auto, "no-auth-file"),
            (r#"{"auths":{}}"#, Format::Secret, "other-format"),
            (
                "kind: Secret\ndata: {.dockerconfigjson: '%'}\n",
                Format::Auto,
                "not-base64",
            ),
        ] {
            assert_eq!(code(text, format).0, expected, "{text}");
        }
    }

    #[test]
    fn what_multiplies_itself_is_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let before = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} ["));
            bomb.push_str(&vec![format!("*a{before}"); 10].join(", "));
            bomb.push_str("]\n");
        }
        assert_eq!(code(&bomb, Format::Secret).0, "too-complex");
        let deep = format!("a: {}", "[".repeat(100_000));
        for text in [
            deep.as_str(),
            &"- ".repeat(100_000),
            &"{\"a\":".repeat(100_000),
        ] {
            let (code, _) = code(text, Format::Secret);
            assert!(
                ["too-complex", "yaml-syntax", "json-syntax"].contains(&code),
                "{code}"
            );
        }
    }
}
