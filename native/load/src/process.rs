//! What processes use: CPU of the whole process and of its first thread, and resident memory.

use std::fs::read_to_string;

use crate::clock::process_cpu_ns;

/// Figures of a set of processes, summed.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// All threads, ended ones included.
    pub cpu_ns: u64,
    /// The first thread of each: for a Node process the one that runs JavaScript.
    pub main_thread_ns: u64,
    pub resident_bytes: u64,
}

/// Reads them now; a process that is gone counts nothing.
pub fn usage_of(pids: &[u64]) -> Usage {
    let mut sum = Usage::default();
    for &pid in pids {
        sum.cpu_ns += u32::try_from(pid)
            .ok()
            .and_then(process_cpu_ns)
            .unwrap_or(0);
        let first_thread = format!("/proc/{pid}/task/{pid}/schedstat");
        sum.main_thread_ns += first_number(&read_to_string(first_thread).unwrap_or_default());
        sum.resident_bytes += resident_bytes(pid);
    }
    sum
}

fn resident_bytes(pid: u64) -> u64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.map_or(0, |kib| first_number(kib) * 1024)
}

fn first_number(text: &str) -> u64 {
    let word = text.split_ascii_whitespace().next();
    word.and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::usage_of;

    #[test]
    fn this_process_uses_something_and_an_unknown_one_nothing() {
        let own = usage_of(&[u64::from(std::process::id())]);
        assert!(own.cpu_ns > 0 && own.resident_bytes > 0);
        let none = usage_of(&[u64::MAX]);
        assert_eq!(
            (none.cpu_ns, none.main_thread_ns, none.resident_bytes),
            (0, 0, 0)
        );
    }
}
