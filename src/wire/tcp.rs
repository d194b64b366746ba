// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The first fields of a TCP header (RFC 9293, 3.1), which even a header that was cut has.

use super::Packet;
use super::protocol::TCP;

/// Octets up to the flags.
const FIELDS: usize = 14;

/// Numbers and flags of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFields {
    pub seq: u32,
    pub ack_seq: u32,
    pub fin: bool,
    pub syn: bool,
    pub rst: bool,
    pub psh: bool,
    pub ack: bool,
    pub ece: bool,
    pub cwr: bool,
    /// The flag of accurate ECN (RFC 9768).
    pub ae: bool,
    /// Length of the header in octets, as it stands there: it may be less than 20.
    pub header: usize,
}

impl TcpFields {
    /// Those of a packet. None if it is of another protocol, a fragment after the first, or cut before them.
    pub fn of(packet: &Packet) -> Option<Self> {
        if packet.protocol != TCP || packet.fragment_offset > 0 {
            return None;
        }
        let h: &[u8; FIELDS] = packet.header.first_chunk()?;
        let u32_at = |at| u32::from_be_bytes([h[at], h[at + 1], h[at + 2], h[at + 3]]);
        let flag = |bit: u8| h[13] & bit != 0;
        Some(Self {
            seq: u32_at(4),
            ack_seq: u32_at(8),
            fin: flag(0x01),
            syn: flag(0x02),
            rst: flag(0x04),
            psh: flag(0x08),
            ack: flag(0x10),
            ece: flag(0x40),
            cwr: flag(0x80),
            ae: h[12] & 1 != 0,
            header: usize::from(h[12] >> 4) * 4,
        })
    }
}
