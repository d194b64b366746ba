// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How many connections wait for a look, by the time of their last hook (bpf/rest.bpf.h).

/// Slots of time; the oldest is taken again when all have been used.
pub(in crate::capture) use crate::schema::record::REST_SLOTS as SLOTS;

/// When a connection is looked at that has no hook any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::capture) struct Timing {
    /// How long it must have had none, in nanoseconds.
    pub rest_ns: u64,
    /// A slot is this power of two of nanoseconds wide.
    pub shift: u32,
}

/// The recorder does not look more often than this asks for, however fine the resolution.
const FINEST_NS: u64 = 1_000_000;
const FAST_NS: u64 = 20_000;
/// Slots that may have begun by the time at which counts are read, for the recorder's clock.
const AHEAD: u64 = 3;

impl Timing {
    /// How long it must have had none by the clock of BPF, which may be 10 us from ours for a moment
    /// (ktime_get_mono_fast_ns()): a look that came too early for it would be for nothing.
    pub(in crate::capture) const fn rest_in_bpf_ns(&self) -> u64 {
        self.rest_ns - FAST_NS
    }

    /// Half of the resolution is how long a connection must rest, and a slot is no wider than the other
    /// half: so it is read at most one resolution after the last hook.
    pub(in crate::capture) fn of(resolution_ns: u64) -> Self {
        let half = resolution_ns.max(FINEST_NS) / 2;
        Self { rest_ns: half, shift: half.ilog2() }
    }
}

/// The counts as they were last read.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    timing: Timing,
    waiting: [i64; SLOTS],
    /// Connections that a read of all sockets left: those whose end was not seen, or sockets in
    /// namespaces that cannot be entered. They do not trigger another read.
    left: [i64; SLOTS],
}

impl Slots {
    pub(super) const fn new(timing: Timing) -> Self {
        Self { timing, waiting: [0; SLOTS], left: [0; SLOTS] }
    }

    /// Takes the counts of all CPUs.
    pub(super) fn update(&mut self, cpus: impl Iterator<Item = [i32; SLOTS]>) {
        self.waiting = [0; SLOTS];
        for cpu in cpus {
            for (sum, count) in self.waiting.iter_mut().zip(cpu) {
                *sum += i64::from(count);
            }
        }
        for (left, waiting) in self.left.iter_mut().zip(self.waiting) {
            *left = (*left).min(waiting);
        }
    }

    /// When the next look is due, if anybody waits for one. The time is one after the counts were
    /// read; a slot that begins meanwhile is not taken for the one that had its place before.
    pub(super) fn due_ns(&self, now_ns: u64) -> Option<u64> {
        let now = now_ns >> self.timing.shift;
        // The oldest first.
        let ages = (0..SLOTS as u64 - AHEAD).rev().filter_map(|age| now.checked_sub(age));
        let slot = ages.into_iter().find(|slot| {
            let at = *slot as usize % SLOTS;
            self.waiting[at] > self.left[at]
        })?;
        Some(self.end_ns(slot))
    }

    /// How many have rested at that time.
    pub(super) fn due(&self, at_ns: u64) -> u64 {
        let now = at_ns >> self.timing.shift;
        let slots = (0..SLOTS as u64 - AHEAD).filter_map(|age| now.checked_sub(age));
        let rested = slots.filter(|slot| self.end_ns(*slot) <= at_ns);
        rested
            .map(|slot| slot as usize % SLOTS)
            .map(|at| (self.waiting[at] - self.left[at]).max(0) as u64)
            .sum()
    }

    /// The next read visits connections that earlier reads left.
    pub(super) fn leave_nobody(&mut self) {
        self.left = [0; SLOTS];
    }

    /// From when on all connections of a slot have rested.
    const fn end_ns(&self, slot: u64) -> u64 {
        ((slot + 1) << self.timing.shift) + self.timing.rest_ns
    }

