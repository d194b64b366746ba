// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Clocks and losses of a recording, which the ledger has. Both are known before the first record.
//!
//! Both are read ahead, because a row needs the losses of its whole life and a time needs the clock
//! sample that was in force at it. Their size goes with the length of the recording in seconds, not
//! with its traffic.

use crate::log::Ring;
use crate::schema::{Hook, HookKind};

/// What a loss affects: records of connections, packets, polls of sockets, or dropped packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Records of connections.
    Connections,
    /// Packets.
    Packets,
    /// Snapshots of --snapshots: samples, on which no row but their own depends.
    Polls,
    /// Packets that the kernel dropped.
    Drops,
    /// One of the two, which share a ring: what is missing from its file has no hook any more.
    PollsOrDrops,
}

impl Of {
    /// The kind of the records of a hook.
    pub const fn hook(hook: Hook) -> Self {
        match hook.kind() {
            HookKind::Poll => Self::Polls,
            HookKind::Packet(..) => Self::Packets,
            HookKind::Drop => Self::Drops,
            HookKind::Received
            | HookKind::Sent
            | HookKind::Event
            | HookKind::Existing
            | HookKind::Gone
            | HookKind::Mark
            | HookKind::Fact => Self::Connections,
        }
    }

    /// The kind of the records of a ring.
    pub const fn ring(ring: Ring) -> Self {
        match ring {
            Ring::Hooks | Ring::Lifecycle => Self::Connections,
            Ring::Sockets => Self::PollsOrDrops,
            Ring::Packets => Self::Packets,
        }
    }
}

/// Records lost on one CPU in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Their kind.
    pub of: Of,
    /// Begin of the interval, CLOCK_MONOTONIC.
    pub since_ns: u64,
    /// Its end, the time at which the loss was noticed.
    pub until_ns: u64,
    /// Number of records.
    pub records: u64,
}

/// No interval has lost more, or its number is damage: so that sums of them cannot overflow, which
/// would make a loss of none.
const MOST: u64 = 1 << 44;

/// Losses of one sort, summed up.
#[derive(Clone, Debug, Default)]
struct Sums {
    /// (begin of the interval, records lost in intervals up to here), by begin.
    begun: Vec<(u64, u64)>,
    /// (end of the interval, records lost in intervals up to here), by end.
    over: Vec<(u64, u64)>,
}

impl Sums {
    fn new(losses: &[Loss], of: Of) -> Self {
        let losses = || losses.iter().filter(|l| l.of == of);
        Self {
            begun: cumulative(losses().map(|l| (l.since_ns, l.records))),
            over: cumulative(losses().map(|l| (l.until_ns, l.records))),
        }
    }

    fn all(&self) -> u64 {
        self.begun.last().map_or(0, |&(_, total)| total)
    }
}

/// Clock samples and losses of a recording.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// (monotonic, realtime) in nanoseconds, by monotonic time.
    clocks: Vec<(u64, u64)>,
    connections: Sums,
    packets: Sums,
    polls: Sums,
    drops: Sums,
    polls_or_drops: Sums,
    /// Records that were removed on purpose: missing from rows, but not lost.
    removed: u64,
}

impl Timeline {
    /// From (monotonic, realtime) clock samples and losses, in any order.
    pub fn new(
        clocks: impl IntoIterator<Item = (u64, u64)>,
        losses: impl IntoIterator<Item = Loss>,
    ) -> Self {
        let mut clocks: Vec<_> = clocks.into_iter().collect();
        clocks.sort_unstable();
        let counted = |l: Loss| Loss { records: l.records.min(MOST), ..l };
        let losses: Vec<_> = losses.into_iter().filter(|l| l.records > 0).map(counted).collect();
        Self {
            clocks,
            connections: Sums::new(&losses, Of::Connections),
            packets: Sums::new(&losses, Of::Packets),
            polls: Sums::new(&losses, Of::Polls),
            drops: Sums::new(&losses, Of::Drops),
            polls_or_drops: Sums::new(&losses, Of::PollsOrDrops),
            removed: 0,
        }
    }

    /// The same, where `removed` stands for the oldest records that a bound of the recording's
    /// size removed: rows lack them as they lack lost ones.
    pub fn with_removed(
        clocks: impl IntoIterator<Item = (u64, u64)>,
        losses: impl IntoIterator<Item = Loss>,
        removed: &[Loss],
    ) -> Self {
        let mut timeline = Self::new(clocks, losses.into_iter().chain(removed.iter().copied()));
        timeline.removed = removed.iter().fold(0, |sum, loss| sum.saturating_add(loss.records));
        timeline
    }

    /// Wall-clock time in microseconds since the Unix epoch of a monotonic time, by the latest
    /// sample that is not after it, else by the first: the clock is stepped and slewed while a
    /// recording runs, so one offset for all of it would be wrong after the first step.
    pub fn wall_us(&self, monotonic_ns: u64) -> Option<u64> {
        self.wall_ns(monotonic_ns).map(|ns| ns / 1_000)
    }

