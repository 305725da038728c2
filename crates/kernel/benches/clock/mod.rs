//! The clock of the benches, and the shortest of several runs on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The shortest of several runs within about `milliseconds`, at least three.
pub fn best(milliseconds: u64, mut f: impl FnMut()) -> Duration {
    let started = Instant::now();
    let mut shortest = Duration::MAX;
    for runs in 0.. {
        let start = now();
        f();
        shortest = shortest.min(now() - start);
        if runs >= 2 && started.elapsed() > Duration::from_millis(milliseconds) {
            break;
        }
    }
    shortest
}

/// Whether the processor time of this thread counts rather than the time that passes.
pub static PROCESSOR_TIME: AtomicBool = AtomicBool::new(false);

/// The time on the chosen clock.
pub fn now() -> Duration {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    if PROCESSOR_TIME.load(Ordering::Relaxed) {
        unsafe extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        const THREAD_CPU_TIME: i32 = 3;
        let mut time = [0i64; 2];
        // SAFETY: the system's function, whose `timespec` is two 64-bit numbers on this target.
        let status = unsafe { clock_gettime(THREAD_CPU_TIME, &mut time) };
        assert_eq!(status, 0, "clock_gettime");
        return Duration::new(time[0] as u64, time[1] as u32);
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
