//! Writing Kubernetes objects.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use zeroize::Zeroizing;

use super::Output;
use super::plan::RenderError;
use crate::model::labels::Labels;
use crate::model::pull_secret::{MANAGED_BY, Target};

/// Metadata of an object of ours: its name, its place, our label and the target's.
pub fn metadata(name: &str, namespace: Option<&str>, labels: &Labels) -> ObjectMeta {
    let mut labels = labels.clone();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    ObjectMeta {
        name: Some(name.into()),
        namespace: namespace.map(Into::into),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// The namespace of a target, as text.
pub fn namespace_of(target: &Target) -> Option<&str> {
    target
        .namespace
        .as_ref()
        .map(crate::model::name::Namespace::as_str)
}

/// Objects that are written one after the other, of whatever kinds.
#[derive(Default)]
pub struct Objects {
    yaml: Zeroizing<String>,
    json: Vec<Zeroizing<Vec<u8>>>,
}

impl Objects {
    /// Adds an object.
    ///
    /// # Errors
    /// `Mistake` if the library cannot write it, which no value of ours makes it do.
    pub fn push(&mut self, object: &impl Serialize, output: Output) -> Result<(), RenderError> {
        match output {
            Output::Yaml => {
                if !self.yaml.is_empty() {
                    self.yaml.push_str("---\n");
                }
                self.yaml.push_str(&yaml(object)?);
            }
            Output::Json | Output::Script => self.json.push(pretty_json(object)?),
        }
        Ok(())
    }

    /// One object, or a `v1` `List` of them.
    pub fn into_bytes(self, output: Output) -> Zeroizing<Vec<u8>> {
        match (output, self.json.as_slice()) {
            (Output::Yaml, _) => Zeroizing::new(self.yaml.as_bytes().to_vec()),
            (_, [one]) => {
                let mut bytes = one.clone();
                bytes.push(b'\n');
                bytes
            }
            (_, many) => list(many),
        }
    }
}

fn list(objects: &[Zeroizing<Vec<u8>>]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        128 + objects.iter().map(|object| object.len() + 2).sum::<usize>(),
    ));
    bytes
        .extend_from_slice(b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"metadata\":{},\"items\":[");
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            bytes.push(b',');
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(object);
    }
    bytes.extend_from_slice(b"\n]}\n");
    bytes
}

fn unwritable(why: impl std::fmt::Display) -> RenderError {
    RenderError::at(
        "",
        "unwritable",
        format!("an object cannot be written: {why}"),
    )
}

/// YAML that means the same to a reader of YAML 1.1, as `kubectl` is one: `yes`, `0123` and `1e3` are
/// quoted. Block scalars are off because a reader folds what ends in odd white space.
pub fn yaml(value: &impl Serialize) -> Result<Zeroizing<String>, RenderError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, yaml_12: false };
    let text = serde_saphyr::to_string_with_options(value, options).map_err(unwritable)?;
    Ok(Zeroizing::new(text))
}

/// JSON for people to read.
pub fn pretty_json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(unwritable)?;
    Ok(Zeroizing::new(bytes))
}
