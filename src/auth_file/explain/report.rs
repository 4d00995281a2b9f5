//! Explanations as the API and `regcred explain --json` show them: no secret is in them.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Choice, Effective, Explanation, Failure, FailureClass, GoesOnWith, Half, HelperCall, LoginKind,
    Match, Step,
};
use crate::auth_file::secret_bytes::SecretBytes;
use crate::model::mistake::Fault;
use crate::model::spelled::words;

/// Which credential each client would use for an image.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanations)]
pub struct Report {
    /// The image, as it was asked for.
    #[schema(example = "quay.io/team/app:1")]
    pub image: String,
    /// What each client does, by its name.
    pub clients: BTreeMap<&'static str, ClientReport>,
}

/// What one client does.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientExplanation)]
pub struct ClientReport {
    /// Keys of the auth file, in the order in which the client tries them; empty if it pulls
    /// anonymously, asks a credential helper, or fails.
    #[schema(example = json!(["quay.io/team", "quay.io"]))]
    pub matches: Vec<String>,
    /// The credentials that the keys come from, in the same order; over stored credentials only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<String>, required = false, example = json!(["quay-team", "quay"]))]
    pub credentials: Option<Vec<String>>,
    /// The reason in words.
    pub why: String,
    /// What the client looks up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "quay.io/team/app")]
    pub lookup: Option<String>,
    /// What the first try amounts to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = EffectiveReport, required = false)]
    pub effective: Option<EffectiveReport>,
    /// There if the real client picks at random; shown is the bytewise smallest key.
    #[serde(skip_serializing_if = "is_false")]
    pub ambiguous: bool,
    /// The key that ends the search without giving a credential.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub stopped_at: Option<String>,
    /// Both look-ups of OpenShift's image import.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lookups: Vec<StepReport>,
    /// The look-ups that find nothing although the other does: half of a pair is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["auth_server"]))]
    pub missing: Vec<Half>,
    /// There if only a credential helper can decide. No helper is run for an explanation.
    #[serde(skip_serializing_if = "is_false")]
    pub helper_decides: bool,
    /// The questions to credential helpers, `HELPER SERVER`, in the order in which the client puts them; it
    /// stops at the first that has an answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["desktop quay.io/team/app", "desktop quay.io"]))]
    pub helper_calls: Vec<String>,
    /// What follows if no helper has an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = OtherwiseReport, required = false)]
    pub otherwise: Option<OtherwiseReport>,
    /// Why the client would fail before it asks the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ErrorReport, required = false)]
    pub error: Option<ErrorReport>,
    /// What the client goes on with where the error is only a warning to it: one of these, by chance.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub goes_on_with: Vec<GoesOnWithReport>,
}

/// What follows where credential helpers have no answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct OtherwiseReport {
    /// Keys of the auth file, in the order in which the client tries them.
    #[schema(example = json!(["quay.io"]))]
    pub matches: Vec<String>,
    /// What the first try amounts to.
    pub effective: EffectiveReport,
}

/// One thing that a client may go on with after a warning.
#[derive(Debug, Serialize, ToSchema)]
pub struct GoesOnWithReport {
    /// The key of the auth file that it uses; empty if it knows of none by then.
    #[schema(example = json!(["quay.io"]))]
    pub matches: Vec<String>,
    /// What logging in with it may amount to.
    #[schema(example = json!(["basic"]))]
    pub kinds: Vec<LoginKind>,
}

/// What a client would log in with, without any secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EffectiveLogin)]
pub struct EffectiveReport {
    /// What logging in amounts to.
    pub kind: LoginKind,
    /// The user name, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, example = "robot")]
    pub username: Option<String>,
    /// The credential helper.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub helper: Option<String>,
}

/// One look-up of several.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LookupStep)]
pub struct StepReport {
    /// Which side is looked up.
    #[serde(rename = "for")]
    pub half: Half,
    /// The names that are looked up, one after the other until something is found.
    #[schema(example = json!(["sso.redhat.com/auth"]))]
    pub asked: Vec<String>,
    /// The key that is found.
    pub found: Option<String>,
}

words! {
    /// Why a client would fail, in a word.
    ErrorClass: "ClientErrorClass" = FailureClass::all().map(FailureClass::name)
}