    /// The same in nanoseconds.
    pub fn wall_ns(&self, monotonic_ns: u64) -> Option<u64> {
        let after = self.clocks.partition_point(|&(at, _)| at <= monotonic_ns);
        let (at, realtime) = *self.clocks.get(after.saturating_sub(1))?;
        let ns = i128::from(realtime) + i128::from(monotonic_ns) - i128::from(at);
        u64::try_from(ns).ok()
    }

    /// Records of one sort lost in intervals that overlap the time from `begin_ns` to `end_ns`, ends
    /// included.
    pub fn lost_between(&self, of: Of, begin_ns: u64, end_ns: u64) -> u64 {
        let sums = match of {
            Of::Connections => &self.connections,
            Of::Packets => &self.packets,
            Of::Polls => &self.polls,
            Of::Drops => &self.drops,
            Of::PollsOrDrops => &self.polls_or_drops,
        };
        let begun = sum_before(&sums.begun, |at| at <= end_ns);
        let over = sum_before(&sums.over, |at| at < begin_ns);
        begun.saturating_sub(over)
    }

    /// Records lost in the whole recording.
    pub fn lost(&self) -> u64 {
        let all =
            [&self.connections, &self.packets, &self.polls, &self.drops, &self.polls_or_drops];
        all.map(Sums::all).into_iter().fold(0, u64::saturating_add).saturating_sub(self.removed)
    }
}

fn cumulative(items: impl Iterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    let mut total = 0;
    for (_, records) in &mut items {
        total = u64::saturating_add(total, *records);
        *records = total;
    }
    items
}

fn sum_before(cumulative: &[(u64, u64)], inside: impl Fn(u64) -> bool) -> u64 {
    let n = cumulative.partition_point(|&(at, _)| inside(at));
    n.checked_sub(1).map_or(0, |last| cumulative[last].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_follows_the_latest_sample_not_after_the_time() {
        // The clock is stepped back by 1 s between the two samples.
        let timeline = Timeline::new([(2_000_000, 1_000_000_000), (1_000_000, 2_000_000_000)], []);
        assert_eq!(timeline.wall_us(1_500_000), Some(2_000_500));
        assert_eq!(timeline.wall_us(2_000_000), Some(1_000_000));
        assert_eq!(timeline.wall_us(2_003_000), Some(1_000_003));
        assert_eq!(timeline.wall_us(0), Some(1_999_000), "before the first: by the first");
        assert_eq!(Timeline::default().wall_us(5), None);
    }

    #[test]
    fn removed_records_are_missing_but_not_lost() {
        let loss =
            |since_ns, until_ns, records| Loss { of: Of::Connections, since_ns, until_ns, records };
        let timeline = Timeline::with_removed([], [loss(10, 20, 1)], &[loss(0, 15, 7)]);
        assert_eq!(timeline.lost(), 1);
        assert_eq!(timeline.lost_between(Of::Connections, 0, 12), 8);
        assert_eq!(timeline.lost_between(Of::Connections, 16, 30), 1);
    }

    #[test]
    fn losses_count_where_their_interval_overlaps() {
        let loss =
            |since_ns, until_ns, records| Loss { of: Of::Connections, since_ns, until_ns, records };
        let timeline = Timeline::new([], [loss(10, 20, 1), loss(15, 30, 10), loss(40, 50, 100)]);
        assert_eq!(timeline.lost(), 111);
        assert_eq!(timeline.lost_between(Of::Connections, 0, 9), 0);
        assert_eq!(timeline.lost_between(Of::Connections, 0, 10), 1);
        assert_eq!(timeline.lost_between(Of::Connections, 20, 20), 11);
        assert_eq!(timeline.lost_between(Of::Connections, 21, 39), 10);
        assert_eq!(timeline.lost_between(Of::Connections, 31, 39), 0);
        assert_eq!(timeline.lost_between(Of::Connections, 30, 40), 110);
        assert_eq!(timeline.lost_between(Of::Connections, 51, 60), 0);
    }

    #[test]
    fn losses_of_packets_polls_and_records_are_separate() {
        let loss = |hook, records| Loss { of: Of::hook(hook), since_ns: 10, until_ns: 20, records };
        let losses = [loss(Hook::Egress, 1), loss(Hook::SocketOut, 10), loss(Hook::Poll, 100)];
        let timeline = Timeline::new([], losses);
        assert_eq!(timeline.lost_between(Of::Connections, 0, 15), 1);
        assert_eq!(timeline.lost_between(Of::Packets, 0, 15), 10);
        assert_eq!(timeline.lost_between(Of::Polls, 0, 15), 100);
        assert_eq!(timeline.lost(), 111);
        // The kernel counts by hook. What is missing from a file is known by its ring alone.
        let missing = Loss { of: Of::ring(Ring::Sockets), records: 1000, ..losses[0] };
        let timeline = Timeline::new([], losses.into_iter().chain([missing]));
        let lost =
            [Of::Polls, Of::Drops, Of::PollsOrDrops].map(|of| timeline.lost_between(of, 0, 15));
        assert_eq!(lost, [100, 0, 1000]);
        assert_eq!(timeline.lost(), 1111);
    }
}
