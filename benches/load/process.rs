//! What a process costs, as the kernel counts it.

use std::fs;

/// Clock ticks of `/proc` a second: 100 on every Linux that regcred runs on.
const TICKS: u64 = 100;

/// CPU time of a process and of the children that it has now, in microseconds.
///
/// PostgreSQL serves each connection by a child of its own; those of `pgbench` come and go, those of regcred stay.
pub fn cpu_micros(pid: u32) -> u64 {
    let own = ticks_of(pid).map_or(0, |(ticks, _)| ticks);
    let children: u64 = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(ticks_of)
        .filter(|(_, parent)| *parent == pid)
        .map(|(ticks, _)| ticks)
        .sum();
    (own + children) * 1_000_000 / TICKS
}

/// The ticks that a process used, and its parent (`proc(5)`, `/proc/PID/stat`).
fn ticks_of(pid: u32) -> Option<(u64, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in brackets and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // Its own, and that of children that have ended: those of `pgbench` have.
    let ticks: u64 = (11..=14).map(number).sum::<Option<u64>>()?;
    Some((ticks, u32::try_from(number(1)?).ok()?))
}

/// Resident memory of a process in KiB.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