/// Why a client would fail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ClientError)]
pub struct ErrorReport {
    /// `invalid-image`, or `auth-file:` (nothing can be pulled, unless `goes_on_with` is there) or `entry:`
    /// (this image cannot) with
    /// `json-syntax`, `json-depth`, `json-type`, `base64`, `auth-format` or `unsupported-format`.
    #[schema(value_type = ErrorClass)]
    pub class: String,
    /// What is wrong and where.
    #[schema(example = "line 1, column 12, entry quay.io: auth is not base64")]
    pub detail: String,
}

impl Report {
    /// What was explained of an image, client by client.
    ///
    /// # Errors
    /// `invalid-image` where the image is none to every client asked.
    pub fn new(image: &str, answers: Vec<(&'static str, Explanation)>) -> Result<Self, Fault> {
        if answers
            .iter()
            .all(|(_, explanation)| explanation.is_invalid_image())
        {
            let mut failures = answers
                .into_iter()
                .filter_map(|(_, explanation)| explanation.outcome.err());
            let detail = failures.next().map(|failure| failure.detail);
            return Err(Fault::new("invalid-image", detail.unwrap_or_default()));
        }
        let clients = answers
            .into_iter()
            .map(|(name, explanation)| (name, explanation.into()));
        Ok(Self {
            image: image.to_owned(),
            clients: clients.collect(),
        })
    }
}

impl From<Explanation> for ClientReport {
    fn from(explanation: Explanation) -> Self {
        let lookup = explanation.lookup;
        match explanation.outcome {
            Ok(choice) => Self {
                lookup,
                ..Self::of_choice(choice)
            },
            Err(failure) => Self {
                lookup,
                ..Self::of_failure(failure)
            },
        }
    }
}

impl ClientReport {
    fn of_choice(choice: Choice) -> Self {
        let helper_calls = choice.helper_calls.iter().map(HelperCall::to_string);
        Self {
            helper_decides: matches!(choice.effective, Effective::Helper(_)),
            helper_calls: helper_calls.collect(),
            otherwise: choice.otherwise.map(|otherwise| (*otherwise).into()),
            goes_on_with: Vec::new(),
            matches: keys_of(choice.matches),
            credentials: None,
            why: choice.why,
            lookup: None,
            effective: Some((&choice.effective).into()),
            ambiguous: choice.ambiguous,
            stopped_at: choice.stopped_at,
            lookups: choice.steps.into_iter().map(StepReport::from).collect(),
            missing: choice.missing,
            error: None,
        }
    }

    fn of_failure(failure: Failure) -> Self {
        Self {
            matches: Vec::new(),
            credentials: None,
            why: failure.why(),
            lookup: None,
            effective: None,
            ambiguous: false,
            stopped_at: None,
            lookups: Vec::new(),
            missing: Vec::new(),
            helper_decides: false,
            helper_calls: Vec::new(),
            otherwise: None,
            goes_on_with: failure.goes_on_with.into_iter().map(Into::into).collect(),
            error: Some(ErrorReport {
                class: failure.class.name(),
                detail: failure.detail,
            }),
        }
    }
}

fn keys_of(matches: Vec<Match>) -> Vec<String> {
    matches.into_iter().map(|found| found.key).collect()
}

impl From<Choice> for OtherwiseReport {
    fn from(choice: Choice) -> Self {
        Self {
            effective: (&choice.effective).into(),
            matches: keys_of(choice.matches),
        }
    }
}

impl From<GoesOnWith> for GoesOnWithReport {
    fn from(outcome: GoesOnWith) -> Self {
        Self {
            matches: outcome.key.into_iter().collect(),
            kinds: outcome.kinds,
        }
    }
}

impl From<&Effective> for EffectiveReport {
    fn from(effective: &Effective) -> Self {
        let (username, helper) = match effective {
            Effective::Basic(login) | Effective::IdentityToken(login) => {
                let username = Some(shown(&login.username)).filter(|name| !name.is_empty());
                (username, None)
            }
            Effective::Helper(helper) => (None, Some(helper.clone())),
            Effective::RegistryToken(_) | Effective::Anonymous | Effective::None => (None, None),
        };
        Self {
            kind: effective.kind(),
            username,
            helper,
        }
    }
}

impl From<Step> for StepReport {
    fn from(step: Step) -> Self {
        Self {
            half: step.half,
            asked: step.asked,
            found: step.found,
        }
    }
}

/// A user name is no secret, but need not be text.
fn shown(username: &SecretBytes) -> String {
    String::from_utf8_lossy(username.expose()).into_owned()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !value
}
