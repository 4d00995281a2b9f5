//! `oc` and `kubectl`: a POSIX shell script that makes the Secrets, links them, and grants
//! `system:image-puller`.
//!
//! No secret is an argument of a process, where other users of the machine would see it: manifests go
//! through here-documents. They are JSON, so no line of one can be the delimiter. Server-side apply
//! because client-side apply would copy the secret into an annotation, which holds 256 KiB at most; `replace --force`
//! would write it to a file for a while.

use zeroize::Zeroizing;

use super::Format;
use super::bundle::Bundle;
use super::image_puller::Grant;
use super::objects::{namespace_of, pretty_json};
use super::plan::RenderError;
use super::{image_puller, secret};
use crate::model::pull_secret::ServiceAccounts;
use crate::model::severity::Severity;

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

/// What every script begins with. What cannot be done is told, the rest is done, and the script ends with 1.
const PRELUDE: &str = r#"
set -u
force=
for argument in "$@"; do
    case "$argument" in
    --force-conflicts) force=--force-conflicts ;;
    *)
        echo "usage: $0 [--force-conflicts]" >&2
        exit 2
        ;;
    esac
done
failed=0
errors=
exec 3>&1

# Runs a command, and keeps what it has to say of errors.
try() {
    errors=$("$@" 2>&1 >&3)
}

# Tells what could not be done, and why. What the API server refuses, it names with the missing right.
fail() {
    failed=1
    printf '%s\n' "$1${errors:+: $errors}" >&2
    errors=
}

says() {
    case "$errors" in
    *"$1"*) return 0 ;;
    *) return 1 ;;
    esac
}
"#;

/// Secrets. One of its own that cannot be changed, because it is immutable or its type is another now, is made anew;
/// those of others are left to them.
const APPLY: &str = r#"
ready=' '

send() {
    errors=$(printf '%s\n' "$manifest" | run "$@" 2>&1 >&3)
}

is_ours() {
    case " $(run get secret "$1" --output=jsonpath='{.metadata.managedFields[*].manager}' 2>/dev/null) " in
    *' regcred '*) return 0 ;;
    *) return 1 ;;
    esac
}

# kubectl apply without --server-side leaves a copy of the data in an annotation.
tidy() {
    if run get secret "$1" \
        --output=jsonpath='{.metadata.annotations.kubectl\.kubernetes\.io/last-applied-configuration}' 2>/dev/null |
        grep -q .; then
        try run annotate secret "$1" kubectl.kubernetes.io/last-applied-configuration- ||
            fail "an annotation of the Secret $1 still holds a copy of former data"
    fi
}

# Applies the Secret $secret, whose manifest is on standard input.
apply() {
    manifest=$(cat)
    if send apply --server-side $force --field-manager=regcred --filename=-; then
        ready="$ready$secret "
        tidy "$secret"
    elif says 'field is immutable'; then
        if ! is_ours "$secret"; then
            errors=
            fail "the Secret $secret was made by somebody else, and what would have to change of it cannot be changed; delete it yourself"
        elif try run delete secret "$secret" && send apply --server-side $force --field-manager=regcred --filename=-; then
            ready="$ready$secret "
        else
            fail "the Secret $secret cannot be made anew"
        fi
    elif says 'Apply failed with'; then
        fail "the Secret $secret was made by somebody else and is left to them; with --force-conflicts it is taken over"
    else
        fail "the Secret $secret cannot be made"
    fi
}

# What was not made is not linked.
is_ready() {
    case "$ready" in
    *" $1 "*) return 0 ;;
    *) return 1 ;;
    esac
}
"#;

