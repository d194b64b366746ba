// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What the link must know of a packet: whether it is TCP, how much payload it has, and its ECN
//! field.

/// ECN codepoints of the IP header (RFC 3168).
pub const NOT_ECT: u8 = 0;
/// Congestion experienced.
pub const CE: u8 = 3;

const TCP: u8 = 6;
/// SYN bit of the TCP flags.
const SYN: u8 = 0x02;

/// A TCP segment in an IPv4 or IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Octets of TCP payload.
    pub payload: usize,
    /// ECN codepoint of the IP header.
    pub ecn: u8,
    /// SYN set.
    pub syn: bool,
}

/// The TCP segment in a packet that begins with the IP header. `None` if it is not TCP, a fragment, or
/// has IPv6 extension headers (Linux TCP sends neither).
pub fn segment(packet: &[u8]) -> Option<Segment> {
    let (header, length, ecn) = match packet.first()? >> 4 {
        4 => {
            let fragment = u16::from_be_bytes([*packet.get(6)?, *packet.get(7)?]) & 0x3fff != 0;
            if *packet.get(9)? != TCP || fragment {
                return None;
            }
            let length = u16::from_be_bytes([packet[2], packet[3]]);
            (usize::from(packet[0] & 15) * 4, usize::from(length), packet[1] & 3)
        }
        6 => {
            if *packet.get(6)? != TCP {
                return None;
            }
            let length = u16::from_be_bytes([packet[4], packet[5]]);
            (40, 40 + usize::from(length), packet[1] >> 4 & 3)
        }
        _ => return None,
    };
    let tcp = packet.get(header..)?;
    let tcp_header = usize::from(*tcp.get(12)? >> 4) * 4;
    let payload = length.checked_sub(header + tcp_header)?;
    Some(Segment { payload, ecn, syn: tcp.get(13)? & SYN != 0 })
}

/// Sets the ECN field to CE. The caller has seen that the packet is ECN-capable.
pub fn mark_ce(packet: &mut [u8]) {
    if packet[0] >> 4 == 6 {
        packet[1] |= CE << 4; // the traffic class is not part of any checksum
        return;
    }
    packet[1] |= CE;
    packet[10..12].fill(0);
    let header = usize::from(packet[0] & 15) * 4;
    let checksum = internet_checksum(&packet[..header]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// RFC 1071 checksum of an even number of octets; 0 over a header whose checksum field is right.
pub fn internet_checksum(octets: &[u8]) -> u16 {
    let mut sum: u32 =
        octets.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
