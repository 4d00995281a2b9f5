//! `WWW-Authenticate`: all challenges of an answer (RFC 9110, section 11.6.1).
//!
//! A header may hold several challenges, a challenge several parameters, and both are separated by
//! commas, so a name is a scheme or a parameter by what follows it. What registries get wrong is read
//! as clients read it: values without quotes, odd case, empty list items.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Its name, in lower case: `basic`, `bearer`.
    pub scheme: String,
    /// What stands in place of parameters for some schemes, such as `Negotiate`.
    pub token68: Option<String>,
    /// Names, in lower case, and values; the first of two equal names counts.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter by its name in lower case.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// The challenges of all `WWW-Authenticate` headers, in order.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .flat_map(|value| parse(&String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

/// The challenges of one header's value. What cannot be read is left out.
pub fn parse(text: &str) -> Vec<Challenge> {
    let mut reader = Reader { rest: text };
    let mut found: Vec<Challenge> = Vec::new();
    loop {
        reader.skip_separators();
        if reader.rest.is_empty() {
            return found;
        }
        let Some(name) = reader.token() else {
            reader.skip_item();
            continue;
        };
        match (reader.value(), found.last_mut()) {
            (Value::Given(value), Some(challenge)) => challenge.add(name, value),
            (Value::Given(_) | Value::Broken, _) => {}
            (Value::None, _) => found.push(Challenge {
                scheme: name.to_ascii_lowercase(),
                token68: reader.token68(name),
                params: Vec::new(),
            }),
        }
    }
}

impl Challenge {
    fn add(&mut self, name: &str, value: String) {
        let name = name.to_ascii_lowercase();
        if self.param(&name).is_none() {
            self.params.push((name, value));
        }
    }
}

/// What follows a name.
enum Value {
    /// Nothing of a parameter: the name is a scheme.
    None,
    /// `=` and a value.
    Given(String),
    /// `=` and no end.
    Broken,
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    fn skip_item(&mut self) {
        let end = self.rest.find(',').unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> Option<&'a str> {
        let end = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }

    fn token(&mut self) -> Option<&'a str> {
        self.take_while(is_token)
    }

    /// `=` and what follows; spaces around it are tolerated, as the RFC asks of readers.
    fn value(&mut self) -> Value {
        let before = self.rest;
        self.skip_spaces();
        let Some(rest) = self.rest.strip_prefix('=') else {
            self.rest = before;
            return Value::None;
        };
        self.rest = rest;
        self.skip_spaces();
        if self.rest.starts_with('"') {
            return self.quoted().map_or(Value::Broken, Value::Given);
        }
        let bare = self.take_while(|c| !matches!(c, ',' | ' ' | '\t'));
        Value::Given(bare.unwrap_or_default().to_owned())
    }

    /// A quoted string, its escapes undone. Without an end, nothing after it can be trusted.
    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        self.rest = "";
        None
    }

    /// The token68 after a scheme, if one stands there and not the first parameter.
    fn token68(&mut self, scheme: &str) -> Option<String> {
        let before = self.rest;
        self.skip_spaces();
        let taken = self.take_while(|c| is_token68(c) || c == '=');
        let ends =
            self.rest.is_empty() || self.rest.trim_start_matches([' ', '\t']).starts_with(',');
        let padded = taken.is_some_and(|text| {
            let body = text.trim_end_matches('=');
            !body.is_empty() && !body.contains('=')
        });
        // `realm=` reads as either; the schemes of registries have parameters, and no token.
        let parameter = ["basic", "bearer"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known))
            && taken.is_some_and(|text| text.ends_with('=') && !text.ends_with("=="));
        if before.starts_with([' ', '\t']) && ends && padded && !parameter {
            return taken.map(str::to_owned);
        }
        self.rest = before;
        None
    }
}

/// `tchar` of RFC 9110, section 5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

