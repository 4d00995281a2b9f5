//! Globs of which only `*` means something: any bytes, none too.

/// Whether a pattern matches all of a text, in linear time: the pieces between the stars are looked for
/// from the left, and what is found first is as good as any.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut pieces = pattern.split(|byte| *byte == b'*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match find(rest, piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Where a piece starts first: Knuth, Morris and Pratt's way, which never looks at a byte of the text
/// again.
fn find(text: &[u8], piece: &[u8]) -> Option<usize> {
    let borders = borders_of(piece);
    let mut matched = 0;
    if piece.is_empty() {
        return Some(0);
    }
    for (at, byte) in text.iter().enumerate() {
        while matched > 0 && piece[matched] != *byte {
            matched = borders[matched - 1];
        }
        matched += usize::from(piece[matched] == *byte);
        if matched == piece.len() {
            return Some(at + 1 - matched);
        }
    }
    None
}

/// For each prefix the length of the longest that is its end, too.
fn borders_of(piece: &[u8]) -> Vec<usize> {
    let mut borders = vec![0; piece.len()];
    let mut length = 0;
    for at in 1..piece.len() {
        while length > 0 && piece[length] != piece[at] {
            length = borders[length - 1];
        }
        length += usize::from(piece[length] == piece[at]);
        borders[at] = length;
    }
    borders
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "abc"),
            ("a*c", "abc"),
            ("a*c", "ac"),
            ("*b*", "abc"),
            ("a*b*c", "axxbyyc"),
            ("aa*ab", "aaab"),
            ("**", "x"),
            ("*aab", "aaaab"),
            ("*aab*b", "aaaabb"),
        ] {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in [
            ("", "a"),
            ("a", ""),
            ("a*c", "ab"),
            ("ab*bc", "abc"),
            ("*b", "bc"),
            ("a*a", "a"),
            ("*ab*ab", "cab"),
        ] {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
    }
}
