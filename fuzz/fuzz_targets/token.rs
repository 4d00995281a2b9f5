//! Any text as a token: of regcred, of a link, and of an issuer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regcred::auth::oidc::compact::Compact;
use regcred::auth::token::{LinkToken, Token};

fuzz_target!(|text: &str| {
    if let Some(token) = Token::parse(text) {
        assert_eq!(token.secret().expose(), text);
    }
    if let Some(token) = LinkToken::parse(text) {
        assert_eq!(token.secret().expose(), text);
    }
    let _ = Compact::parse(text).is_ok();
});
