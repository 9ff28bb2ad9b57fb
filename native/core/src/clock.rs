//! The clock of the process: CLOCK_MONOTONIC, the same as `process-clock.ts`, so that times written
//! by one language can be read by the other.

/// Milliseconds since an arbitrary fixed start, never decreasing.
pub fn now_ms() -> f64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to; CLOCK_MONOTONIC always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
}
