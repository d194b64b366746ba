//! Packets in their total order.

use std::collections::BTreeMap;

use crate::log::PacketRow;
use crate::replay::order::SLACK_NS;
use crate::wire::Packet;

type Key = (u64, u16, u64);

/// Where a packet stands in the order of the recording.
pub const fn key(packet: &Packet) -> Key {
    (packet.ts_ns, packet.cpu, packet.seq)
}

/// The packets of a stream in their order, each with whether it is late: it came behind a marker
/// that had vouched for its time. Holds back what no marker has vouched for yet.
#[derive(Debug)]
pub struct Ordered<I> {
    rows: I,
    held: BTreeMap<Key, (Packet, bool)>,
    watermark_ns: u64,
    over: bool,
}

impl<I> Ordered<I> {
    /// Orders the rows of a stream.
    pub const fn new(rows: I) -> Self {
        Self { rows, held: BTreeMap::new(), watermark_ns: 0, over: false }
    }
}

impl<E, I: Iterator<Item = Result<PacketRow, E>>> Iterator for Ordered<I> {
    type Item = Result<(Packet, bool), E>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(first) = self.held.first_entry()
                && (self.over || first.key().0 < self.watermark_ns)
            {
                return Some(Ok(first.remove()));
            }
            if self.over {
                return None;
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
                    self.held.insert(key(&packet), (packet, late));
                }
                Some(Ok(PacketRow::Drained(ts_ns))) => {
                    self.watermark_ns = self.watermark_ns.max(ts_ns.saturating_sub(SLACK_NS));
                }
            }
        }
    }
}
