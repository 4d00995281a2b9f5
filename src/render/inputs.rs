//! What a format needs beside the bundle.

use super::credential_provider::Pull;
use super::external_secret::Origin;
use super::plan::RenderError;
use super::sealing::Sealing;
use crate::model::pulled_image::PulledImage;

/// What a format needs beside the bundle; most need nothing.
#[derive(Debug, Clone, Default)]
pub enum Inputs {
    /// Nothing.
    #[default]
    Nothing,
    /// Where `external-secret` fetches from.
    Origin(Origin),
    /// What `sealed-secret` encrypts with.
    Sealing(Sealing),
    /// What kubelet is about to pull, before it is known which credentials there are.
    Image(PulledImage),
    /// What kubelet is about to pull, with what that needs.
    Pull(Pull),
}

impl Inputs {
    /// The image that the rendering is for, as the audit trail names it.
    pub fn image(&self) -> Option<String> {
        match self {
            Self::Image(image) => Some(image.to_string()),
            _ => None,
        }
    }

    /// The same for a fingerprint: what encrypts gives what tells two states apart instead.
    pub(super) fn for_fingerprint(&self) -> Self {
        match self {
            Self::Sealing(sealing) => Self::Sealing(sealing.stand_in()),
            other => other.clone(),
        }
    }

    pub(super) fn origin(&self) -> Result<&Origin, RenderError> {
        match self {
            Self::Origin(origin) => Ok(origin),
            _ => Err(missing(
                "an ExternalSecret fetches from a server, and there is none here",
            )),
        }
    }

    pub(super) fn sealing(&self) -> Result<&Sealing, RenderError> {
        match self {
            Self::Sealing(sealing) => Ok(sealing),
            _ => Err(missing(
                "this format needs the controller's certificate: POST {\"certificate\": PEM}",
            )),
        }
    }

    pub(super) fn pull(&self) -> Result<&Pull, RenderError> {
        match self {
            Self::Pull(pull) => Ok(pull),
            _ => Err(missing("this format needs the image that is pulled")),
        }
    }
}

fn missing(detail: &str) -> RenderError {
    RenderError::at("/format", "needs-more", detail)
}
