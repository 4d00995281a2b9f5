//! A report as a table that a person likes to read.

use crate::auth_file::explain::Client;
use crate::auth_file::explain::LoginKind;
use crate::auth_file::explain::report::{ClientReport, EffectiveReport, Report};
use crate::auth_file::parse::shown;

/// How wide a table is.
const WIDTH: usize = 80;
/// How wide the columns of keys and of logins may become; what is longer is broken.
const TRIES_WIDTH: usize = 40;
const LOGIN_WIDTH: usize = 20;
/// What is between two columns.
const GAP: &str = "  ";
/// Most keys of one client that are listed.
const MOST_KEYS: usize = 8;

const HEAD: [&str; 3] = ["CLIENT", "TRIES", "LOGS IN AS"];

/// One client: each cell is the lines in it. The reason stands below, under the second column.
struct Row {
    cells: [Vec<String>; 3],
    why: String,
}

/// The table, clients in the order asked, and what there is to say about who answers.
pub(super) fn of(report: &Report, clients: &[&dyn Client], notes: &[String]) -> String {
    let mut rows = vec![Row {
        cells: HEAD.map(|title| vec![title.to_owned()]),
        why: String::new(),
    }];
    for client in clients {
        if let Some(found) = report.clients.get(client.name()) {
            rows.push(row(client.name(), found));
        }
    }
    let widths: [usize; 3] = std::array::from_fn(|column| {
        let lines = rows.iter().flat_map(|row| &row.cells[column]);
        lines
            .map(|line| line.chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut rows = rows.iter().map(|row| lines_of(row, &widths));
    let head = rows.next().unwrap_or_default();
    let body: Vec<String> = rows.collect();
    let mut text = format!("{}\n\n{head}{}", printable(&report.image), body.join("\n"));
    for note in notes {
        let lines = wrapped(note, WIDTH).join("\n");
        text.push_str(&format!("\n{lines}\n"));
    }
    text
}

fn row(name: &str, report: &ClientReport) -> Row {
    let login = report.effective.as_ref().map(login);
    let login = login.unwrap_or_else(|| "-".into());
    let tries = tries(report).into_iter();
    Row {
        cells: [
            vec![name.to_owned()],
            tries.flat_map(|key| broken(&key, TRIES_WIDTH)).collect(),
            broken(&login, LOGIN_WIDTH),
        ],
        why: printable(&report.why),
    }
}

/// The keys, with numbers where there are several.
fn tries(report: &ClientReport) -> Vec<String> {
    let keys: Vec<String> = report
        .matches
        .iter()
        .map(|key| printable(&shown(key)))
        .collect();
    let more = keys.len().saturating_sub(MOST_KEYS);
    match (keys.as_slice(), &report.error) {
        (_, Some(error)) => vec![error.class.clone()],
        ([], None) => vec!["(none)".into()],
        ([key], None) => vec![key.clone()],
        (keys, None) => {
            let numbered = keys.iter().enumerate().take(MOST_KEYS);
            let mut lines: Vec<String> = numbered
                .map(|(at, key)| format!("{} {key}", at + 1))
                .collect();
            if more > 0 {
                lines.push(format!("… and {more} more"));
            }
            lines
        }
    }
}

fn login(effective: &EffectiveReport) -> String {
    let name = effective.username.as_deref().map(shown);
    let text = match (effective.kind, name, &effective.helper) {
        (LoginKind::Basic, Some(name), _) => name,
        (LoginKind::Basic, None, _) => "(no user name)".into(),
        (LoginKind::IdentityToken, Some(name), _) => format!("{name} (identity token)"),
        (LoginKind::Helper, _, Some(helper)) => format!("(helper {})", shown(helper)),
        (LoginKind::None | LoginKind::Anonymous, ..) => "(anonymous)".into(),
        (kind, ..) => format!("({})", kind.as_str().replace('_', " ")),
    };
    printable(&text)
}

/// Nothing that a terminal would obey.
fn printable(text: &str) -> String {
    let replaced = text.chars().map(|character| match character.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    });
    replaced.collect()
}

/// Lines of at most so many characters, broken between words, and words only where they are longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').flat_map(|word| broken(word, width)) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A text in pieces of at most so many characters.
fn broken(text: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let pieces = characters.chunks(width.max(1));
    pieces.map(|piece| piece.iter().collect()).collect()
}

fn lines_of(row: &Row, widths: &[usize; 3]) -> String {
    let height = row.cells.iter().map(Vec::len).max().unwrap_or_default();
    let mut text = String::new();
    for at in 0..height {
        let cells = row.cells.iter().zip(widths).map(|(lines, width)| {
            let line = lines.get(at).map_or("", String::as_str);
            format!("{line:<width$}")
        });
        let line = cells.collect::<Vec<String>>().join(GAP);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let indent = widths[0] + GAP.len();
    if !row.why.is_empty() {
        for line in wrapped(&row.why, WIDTH - indent) {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth_file::explain::{CLIENTS, Question};
    use crate::auth_file::parse::{AuthFile, FileFormat};

    fn table(file: &str, image: &str) -> String {
        let question = Question {
            file: &AuthFile::parse(file.as_bytes(), FileFormat::Config),
            image,
            realm: None,
        };
        let answers = CLIENTS.map(|client| (client.name(), client.explain(&question)));
        let report = Report::new(image, answers.into()).expect("somebody takes the image");
        of(&report, &CLIENTS, &["One thing more.".to_owned()])
    }

    #[test]
    fn a_table_is_pleasant_to_read() {
        let file = r#"{"auths": {"quay.io": {"auth": "YWxpY2U6cHc="}, "quay.io/team": {"auth": "cm9ib3Q6cHc="}}}"#;
        insta::assert_snapshot!(table(file, "quay.io/team/app:1"));
    }

    #[test]
    fn errors_and_nothing_have_their_place_in_it() {
        let file = r#"{"auths": {"quay.io/team": {"auth": "***"}}, "credsStore": "desktop"}"#;
        insta::assert_snapshot!(table(file, "quay.io/other/app"));
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let long = "x".repeat(200);
        let file = format!(
            r#"{{"auths": {{"quay.io/{long}": {{"username": "{long}", "password": "x"}}}}}}"#
        );
        let table = table(&file, "quay.io/a/b");
        let widest = table.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(WIDTH), "{table}");
    }

    #[test]
    fn nothing_moves_the_cursor() {
        let file =
            "{\"auths\": {\"quay.io\": {\"username\": \"a\\u001b[2J\", \"password\": \"x\"}}}";
        assert!(!table(file, "quay.io/app").contains('\u{1b}'));
    }
}
