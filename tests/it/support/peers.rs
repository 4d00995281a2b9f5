//! Real programs that tests ask: used where they are installed, required in CI.

use std::path::PathBuf;

/// The path of a program such as `skopeo`; none where it is not installed, outside CI.
///
/// In CI (`CI` is set) a missing one is a failure: a check that was left out there would look like one that passed.
pub fn peer(name: &str) -> Option<PathBuf> {
    let found = spare_peer(name);
    assert!(
        found.is_some() || std::env::var_os("CI").is_none(),
        "{name} must be installed in CI"
    );
    found
}

/// The same for a program that distributions do not have: used where it is, in CI too.
pub fn spare_peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// `podman`, where it can store an image: for who is not root it maps user ids with a program that may be missing.
pub fn storing_podman() -> Option<PathBuf> {
    let podman = peer("podman")?;
    let root = rustix::process::geteuid().is_root();
    (root || peer("newuidmap").is_some()).then_some(podman)
}
