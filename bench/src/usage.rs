//! Processor time and memory, as the kernel accounts them.

use std::time::Duration;

use crate::Fallible;

/// The kernel's tick for `/proc/PID/stat` (USER_HZ, 100 on every Linux architecture we know).
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process has used, in user and kernel mode, all of its threads.
pub fn processor(pid: u32) -> Fallible<Duration> {
    ticks(&format!("/proc/{pid}/stat"), 11)
}

/// Processor time of all our children that have ended.
pub fn ended_children() -> Fallible<Duration> {
    ticks("/proc/self/stat", 13)
}

/// Two neighbouring fields: user and kernel mode. They are counted after the name, which may hold anything.
fn ticks(path: &str, first: usize) -> Fallible<Duration> {
    let stat = read(path)?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |at: usize| after_name.split_whitespace().nth(at).and_then(|text| text.parse::<u32>().ok());
    match (field(first), field(first + 1)) {
        (Some(user), Some(system)) => Ok(TICK * (user + system)),
        _ => Err(format!("cannot read processor time from {path}")),
    }
}

/// Processor time that this thread has used.
pub fn this_thread() -> Duration {
    let text = read("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0))
}

/// Resident memory of a process in MiB.
pub fn resident(pid: u32) -> Fallible<f64> {
    let text = read(&format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().map_err(|_| format!("no VmRSS of process {pid}"))?;
    Ok(kib / 1024.0)
}

/// The three load averages.
pub fn load_average() -> String {
    read("/proc/loadavg").unwrap_or_default().split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> Fallible<String> {
    std::fs::read_to_string(path).map_err(|why| format!("cannot read {path}: {why}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn our_own_usage_grows() {
        let own = std::process::id();
        let before = super::this_thread();
        let sum = (0..3_000_000u64).map(std::hint::black_box).sum::<u64>();
        assert!(sum > 0 && super::this_thread() > before);
        assert!(super::resident(own).unwrap() > 1.0);
        assert!(super::processor(own).unwrap() <= super::processor(own).unwrap());
    }
}
