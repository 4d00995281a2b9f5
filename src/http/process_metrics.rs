//! What Prometheus wants to know of any process: memory, time, files. Read when it is asked for.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

/// The metrics, under the names that every client library of Prometheus has for them.
pub(super) struct ProcessMetrics {
    registry: Registry,
    memory: Gauge,
    files: Gauge,
    seconds: Counter<f64, AtomicU64>,
}

impl Default for ProcessMetrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("process");
        let memory = Gauge::default();
        registry.register_with_unit(
            "resident_memory",
            "Resident memory",
            Unit::Bytes,
            memory.clone(),
        );
        let files = Gauge::default();
        registry.register("open_fds", "Open file descriptors", files.clone());
        let seconds = Counter::<f64, AtomicU64>::default();
        registry.register_with_unit("cpu", "Processor time", Unit::Seconds, seconds.clone());
        let started = Gauge::<f64, AtomicU64>::default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        started.set(since.unwrap_or_default().as_secs_f64());
        registry.register_with_unit(
            "start_time",
            "When it started, since 1970",
            Unit::Seconds,
            started,
        );
        Self {
            registry,
            memory,
            files,
            seconds,
        }
    }
}

impl ProcessMetrics {
    /// Reads what the system says now. Where there is no `/proc`, all stays at zero.
    pub(super) fn read(&self) -> &Registry {
        if let Some(bytes) = resident() {
            self.memory.set(bytes);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // The directory that is being read is one itself.
            self.files
                .set(i64::try_from(open.count()).unwrap_or(i64::MAX) - 1);
        }
        if let Some(time) = processor_time() {
            let more = time.as_secs_f64() - self.seconds.get();
            self.seconds.inc_by(more.max(0.0));
        }
        &self.registry
    }
}

/// `VmRSS` of proc(5).
fn resident() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// User and system time, the 14th and 15th word of `/proc/self/stat`, in ticks of a hundredth of a second (proc(5)).
fn processor_time() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second word is the program's name and may hold anything, even brackets.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut words = rest.split_whitespace().skip(11);
    let mut ticks = || words.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_says_what_this_process_uses() {
        let metrics = ProcessMetrics::default();
        metrics.read();
        assert!(metrics.memory.get() > 1024 * 1024 && metrics.files.get() > 0);
        assert!(processor_time().is_some());
    }
}
