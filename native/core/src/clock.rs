//! The clock of the process: CLOCK_MONOTONIC, the same as `process-clock.ts`, so that times written
//! by one language can be read by the other.

/// Milliseconds since an arbitrary fixed start, never decreasing.
pub fn now_ms() -> f64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The same as of the kernel's last tick, at most 10 ms ago: for time limits, of which a request has
/// so many that reading the exact time for each is felt.
pub fn coarse_ms() -> f64 {
    read(COARSE)
}

#[cfg(target_os = "linux")]
const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;
#[cfg(not(target_os = "linux"))]
const COARSE: libc::clockid_t = libc::CLOCK_MONOTONIC;

fn read(clock: libc::clockid_t) -> f64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to; both clocks always exist.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}
