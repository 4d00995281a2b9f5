//! `secret`: Kubernetes Secrets, then the RoleBindings of `pull_from`.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use zeroize::{Zeroize, Zeroizing};

use super::bundle::{Bundle, Contents, PlannedSecret};
use super::objects::{Objects, metadata, namespace_of};
use super::plan::RenderError;
use super::{Output, auth_file, image_puller};
use crate::model::name::ObjectName;

/// `MaxSecretSize` of Kubernetes: all decoded values of a Secret together.
const MOST_BYTES: usize = 1024 * 1024;

/// A Secret whose data is zeroed when it is dropped.
pub struct ZeroedSecret(Secret);

impl Drop for ZeroedSecret {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.0.zeroize();
        }
    }
}

impl ZeroedSecret {
    /// The Secret.
    pub fn object(&self) -> &Secret {
        &self.0
    }
}

/// Renders the Secrets and the bindings.
///
/// # Errors
/// `Mistake` for a Secret over 1 MiB, or `pull_from` without a namespace.
pub fn render(bundle: &Bundle, output: Output) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let mut objects = Objects::default();
    for planned in &bundle.secrets {
        objects.push(object(bundle, planned)?.object(), output)?;
    }
    for binding in image_puller::bindings(&bundle.target)? {
        objects.push(&binding, output)?;
    }
    Ok(objects.into_bytes(output))
}

/// One Secret as an object.
///
/// # Errors
/// `Mistake` for more than 1 MiB of data.
pub fn object(bundle: &Bundle, planned: &PlannedSecret) -> Result<ZeroedSecret, RenderError> {
    let target = &bundle.target;
    let data = auth_file::of_type(&bundle.endpoints_of(planned), target.secret_type);
    check_size(bundle, &planned.name, data.len())?;
    let mut metadata = metadata(planned.name.as_str(), namespace_of(target), &target.labels);
    metadata.annotations =
        Some(target.annotations.clone()).filter(|annotations| !annotations.is_empty());
    Ok(ZeroedSecret(Secret {
        metadata,
        type_: Some(target.secret_type.as_str().into()),
        data: Some(BTreeMap::from([(
            target.secret_type.data_key().to_owned(),
            ByteString(data.to_vec()),
        )])),
        immutable: target.immutable.then_some(true),
        ..Secret::default()
    }))
}

/// Refuses what the API server would refuse.
pub(super) fn check_size(
    bundle: &Bundle,
    name: &ObjectName,
    bytes: usize,
) -> Result<(), RenderError> {
    if bytes <= MOST_BYTES || bundle.contents == Contents::Revisions {
        return Ok(());
    }
    let detail = format!(
        "the Secret {name} would hold {bytes} bytes, and Kubernetes takes at most {MOST_BYTES}; the split layout makes one Secret an endpoint"
    );
    Err(RenderError::at("/layout", "secret-too-large", detail))
}
