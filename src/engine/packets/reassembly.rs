// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that arrived beyond a gap.

use super::segment::{after, before};

/// The out-of-order queue: stretches of sequence space, in order, apart from each other.
#[derive(Clone, Debug, Default)]
pub struct Reassembly {
    stretches: Vec<(u32, u32)>,
}

impl Reassembly {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Sequence space from `rcv_nxt` to the end of what waits; 0 if nothing does.
    pub fn span(&self, rcv_nxt: u32) -> u32 {
        self.stretches.last().map_or(0, |(_, end)| end.wrapping_sub(rcv_nxt))
    }

    /// Adds a stretch; returns whether any of it is new.
    pub fn insert(&mut self, mut start: u32, mut end: u32) -> bool {
        let first = self.stretches.partition_point(|(_, e)| before(*e, start));
        let mut last = first;
        let mut held = 0;
        while let Some(&(s, e)) = self.stretches.get(last) {
            if after(s, end) {
                break;
            }
            held = u32::wrapping_add(held, e.wrapping_sub(s));
            start = if before(s, start) { s } else { start };
            end = if after(e, end) { e } else { end };
            last += 1;
        }
        self.stretches.splice(first..last, [(start, end)]);
        end.wrapping_sub(start) != held
    }

    /// Removes what is in order now, and returns the end of it.
    pub fn take(&mut self, mut rcv_nxt: u32) -> u32 {
        while let Some(&(start, end)) = self.stretches.first() {
            if after(start, rcv_nxt) {
                break;
            }
            rcv_nxt = if after(end, rcv_nxt) { end } else { rcv_nxt };
            self.stretches.remove(0);
        }
        rcv_nxt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_merge_across_the_wrap() {
        let mut queue = Reassembly::default();
        assert!(queue.insert(0xffff_fff0, 0xffff_fff8));
        assert!(queue.insert(8, 16));
        assert!(!queue.insert(0xffff_fff2, 0xffff_fff4));
        assert_eq!(queue.span(0xffff_ffe0), 0x30);
        assert!(queue.insert(0xffff_fff8, 8), "closes the gap");
        assert_eq!(queue.stretches, [(0xffff_fff0, 16)]);
        assert_eq!(queue.take(0xffff_ffe0), 0xffff_ffe0, "not there yet");
        assert_eq!(queue.take(0xffff_fff4), 16);
        assert!(queue.is_empty());
    }
}
