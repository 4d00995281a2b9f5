//! The CPU time of this thread as a measure.

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// What the scheduler has given to this thread, in nanoseconds. Only Linux tells it; elsewhere all is zero.
pub struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = u64;
    type Value = u64;

    fn start(&self) -> u64 {
        nanos()
    }

    fn end(&self, before: u64) -> u64 {
        nanos().saturating_sub(before)
    }

    fn add(&self, one: &u64, other: &u64) -> u64 {
        one + other
    }

    fn zero(&self) -> u64 {
        0
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "criterion reckons in floating point"
    )]
    fn to_f64(&self, nanos: &u64) -> f64 {
        *nanos as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next();
    first
        .and_then(|nanos| nanos.parse().ok())
        .unwrap_or_default()
}
