// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What is noticed while connections are made of packets.

/// What the tracker noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Packets, all told.
    pub packets: u64,
    /// Of other protocols than TCP: no row of a connection.
    pub other: u64,
    /// TCP that is no whole header: later fragments, and headers that the capture has cut.
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
    /// Packets that stand twice in the capture, or came twice.
    pub twice: u64,
    /// Segments whose consequences depend on what the capture has cut, or packets never show.
    pub unread: u64,
    /// Packets with a wrong checksum: their receiver has dropped them.
    pub wrong_checksum: u64,
    /// Connections of which neither end, or both, are the recorded one; their opener's is taken.
    pub by_opener: u64,
}

impl PacketCounts {
    /// What rows lack, all sorts together: 0 if no row is lossy for its packets.
    pub const fn lacking(&self) -> u64 {
        let sum = self.missed.saturating_add(self.twice);
        sum.saturating_add(self.went_on).saturating_add(self.unread)
    }
}
