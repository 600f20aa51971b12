//! What a process uses, from Linux's `/proc`.

use std::fs;
use std::time::Duration;

/// CPU time of a process so far, user and system, all threads.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the numbers follow the last parenthesis. utime and stime are the
    // 14th and 15th field of the line, so the 12th and 13th of the rest.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    Some(Duration::from_millis(ticks * 1_000 / ticks_per_second))
}

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident, in bytes; what it shares with others counts in full.
    pub(crate) rss_bytes: u64,
    /// Proportional, in bytes; what it shares with others counts in part.
    pub(crate) pss_bytes: Option<u64>,
}

/// The memory of a process now.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
    Some(Memory { rss_bytes: field(&status, "VmRSS:")?, pss_bytes: rollup.and_then(|text| field(&text, "Pss:")) })
}

/// A field in kibibytes, as bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The machine, in words.
pub(crate) fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    let processors = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let system = rustix::system::uname();
    let kernel = system.release().to_string_lossy();
    format!("{processors} × {model}, Linux {kernel}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let me = std::process::id();
        assert!(memory(me).expect("Linux").rss_bytes > 100_000);
        assert!(cpu_time(me).is_some());
        assert_eq!(cpu_time(u32::MAX), None);
    }
}
