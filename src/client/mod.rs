//! A client of regcred's own API, for the commands that run away from the server.
//!
//! It talks to the configured URL and to nothing else: a redirect is an error, since following one would
//! take the token along.

pub mod answer;
pub mod api;
pub mod error;
pub mod token_file;
