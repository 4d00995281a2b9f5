//! `regcred sync`.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};

use super::{complain, runtime, say};
use crate::model::name::{Name, Namespace};
use crate::sync::cluster::{Cluster, Mode};
use crate::sync::owner::Owner;
use crate::sync::page::{self, Health};
use crate::sync::pass::{Focus, Place, Sync, Wish};
use crate::sync::plan::Conflicts;
use crate::sync::report::Report;
use crate::sync::watch::{Told, watch};

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
        required_unless_present_all = ["name", "remove"],
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
    /// Sync to the namespaces with these labels, such as team=payments; kubernetes.io/metadata.name selects all.
    /// System namespaces (kube-*, openshift-*) are left out: name those with --namespace.
    #[arg(long, value_name = "SELECTOR", conflicts_with = "namespaces", value_parser = selector)]
    namespace_selector: Option<String>,
    /// Name of this sync in the cluster, of its own for each tenant: what it made under this name and no longer should,
    /// it removes, also when its arguments change. Without it, other arguments are another sync.
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
    /// With --watch: where a probe finds /healthz, and monitoring /metrics, such as 0.0.0.0:9090.
    #[arg(long, value_name = "ADDR:PORT", requires = "watch")]
    metrics_listen: Option<SocketAddr>,
    /// Have the API server do everything but keep it, and tell, without secrets. Ends as the sync would.
    #[arg(long, conflicts_with = "watch")]
    dry_run: bool,
    /// Remove everything that this sync made, and end. Which sync it is, --name says, or the arguments that it had.
    #[arg(long, conflicts_with_all = ["watch", "force_conflicts"])]
    remove: bool,
    /// Take over Secrets and RoleBindings that others made; never those of another sync.
    #[arg(long)]
    force_conflicts: bool,
}

pub(super) fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let result = if args.watch {
        runtime.block_on(watching(args))
    } else {
        runtime.block_on(once(args))
    };
    // Whatever still hangs, a look-up of a name for instance, is not waited for.
    runtime.shutdown_background();
    result
}

async fn once(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let sync = prepare(args).await?;
    Ok(tell(&sync.pass(&Focus::all()).await, sync.cluster.mode()))
}

async fn watching(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let (every, page) = (Duration::from_secs(args.interval), args.metrics_listen);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut stop = std::pin::pin!(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    });
    let sync = tokio::select! {
        sync = prepare(args) => sync?,
        () = &mut stop => return Ok(ExitCode::SUCCESS),
    };
    let health = Health::new(every);
    let (_stop_page, page_stops) = tokio::sync::watch::channel(false);
    if let Some(address) = page {
        let served = page::serve(address, health.clone(), page_stops).await;
        let address = served.with_context(|| format!("cannot listen at {address}"))?;
        log(&Told::Remark(format!(
            "metrics at http://{address}/metrics"
        )));
    }
    watch(&sync, every, health, stop, |told| log(&told)).await;
    Ok(ExitCode::SUCCESS)
}

/// A line of the log: what was done on standard output, what could not be on standard error, with the time.
fn log(told: &Told) {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339);
    let now = now.unwrap_or_default();
    match told {
        Told::Done(text) | Told::Remark(text) => say(&format!("{now} {text}")),
        Told::Failed(text) => {
            let _ = writeln!(std::io::stderr(), "{now} regcred: {text}");
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|fault| fault.detail)
}

fn namespace(text: &str) -> Result<Namespace, String> {
    Namespace::parse(text).map_err(|fault| fault.detail)
}

/// An empty selector selects everything, and is what an empty variable leaves.
fn selector(text: &str) -> Result<String, String> {
    if text.split(',').all(|term| term.trim().is_empty()) {
        return Err(
            "it is empty, which would mean every namespace; to mean all, write kubernetes.io/metadata.name"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

async fn prepare(args: SyncArgs) -> anyhow::Result<Sync> {
    let place = match args.namespace_selector {
        Some(selector) => Place::Selected(selector),
        None if args.namespaces.is_empty() => Place::OwnTarget,
        None => Place::Named(args.namespaces.iter().map(Namespace::to_string).collect()),
    };
    let pull_secrets: Vec<String> = args.pull_secrets.iter().map(Name::to_string).collect();
    let tenant = args.connection.tenant()?;
    let owner = match args.name {
        Some(name) => Owner::named(&tenant, &name),
        None => Owner::of_arguments(&tenant, &pull_secrets, &in_words(&place))
            .map_err(|fault| anyhow!(fault.detail))?,
    };
    let source = args.connection.source()?;
    let mode = if args.dry_run {
        Mode::DryRun
    } else {
        Mode::Apply
    };
    let cluster = Cluster::connect(args.kubeconfig.as_deref(), args.context, mode).await?;
    Ok(Sync {
        source,
        cluster,
        owner,
        pull_secrets,
        place,
        wish: match args.remove {
            true => Wish::Gone,
            false => Wish::There,
        },
        conflicts: if args.force_conflicts {
            Conflicts::TakeOver
        } else {
            Conflicts::Refuse
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
    for remark in &report.remarks {
        say(&format!("! {remark}"));
    }
    if mode == Mode::DryRun {
        say("nothing was changed: this was a dry run");
    }
    for failure in &report.failures {
        complain(&failure.error.to_string());
    }
    if report.failures.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
