// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Sequence space of one direction: what of it was seen before.

use crate::engine::packets::{after, before};

/// Gaps that are remembered at most; of more, the oldest is forgotten, and what fills it later
/// counts as retransmitted.
const MAX_GAPS: usize = 64;

/// How a segment stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceOrder {
    /// All of it is beyond what was seen so far, or it takes no sequence space.
    Next,
    /// This many of its octets were seen before.
    Again(u32),
    /// It is below what was seen, and was not seen itself: it was reordered, or retransmitted after a
    /// loss upstream.
    Late,
}

/// The sequence space that was seen.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    /// The end of it.
    next: Option<u32>,
    /// What is missing before.
    gaps: Vec<(u32, u32)>,
}

impl Sequence {
    /// The end of what was seen.
    pub const fn next(&self) -> Option<u32> {
        self.next
    }

    /// Takes in sequence space from `seq`.
    pub fn take(&mut self, seq: u32, len: u32) -> SequenceOrder {
        let end = seq.wrapping_add(len);
        let Some(next) = self.next else {
            // A segment without data also has the next number.
            self.next = Some(end);
            return SequenceOrder::Next;
        };
        if len == 0 {
            return SequenceOrder::Next;
        }
        if !before(seq, next) {
            if seq != next {
                if self.gaps.len() == MAX_GAPS {
                    self.gaps.remove(0);
                }
                self.gaps.push((next, seq));
            }
            self.next = Some(end);
            return SequenceOrder::Next;
        }
        let old_end = if after(end, next) { next } else { end };
        let filled = self.fill(seq, old_end);
        if after(end, next) {
            self.next = Some(end);
        }
        // Gaps overlap only where numbers jump by half of their space, as forged ones do.
        match old_end.wrapping_sub(seq).saturating_sub(filled) {
            0 => SequenceOrder::Late,
            again => SequenceOrder::Again(again),
        }
    }

    /// Removes a stretch from the gaps; returns how many octets of it were in them.
    fn fill(&mut self, seq: u32, end: u32) -> u32 {
        let mut filled = 0;
        let mut at = 0;
        while let Some(&(start, stop)) = self.gaps.get(at) {
            let from = if after(seq, start) { seq } else { start };
            let to = if before(end, stop) { end } else { stop };
            if !before(from, to) {
                at += 1;
                continue;
            }
            filled = u32::saturating_add(filled, to.wrapping_sub(from));
            let left = [(start, from), (to, stop)];
            let rest = left.into_iter().filter(|(a, b)| a != b);
            let kept = rest.clone().count();
            self.gaps.splice(at..=at, rest);
            at += kept;
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_late_and_new_octets_are_distinguished() {
        let mut s = Sequence::default();
        assert_eq!(s.take(0xffff_ff00, 0x100), SequenceOrder::Next);
        assert_eq!(s.take(0, 0), SequenceOrder::Next, "an ACK");
        assert_eq!(s.take(100, 100), SequenceOrder::Next, "0..100 is missing");
        assert_eq!(s.take(100, 100), SequenceOrder::Again(100));
        assert_eq!(s.take(20, 30), SequenceOrder::Late);
        assert_eq!(s.take(0, 100), SequenceOrder::Again(30));
        assert_eq!(s.take(0, 100), SequenceOrder::Again(100), "no gap is left");
        assert_eq!(s.take(150, 100), SequenceOrder::Again(50), "and 50 new octets");
        assert_eq!(s.next(), Some(250));
        assert_eq!(s.take(0xffff_fff0, 0x10), SequenceOrder::Again(0x10));
    }

    #[test]
    fn the_gaps_kept_are_bounded() {
        let mut s = Sequence::default();
        for i in 0..1_000 {
            s.take(i * 20, 10);
        }
        assert_eq!(s.gaps.len(), MAX_GAPS);
        assert_eq!(s.take(999 * 20 - 10, 10), SequenceOrder::Late);
        assert_eq!(s.take(10, 10), SequenceOrder::Again(10), "forgotten");
    }
}
