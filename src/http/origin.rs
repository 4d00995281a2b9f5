//! Where the External Secrets Operator fetches what is asked for as `external-secret`.

use super::problem::Answer;
use crate::broker::Scope;
use crate::broker::manifests::Source;
use crate::render::external_secret::Origin;

/// The manifest of a source, below the URL at which the caller reaches the API.
pub(super) fn origin(base: &str, scope: &Scope, source: &Source) -> Answer<Origin> {
    let tenant = format!("{base}/v1/tenants/{}", scope.tenant()?.name);
    let (collection, key) = match source {
        Source::PullSecret(name) => ("pull-secrets", name),
        Source::Credential(name) => ("credentials", name),
        Source::AdHoc(spec) => {
            let body = spec.as_written().map_err(crate::broker::Error::from)?;
            return Ok(Origin {
                url: format!("{tenant}/{{{{ .remoteRef.key }}}}"),
                key: "manifest".into(),
                body: Some(body.to_string()),
            });
        }
    };
    Ok(Origin {
        url: format!("{tenant}/{collection}/{{{{ .remoteRef.key }}}}/manifest"),
        key: key.to_string(),
        body: None,
    })
}