/// The `kubectl` way to link: read the list, add to it only what is missing, and only if nobody else
/// changed the account meanwhile. The list is atomic for the API server: a merge would replace it.
const KUBECTL_LINK: &str = r#"
link() {
    is_ready "$2" || return 0
    attempt=1
    while [ "$attempt" -le 5 ]; do
        if ! state=$(run get serviceaccount "$1" \
            --output=jsonpath='{.metadata.resourceVersion}{"\n"}{range .imagePullSecrets[*]}{.name}{"\n"}{end}' 2>/dev/null); then
            try run get serviceaccount "$1" >/dev/null
            fail "the service account $1 cannot be read, and $2 is not linked to it"
            return 0
        fi
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
        if try run patch serviceaccount "$1" --type=json --patch="[$unchanged,$change]"; then
            return 0
        fi
        # A right that is missing is missing the next time, too.
        if says '(Forbidden)' || says '(NotFound)'; then
            break
        fi
        attempt=$((attempt + 1))
        sleep 1
    done
    fail "$2 is not linked to the service account $1"
}
"#;

/// `oc secrets link` reads and writes by itself, and gives up when somebody was faster.
const OC_LINK: &str = r#"
link() {
    is_ready "$2" || return 0
    attempt=1
    while [ "$attempt" -le 5 ]; do
        if try run secrets link "$1" "$2" --for=pull; then
            return 0
        fi
        if ! says 'the object has been modified'; then
            break
        fi
        attempt=$((attempt + 1))
        sleep 1
    done
    fail "$2 is not linked to the service account $1"
}
"#;

const KUBECTL_GRANT: &str = r#"
# grant NAME NAMESPACE, with the RoleBinding on standard input.
grant() {
    manifest=$(cat)
    if ! errors=$(printf '%s\n' "$manifest" |
        kubectl apply --server-side $force --field-manager=regcred --filename=- 2>&1 >&3); then
        fail "the RoleBinding $1 in $2 cannot be made"
    fi
}
"#;

const OC_GRANT: &str = r#"
# grant VERB PULLER NAMESPACE
grant() {
    try oc policy "$1" system:image-puller "$2" --namespace="$3" ||
        fail "$2 is not granted system:image-puller in $3"
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
    script.functions(bundle)?;
    for planned in &bundle.secrets {
        let object = secret::object(bundle, planned)?;
        script.push(&["\nsecret=", &quote(planned.name.as_str())]);
        script.here_document("apply", &pretty_json(object.object())?);
    }
    script.links(bundle);
    script.grants(bundle)?;
    script.push(&["\nexit \"$failed\"\n"]);
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
            "# Safe to run twice. What somebody else made is left to them, unless it is run with --force-conflicts.\n",
        ]);
        for warning in bundle.warnings_for(self.tool.format()) {
            let line: String = warning
                .to_string()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            let word = match warning.severity {
                Severity::Info => "# Note: ",
                Severity::Error | Severity::Warning => "# Warning: ",
            };
            self.push(&[word, &line, "\n"]);
        }
        self.push(&[PRELUDE]);
    }

    fn functions(&mut self, bundle: &Bundle) -> Result<(), RenderError> {
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
        self.push(&[APPLY]);
        if bundle.target.service_accounts != ServiceAccounts::None {
            self.push(&[match self.tool {
                Tool::Oc => OC_LINK,
                Tool::Kubectl => KUBECTL_LINK,
            }]);
        }
        if Grant::of(&bundle.target)?.is_some() {
            self.push(&[match self.tool {
                Tool::Oc => OC_GRANT,
                Tool::Kubectl => KUBECTL_GRANT,
            }]);
        }
        Ok(())
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
            "\nif ! accounts=$(run get serviceaccounts --output=jsonpath='{.items[*].metadata.name}'); then\n",
            "    accounts=\n    fail 'the service accounts cannot be listed'\nfi\n",
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
                let name = binding.metadata.name.as_deref().unwrap_or_default();
                let place = binding.metadata.namespace.as_deref().unwrap_or_default();
                let command = format!("grant {} {}", quote(name), quote(place));
                self.here_document(&command, &pretty_json(&binding)?);
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
                let principal = quote(&puller.principal());
                self.push(&[
                    "grant ",
                    verb,
                    " ",
                    &principal,
                    " ",
                    &quote(from.as_str()),
                    "\n",
                ]);
            }
        }
        Ok(())
    }
}

/// A word of the shell, whatever it holds (POSIX, Shell Command Language, 2.2.2).
pub(super) fn quote(text: &str) -> String {
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
