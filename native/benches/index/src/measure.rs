//! CPU time of this thread, and rounds of it.

/// CPU time this thread has used.
pub fn cpu_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Repeated measurements of one thing.
pub struct Rounds(Vec<u64>);

impl Rounds {
    pub fn new() -> Self {
        Self(Vec::new())
    }

    pub fn push(&mut self, value: u64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The fifth percentile, because one best round says little, and the median.
    pub fn best_and_median(&self) -> (u64, u64) {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = |share: usize| sorted.get(sorted.len() * share / 100).copied();
        (at(5).unwrap_or(0), at(50).unwrap_or(0))
    }

    /// Prints nanoseconds as µs, and per unit.
    pub fn print(&self, name: &str, units: usize) {
        let (best, median) = self.best_and_median();
        println!(
            "{name}: {:.2} µs median, {:.2} best ({:.1} and {:.1} ns each)",
            median as f64 / 1e3,
            best as f64 / 1e3,
            median as f64 / units as f64,
            best as f64 / units as f64
        );
    }
}
