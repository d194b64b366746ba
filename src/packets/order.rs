//! Packets in their total order.

use std::collections::BTreeMap;

use crate::log::PacketRow;
use crate::replay::order::SLACK_NS;
use crate::wire::Packet;

/// Holds packets back until a marker vouches that all before them have come.
#[derive(Debug, Default)]
pub struct Reorder {
    held: BTreeMap<(u64, u16, u64), (Packet, bool)>,
    watermark_ns: u64,
    /// Packets that came behind a marker that had vouched for their time.
    pub late: u64,
}

impl Reorder {
    /// Takes a row of the stream and gives what is due to `take`, with whether it is late.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn row<E>(
        &mut self,
        row: PacketRow,
        take: &mut impl FnMut(Packet, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        match row {
            PacketRow::Packet(packet) => {
                let late = packet.ts_ns < self.watermark_ns;
                self.late += u64::from(late);
                self.held.insert((packet.ts_ns, packet.cpu, packet.seq), (packet, late));
                Ok(())
            }
            PacketRow::Drained(ts_ns) => {
                self.watermark_ns = self.watermark_ns.max(ts_ns.saturating_sub(SLACK_NS));
                while let Some(first) = self.held.first_entry() {
                    if first.key().0 >= self.watermark_ns {
                        break;
                    }
                    let (packet, late) = first.remove();
                    take(packet, late)?;
                }
                Ok(())
            }
        }
    }

    /// The end of the stream: gives out the rest.
    ///
    /// # Errors
    /// Those of `take`.
    pub fn finish<E>(
        &mut self,
        take: &mut impl FnMut(Packet, bool) -> Result<(), E>,
    ) -> Result<(), E> {
        for (packet, late) in std::mem::take(&mut self.held).into_values() {
            take(packet, late)?;
        }
        Ok(())
    }
}
