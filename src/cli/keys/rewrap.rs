//! `regcred keys rewrap`.

use std::sync::Mutex;

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{PlaceFlags, say, with_broker};
use crate::broker::rewrap::{Manner, Progress, Step};
use crate::config::Config;

/// How to encrypt anew.
#[derive(Debug, Args)]
pub(in crate::cli) struct RewrapArgs {
    /// Most data keys or rows a second [default: as fast as it goes].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    #[command(flatten)]
    pub(super) place: PlaceFlags,
}

pub(super) fn run(config: &Config, args: &RewrapArgs) -> anyhow::Result<()> {
    let bar = Bar::new();
    let report = |progress: Progress| bar.show(progress);
    let done = with_broker(config, async |broker| {
        let manner = Manner {
            rate: args.rate,
            report: &report,
        };
        broker.rewrap(manner).await
    })?;
    bar.end();
    say(&format!(
        "{} data key(s) wrapped anew, {} made, {} row(s) sealed anew",
        done.data_keys, done.new_data_keys, done.records
    ));
    if done.unopened > 0 {
        bail!(
            "{} did not open and stay as they are; the audit trail names them, see docs/keys.md",
            done.unopened
        );
    }
    Ok(())
}

/// A bar on standard error, if that is a terminal.
struct Bar {
    bar: ProgressBar,
    step: Mutex<Option<Step>>,
}

impl Bar {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        let style = "{msg} [{bar:40}] {pos}/{len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            bar,
            step: Mutex::new(None),
        }
    }

    fn show(&self, progress: Progress) {
        let mut step = self
            .step
            .lock()
            .unwrap_or_else(|broken| broken.into_inner());
        if *step != Some(progress.step) {
            *step = Some(progress.step);
            self.bar.reset();
            self.bar.set_length(progress.total);
            self.bar.set_message(match progress.step {
                Step::DataKeys => "data keys",
                Step::Records => "secrets  ",
            });
        }
        self.bar.set_position(progress.done.min(progress.total));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
