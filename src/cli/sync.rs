//! `regcred sync`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{complain, runtime, say};
use crate::model::name::{Name, Namespace};
use crate::sync::cluster::{Cluster, Conflicts};
use crate::sync::owner::Owner;
use crate::sync::pass::{Mode, Place, Report, Sync};
use crate::sync::watch::watch;

/// Flags of `sync`.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    #[command(flatten)]
    connection: super::connection::ConnectionArgs,
    /// A pull secret of the tenant; may be given more than once.
    #[arg(
        long = "pull-secret",
        value_name = "NAME",
        env = "REGCRED_PULL_SECRET",
        required = true,
        value_delimiter = ',',
        value_parser = name
    )]
    pull_secrets: Vec<Name>,
    /// A namespace to sync to, instead of the pull secret's own target; may be given more than once.
    #[arg(
        long = "namespace",
        value_name = "NAMESPACE",
        value_delimiter = ',',
        value_parser = namespace
    )]
    namespaces: Vec<Namespace>,
    /// Sync to the namespaces with these labels, such as team=payments.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "namespaces")]
    namespace_selector: Option<String>,
    /// Name of this sync in the cluster: what it made under this name and no longer should, it removes, also when its
    /// arguments change. Without it, other arguments are another sync.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<Name>,
    /// The cluster's kubeconfig; without it KUBECONFIG, ~/.kube/config, or the cluster this runs in.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Sync once and end; the default.
    #[arg(long, conflicts_with = "watch")]
    once: bool,
    /// Go on, and sync again whenever a credential changes.
    #[arg(long)]
    watch: bool,
    /// With --watch: how often to look at the cluster anyway, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, requires = "watch", value_parser = clap::value_parser!(u64).range(1..))]
    interval: u64,
    /// Only tell what would be done, without secrets.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Take over fields of Secrets that others manage.
    #[arg(long)]
    force_conflicts: bool,
}

pub(super) fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let (again, every) = (args.watch, Duration::from_secs(args.interval));
    runtime()?.block_on(async {
        let sync = prepare(args).await?;
        if !again {
            return Ok(tell(&sync.pass().await, sync.mode));
        }
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        watch(&sync, every, stop, |report| {
            if report.is_change() || !report.failures.is_empty() {
                tell(report, Mode::Apply);
            }
        })
        .await;
        Ok(ExitCode::SUCCESS)
    })
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|fault| fault.detail)
}

fn namespace(text: &str) -> Result<Namespace, String> {
    Namespace::parse(text).map_err(|fault| fault.detail)
}

async fn prepare(args: SyncArgs) -> anyhow::Result<Sync> {
    let place = match args.namespace_selector {
        Some(selector) => Place::Selected(selector),
        None if args.namespaces.is_empty() => Place::OwnTarget,
        None => Place::Named(args.namespaces.iter().map(Namespace::to_string).collect()),
    };
    let pull_secrets: Vec<String> = args.pull_secrets.iter().map(Name::to_string).collect();
    let owner = match args.name {
        Some(name) => Owner::named(name),
        None => {
            let tenant = args.connection.tenant()?;
            Owner::of_arguments(tenant.as_str(), &pull_secrets, &in_words(&place))
                .map_err(|fault| anyhow!(fault.detail))?
        }
    };
    let source = args.connection.source()?;
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), args.context)
        .await
        .context("give --kubeconfig, or run this in the cluster")?;
    Ok(Sync {
        source,
        cluster,
        owner,
        pull_secrets,
        place,
        conflicts: if args.force_conflicts {
            Conflicts::TakeOver
        } else {
            Conflicts::Refuse
        },
        mode: if args.dry_run {
            Mode::DryRun
        } else {
            Mode::Apply
        },
    })
}

/// The place as part of the identity of a sync.
fn in_words(place: &Place) -> Vec<String> {
    match place {
        Place::OwnTarget => Vec::new(),
        Place::Named(namespaces) => namespaces.iter().cloned().collect(),
        Place::Selected(selector) => vec![format!("selector {selector}")],
    }
}

fn tell(report: &Report, mode: Mode) -> ExitCode {
    for line in &report.lines {
        say(&line.to_string());
    }
    if mode == Mode::DryRun {
        say("nothing was changed: this was a dry run");
    }
    for failure in &report.failures {
        complain(&failure.to_string());
    }
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
