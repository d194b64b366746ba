// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Counts of one direction, of all of its life or of a part.

use super::flow::{Opening, Point};

/// Counts of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets; a super-packet, and a datagram in fragments that a socket saw whole, is one.
    pub packets: u64,
    /// Segments in these packets, as the host counts them.
    pub segments: u64,
    /// Of these, those with payload.
    pub data_segments: u64,
    /// Segments with a SYN.
    pub syn_segments: u64,
    /// Resets without an acknowledgment: the kernel's own answer, in the name of no socket.
    pub bare_resets: u64,
    /// Bytes of the IP packets, headers included: those of a super-packet once.
    pub l3_bytes: u64,
    /// Bytes after the transport header.
    pub payload_bytes: u64,
    /// Packets, or fragments of them, that were seen at an interface or in a capture.
    pub l2_packets: u64,
    /// Bytes of these with the link's header.
    pub l2_bytes: u64,
    /// TCP segments with sequence space that was seen before, keepalives aside.
    pub retransmitted_segments: u64,
    /// Octets of that space.
    pub retransmitted_bytes: u64,
    /// TCP segments that came after later ones, and were not seen before.
    pub out_of_order_segments: u64,
    /// Packets by ECN code point: 00 not-ECT, 01 ECT(1), 10 ECT(0), 11 CE (RFC 3168).
    pub ecn: [u64; 4],
}

impl Tally {
    /// What was added since an earlier count. The link's share of an earlier packet may have become
    /// smaller. Then the difference is negative, in two's complement, and sums are still right.
    pub(super) fn since(&self, old: &Self) -> Self {
        let mut ecn = [0; 4];
        for (new, (now, old)) in ecn.iter_mut().zip(self.ecn.iter().zip(&old.ecn)) {
            *new = now - old;
        }
        Self {
            packets: self.packets - old.packets,
            segments: self.segments - old.segments,
            data_segments: self.data_segments - old.data_segments,
            syn_segments: self.syn_segments - old.syn_segments,
            bare_resets: self.bare_resets - old.bare_resets,
            l3_bytes: self.l3_bytes - old.l3_bytes,
            payload_bytes: self.payload_bytes - old.payload_bytes,
            l2_packets: self.l2_packets.wrapping_sub(old.l2_packets),
            l2_bytes: self.l2_bytes.wrapping_sub(old.l2_bytes),
            retransmitted_segments: self.retransmitted_segments - old.retransmitted_segments,
            retransmitted_bytes: self.retransmitted_bytes - old.retransmitted_bytes,
            out_of_order_segments: self.out_of_order_segments - old.out_of_order_segments,
            ecn,
        }
    }
}

/// What has been reported of a flow in rows of intervals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reported {
    pub forward: Tally,
    pub backward: Tally,
    /// Begin of the interval that is not reported yet.
    pub interval_ns: u64,
}

/// The traffic of a flow in a part of its life, or in all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowSpan {
    /// Begin of the interval; none for the whole life.
    pub interval_ns: Option<u64>,
    /// From the first end to the second.
    pub forward: Tally,
    /// From the second end to the first.
    pub backward: Tally,
}

/// Counts of a last moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recent {
    /// Segments.
    pub segments: u64,
    /// Of these, those with payload.
    pub data_segments: u64,
    /// Bytes of that.
    pub payload_bytes: u64,
}

/// A moment: the counts of this one and the one before are kept.
const MOMENT_NS: u64 = 10_000_000;

/// Counts of the moment that is, and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    number: u64,
    pub counts: [Recent; 2],
}

impl Moments {
    pub const fn advance(&mut self, ts_ns: u64) {
        let number = ts_ns / MOMENT_NS;
        const NOTHING: Recent = Recent { segments: 0, data_segments: 0, payload_bytes: 0 };
        match number.saturating_sub(self.number) {
            0 => return,
            1 => self.counts = [NOTHING, self.counts[0]],
            _ => self.counts = [NOTHING, NOTHING],
        }
        self.number = number;
    }

    pub const fn at(mut self, ts_ns: u64) -> Recent {
        self.advance(ts_ns);
        let [a, b] = self.counts;
        Recent {
            segments: a.segments + b.segments,
            data_segments: a.data_segments + b.data_segments,
            payload_bytes: a.payload_bytes + b.payload_bytes,
        }
    }
}

/// The totals of a connection's packets at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketTotals {
    /// Sent by the local end.
    pub sent: Tally,
    /// Received by it.
    pub received: Tally,
    /// The part of these that was received in the last 10 to 20 ms.
    pub recent: Recent,
    /// What the first packet was.
    pub opening: Opening,
    /// Whether the local end sent that.
    pub opened_here: bool,
    /// Time of the first packet.
    pub first_ns: u64,
    /// Where they were seen.
    pub point: Point,
    /// Packets that came too late to be put in order.
    pub late: u64,
    /// The received SYNs that began the connection, and their data.
    pub in_syns: Recent,
    /// It was acknowledged with the SYN: TCP Fast Open made the socket (RFC 7413).
    pub fast_open: bool,
}
