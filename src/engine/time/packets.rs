// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packets in their total order.

use super::{OrderKey, Reorder, SLACK_NS};
use crate::log::PacketRow;
use crate::wire::Packet;

/// Where a packet stands in the order of the recording.
pub const fn key(packet: &Packet) -> OrderKey {
    (packet.ts_ns, packet.cpu, packet.seq)
}

/// The packets of a stream in their order, each with whether it is late: it came behind a marker
/// that had vouched for its time. Holds back what no marker has vouched for yet. A packet is 200 bytes, and
/// is handed on many times from here: it goes in a box.
#[derive(Debug)]
pub struct Ordered<I> {
    rows: I,
    held: Reorder<(Box<Packet>, bool)>,
    watermark_ns: u64,
    over: bool,
}

impl<I> Ordered<I> {
    /// Orders the rows of a stream.
    pub const fn new(rows: I) -> Self {
        Self { rows, held: Reorder::new(), watermark_ns: 0, over: false }
    }
}

impl<E, I: Iterator<Item = Result<PacketRow, E>>> Iterator for Ordered<I> {
    type Item = Result<(Box<Packet>, bool), E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.over {
                return self.held.pop().map(Ok);
            }
            if let Some(first) = self.held.before(self.watermark_ns) {
                return Some(Ok(first));
            }
            match self.rows.next() {
                None => self.over = true,
                Some(Err(e)) => {
                    self.over = true;
                    self.held.clear();
                    return Some(Err(e));
                }
                Some(Ok(PacketRow::Packet(packet))) => {
                    let late = packet.ts_ns < self.watermark_ns;
                    self.held.hold(key(&packet), (Box::new(packet), late));
                }
                Some(Ok(PacketRow::Drained(ts_ns))) => {
                    self.watermark_ns = self.watermark_ns.max(ts_ns.saturating_sub(SLACK_NS));
                }
            }
        }
    }
}
