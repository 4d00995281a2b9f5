//! URLs as Go's `net/url` parses them, for the keys of auth files.
//!
//! A WHATWG parser will not do: it lower-cases hosts, drops default ports, resolves dots and refuses
//! some hosts with a `*`, and each of these decides whether a key matches.

use std::net::Ipv6Addr;

/// What the clients use of a URL; user info, query and fragment are thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoUrl {
    /// In lower case; empty without one.
    pub scheme: String,
    /// `host[:port]`, percent-decoded, in its own case. The port may be empty behind its colon.
    pub host: Vec<u8>,
    /// Percent-decoded.
    pub path: Vec<u8>,
}

/// Whether a character stands in a URL as it is meant.
const PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let other = matches!(byte, b'.' | b'-' | b'_' | b'*' | b'/' | b':');
        plain[byte as usize] = byte.is_ascii_alphanumeric() || other;
        byte += 1;
    }
    plain
}

/// Host and path behind a scheme, where they stand there as they are meant: a name, with a port or without, and
/// a path, of nothing but letters, digits, dots, dashes, underscores, stars and slashes. None for anything else,
/// which need not be no URL.
pub fn plain_parts(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if !text.iter().all(|byte| PLAIN[usize::from(*byte)]) {
        return None;
    }
    let (authority, path) = text.split_at(position(text, b'/').unwrap_or(text.len()));
    let (host, port) = cut(authority, b':');
    let has_empty_port = authority.len() > host.len() && port.is_empty();
    let is_number = port.iter().all(u8::is_ascii_digit);
    (!host.is_empty() && is_number && !has_empty_port).then_some((authority, path))
}

/// Go would not parse it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAUrl;

impl GoUrl {
    /// Parses an absolute or relative URL.
    ///
    /// # Errors
    /// `NotAUrl`.
    pub fn parse(text: &[u8]) -> Result<Self, NotAUrl> {
        let (text, fragment) = cut(text, b'#');
        if text.iter().any(u8::is_ascii_control) {
            return Err(NotAUrl);
        }
        percent_decoded(fragment)?;
        let (scheme, rest) = split_scheme(text)?;
        let (rest, _query) = cut(rest, b'?');
        let mut url = Self {
            scheme: String::from_utf8_lossy(scheme).to_ascii_lowercase(),
            host: Vec::new(),
            path: Vec::new(),
        };
        if !rest.starts_with(b"/") {
            return url.without_authority(rest);
        }
        let has_authority = !url.scheme.is_empty() || !rest.starts_with(b"///");
        let path = match rest.strip_prefix(b"//") {
            Some(behind) if has_authority => {
                let end = position(behind, b'/').unwrap_or(behind.len());
                url.host = host_of(&behind[..end], &url.scheme)?;
                &behind[end..]
            }
            _ => rest,
        };
        url.path = percent_decoded(path)?;
        Ok(url)
    }

    /// Behind a scheme this is opaque; else it is a relative path, whose first part has no colon.
    fn without_authority(mut self, rest: &[u8]) -> Result<Self, NotAUrl> {
        if self.scheme.is_empty() {
            if cut(rest, b'/').0.contains(&b':') {
                return Err(NotAUrl);
            }
            self.path = percent_decoded(rest)?;
        }
        Ok(self)
    }

    /// The host without its port and brackets.
    pub fn hostname(&self) -> &[u8] {
        let host = match split_port(&self.host) {
            Some((host, _)) => host,
            None => &self.host,
        };
        match host.strip_prefix(b"[") {
            Some(inner) => inner.strip_suffix(b"]").unwrap_or(host),
            None => host,
        }
    }

    /// The digits behind the host's colon; empty without any.
    pub fn port(&self) -> &[u8] {
        split_port(&self.host).map_or(b"", |(_, port)| port)
    }
}

/// Parts a host at its last colon, unless that is one of an address in brackets.
fn split_port(host: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = host.iter().rposition(|byte| *byte == b':')?;
    let (before, port) = (&host[..colon], &host[colon + 1..]);
    port.iter()
        .all(u8::is_ascii_digit)
        .then_some((before, port))
}

/// The scheme before the first colon. What cannot be one is none; nothing before the colon is an error.
fn split_scheme(text: &[u8]) -> Result<(&[u8], &[u8]), NotAUrl> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    let is_later = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.');
    for (at, byte) in text.iter().enumerate() {
        match *byte {
            b':' if at == 0 => return Err(NotAUrl),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            byte if is_letter(byte) || (at > 0 && is_later(byte)) => {}
            _ => break,
        }
    }
    Ok((b"", text))
}

/// The host of `[userinfo@]host`.
fn host_of(authority: &[u8], scheme: &str) -> Result<Vec<u8>, NotAUrl> {
    let at = authority.iter().rposition(|byte| *byte == b'@');
    let (user, host) = match at {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (&b""[..], authority),
    };
    if !user.iter().all(|byte| is_of_user(*byte)) {
        return Err(NotAUrl);
    }
    percent_decoded(user)?;
    match host.strip_prefix(b"[") {
        Some(bracketed) => bracketed_host(bracketed),
        None => plain_host(host, scheme),
    }
}

fn is_of_user(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte)
}

/// A name or an IPv4 address, and digits behind its colon. Only under `http` and `https` that must be the
/// one colon there is: database URLs list several hosts with ports.
fn plain_host(host: &[u8], scheme: &str) -> Result<Vec<u8>, NotAUrl> {
    let colon = match scheme {
        "http" | "https" => position(host, b':'),
        _ => host.iter().rposition(|byte| *byte == b':'),
    };
    let port = colon.map_or(&b""[..], |colon| &host[colon + 1..]);
    if !port.iter().all(u8::is_ascii_digit) || host.contains(&b'[') || host.contains(&b']') {
        return Err(NotAUrl);
    }
    host_decoded(host)
}