/// RFC 9110, section 11.2.
fn is_token68(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~+/".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Vec<String> {
        parse(text)
            .into_iter()
            .map(|challenge| {
                let params: Vec<String> = challenge
                    .params
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                let token68 = challenge.token68.unwrap_or_default();
                format!("{}[{token68}]({})", challenge.scheme, params.join(";"))
            })
            .collect()
    }

    #[test]
    fn one_challenge_and_its_parameters() {
        for (text, expected) in [
            (r#"Basic realm="x""#, "basic[](realm=x)"),
            (r#"BASIC REALM="x""#, "basic[](realm=x)"),
            (
                r#"bEaReR rEaLm="https://a/t",Service="s""#,
                "bearer[](realm=https://a/t;service=s)",
            ),
            (
                r#"Bearer realm="https://a/t", service="s", scope="repository:a/b:pull,push""#,
                "bearer[](realm=https://a/t;service=s;scope=repository:a/b:pull,push)",
            ),
            (
                r#"Bearer realm = "x" ,  service =s"#,
                "bearer[](realm=x;service=s)",
            ),
            (
                "Bearer realm=https://a.example/t?x=1,service=s",
                "bearer[](realm=https://a.example/t?x=1;service=s)",
            ),
            (r#"Bearer realm="a\"b\\c""#, r#"bearer[](realm=a"b\c)"#),
            (r#"Bearer realm="x",realm="y""#, "bearer[](realm=x)"),
            (r#"Bearer realm="""#, "bearer[](realm=)"),
            ("Basic", "basic[]()"),
            ("Bearer realm=", "bearer[](realm=)"),
            ("Negotiate", "negotiate[]()"),
            ("Negotiate YIIB/+a==", "negotiate[YIIB/+a==]()"),
            (r#", , Basic realm="x",,"#, "basic[](realm=x)"),
            ("\tBasic\trealm=x\t", "basic[](realm=x)"),
            (
                r#"Bearer realm="x" service="y""#,
                "bearer[](realm=x;service=y)",
            ),
        ] {
            assert_eq!(shown(text), [expected], "{text}");
        }
    }

    #[test]
    fn several_challenges_in_one_header() {
        for (text, expected) in [
            (
                r#"Basic realm="x", Bearer realm="y",service="z""#,
                vec!["basic[](realm=x)", "bearer[](realm=y;service=z)"],
            ),
            (
                r#"Bearer realm="a, Basic realm=b",service="s", Basic realm="c""#,
                vec![
                    "bearer[](realm=a, Basic realm=b;service=s)",
                    "basic[](realm=c)",
                ],
            ),
            (
                "Negotiate, Basic realm=x",
                vec!["negotiate[]()", "basic[](realm=x)"],
            ),
            (
                "Negotiate abc=, NTLM, Bearer realm=x",
                vec!["negotiate[abc=]()", "ntlm[]()", "bearer[](realm=x)"],
            ),
            (
                r#"Digest qop="auth,auth-int", nonce=x, Basic"#,
                vec!["digest[](qop=auth,auth-int;nonce=x)", "basic[]()"],
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        for (text, expected) in [
            ("", vec![]),
            (",,,", vec![]),
            (r#"Bearer realm="never ends"#, vec!["bearer[]()"]),
            (r#"realm="x", Basic realm="y""#, vec!["basic[](realm=y)"]),
            (r#""quoted", Basic"#, vec!["basic[]()"]),
            ("(=), Basic", vec!["basic[]()"]),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn all_headers_count() {
        let mut headers = HeaderMap::new();
        for value in [r#"Basic realm="x""#, r#"Bearer realm="y""#] {
            headers.append(WWW_AUTHENTICATE, value.parse().expect("a value"));
        }
        let schemes: Vec<String> = challenges(&headers).into_iter().map(|c| c.scheme).collect();
        assert_eq!(schemes, ["basic", "bearer"]);
    }

    proptest! {
        #[test]
        fn no_text_panics_or_hangs(text in ".{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_value_reads_back(value in "[ -~]{0,40}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let found = parse(&format!("Bearer realm=\"{escaped}\", service=\"s\""));
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].param("realm"), Some(value.as_str()));
            prop_assert_eq!(found[0].param("service"), Some("s"));
        }
    }
}
