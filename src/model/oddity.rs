//! Characters in user names and secrets that were hardly meant: what a copy, a line end or a terminal
//! left behind.
//!
//! They are kept and sent as they are, by regcred as by every client. A user name cannot hold control
//! characters at all (RFC 7617, section 2); at the end of a password a line end is the commonest reason
//! why a right one fails.

use super::account::Account;

/// Characters without a width, which white space does not take in.
const INVISIBLE: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// What is odd about an account, each as a part of a sentence that says where and never what.
pub fn of(username: Option<&[u8]>, secret: &[u8]) -> Vec<String> {
    let of_user = username.and_then(what_is_odd);
    let of_secret = Some(secret).filter(|secret| !is_key_file(secret));
    let of_secret = of_secret.and_then(what_is_odd);
    let user = of_user.map(|what| format!("the user name {what}"));
    let secret = of_secret.map(|what| format!("the secret {what}"));
    user.into_iter().chain(secret).collect()
}

/// The same of an opened account.
pub fn of_account(account: &Account) -> Vec<String> {
    let username = account.username.as_deref().map(str::as_bytes);
    of(username, account.secret.expose().as_bytes())
}

/// A key file in JSON, as Google's registries take for a password, has lines by nature.
fn is_key_file(secret: &[u8]) -> bool {
    let trimmed = secret.trim_ascii();
    trimmed.starts_with(b"{") && trimmed.ends_with(b"}")
}

fn what_is_odd(bytes: &[u8]) -> Option<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    let blank = |c: char| c.is_whitespace() || INVISIBLE.contains(&c);
    let (first, last) = (text.chars().next()?, text.chars().next_back()?);
    if matches!(last, '\n' | '\r') {
        Some("ends with a line end")
    } else if blank(last) {
        Some("ends with white space")
    } else if blank(first) {
        Some("starts with white space")
    } else if text.chars().any(char::is_control) {
        Some("holds a control character")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_a_copy_left_behind_is_told() {
        for (username, secret, expected) in [
            (
                "userA",
                "passwordA\n",
                &["the secret ends with a line end"][..],
            ),
            (
                "userA",
                "passwordA\r\n",
                &["the secret ends with a line end"],
            ),
            ("id\n", "pass", &["the user name ends with a line end"]),
            ("u", "p ", &["the secret ends with white space"]),
            ("u", "p\t", &["the secret ends with white space"]),
            ("u", "p\u{a0}", &["the secret ends with white space"]),
            ("u", "\u{feff}p", &["the secret starts with white space"]),
            ("u", " p", &["the secret starts with white space"]),
            (" u", "p", &["the user name starts with white space"]),
            (
                "u",
                "a\u{1b}[0mb",
                &["the secret holds a control character"],
            ),
            (
                "u\0",
                "p\0",
                &[
                    "the user name holds a control character",
                    "the secret holds a control character",
                ],
            ),
            ("u", "two words", &[]),
            ("u v", "pässwörd✓", &[]),
            ("_json_key", "{\n  \"type\": \"service_account\"\n}\n", &[]),
            ("u", "", &[]),
        ] {
            let found = of(Some(username.as_bytes()), secret.as_bytes());
            assert_eq!(found, expected, "{username:?} {secret:?}");
        }
        assert_eq!(of(None, b"t\n"), ["the secret ends with a line end"]);
        assert_eq!(
            of(Some(b"\xff\n"), b"p"),
            ["the user name ends with a line end"]
        );
    }
}
