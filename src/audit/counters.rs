//! Counters of the trail, shown with the others on `/metrics`.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::event::Outcome;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabel {
    what: &'static str,
}

/// What went wrong with the trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// An event was not written; what it speaks of was not done.
    Write,
    /// Events of the backlog were not written; they are tried again.
    Backlog,
    /// A lane does not verify, or went back.
    Chain,
}

/// The counters of one process.
pub struct Counters {
    registry: Registry,
    events: Family<OutcomeLabel, Counter>,
    failures: Family<FailureLabel, Counter>,
}

impl Default for Counters {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("regcred");
        let events = Family::<OutcomeLabel, Counter>::default();
        registry.register("audit_events", "Events added to the trail", events.clone());
        let failures = Family::<FailureLabel, Counter>::default();
        registry.register(
            "audit_failures",
            "Times that the trail could not be written or did not verify",
            failures.clone(),
        );
        let counters = Self {
            registry,
            events,
            failures,
        };
        // An alert on a counter that is not there yet would never fire.
        for trouble in [Trouble::Write, Trouble::Backlog, Trouble::Chain] {
            drop(counters.failures.get_or_create(&label(trouble)));
        }
        counters
    }
}

fn label(trouble: Trouble) -> FailureLabel {
    let what = match trouble {
        Trouble::Write => "write",
        Trouble::Backlog => "backlog",
        Trouble::Chain => "chain",
    };
    FailureLabel { what }
}

impl Counters {
    pub(super) fn event(&self, outcome: Outcome) {
        let label = OutcomeLabel {
            outcome: outcome.as_str(),
        };
        self.events.get_or_create(&label).inc();
    }

    pub(super) fn failure(&self, trouble: Trouble) {
        self.failures.get_or_create(&label(trouble)).inc();
    }

    /// For showing them.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
