// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Octets of all connections together over time, for the plot of many flows: in steps of equal length,
//! which become twice as long whenever there would be too many.

use serde::Serialize;

use crate::engine::estats::Slot;
use crate::schema::Var;
use crate::util::steps::Steps;

/// So many steps at most.
const MOST: usize = 2000;
/// The first length of a step: 1 ms.
const FIRST_NS: u64 = 1_000_000;

/// What all connections carried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Totals {
    /// Length of a step, in nanoseconds.
    pub step_ns: u64,
    /// Octets acknowledged by the peers, by step since the recording began.
    pub acked: Vec<u64>,
    /// Octets received in order.
    pub received: Vec<u64>,
    /// By connection.
    #[serde(skip)]
    counted: Vec<[Steps; 2]>,
}

impl Default for Totals {
    fn default() -> Self {
        Self { step_ns: FIRST_NS, acked: Vec::new(), received: Vec::new(), counted: Vec::new() }
    }
}

impl Totals {
    /// Takes the values of a connection after a record. What the first known value has was carried before.
    pub fn applied(&mut self, conn_id: u64, since_ns: u64, slot: &Slot) {
        let now = [Var::HCThruOctetsAcked, Var::HCThruOctetsReceived].map(|var| slot.get(var));
        self.counted(conn_id as usize, since_ns, now);
    }

    fn counted(&mut self, index: usize, since_ns: u64, now: [Option<u64>; 2]) {
        if self.counted.len() <= index {
            self.counted.resize(index + 1, [Steps::default(); 2]);
        }
        let steps = [0, 1].map(|i: usize| self.counted[index][i].to(now[i]));
        if steps == [0; 2] {
            return;
        }
        while since_ns / self.step_ns >= MOST as u64 {
            self.acked = pairs(&self.acked);
            self.received = pairs(&self.received);
            self.step_ns = self.step_ns.saturating_mul(2);
        }
        let at = (since_ns / self.step_ns) as usize;
        for (series, step) in [&mut self.acked, &mut self.received].into_iter().zip(steps) {
            if series.len() <= at {
                series.resize(at + 1, 0);
            }
            series[at] = series[at].saturating_add(step);
        }
    }
}

fn pairs(steps: &[u64]) -> Vec<u64> {
    steps.chunks(2).map(|pair| pair.iter().copied().fold(0, u64::saturating_add)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recording_has_longer_steps_and_the_same_sum() {
        let mut totals = Totals::default();
        for i in 0..100_000_u64 {
            totals.counted((i % 3) as usize, i * 1_000_000, [Some(i * 10), Some(i)]);
        }
        assert_eq!(totals.step_ns, 64 * FIRST_NS);
        assert!(totals.acked.len() <= MOST);
        // Of each of the three, without its first value.
        let last: u64 = (99_997..100_000).sum::<u64>() - 3;
        assert_eq!(totals.acked.iter().sum::<u64>(), last * 10);
        assert_eq!(totals.received.iter().sum::<u64>(), last);
        // What was carried before the recording is no throughput of it.
        let mut before = Totals::default();
        before.counted(1, 4, [None, Some(0)]);
        before.counted(1, 5, [Some(1000), None]);
        before.counted(1, 6, [Some(1500), Some(7)]);
        assert_eq!((before.acked, before.received), (vec![500], vec![7]));
    }
}
