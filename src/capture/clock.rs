//! The three clocks.

use crate::log::ClockSample;

fn read(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec, and these clocks exist on every kernel with BPF.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned()
}

/// CLOCK_MONOTONIC in nanoseconds: the clock of bpf_ktime_get_ns().
pub(super) fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// All three, as close together as three calls are; of a few tries the tightest.
pub(super) fn sample() -> ClockSample {
    (0..5)
        .map(|_| {
            let before = monotonic_ns();
            let realtime_ns = read(libc::CLOCK_REALTIME);
            let tai_ns = read(libc::CLOCK_TAI);
            let after = monotonic_ns();
            let monotonic_ns = before + (after - before) / 2;
            (after - before, ClockSample { monotonic_ns, realtime_ns, tai_ns })
        })
        .min_by_key(|(width, _)| *width)
        .expect("five samples")
        .1
}
