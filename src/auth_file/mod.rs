//! Auth files as the clients really read them: Docker's `config.json`, Podman's `auth.json` and the
//! legacy `.dockercfg`.
//!
//! kubelet, containers/image (Podman, CRI-O, Buildah, Skopeo) and Docker share one JSON decoder, that of
//! Go, and little else. [`parse::AuthFile`] holds what stands in a file, every repetition included and
//! each thing with its place; nothing is judged there. The judgements are
//!
//! - [`reading::read`]: what one client makes of it, or why it refuses it;
//! - [`consensus::of_file`] and [`consensus::of_entry`]: what at least two clients agree on.
//!
//! ```
//! use regcred::auth_file::parse::{AuthFile, FileFormat};
//! use regcred::auth_file::{consensus, reading};
//!
//! let text = br#"{"auths": {"quay.io": {"auth": "YWxpY2U6c2VjcmV0"}}}"#;
//! let file = AuthFile::parse(text, FileFormat::Config).expect("this is JSON");
//! for entry in &file.entries {
//!     // Where it stands, for a report: also where one key is given twice.
//!     println!("{} at {} ({:?})", entry.pointer(), entry.place, entry.standing);
//!     let login = consensus::of_entry(entry).expect("two clients can read it");
//!     assert_eq!(login.username.expose(), b"alice");
//! }
//! let kubelet = reading::read(&file, reading::Reader::Kubelet).expect("kubelet reads it");
//! assert_eq!(kubelet.get("quay.io").map(|entry| entry.login().username.expose().to_vec()), Some(b"alice".to_vec()));
//! ```
//!
//! Everything here takes time linear in the file (times a logarithm where keys are sorted), needs no
//! deep stack for deep nesting, and keeps secrets in buffers that are zeroed. No error holds a secret.

mod as_spelt;
mod auth_shape;
pub mod base64;
pub mod consensus;
pub mod detect;
pub mod docker_session;
pub mod document;
pub mod explain;
pub mod field;
pub mod go_url;
pub mod parse;
pub mod reading;
mod scan;
pub mod secret_bytes;
mod text;
