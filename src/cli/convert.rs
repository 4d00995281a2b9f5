//! `regcred convert`.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail};
use clap::Args;

use super::{complain, input};
use crate::intake::convert::{Destination, bundle};
use crate::intake::entry::gather;
use crate::intake::format::Format as From;
use crate::model::mistake::{Fault, Mistake};
use crate::model::name::{Namespace, ObjectName};
use crate::model::pull_secret::{Layout, SecretType, Target};
use crate::render::{Format, Output, render};

/// What to convert into what.
#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    /// Auth file or Secret manifest; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
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

pub(super) fn run(args: ConvertArgs) -> anyhow::Result<()> {
    let output = args.output.unwrap_or(args.to.default_output());
    if !args.to.has_output(output) {
        bail!(
            "the format {} is not written so; leave --output out",
            args.to.as_str()
        );
    }
    let content = input::read(&args.from)?;
    let shown = args.from.display().to_string();
    let gathered = gather(&content, From::Auto).map_err(|mistakes| refused(&shown, &mistakes))?;
    for warning in &gathered.warnings {
        complain(&format!("warning: {warning}"));
    }
    let destination = Destination {
        name: args.name,
        layout: args.layout,
        target: Target {
            namespace: args.namespace,
            secret_type: args.secret_type,
            ..Target::default()
        },
    };
    let bundle = bundle(gathered, destination, SystemTime::now().into())
        .map_err(|mistakes| refused(&shown, &mistakes))?;
    if bundle.endpoints.is_empty() {
        bail!("{shown} holds no account");
    }
    for warning in bundle.warnings_for(args.to) {
        complain(&format!("warning: {warning}"));
    }
    let rendered = render(&bundle, args.to, output)?;
    let mut out = std::io::stdout();
    out.write_all(&rendered.bytes)
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
