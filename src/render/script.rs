//! `oc` and `kubectl`: a POSIX shell script that makes the Secrets, links them, and grants
//! `system:image-puller`.
//!
//! No secret is an argument of a process, where other users of the machine would see it: manifests go
//! through here-documents. They are JSON, so no line of one can be the delimiter. Server-side apply
//! because client-side apply would copy the secret into an annotation, which holds 256 KiB at most.

use zeroize::Zeroizing;

use super::Format;
use super::bundle::Bundle;
use super::image_puller::{Grant, ROLE};
use super::objects::{namespace_of, pretty_json};
use super::plan::RenderError;
use super::{image_puller, secret};
use crate::model::pull_secret::ServiceAccounts;

/// Whose commands the script uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// OpenShift's client.
    Oc,
    /// Kubernetes' client.
    Kubectl,
}

impl Tool {
    fn command(self) -> &'static str {
        match self {
            Self::Oc => "oc",
            Self::Kubectl => "kubectl",
        }
    }

    fn format(self) -> Format {
        match self {
            Self::Oc => Format::Oc,
            Self::Kubectl => Format::Kubectl,
        }
    }
}

/// The `kubectl` way to link: read the list, add to it only what is missing, and only if nobody else
/// changed the account meanwhile. The list is atomic for the API server: a merge would replace it.
const KUBECTL_LINK: &str = r#"
link() {
    attempt=1
    while [ "$attempt" -le 5 ]; do
        state=$(run get serviceaccount "$1" \
            --output=jsonpath='{.metadata.resourceVersion}{"\n"}{range .imagePullSecrets[*]}{.name}{"\n"}{end}')
        version=$(printf '%s\n' "$state" | sed -n 1p)
        linked=$(printf '%s\n' "$state" | sed 1d)
        if printf '%s\n' "$linked" | grep -Fqx -e "$2"; then
            return 0
        fi
        if [ -n "$linked" ]; then
            change='{"op":"add","path":"/imagePullSecrets/-","value":{"name":"'"$2"'"}}'
        else
            change='{"op":"add","path":"/imagePullSecrets","value":[{"name":"'"$2"'"}]}'
        fi
        unchanged='{"op":"test","path":"/metadata/resourceVersion","value":"'"$version"'"}'
        if run patch serviceaccount "$1" --type=json --patch="[$unchanged,$change]"; then
            return 0
        fi
        attempt=$((attempt + 1))
    done
    echo "the service account $1 keeps changing; run the script again" >&2
    return 1
}
"#;

const OC_LINK: &str = r#"
link() {
    run secrets link "$1" "$2" --for=pull
}
"#;

/// An immutable Secret is not changed; one with other data takes its place.
const APPLY_IMMUTABLE: &str = r#"
apply() {
    manifest=$(cat)
    printf '%s\n' "$manifest" | run apply --server-side --force-conflicts --field-manager=regcred --filename=- ||
        printf '%s\n' "$manifest" | run replace --force --filename=-
}
"#;

const APPLY: &str = r#"
apply() {
    run apply --server-side --force-conflicts --field-manager=regcred --filename=-
}
"#;

/// A script under construction; it holds secrets.
struct Script {
    text: Zeroizing<String>,
    tool: Tool,
}

/// Renders the script.
///
/// # Errors
/// As for the Secrets and the bindings themselves.
pub fn render(bundle: &Bundle, tool: Tool) -> Result<Zeroizing<Vec<u8>>, RenderError> {
    let mut script = Script {
        text: Zeroizing::new(String::with_capacity(64 * 1024)),
        tool,
    };
    script.header(bundle);
    script.functions(bundle);
    for planned in &bundle.secrets {
        let object = secret::object(bundle, planned)?;
        script.here_document("apply", &pretty_json(object.object())?);
    }
    script.links(bundle);
    script.grants(bundle)?;
    Ok(Zeroizing::new(script.text.as_bytes().to_vec()))
}

