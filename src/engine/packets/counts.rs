// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Counts of what was noticed when connections were made from packets.

/// Counts of the tracker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// All packets.
    pub packets: u64,
    /// Packets of other protocols than TCP: they are in no row of a connection.
    pub other: u64,
    /// Packets of TCP without a complete header: later fragments, and headers that the capture has cut.
    pub unreadable: u64,
    /// TCP after the end of its connection: TIME-WAIT, resets of nothing.
    pub after_end: u64,
    /// Of these, packets of connections that went on after their reset, as their own end shows.
    pub went_on: u64,
    /// Packets that came too late to be put in order.
    pub late: u64,
    /// TCP whose header the capture has cut inside its options.
    pub options_cut: u64,
    /// Packets that must have been there but are not in the capture, at least.
    pub missed: u64,
    /// Packets that are in the capture twice, or came twice.
    pub twice: u64,
    /// Segments whose consequences depend on what the capture has cut, or packets never show.
    pub unread: u64,
    /// Packets with a wrong checksum: their receiver has dropped them.
    pub wrong_checksum: u64,
    /// Connections of which neither end, or both, are the recorded one; their opener's is taken.
    pub by_opener: u64,
}

impl PacketCounts {
    /// The number of everything that rows lack: 0 if no row is lossy because of its packets.
    pub const fn lacking(&self) -> u64 {
        let sum = self.missed.saturating_add(self.twice);
        sum.saturating_add(self.went_on).saturating_add(self.unread)
    }
}
