// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A TCP segment out of a packet digest.

use super::options::TcpOptions;
use crate::wire::{Packet, TcpFields};

/// Without options.
const HEADER: usize = 20;

/// A segment, whichever way it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub ts_ns: u64,
    pub seq: u32,
    pub ack_seq: u32,
    pub fin: bool,
    pub syn: bool,
    pub rst: bool,
    pub ack: bool,
    pub ece: bool,
    pub cwr: bool,
    /// The flag of accurate ECN (RFC 9768).
    pub ae: bool,
    /// As it stands in the header.
    pub window: u16,
    pub payload: u32,
    /// Segments in it, as the host counts them.
    pub segments: u16,
    pub ttl: u8,
    pub tos: u8,
    /// Identification of the IP packet.
    pub ip_id: Option<u32>,
    pub options: TcpOptions,
    /// The checksum, as it stands in the header.
    pub checksum: u16,
    /// It stands in the capture before, as it seems.
    pub is_copy: bool,
    /// Octets of the header.
    header: u32,
}

impl Segment {
    /// The segment of a packet. None if the kernel would not handle it as a TCP segment: fragments after
    /// the first, other protocols, impossible header lengths (tcp_v4_rcv() drops them). None also for
    /// headers that the capture has cut before their options.
    pub fn of(packet: &Packet) -> Option<Self> {
        let fields = TcpFields::of(packet)?;
        let TcpFields { seq, ack_seq, fin, syn, rst, ack, ece, cwr, ae, header, psh: _ } = fields;
        let h: &[u8; HEADER] = packet.header.first_chunk()?;
        let captured = packet.header.get(HEADER..)?;
        // If the header was not cut, missing bytes were never there.
        let is_cut = packet.captured_len < packet.wire_len;
        if header < HEADER || header > packet.header.len() && !is_cut {
            return None;
        }
        Some(Self {
            ts_ns: packet.ts_ns,
            seq,
            ack_seq,
            fin,
            syn,
            rst,
            ack,
            ece,
            cwr,
            ae,
            window: u16::from_be_bytes([h[14], h[15]]),
            payload: packet.payload_len,
            segments: packet.segments.max(1),
            ttl: packet.ttl,
            tos: packet.tos,
            options: TcpOptions::read(captured, header - HEADER),
            ip_id: packet.ip_id,
            checksum: u16::from_be_bytes([h[16], h[17]]),
            is_copy: packet.is_copy,
            header: header as u32,
        })
    }

    /// Sequence number after the segment: SYN and FIN take one each.
    pub fn end(&self) -> u32 {
        let marks = u32::from(self.syn) + u32::from(self.fin);
        self.seq.wrapping_add(self.payload).wrapping_add(marks)
    }

    /// Octets of header and payload.
    pub const fn length(&self) -> u32 {
        self.header.saturating_add(self.payload)
    }

    /// Whether the network marked it (ECN field 11).
    pub fn is_ce(&self) -> bool {
        self.tos & 3 == 3
    }

    /// The number of segments it is on the wire, where `mss` is the largest: a host that leaves
    /// cutting to the interface, or lets it merge, shows captures super-segments.
    pub fn count(&self, mss: Option<u32>) -> u64 {
        let cut = mss.filter(|m| *m > 0).map_or(1, |m| self.payload.div_ceil(m));
        u64::from(cut.max(u32::from(self.segments)))
    }
}

/// Whether `a` stands before `b` in sequence space (RFC 9293, 3.4).
pub fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// Whether `a` stands after `b`.
pub fn after(a: u32, b: u32) -> bool {
    before(b, a)
}
