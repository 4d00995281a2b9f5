//! `regcred convert`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use zeroize::Zeroizing;

use super::{complain, input};
use crate::intake::convert::{Destination, bundle};
use crate::intake::entry::{Found, Gathered, Manner, MissingPadding, gather};
use crate::intake::format::Format as From;
use crate::intake::request::OnInvalid;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::{Namespace, ObjectName};
use crate::model::pull_secret::{Layout, SecretType, Target};
use crate::render::{Format, Output, render_with};
use extras::Extras;

mod extras;

/// What to convert into what.
#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// Auth file or Secret manifest; `-` is standard input. image-puller and external-secret hold no
    /// account and need none.
    #[arg(long, value_name = "FILE", required_unless_present_any = ["pull_from", "url"])]
    from: Option<PathBuf>,
    /// secret, docker-config, podman-auth, dockercfg, oc, kubectl, data, helm-values, …
    #[arg(long, value_name = "FORMAT", value_parser = parsed(Format::parse))]
    to: Format,
    /// Name of the Secret.
    #[arg(long, value_name = "NAME", default_value = "pull-secret", value_parser = parsed(ObjectName::parse))]
    name: ObjectName,
    /// Namespace of the Secret.
    #[arg(long, value_name = "NAMESPACE", value_parser = parsed(Namespace::parse))]
    namespace: Option<Namespace>,
    /// Type of the Secret.
    #[arg(long = "type", value_name = "TYPE", default_value = "kubernetes.io/dockerconfigjson", value_parser = parsed(SecretType::parse))]
    secret_type: SecretType,
    /// merged (one Secret) or split (one for each registry path).
    #[arg(long, value_name = "LAYOUT", default_value = "merged", value_parser = parsed(Layout::parse))]
    layout: Layout,
    /// yaml or json, where the format has both.
    #[arg(long, value_name = "OUTPUT", value_parser = parsed(output))]
    output: Option<Output>,
    /// Leave out what makes no credential, and say so.
    #[arg(long)]
    skip_invalid: bool,
    #[command(flatten)]
    extras: Extras,
}

fn parsed<T: Clone + Send + Sync + 'static>(
    parse: fn(&str) -> Result<T, Fault>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| parse(text).map_err(|fault| fault.detail)
}

fn output(text: &str) -> Result<Output, Fault> {
    match text {
        "yaml" => Ok(Output::Yaml),
        "json" => Ok(Output::Json),
        _ => Err(Fault::new("invalid-output", "expected yaml or json")),
    }
}

/// Exit code 1 if there is nothing to convert.
pub(super) fn run(args: ConvertArgs) -> anyhow::Result<ExitCode> {
    let output = args.output.unwrap_or(args.to.default_output());
    if !args.to.has_output(output) {
        bail!(
            "the format {} is not written so; leave --output out",
            args.to.as_str()
        );
    }
    let inputs = args.extras.inputs(args.to, SystemTime::now().into())?;
    let Some(gathered) = args.gathered()? else {
        complain(&format!(
            "the format {} needs --from FILE",
            args.to.as_str()
        ));
        return Ok(ExitCode::from(2));
    };
    let holds_accounts = args.from.is_some();
    let shown = args.shown();
    let destination = Destination {
        name: args.name,
        layout: args.layout,
        target: Target {
            namespace: args.namespace,
            secret_type: args.secret_type,
            service_accounts: args.extras.service_accounts()?,
            pull_from: args.extras.pull_from.clone(),
            ..Target::default()
        },
    };
    let bundle = bundle(gathered, destination, SystemTime::now().into())
        .map_err(|mistakes| refused(&shown, &mistakes))?;
    if holds_accounts && bundle.endpoints.is_empty() {
        bail!("{shown} holds no account");
    }
    for warning in bundle.warnings_for(args.to) {
        if holds_accounts {
            complain(&format!("{}: {warning}", warning.severity.as_str()));
        }
    }
    let rendered =
        render_with(&bundle, args.to, output, &inputs).map_err(|error| extras::in_words(&error))?;
    write(&rendered.bytes)?;
    Ok(ExitCode::SUCCESS)
}

impl ConvertArgs {
    fn shown(&self) -> String {
        let from = self.from.as_deref().unwrap_or(Path::new(""));
        from.display().to_string()
    }

    /// What the file holds; nothing for a format that holds no account; none where a file is missing.
    fn gathered(&self) -> anyhow::Result<Option<Gathered>> {
        let Some(from) = &self.from else {
            let needs_none = matches!(self.to, Format::ImagePuller | Format::ExternalSecret);
            return Ok(needs_none.then(Gathered::default));
        };
        let content = input::read(from)?;
        let manner = Manner {
            on_invalid: match self.skip_invalid {
                true => OnInvalid::Skip,
                false => OnInvalid::Reject,
            },
            missing_padding: MissingPadding::Added,
        };
        let gathered = gather(&content, From::Auto, manner);
        let gathered = gathered.map_err(|mistakes| refused(&self.shown(), &mistakes))?;
        for warning in &gathered.warnings {
            complain(&format!("warning: {warning}"));
        }
        for entry in &gathered.entries {
            if let Found::Nothing(reason) = &entry.found {
                complain(&format!("warning: left out: {}: {reason}", entry.registry));
            }
        }
        Ok(Some(gathered))
    }
}

/// Writes the result; JSON, too, ends its last line, so that a prompt does not stick to it.
fn write(bytes: &Zeroizing<Vec<u8>>) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n" };
    out.write_all(bytes)
        .and_then(|()| out.write_all(end))
        .and_then(|()| out.flush())
        .context("cannot write the result")
}

fn refused(file: &str, mistakes: &[Mistake]) -> anyhow::Error {
    let all: Vec<&str> = mistakes
        .iter()
        .take(10)
        .map(|mistake| mistake.detail.as_str())
        .collect();
    let more = match mistakes.len().saturating_sub(all.len()) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    anyhow!("{file} cannot be converted: {}{more}", all.join("; "))
}
