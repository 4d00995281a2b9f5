//! JSON strings as Go decodes them: what is no Unicode becomes U+FFFD instead of an error.

use zeroize::Zeroizing;

/// Decodes what stands between the quotes; the scanner has checked the escapes.
pub(super) fn unquote(quoted: &[u8]) -> Zeroizing<String> {
    // Nothing grows by more than U+FFFD for a byte: with this room no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(room_for(quoted)));
    let mut rest = quoted;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = rest.split_at(at);
        push_plain(&mut text, plain);
        rest = push_escape(&mut text, &escape[1..]);
    }
    push_plain(&mut text, rest);
    text
}

fn room_for(quoted: &[u8]) -> usize {
    match std::str::from_utf8(quoted) {
        Ok(_) => quoted.len(),
        Err(_) => quoted.len() * 3,
    }
}

/// One U+FFFD for each byte that belongs to no character.
fn push_plain(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for _ in chunk.invalid() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Decodes one escape, without its backslash, and gives what follows it.
fn push_escape<'a>(text: &mut String, escape: &'a [u8]) -> &'a [u8] {
    let Some((kind, rest)) = escape.split_first() else {
        return escape;
    };
    let plain = match kind {
        b'u' => return push_unicode(text, rest),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        other => char::from(*other),
    };
    text.push(plain);
    rest
}

/// Decodes `XXXX`, together with the `\uXXXX` behind it where the two are a pair of surrogates.
fn push_unicode<'a>(text: &mut String, digits: &'a [u8]) -> &'a [u8] {
    let (first, rest) = unit_of(digits);
    if let (0xD800..0xDC00, Some(behind)) = (first, rest.strip_prefix(b"\\u")) {
        let (second, after) = unit_of(behind);
        if (0xDC00..0xE000).contains(&second) {
            let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            return after;
        }
    }
    text.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

/// Four hexadecimal digits, and what follows them.
fn unit_of(digits: &[u8]) -> (u32, &[u8]) {
    let (four, rest) = digits.split_at(digits.len().min(4));
    let value = four
        .iter()
        .filter_map(|digit| char::from(*digit).to_digit(16))
        .fold(0, |value, digit| value << 4 | digit);
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::unquote;

    #[test]
    fn escapes_are_decoded() {
        let text = unquote(br#"a\/b\"\\\b\f\n\r\t\u0041\u00e9\u0000"#);
        assert_eq!(*text, "a/b\"\\\u{8}\u{c}\n\r\tA\u{e9}\0");
    }

    #[test]
    fn pairs_of_surrogates_are_one_character_and_lone_ones_none() {
        assert_eq!(*unquote(br"\ud83d\ude00"), "\u{1f600}");
        assert_eq!(*unquote(br"\ud83dx"), "\u{fffd}x");
        assert_eq!(*unquote(br"\ude00\ud83d"), "\u{fffd}\u{fffd}");
        assert_eq!(*unquote(br"\ud83d\u0041"), "\u{fffd}A");
        assert_eq!(*unquote(br"\ud83d\ud83d\ude00"), "\u{fffd}\u{1f600}");
    }

    #[test]
    fn each_byte_that_is_no_utf8_becomes_one_replacement() {
        assert_eq!(*unquote(b"a\xffb"), "a\u{fffd}b");
        assert_eq!(*unquote(b"\xe2\x82a"), "\u{fffd}\u{fffd}a");
        assert_eq!(*unquote(b"\xed\xa0\x80"), "\u{fffd}\u{fffd}\u{fffd}");
    }
}
