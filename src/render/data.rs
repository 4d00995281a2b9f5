//! `data`: the decoded data of one Secret with all endpoints, as a flat object of texts.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::bundle::Bundle;
use super::plan::RenderError;
use super::{auth_file, secret};

/// Renders the data, whatever the layout: a reader takes one object.
///
/// # Errors
/// `Mistake` for more than 1 MiB.
pub fn render(bundle: &Bundle) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let file = auth_file::of_type(&bundle.endpoints, bundle.target.secret_type);
    if let Some(planned) = bundle.secrets.first() {
        secret::check_size(bundle, &planned.name, file.len())?;
    }
    Ok(flat(bundle, &file))
}

/// Renders the data of the Secret for former versions.
///
/// # Errors
/// `NoFormer` where no former version is usable; `Mistake` for more than 1 MiB.
pub fn render_previous(bundle: &Bundle) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let planned = bundle.secrets.get(1).ok_or(RenderError::NoFormer)?;
    let endpoints: Vec<_> = bundle.endpoints_of(planned).into_iter().cloned().collect();
    let file = auth_file::of_type(&endpoints, bundle.target.secret_type);
    secret::check_size(bundle, &planned.name, file.len())?;
    Ok(flat(bundle, &file))
}

fn flat(bundle: &Bundle, file: &[u8]) -> Zeroizing<Vec<u8>> {
    // What serde_json wrote is UTF-8.
    let text = std::str::from_utf8(file).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 + file.len() * 2));
    let _ = serde_json::to_writer(
        &mut *bytes,
        &BTreeMap::from([(bundle.target.secret_type.data_key(), text)]),
    );
    bytes
}