impl Script {
    fn push(&mut self, parts: &[&str]) {
        for part in parts {
            self.text.push_str(part);
        }
    }

    fn header(&mut self, bundle: &Bundle) {
        self.push(&[
            "#!/bin/sh\n",
            "# Pull secrets, rendered by regcred. This file holds secrets: keep it as private as they are.\n",
            "# Safe to run twice.\n",
        ]);
        for warning in bundle.warnings_for(self.tool.format()) {
            let line: String = warning
                .to_string()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            self.push(&["# Warning: ", &line, "\n"]);
        }
        self.push(&["set -eu\n"]);
    }

    fn functions(&mut self, bundle: &Bundle) {
        let place = namespace_of(&bundle.target)
            .map(|namespace| format!(" --namespace={}", quote(namespace)));
        let command = self.tool.command();
        self.push(&[
            "\nrun() {\n    ",
            command,
            " \"$@\"",
            place.as_deref().unwrap_or_default(),
            "\n}\n",
        ]);
        self.push(&[if bundle.target.immutable {
            APPLY_IMMUTABLE
        } else {
            APPLY
        }]);
        if bundle.target.service_accounts != ServiceAccounts::None {
            self.push(&[match self.tool {
                Tool::Oc => OC_LINK,
                Tool::Kubectl => KUBECTL_LINK,
            }]);
        }
    }

    fn here_document(&mut self, command: &str, json: &[u8]) {
        // What serde_json wrote is UTF-8.
        let json = std::str::from_utf8(json).unwrap_or_default();
        self.push(&["\n", command, " <<'REGCRED'\n", json, "\nREGCRED\n"]);
    }

    fn links(&mut self, bundle: &Bundle) {
        match &bundle.target.service_accounts {
            ServiceAccounts::None => {}
            ServiceAccounts::Named(accounts) => {
                self.push(&["\n"]);
                for account in accounts {
                    for planned in &bundle.secrets {
                        self.push(&[
                            "link ",
                            &quote(account.as_str()),
                            " ",
                            &quote(planned.name.as_str()),
                            "\n",
                        ]);
                    }
                }
            }
            ServiceAccounts::All => self.links_for_all(bundle),
        }
    }

    fn links_for_all(&mut self, bundle: &Bundle) {
        self.push(&[
            "\naccounts=$(run get serviceaccounts --output=jsonpath='{.items[*].metadata.name}')\n",
            "for account in $accounts; do\n",
        ]);
        for planned in &bundle.secrets {
            self.push(&[
                "    link \"$account\" ",
                &quote(planned.name.as_str()),
                "\n",
            ]);
        }
        self.push(&["done\n"]);
    }

    fn grants(&mut self, bundle: &Bundle) -> Result<(), RenderError> {
        if self.tool == Tool::Kubectl {
            for binding in image_puller::bindings(&bundle.target)? {
                let command = "kubectl apply --server-side --force-conflicts --field-manager=regcred --filename=-";
                self.here_document(command, &pretty_json(&binding)?);
            }
            return Ok(());
        }
        let Some(grant) = Grant::of(&bundle.target)? else {
            return Ok(());
        };
        let verb = match grant.service_accounts {
            ServiceAccounts::All => "add-role-to-group",
            ServiceAccounts::None | ServiceAccounts::Named(_) => "add-role-to-user",
        };
        self.push(&["\n"]);
        for from in &grant.pull_from {
            for puller in grant.pullers() {
                let place = format!("--namespace={}", quote(from.as_str()));
                self.push(&[
                    "oc policy ",
                    verb,
                    " ",
                    ROLE,
                    " ",
                    &quote(&puller.principal()),
                    " ",
                    &place,
                    "\n",
                ]);
            }
        }
        Ok(())
    }
}

/// A word of the shell, whatever it holds (POSIX, Shell Command Language, 2.2.2).
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quote("it's $(x)"), r"'it'\''s $(x)'");
    }
}
