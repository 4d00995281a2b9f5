//! The line that a finding is about, for tools that show one.

/// The line of what a pointer points to, counted from one: where the last of its names stands that is
/// found when they are looked for one after the other. A pointer into base64 ends at the value.
pub(super) fn line_of(text: &str, pointer: &str) -> usize {
    let mut at = 0;
    for (depth, part) in pointer.split('/').skip(1).enumerate() {
        let name = part.replace("~1", "/").replace("~0", "~");
        let found = match name.parse::<usize>() {
            Ok(index) if depth == 0 => document_at(text, index),
            Ok(_) => None,
            Err(_) => name_at(&text[at..], &name).map(|found| at + found),
        };
        at = found.unwrap_or(at);
    }
    text[..at].bytes().filter(|byte| *byte == b'\n').count() + 1
}

/// Where a document of several starts.
fn document_at(text: &str, index: usize) -> Option<usize> {
    let starts = text
        .match_indices("---\n")
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text[..*at].ends_with('\n'))
        .map(|at| at + 4);
    let leading = text.trim_start().starts_with("---");
    let first = (!leading).then_some(0);
    first.into_iter().chain(starts).nth(index)
}

/// Where a name stands before a colon, in quotes or without.
fn name_at(text: &str, name: &str) -> Option<usize> {
    if name.is_empty() {
        return None;
    }
    let places = text.match_indices(name).map(|(at, _)| at);
    places.into_iter().find(|at| {
        let before = text[..*at].chars().next_back();
        let after = text[at + name.len()..]
            .trim_start_matches(['"', '\''])
            .trim_start();
        let starts = before.is_none_or(|c| c.is_whitespace() || "\"'{,-".contains(c));
        starts && after.starts_with(':')
    })
}

#[cfg(test)]
mod tests {
    use super::line_of;

    #[test]
    fn a_pointer_leads_to_a_line() {
        let yaml = "kind: Secret\ntype: Opaque\ndata:\n  .dockerconfigjson: e30=\n---\nkind: Secret\nmetadata:\n  name: A_B\n";
        let json = "{\n \"auths\": {\n  \"quay.io\": {},\n  \"ghcr.io/team\": {}\n }\n}";
        for (text, pointer, line) in [
            (yaml, "/0/type", 2),
            (yaml, "/0/data/.dockerconfigjson/auths/quay.io", 4),
            (yaml, "/1/metadata/name", 8),
            (json, "/auths/quay.io", 3),
            (json, "/auths/ghcr.io~1team", 4),
            (json, "", 1),
            (json, "/nothing", 1),
            ("", "/auths", 1),
        ] {
            assert_eq!(line_of(text, pointer), line, "{pointer}");
        }
    }
}
