//! A page of the documentation, and a place where its commands are run.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::fed::{Ended, feed};
use super::files::Directory;

/// A fenced block: what stands behind the fence, and the lines in it.
#[derive(Debug, Clone)]
pub struct Block {
    pub language: String,
    /// The file that the block is, if it says so.
    pub title: Option<String>,
    pub text: String,
}

/// A page with what its examples name replaced by what the test has.
pub struct Page(pub Vec<Block>);

impl Page {
    pub fn read(name: &str, replaced: &[(&str, &str)]) -> Self {
        let path = format!("{}/docs/recipes/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut text = std::fs::read_to_string(path).expect("the page is there");
        for (example, real) in replaced {
            assert!(text.contains(example), "{name} names {example}");
            text = text.replace(example, real);
        }
        let mut blocks = Vec::new();
        for part in text.split("\n```").skip(1).step_by(2) {
            let (head, lines) = part.split_once('\n').expect("a first line");
            let (language, title) = match head.split_once(" title=") {
                Some((language, title)) => (language, Some(title.to_owned())),
                None => (head, None),
            };
            assert!(
                !language.is_empty(),
                "{name}: a block says what it is: {lines}"
            );
            blocks.push(Block {
                language: language.to_owned(),
                title,
                text: format!("{lines}\n"),
            });
        }
        assert!(!blocks.is_empty(), "{name}");
        Self(blocks)
    }

    /// The file of this title.
    pub fn file(&self, title: &str) -> &str {
        let named = |block: &&Block| block.title.as_deref() == Some(title);
        let block = self.0.iter().find(named);
        &block.unwrap_or_else(|| panic!("a block {title}")).text
    }

    /// The blocks in a language.
    pub fn written_in<'a>(&'a self, language: &'a str) -> impl Iterator<Item = &'a Block> {
        self.0
            .iter()
            .filter(move |block| block.language == language)
    }
}

/// `kubectl` without a cluster: what is applied is kept, and read by the real one; what is created is
/// made by it.
const KUBECTL: &str = r#"#!/bin/sh
set -eu
case "$1" in
apply)
  for argument in "$@"; do
    case "$argument" in
    --filename=-) cat > "$HOME/applied.yaml" ;;
    --filename=*) cat "${argument#--filename=}" > "$HOME/applied.yaml" ;;
    esac
  done
  "$REAL_KUBECTL" label --local --output=name --filename="$HOME/applied.yaml" read-by=kubectl ;;
create) "$REAL_KUBECTL" "$@" --dry-run=client --output=yaml > "$HOME/created.yaml" ;;
label) echo "$@" > "$HOME/labelled" ;;
*) echo "no stub for $1" >&2; exit 1 ;;
esac
"#;

/// `helm` without a cluster: it keeps the values that it is given.
const HELM: &str = r#"#!/bin/sh
set -eu
for argument in "$@"; do
  case "$argument" in
  --values=-) cat > "$HOME/values-given.yaml" ;;
  --values=*) cat "${argument#--values=}" > "$HOME/values-given.yaml" ;;
  esac
done
"#;

/// `kubeseal` without a cluster.
const KUBESEAL: &str = "#!/bin/sh\ncat \"$HOME/cluster.pem\"\n";

/// A home directory in which commands run, with stubs of what needs a cluster.
pub struct Desk {
    directory: Directory,
    variables: Vec<(String, String)>,
}

impl Desk {
    pub fn new() -> Self {
        let desk = Self {
            directory: Directory::new(),
            variables: Vec::new(),
        };
        for (name, script) in [("kubectl", KUBECTL), ("helm", HELM), ("kubeseal", KUBESEAL)] {
            let path = desk.write(&format!("bin/{name}"), script);
            let executable = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(path, executable).expect("ours");
        }
        symlink(super::program(), desk.path("bin/regcred")).expect("writable");
        desk
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("writable");
        std::fs::write(&path, text).expect("writable");
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a script in a shell that stops at the first failure.
    pub async fn run(&self, script: &str) -> Ended {
        let path = std::env::var("PATH").expect("a PATH");
        let real = super::peers::peer("kubectl").expect("kubectl is on PATH");
        let mut command = Command::new("sh");
        command
            .args(["-eu", "-c", script])
            .current_dir(self.directory.path())
            .env_clear()
            .env("HOME", self.directory.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("REAL_KUBECTL", real)
            .envs(self.variables.iter().cloned());
        let ended = feed(command, "").await;
        assert_eq!(ended.code, 0, "{script}\n{}{}", ended.output, ended.errors);
        ended
    }

    /// Puts a page's files in their places and runs its commands in order.
    pub async fn follow(&self, page: &Page) {
        for block in &page.0 {
            match (&block.title, block.language.as_str()) {
                (Some(title), _) => drop(self.write(title, &block.text)),
                (None, "sh") => drop(self.run(&block.text).await),
                (None, _) => {}
            }
        }
    }
}