/// An IPv6 address, perhaps with a zone; `bracketed` starts behind the opening bracket.
fn bracketed_host(bracketed: &[u8]) -> Result<Vec<u8>, NotAUrl> {
    let end = bracketed
        .iter()
        .rposition(|byte| *byte == b']')
        .ok_or(NotAUrl)?;
    let (inner, rest) = (&bracketed[..end], &bracketed[end + 1..]);
    let port = rest.strip_prefix(b":").unwrap_or(rest);
    if !port.iter().all(u8::is_ascii_digit) || (port.len() == rest.len() && !rest.is_empty()) {
        return Err(NotAUrl);
    }
    let inner = host_decoded(inner)?;
    let (address, zone) = match position(&inner, b'%') {
        Some(at) => (&inner[..at], Some(&inner[at + 1..])),
        None => (&inner[..], None),
    };
    let is_address =
        std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    if !is_address || zone.is_some_and(<[u8]>::is_empty) {
        return Err(NotAUrl);
    }
    Ok([b"[", &inner[..], b"]", rest].concat())
}

/// In a host only bytes beyond ASCII may be percent-encoded, and the percent sign itself.
fn host_decoded(host: &[u8]) -> Result<Vec<u8>, NotAUrl> {
    if host.iter().any(|byte| b" \\^`{|}@/?".contains(byte)) {
        return Err(NotAUrl);
    }
    let decoded = percent_decoded(host)?;
    let escapes_ascii = host
        .windows(3)
        .any(|window| window[0] == b'%' && window[1] < b'8' && window != b"%25");
    if escapes_ascii {
        Err(NotAUrl)
    } else {
        Ok(decoded)
    }
}

/// Decodes `%XX`.
fn percent_decoded(text: &[u8]) -> Result<Vec<u8>, NotAUrl> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => digit(bytes.next())? << 4 | digit(bytes.next())?,
            plain => *plain,
        });
    }
    Ok(decoded)
}

fn digit(byte: Option<&u8>) -> Result<u8, NotAUrl> {
    let value = byte.and_then(|byte| char::from(*byte).to_digit(16));
    value
        .and_then(|value| u8::try_from(value).ok())
        .ok_or(NotAUrl)
}

fn position(text: &[u8], wanted: u8) -> Option<usize> {
    text.iter().position(|byte| *byte == wanted)
}

/// What stands before and behind the first separator; nothing behind a missing one.
fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match position(text, separator) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(String, String, String)> {
        let url = GoUrl::parse(text.as_bytes()).ok()?;
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some((url.scheme.clone(), lossy(&url.host), lossy(&url.path)))
    }

    #[track_caller]
    fn assert_parsed(text: &str, scheme: &str, host: &str, path: &str) {
        let expected = Some((scheme.to_owned(), host.to_owned(), path.to_owned()));
        assert_eq!(parsed(text), expected, "{text}");
    }

    #[test]
    fn hosts_keep_case_and_port_and_lose_user_query_and_fragment() {
        assert_parsed(
            "https://Quay.IO:443/a/./b/?q#f",
            "https",
            "Quay.IO:443",
            "/a/./b/",
        );
        assert_parsed("HTTPS://u:p@x@quay.io:", "https", "quay.io:", "");
        assert_parsed(
            "https://*.example.com/t%65am%2Fx",
            "https",
            "*.example.com",
            "/team/x",
        );
        assert_parsed("https://h%C3%A4.test", "https", "h\u{e4}.test", "");
        assert_parsed("https://", "https", "", "");
        assert_parsed("//host/a://b", "", "host", "/a://b");
        assert_parsed("///a://b", "", "", "///a://b");
        assert_parsed("x:y://z", "x", "", "");
        assert_parsed("ftp://host:5000:", "ftp", "host:5000:", "");
        assert_parsed("//a:1:2", "", "a:1:2", "");
    }

    #[test]
    fn addresses_stand_in_brackets() {
        assert_parsed(
            "https://[2001:db8::1]:5000/v2/",
            "https",
            "[2001:db8::1]:5000",
            "/v2/",
        );
        assert_parsed("https://[fe80::1%25en0]", "https", "[fe80::1%en0]", "");
        let url = GoUrl::parse(b"https://[2001:db8::1]:5000").expect("a URL");
        assert_eq!(
            (url.hostname(), url.port()),
            (&b"2001:db8::1"[..], &b"5000"[..])
        );
        let url = GoUrl::parse(b"https://[2001:db8::1]").expect("a URL");
        assert_eq!(
            (url.hostname(), url.port()),
            (&b"2001:db8::1"[..], &b""[..])
        );
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "https://a b",
            "https://a\\b",
            "https://a%41b",
            "https://a%zz",
            "https://host:x",
            "https://a:1:2",
            "https://[1.2.3.4]",
            "https://[nope]",
            "https://[::1",
            "https://a[::1]",
            "https://[::1]x",
            "https://a/%zz",
            "https://a#%zz",
            "https://a/%4",
            "https://a\tb",
            "https://a/\u{7f}",
            "://a",
            "a:b/c://d?",
            "1a:b://",
            "https://u<@host",
        ] {
            let refused = parsed(text).is_none();
            assert!(
                refused || text == "a:b/c://d?",
                "{text}: {:?}",
                parsed(text)
            );
        }
    }
}
