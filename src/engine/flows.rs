// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Flows: what went between two ends, packet by packet.
//!
//! Packets come in their total order. The sightings of one packet by several hooks are joined
//! ([`sighting`]). The packet is added to its flow and counted there ([`flow`], [`sequence`]), and
//! passed on with the flow's number, so that no other module has to look it up. Lifecycle records
//! connect a flow with a connection of the engine ([`connections`]). Memory follows the flows that are
//! open, and the packets of one [`WINDOW_NS`].

mod connections;
mod content;
mod flow;
mod idle;
pub mod lines;
mod sequence;
mod sighting;
mod table;
mod tally;

use std::collections::VecDeque;
use std::num::NonZeroU64;

use crate::wire::{Lifecycle, Packet, Snapshot};

pub use connections::Owner;
pub use flow::{Closing, Ends, Flow, FlowSide, Opening, Point, Timeouts};
pub use sighting::WINDOW_NS;
pub use tally::{FlowSpan, PacketTotals, Recent, Tally};

use connections::Connections;
use sighting::{Sighting, Sightings};
use table::Table;

/// Parameters of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowOptions {
    /// When flows are over that do not end by themselves.
    pub timeouts: Timeouts,
    /// When set, flows are reported in intervals of this length, at multiples of it, and not only at
    /// their end.
    pub interval: Option<NonZeroU64>,
}

/// A packet, reported once.
#[derive(Clone, Debug)]
pub struct FlowPacket {
    /// The slot of its flow: dense, free again once [`Step::Ended`] has named it.
    pub slot: u32,
    /// From the flow's first end to its second: sent by the local end, where one is local.
    pub forward: bool,
    /// As the socket's hook saw it, or the first interface where no socket's did.
    pub packet: Box<Packet>,
    /// It came too late to be put in order.
    pub late: bool,
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// A packet, already counted in its flow ([`Flows::flow`]).
    Packet(FlowPacket),
    /// An interval with packets of an open flow is over. Reported with the next packet.
    Interval {
        /// Its slot.
        slot: u32,
        /// What came.
        span: FlowSpan,
    },
    /// A flow is over, and its slot free.
    Ended {
        /// The slot it had.
        slot: u32,
        /// The part that was not reported in intervals.
        span: FlowSpan,
        /// The flow, with its final counts.
        flow: Box<Flow>,
    },
}

/// The state of all open flows.
///
/// Feed it packets in their order, and after each ask for the steps until there are none.
#[derive(Debug)]
pub struct Flows {
    sightings: Sightings,
    table: Table,
    connections: Connections,
    ready: VecDeque<Sighting>,
    steps: VecDeque<Step>,
    /// The latest time seen.
    now_ns: u64,
}

impl Flows {
    /// Without flows.
    pub fn new(options: FlowOptions) -> Self {
        Self {
            sightings: Sightings::default(),
            table: Table::new(options),
            connections: Connections::default(),
            ready: VecDeque::new(),
            steps: VecDeque::new(),
            now_ns: 0,
        }
    }

    /// Takes these interfaces together, as one place: what one of them has of a flow belongs to what
    /// another has (see `places` of the manifest).
    #[must_use]
    pub fn in_places(mut self, places: &[Vec<u32>]) -> Self {
        self.sightings.set_places(places);
        self
    }

    /// The live connection with the ends of this row, if there is one.
    pub fn connection_of(&self, row: &Snapshot) -> Option<u64> {
        self.connections.of_ends(row)
    }

    /// Takes in the next sighting of a packet.
    pub fn packet(&mut self, packet: Box<Packet>, late: bool) {
        self.reached(packet.ts_ns);
        let wire = self.sightings.see(packet, late, &mut self.ready);
        if let Some(wire) = wire {
            self.table.rewire(&wire);
        }
    }

    /// Time goes on: what waited for another sighting waits no longer.
    pub fn reached(&mut self, ts_ns: u64) {
        if ts_ns > self.now_ns {
            self.now_ns = ts_ns;
            self.sightings.expire(ts_ns, &mut self.ready);
        }
    }

    /// The packets are over: those that wait for another sighting are given out as they are.
    pub fn flush(&mut self) {
        self.sightings.expire(u64::MAX, &mut self.ready);
    }

    /// The end of the recording, after the last step: flows still open end here, in order of their
    /// numbers.
    pub fn finish(&mut self) {
        self.table.end_all(&mut self.steps);
    }

    /// The next step, until there is none.
    pub fn step(&mut self) -> Option<Step> {
        loop {
            if let Some(step) = self.steps.pop_front() {
                return Some(step);
            }
            let Some(sighting) = self.ready.front() else {
                // Without packets, time alone ends flows.
                self.table.expire(self.now_ns, &mut self.steps);
                if self.steps.is_empty() {
                    return None;
                }
                continue;
            };
            // Flows that end before this packet are reported before it.
            self.table.expire(sighting.packet.ts_ns, &mut self.steps);
            let at = self.table.find(sighting);
            self.table.make_room(sighting, &at, &mut self.steps);
            if !self.steps.is_empty() {
                continue;
            }
            let sighting = self.ready.pop_front()?;
            let (slot, number, forward) = self.table.count(&sighting, at, &self.connections);
            self.sightings.counted(sighting.id, (slot, number, forward));
            let Sighting { packet, late, .. } = sighting;
            return Some(Step::Packet(FlowPacket { slot, forward, packet, late }));
        }
    }

    /// The flow in a slot.
    pub fn flow(&self, slot: u32) -> Option<&Flow> {
        self.table.get(slot)
    }

    /// The flows that are open, in order of their slots.
    pub fn open(&self) -> impl Iterator<Item = &Flow> {
        self.table.open()
    }

    /// A lifecycle record of a connection, by its number in the engine. Gives the totals of its packets
    /// so far.
    pub fn lifecycle(&mut self, conn_id: u64, record: &Lifecycle) -> Option<PacketTotals> {
        self.connections.lifecycle(conn_id, record, &mut self.table)
    }

    /// The socket of a connection is gone.
    pub fn destroyed(&mut self, cookie: u64, generation: u16) {
        self.connections.destroyed((cookie, generation), &mut self.table);
    }
}

#[cfg(test)]
mod tests;
