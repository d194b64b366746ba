// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which flow is to be looked at next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Slots by the time at which to look at them. A slot is in it once for each time it was set to; its
/// owner knows which of them is current.
#[derive(Debug, Default)]
pub struct Idle(BinaryHeap<Reverse<(u64, u32)>>);

impl Idle {
    /// Looks at the slot at a time.
    pub fn set(&mut self, due_ns: u64, slot: u32) {
        self.0.push(Reverse((due_ns, slot)));
    }

    /// The next slot that is due, with the time it was set to. The end of time stands for never: a slot that is set to it
    /// again and again would be due for ever.
    pub fn due(&mut self, now_ns: u64) -> Option<(u64, u32)> {
        let due_ns = self.0.peek()?.0.0;
        let waits = due_ns > now_ns || due_ns == u64::MAX;
        if waits { None } else { self.0.pop().map(|Reverse(due)| due) }
    }
}
