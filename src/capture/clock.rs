// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The three clocks, as the host has them.
//!
//! BPF's clock is the host's CLOCK_MONOTONIC. In a time namespace (Linux 5.6) clock_gettime() adds an
//! offset to that one, so all that the recorder reads is brought back to the host's: every time of a
//! recording is of one clock. CLOCK_REALTIME and CLOCK_TAI have no namespaces.

use std::{
    fs,
    sync::atomic::{AtomicI64, Ordering},
};

use crate::log::ClockSample;

fn read(clock: libc::clockid_t) -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec, and these clocks exist on every kernel with BPF.
    unsafe { libc::clock_gettime(clock, &raw mut t) };
    t.tv_sec.cast_unsigned() * 1_000_000_000 + t.tv_nsec.cast_unsigned()
}

/// CLOCK_MONOTONIC of the recorder's time namespace less that of the host, in nanoseconds. It holds for
/// the process: the offsets of a time namespace that has a process cannot be changed.
static OFFSET_NS: AtomicI64 = AtomicI64::new(0);

/// CLOCK_MONOTONIC of the recorder's time namespace, in nanoseconds.
pub(super) fn own_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// The host's CLOCK_MONOTONIC in nanoseconds: the clock of bpf_ktime_get_ns().
pub(super) fn monotonic_ns() -> u64 {
    own_ns().wrapping_sub(offset_ns().cast_unsigned())
}

/// CPU time of the calling thread, in nanoseconds.
pub(super) fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// How far the recorder's CLOCK_MONOTONIC is ahead of the host's, in nanoseconds.
pub(super) fn offset_ns() -> i64 {
    OFFSET_NS.load(Ordering::Relaxed)
}

/// The host's clock between two readings of our own.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub before_ns: u64,
    pub host_ns: u64,
    pub after_ns: u64,
}

/// ktime_get_mono_fast_ns() may be this far from ktime_get() while the timekeeper is updated.
const FAST_NS: i64 = 10_000;

impl ClockReading {
    /// Whether the clocks can be this far apart.
    fn allows(&self, offset_ns: i64) -> bool {
        let ahead = |own_ns: u64| own_ns.wrapping_sub(self.host_ns).cast_signed();
        (ahead(self.before_ns) - FAST_NS..=ahead(self.after_ns) + FAST_NS).contains(&offset_ns)
    }

    fn width_ns(&self) -> u64 {
        self.after_ns - self.before_ns
    }
}

/// Sets the offset that the kernel names for this process, if it is what was seen.
pub(super) fn set(seen: ClockReading) -> bool {
    let text = fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    // The file is about children, whose namespace may be another one; and there may be none.
    let found = [offset_of(&text), Some(0)].into_iter().flatten().find(|o| seen.allows(*o));
    if let Some(offset_ns) = found {
        OFFSET_NS.store(offset_ns, Ordering::Relaxed);
    }
    found.is_some()
}

/// Sets the offset to what was seen most closely: right to half of the time between the readings.
pub(super) fn set_nearest(seen: &[ClockReading]) {
    if let Some(best) = seen.iter().min_by_key(|seen| seen.width_ns()) {
        let middle = best.before_ns + best.width_ns() / 2;
        OFFSET_NS.store(middle.wrapping_sub(best.host_ns).cast_signed(), Ordering::Relaxed);
    }
}

/// /proc/PID/timens_offsets: the name of a clock, seconds and nanoseconds.
fn offset_of(text: &str) -> Option<i64> {
    let line = text.lines().find(|line| line.split_whitespace().next() == Some("monotonic"))?;
    let mut numbers = line.split_whitespace().skip(1).map(str::parse::<i64>);
    let (seconds, ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_offset_is_that_of_the_namespaces_file_if_plausible() {
        let text = "monotonic           0         0\nboottime     5 0\n";
        assert_eq!(offset_of(text), Some(0));
        let text = "boottime 0 0\nmonotonic      -500 250000000\n";
        assert_eq!(offset_of(text), Some(-499_750_000_000));
        assert_eq!(offset_of("monotonic x 0"), None);
        assert_eq!(offset_of(""), None);
        let seen = ClockReading { before_ns: 1000, host_ns: 100_000, after_ns: 31_000 };
        assert!(seen.allows(-80_000) && !seen.allows(0) && !seen.allows(-120_000));
        let seen = ClockReading { before_ns: 100_000, host_ns: 110_000, after_ns: 120_000 };
        assert!(seen.allows(0));
    }
}
