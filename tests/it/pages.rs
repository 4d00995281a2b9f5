//! The pages say what is so: their links lead somewhere, their tables leave nothing out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regcred::config::SETTINGS;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below with this ending.
fn files(below: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(below).expect("a directory");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path, ending),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let mut pages = files(&root().join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name)));
    pages
}

/// Where the links of a page lead, without those to elsewhere.
fn links(page: &str) -> Vec<&str> {
    let behind = page.split("](").skip(1);
    behind
        .filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
        .filter(|link| !link.contains("://") && !link.contains(' '))
        .collect()
}

/// A heading as hosts of repositories make an anchor of it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|character| character.is_alphanumeric() || matches!(character, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#').trim()))
        .any(|found| found == wanted)
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let mut followed = 0;
    for path in pages() {
        let page = read(&path);
        for link in links(&page) {
            let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().expect("a directory").join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            let found = fragment.is_empty() || has_anchor(&read(&target), fragment);
            assert!(found, "{}: {link}", path.display());
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed} links");
}

#[test]
fn every_page_is_linked() {
    let linked: BTreeSet<PathBuf> = pages()
        .iter()
        .flat_map(|path| {
            let page = read(path);
            let folder = path.parent().expect("a directory").to_owned();
            let targets = links(&page).into_iter().map(|link| {
                let (file, _) = link.split_once('#').unwrap_or((link, ""));
                folder.join(file).canonicalize().expect("there")
            });
            targets.collect::<Vec<_>>()
        })
        .collect();
    for page in files(&root().join("docs"), "md") {
        let page = page.canonicalize().expect("there");
        let folder = page.parent().is_some_and(|folder| linked.contains(folder));
        let is_its_index = folder && page.ends_with("README.md");
        assert!(linked.contains(&page) || is_its_index, "{}", page.display());
    }
}

#[test]
fn every_setting_is_on_a_page() {
    let (readme, keys) = (read(&root().join("README.md")), docs("keys.md"));
    for (key, variable) in SETTINGS {
        let quoted = format!("`{variable}`");
        let found = readme.contains(&quoted) || keys.contains(&quoted);
        assert!(found, "{key}: {variable}");
    }
}

#[test]
fn every_variable_on_a_page_is_one() {
    let client = regcred::config::CLIENT_VARIABLES;
    let known: BTreeSet<&str> = SETTINGS
        .iter()
        .map(|(_, name)| *name)
        .chain(client)
        .chain(OF_JOBS)
        .collect();
    for path in pages() {
        let page = read(&path);
        for part in page.split("REGCRED_").skip(1) {
            let end = part
                .find(|character: char| !character.is_ascii_uppercase() && character != '_')
                .unwrap_or(part.len());
            let name = format!("REGCRED_{}", &part[..end]);
            let is_family = name.ends_with('_');
            assert!(
                is_family || known.contains(name.as_str()),
                "{}: {name}",
                path.display()
            );
        }
    }
}

/// Variables that the pages on CI have jobs name so.
const OF_JOBS: [&str; 2] = ["REGCRED_ID_TOKEN", "REGCRED_TOKEN"];

fn docs(name: &str) -> String {
    read(&root().join("docs").join(name))
}

/// Whether a text has the form of an action: two words of letters and dashes with a dot between.
fn is_action(text: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    };
    text.split_once('.')
        .is_some_and(|(what, done)| is_word(what) && is_word(done))
}

/// Texts of that form in the code that notes events.
fn noted() -> BTreeSet<String> {
    let rooms = ["audit", "broker"].map(|room| root().join("src").join(room));
    let gate = root().join("src/http/gate.rs");
    let sources = rooms
        .iter()
        .flat_map(|room| files(room, "rs"))
        .chain([gate]);
    let texts = sources.flat_map(|path| {
        let source = read(&path);
        let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
        let lines = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let quoted = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
        quoted.map(str::to_owned).collect::<Vec<_>>()
    });
    texts.filter(|text| is_action(text)).collect()
}

#[test]
fn the_page_on_the_trail_lists_every_action() {
    let page = docs("audit.md");
    let table: String = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let noted = noted();
    let missing: Vec<&String> = noted
        .iter()
        .filter(|action| !table.contains(&format!("`{action}`")))
        .collect();
    assert!(noted.len() > 20 && missing.is_empty(), "{missing:?}");
    let made_up: Vec<&str> = table
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|text| is_action(text) && !noted.contains(*text))
        .collect();
    assert!(made_up.is_empty(), "{made_up:?}");
}
