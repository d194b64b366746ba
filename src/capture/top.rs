// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The flows of `--top`: the flows that replay would make from the packets so far, while they are
//! recorded.

use std::num::NonZeroU64;

use crate::engine::flows::lines::{self, Line, Sort};
use crate::engine::flows::{FlowOptions, Flows, Step};
use crate::engine::time::packets::key;
use crate::engine::time::timeline::Timeline;
use crate::engine::time::{Reorder, SLACK_NS};
use crate::wire::Packet;

/// Assigns packets to flows, and gives tables of the flows at intervals.
#[derive(Debug)]
pub(super) struct Top {
    flows: Flows,
    /// Packets that no mark vouches for yet: those of other CPUs may come before them.
    held: Reorder<Box<Packet>>,
    watermark_ns: u64,
    /// Flows that ended since the table before.
    ended: Vec<Line>,
    clock: Timeline,
    every_ns: NonZeroU64,
    next_ns: u64,
}

impl Top {
    /// A table each `every_ns`, the first after that; `clock` is a CLOCK_MONOTONIC and the
    /// CLOCK_REALTIME of that moment, in ns.
    pub fn new(every_ns: NonZeroU64, clock: (u64, u64)) -> Self {
        Self {
            flows: Flows::new(FlowOptions::default()),
            held: Reorder::new(),
            watermark_ns: 0,
            ended: Vec::new(),
            clock: Timeline::new([clock], []),
            every_ns,
            next_ns: clock.0 + every_ns.get(),
        }
    }

    /// Takes in a packet as it comes.
    pub fn packet(&mut self, packet: &Packet) {
        self.held.hold(key(packet), Box::new(packet.clone()));
    }

    /// Everything made before this time, less the slack, has come.
    pub fn drained(&mut self, ts_ns: u64) {
        let watermark_ns = ts_ns.saturating_sub(SLACK_NS);
        while let Some(packet) = self.held.before(watermark_ns) {
            let late = packet.ts_ns < self.watermark_ns;
            self.flows.packet(packet, late);
            self.steps();
        }
        self.watermark_ns = watermark_ns;
        self.flows.reached(watermark_ns);
        self.steps();
    }

    /// The table, if it is time for one: flows that are open or ended since the one before, as far
    /// as they have gone, those with the most bytes first.
    pub fn due(&mut self, now_ns: u64) -> Option<Vec<Line>> {
        if now_ns < self.next_ns {
            return None;
        }
        // A late table does not shift those after it.
        let every = self.every_ns.get();
        self.next_ns += (now_ns - self.next_ns) / every * every + every;
        Some(self.table())
    }

    /// The last table, with everything that came.
    pub fn finish(&mut self) -> Vec<Line> {
        self.drained(u64::MAX);
        self.flows.flush();
        self.steps();
        self.table()
    }

    fn table(&mut self) -> Vec<Line> {
        let mut lines = std::mem::take(&mut self.ended);
        lines.extend(lines::open(&self.flows, &self.clock));
        lines::sort(&mut lines, Sort::Bytes);
        lines
    }

    fn steps(&mut self) {
        while let Some(step) = self.flows.step() {
            match step {
                Step::Packet(_) | Step::Interval { .. } => {}
                Step::Ended { span, flow, .. } => {
                    let both = [true, false];
                    let lines = both.map(|way| Line::of(&flow, &span, way, &self.clock));
                    self.ended.extend(lines.into_iter().flatten());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn packets_of_other_cpus_are_put_in_order_and_each_table_comes_once() {
        let every = NonZeroU64::new(SECOND).unwrap();
        let mut top = Top::new(every, (10 * SECOND, 0));
        for (at, cpu) in [(300, 0), (200, 1), (100, 0)] {
            let mut packet = crate::testing::datagram(10 * SECOND + at);
            packet.cpu = cpu;
            top.packet(&packet);
        }
        top.drained(10 * SECOND + 150 + SLACK_NS);
        assert_eq!(top.due(10 * SECOND + SECOND / 2), None, "not yet");
        let lines = top.due(11 * SECOND).expect("it is time");
        assert_eq!(lines.iter().map(|l| l.packets).collect::<Vec<_>>(), [1], "the others may wait");
        assert_eq!(top.due(11 * SECOND), None, "once");
        // Three are missed: the next is at its own time.
        assert!(top.due(14 * SECOND + 1).is_some());
        assert_eq!(top.due(15 * SECOND - 1), None);
        let lines = top.finish();
        assert_eq!(lines.iter().map(|l| l.packets).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn an_ended_flow_is_in_one_more_table() {
        let every = NonZeroU64::new(SECOND).unwrap();
        let mut top = Top::new(every, (0, 0));
        top.packet(&crate::testing::datagram(SECOND));
        top.drained(2 * SECOND);
        assert_eq!(top.due(2 * SECOND).expect("it is time").len(), 1);
        // Without an answer it is over after 30 s.
        top.drained(40 * SECOND);
        let lines = top.due(40 * SECOND).expect("it is time");
        assert_eq!(lines.iter().map(|l| l.close_reason.is_some()).collect::<Vec<_>>(), [true]);
        assert!(top.due(41 * SECOND).expect("it is time").is_empty());
    }
}
