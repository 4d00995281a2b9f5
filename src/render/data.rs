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
    let secret_type = bundle.target.secret_type;
    let file = auth_file::of_type(&bundle.endpoints, secret_type);
    if let Some(planned) = bundle.secrets.first() {
        secret::check_size(bundle, &planned.name, file.len())?;
    }
    // What serde_json wrote is UTF-8.
    let text = std::str::from_utf8(&file).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 + file.len() * 2));
    let _ = serde_json::to_writer(
        &mut *bytes,
        &BTreeMap::from([(secret_type.data_key(), text)]),
    );
    Ok(bytes)
}
