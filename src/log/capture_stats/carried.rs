// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What the rows of the ledger so far come to, in a number of rows that does not grow with time: for the key frame of a
//! segment, which stands for those that were removed.
//!
//! Counts are sums, and their interval is that from the first to the last. That marks the same rows as the single
//! intervals do: a connection that was open when the segment began lived in one of them exactly if it began before the
//! end of the last.

use std::collections::{BTreeMap, VecDeque};

use super::{Cells, key};
use crate::log::manifest::ClockSample;

/// A clock whose distance from CLOCK_MONOTONIC changes by more than this was set. Less is the reading's.
const STEP_NS: u64 = 100_000;

/// Steps of the clock that are kept. Whoever sets a clock more often loses the oldest.
const STEPS: usize = 256;

/// The kind, CPU, hook and ring of a row.
type Key = (i8, Option<u16>, Option<i8>, Option<i8>);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    sums: BTreeMap<Key, Cells>,
    /// Clock samples after each of which the clock went on without a step.
    steps: VecDeque<Cells>,
    last_clock: Option<Cells>,
}

impl Carried {
    pub(super) fn add(&mut self, row: &Cells) {
        if let Some(clock) = row.clock {
            let is_step = |last: &Cells| last.clock.is_none_or(|last| is_step(&last, &clock));
            if self.steps.back().is_none_or(is_step) {
                self.steps.push_back(*row);
                if self.steps.len() > STEPS {
                    self.steps.pop_front();
                }
            }
            self.last_clock = Some(*row);
            return;
        }
        let sum = self
            .sums
            .entry((row.kind, row.cpu, row.hook, row.ring))
            .or_insert(Cells { count: row.count.map(|_| 0), ..*row });
        merge(sum, row);
    }

    /// The rows, in an order of their own.
    pub(super) fn rows(&self) -> Vec<Cells> {
        let last =
            self.last_clock.filter(|last| self.steps.back().is_none_or(|s| s.ts_ns < last.ts_ns));
        let all_before = |row: &Cells| {
            let count = row.segment.map(|segment| u64::from(segment) + 1);
            if row.kind == const { key("dropped") } { Cells { count, ..*row } } else { *row }
        };
        self.steps.iter().copied().chain(last).chain(self.sums.values().map(all_before)).collect()
    }
}

fn is_step(last: &ClockSample, next: &ClockSample) -> bool {
    let ahead = |clock: &ClockSample, ns: u64| i128::from(ns) - i128::from(clock.monotonic_ns);
    let of = |a: i128, b: i128| (a - b).unsigned_abs() > u128::from(STEP_NS);
    of(ahead(last, last.realtime_ns), ahead(next, next.realtime_ns))
        || of(ahead(last, last.tai_ns), ahead(next, next.tai_ns))
}

fn merge(sum: &mut Cells, row: &Cells) {
    const EMITTED: i8 = key("emitted");
    const SLOW_POLL: i8 = key("slow_poll");
    let length = |row: &Cells| row.ts_ns.saturating_sub(row.since_ns.unwrap_or(row.ts_ns));
    match row.kind {
        // Counted from the beginning of the recording.
        EMITTED => {
            if (row.ts_ns, row.count) > (sum.ts_ns, sum.count) {
                *sum = *row;
            }
        }
        // The longest.
        SLOW_POLL => {
            if length(row) > length(sum) {
                *sum = *row;
            }
        }
        _ => {
            sum.ts_ns = sum.ts_ns.max(row.ts_ns);
            sum.since_ns = sum.since_ns.into_iter().chain(row.since_ns).min();
            let both = sum.count.into_iter().chain(row.count);
            sum.count = both.reduce(u64::saturating_add);
            sum.bytes = sum.bytes.max(row.bytes);
            sum.size = row.size;
            sum.late_ns = sum.late_ns.max(row.late_ns);
            sum.segment = sum.segment.max(row.segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CaptureStat, Ring};
    use super::*;
    use crate::schema::Hook;

    fn carried(rows: &[CaptureStat]) -> Vec<Cells> {
        let mut carried = Carried::default();
        rows.iter().for_each(|row| carried.add(&row.into()));
        carried.rows()
    }

    #[test]
    fn sums_are_those_of_the_rows() {
        let loss = |ts_ns, since_ns, cpu, lost| CaptureStat::Loss {
            ts_ns,
            cpu,
            hook: Hook::Egress,
            lost,
            since_ns,
        };
        let emitted = |ts_ns, emitted| CaptureStat::Emitted { ts_ns, cpu: 0, emitted };
        let fill = |ts_ns, bytes| {
            let (cpu, ring, size) = (0, Ring::Hooks, 64);
            CaptureStat::RingFill { ts_ns, cpu, ring, bytes, size }
        };
        let dropped = |segment, before| CaptureStat::Dropped { ts_ns: 9, segment, before };
        let rows = carried(&[
            loss(10, 5, 0, 1),
            emitted(10, 7),
            loss(20, 10, 0, 2),
            loss(20, 15, 1, 4),
            emitted(20, 9),
            fill(10, 50),
            fill(20, 40),
            dropped(0, false),
            dropped(1, false),
        ]);
        let expected =
            [loss(20, 5, 0, 3), loss(20, 15, 1, 4), emitted(20, 9), fill(20, 50), dropped(1, true)];
        let expected: Vec<Cells> = expected.iter().map(Cells::from).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn clocks_are_the_steps_and_the_last() {
        let clock = |ns: u64, ahead: u64| {
            CaptureStat::Clock(
                ns,
                ClockSample { monotonic_ns: ns, realtime_ns: ns + ahead, tai_ns: ns },
            )
        };
        const DAY: u64 = 86_400_000_000_000;
        let rows = carried(&[
            clock(1, DAY),
            clock(2, DAY + 50),
            clock(3, DAY + 40),
            clock(4, 2 * DAY),
            clock(5, 2 * DAY),
        ]);
        let times: Vec<u64> = rows.iter().map(|row| row.ts_ns).collect();
        assert_eq!(times, [1, 4, 5]);
        // A clock that is set all the time takes no more than its share.
        let many: Vec<_> = (0..10_000).map(|n| clock(n, (n % 7) * DAY)).collect();
        assert_eq!(carried(&many).len(), STEPS);
    }
}