    /// A read of all sockets, begun at `begun_ns`, is over; these are the counts after it. Slots that
    /// have begun since use the places of older slots, so their counts do not show what those left.
    pub(super) fn looked(&mut self, begun_ns: u64, ended_ns: u64) {
        let (begun, ended) = (begun_ns >> self.timing.shift, ended_ns >> self.timing.shift);
        for slot in (0..SLOTS as u64).filter_map(|age| begun.checked_sub(age)) {
            if self.end_ns(slot) <= begun_ns && slot + SLOTS as u64 > ended + AHEAD {
                let at = slot as usize % SLOTS;
                self.left[at] = self.waiting[at];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(of: &[(usize, i32)]) -> [i32; SLOTS] {
        let mut all = [0; SLOTS];
        of.iter().for_each(|(at, count)| all[*at] = *count);
        all
    }

    #[test]
    fn a_connection_at_rest_is_read_within_one_resolution() {
        for resolution_ns in [1_000_000, 1_700_000, 10_000_000, 1_000_000_000] {
            let timing = Timing::of(resolution_ns);
            let longest = timing.rest_ns + (1 << timing.shift);
            assert!(longest <= resolution_ns, "{resolution_ns}: {timing:?}");
            assert!(longest > resolution_ns / 2, "{resolution_ns}: {timing:?}");
        }
        assert_eq!(Timing::of(0), Timing::of(FINEST_NS));
    }

    #[test]
    fn the_oldest_slot_determines_the_next_read() {
        let timing = Timing { rest_ns: 500, shift: 8 };
        let mut slots = Slots::new(timing);
        assert_eq!(slots.due_ns(100 << 8), None, "no connection waits");
        // One CPU took away what another had put there.
        slots.update([self::slots(&[(5, 2), (6, 1)]), self::slots(&[(5, -2)])].into_iter());
        assert_eq!(slots.due_ns((102 << 8) + 7), Some((103 << 8) + 500), "slot 6 is 102's");
        slots.update([self::slots(&[(5, 1), (6, 1)])].into_iter());
        assert_eq!(slots.due_ns((102 << 8) + 7), Some((102 << 8) + 500));
    }

    #[test]
    fn connections_left_by_a_read_do_not_trigger_another() {
        let mut slots = Slots::new(Timing { rest_ns: 500, shift: 8 });
        slots.update([self::slots(&[(5, 1)])].into_iter());
        let due = slots.due_ns(102 << 8).unwrap();
        slots.looked(due - 1, due);
        assert!(slots.due_ns(due).is_some(), "it had not rested yet");
        assert_eq!((slots.due(due - 1), slots.due(due)), (0, 1));
        slots.looked(due, due + 1);
        assert_eq!(slots.due(due), 0);
        assert_eq!(slots.due_ns(due), None);
        // Another connection in the same slot, a turn later.
        slots.update([self::slots(&[(5, 2)])].into_iter());
        assert!(slots.due_ns(133 << 8).is_some());
        // The connections that were left are gone, so one is enough.
        slots.update([self::slots(&[])].into_iter());
        slots.update([self::slots(&[(5, 1)])].into_iter());
        assert!(slots.due_ns(165 << 8).is_some());
    }

    /// The place of a slot that begins while a look takes its time is that of the oldest.
    #[test]
    fn a_connection_that_comes_during_a_read_is_not_left() {
        let mut slots = Slots::new(Timing { rest_ns: 500, shift: 8 });
        let begun = 102 << 8;
        for late in [0, 1, 5, 31, 32, 100] {
            let now = 102 + late;
            slots.update([self::slots(&[(now as usize % SLOTS, 1)])].into_iter());
            slots.looked(begun, now << 8);
            assert_eq!(slots.due_ns(now << 8), Some(((now + 1) << 8) + 500), "{late} later");
        }
        // Nor is one taken for old that begins between the reading of the clock and of the counts.
        slots.update([self::slots(&[(103 % SLOTS, 1)])].into_iter());
        assert_eq!(slots.due_ns(begun), None);
    }
}
