//! Time: the monotonic clock that both ends of a stream stamp with, a timer as exact as the kernel
//! is (the runtime's own has a grain of a millisecond), and CPU clocks of other processes.

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use tokio::io::unix::AsyncFd;

const NANOS: u64 = 1_000_000_000;
/// The kernel's own bound. In larger numbers the clock's id would name another process.
const PID_MAX: u32 = 4_194_304;

/// Nanoseconds of CLOCK_MONOTONIC, the same for every process of the machine.
pub fn monotonic_ns() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CPU nanoseconds of a process so far: all its threads, ended ones included. None once it is gone.
pub fn process_cpu_ns(pid: u32) -> Option<u64> {
    if pid > PID_MAX {
        return None;
    }
    let mut clock: libc::clockid_t = 0;
    // SAFETY: `clock` is valid to write to; the pid is in range and an unknown one is an error.
    let status = unsafe { libc::clock_getcpuclockid(pid.cast_signed(), &raw mut clock) };
    if status == 0 { read_clock(clock) } else { None }
}

fn read_clock(clock: libc::clockid_t) -> Option<u64> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a valid timespec to write to; an unknown clock is an error.
    let status = unsafe { libc::clock_gettime(clock, &raw mut now) };
    (status == 0).then(|| now.tv_sec.cast_unsigned() * NANOS + now.tv_nsec.cast_unsigned())
}

/// Wakes at points of CLOCK_MONOTONIC.
pub struct ExactTimer {
    descriptor: AsyncFd<OwnedFd>,
}

impl ExactTimer {
    pub fn new() -> Result<Self> {
        // SAFETY: no memory is passed.
        let raw = unsafe {
            libc::timerfd_create(
                libc::CLOCK_MONOTONIC,
                libc::TFD_NONBLOCK | libc::TFD_CLOEXEC,
            )
        };
        if raw < 0 {
            return Err(Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor and nobody else knows it.
        let owned = unsafe { OwnedFd::from_raw_fd(raw) };
        // SAFETY: an `OwnedFd` is open, and the same descriptor, for as long as it lives.
        let descriptor = unsafe { AsyncFd::register(owned) }?;
        Ok(Self { descriptor })
    }

    /// Resolves at `due_ns`, at once when that is past.
    pub async fn until(&self, due_ns: u64) -> Result<()> {
        if due_ns <= monotonic_ns() {
            return Ok(());
        }
        let setting = libc::itimerspec {
            it_interval: libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: libc::timespec {
                tv_sec: (due_ns / NANOS).cast_signed(),
                tv_nsec: (due_ns % NANOS).cast_signed(),
            },
        };
        let raw = self.descriptor.get_ref().as_raw_fd();
        // SAFETY: `setting` outlives the call; the old setting is not asked for.
        let status = unsafe {
            libc::timerfd_settime(
                raw,
                libc::TFD_TIMER_ABSTIME,
                &raw const setting,
                std::ptr::null_mut(),
            )
        };
        if status != 0 {
            return Err(Error::last_os_error());
        }
        while monotonic_ns() < due_ns {
            let mut guard = self.descriptor.readable().await?;
            guard.clear_ready();
            let mut expirations = 0_u64;
            // SAFETY: the buffer is eight bytes, which is what a timer descriptor writes.
            unsafe { libc::read(raw, (&raw mut expirations).cast(), 8) };
        }
        Ok(())
    }
}

/// Raises this process's limit of open descriptors to what it may have.
pub fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid to write to and to read from.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PID_MAX, monotonic_ns, process_cpu_ns};

    #[test]
    fn clocks_run() {
        let (wall, cpu) = (monotonic_ns(), process_cpu_ns(std::process::id()));
        let mut sum = 0_u64;
        while monotonic_ns() < wall + 5_000_000 {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
        assert!(process_cpu_ns(std::process::id()) > cpu);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_clock() {
        assert_eq!(process_cpu_ns(PID_MAX), None);
    }
}
