// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! TCP segments that a test makes and reads itself, in IPv4 and IPv6 (RFC 9293, 7323, 2018).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::packet::internet_checksum;

/// Flags of the TCP header.
pub const SYN: u8 = 0x02;
/// The connection is given up.
pub const RST: u8 = 0x04;
/// ACK.
pub const ACK: u8 = 0x10;
/// ECN echo.
pub const ECE: u8 = 0x40;
/// Congestion window reduced.
pub const CWR: u8 = 0x80;

const TCP: u8 = 6;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;

/// A segment with its IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source.
    pub from: SocketAddr,
    /// Destination.
    pub to: SocketAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// The flag before them: AE of accurate ECN (RFC 9768).
    pub ae: bool,
    /// Window as it stands in the header, not scaled.
    pub window: u16,
    /// Options.
    pub options: Choices,
    /// Octets of payload; what they are does not matter.
    pub payload: usize,
}

/// Options of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Shift of the window.
    pub wscale: Option<u8>,
    /// SACK permitted.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: Vec<(u32, u32)>,
    /// TSval and TSecr.
    pub stamps: Option<(u32, u32)>,
}

impl Choices {
    fn octets(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(mss) = self.mss {
            out.extend([2, 4]);
            out.extend(mss.to_be_bytes());
        }
        if let Some(shift) = self.wscale {
            out.extend([3, 3, shift]);
        }
        if self.sack_permitted {
            out.extend([4, 2]);
        }
        if let Some((val, ecr)) = self.stamps {
            out.extend([8, 10]);
            out.extend(val.to_be_bytes());
            out.extend(ecr.to_be_bytes());
        }
        if !self.sack.is_empty() {
            out.extend([5, 2 + 8 * self.sack.len() as u8]);
            for (left, right) in &self.sack {
                out.extend(left.to_be_bytes());
                out.extend(right.to_be_bytes());
            }
        }
        while !out.len().is_multiple_of(4) {
            out.push(1); // no operation
        }
        out
    }

    fn read(mut octets: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        let number = |at: &[u8]| u32::from_be_bytes([at[0], at[1], at[2], at[3]]);
        while let Some((&kind, rest)) = octets.split_first() {
            match kind {
                0 => break,
                1 => {
                    octets = rest;
                    continue;
                }
                _ => {}
            }
            let length = usize::from(*rest.first()?);
            let value = octets.get(2..length)?;
            match (kind, value.len()) {
                (2, 2) => found.mss = Some(u16::from_be_bytes([value[0], value[1]])),
                (3, 1) => found.wscale = Some(value[0]),
                (4, 0) => found.sack_permitted = true,
                (5, n) if n.is_multiple_of(8) => {
                    found.sack = value.chunks(8).map(|b| (number(b), number(&b[4..]))).collect();
                }
                (8, 8) => found.stamps = Some((number(value), number(&value[4..]))),
                _ => {}
            }
            octets = &octets[length..];
        }
        Some(found)
    }
}

impl Segment {
    /// The octets of the packet, with both checksums.
    pub fn packet(&self) -> Vec<u8> {
        let options = self.options.octets();
        let mut tcp = Vec::with_capacity(TCP_HEADER + options.len() + self.payload);
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(((TCP_HEADER + options.len()) / 4) as u8 * 16 + u8::from(self.ae));
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 4]); // checksum, urgent pointer
        tcp.extend(options);
        tcp.resize(tcp.len() + self.payload, b'p');
        let length = tcp.len();
        let (header, mut pseudo) = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.v4(from, to, length),
            (IpAddr::V6(from), IpAddr::V6(to)) => self.v6(from, to, length),
            _ => panic!("both ends have one family"),
        };
        pseudo.extend(&tcp);
        if !pseudo.len().is_multiple_of(2) {
            pseudo.push(0);
        }
        tcp[16..18].copy_from_slice(&internet_checksum(&pseudo).to_be_bytes());
        [header, tcp].concat()
    }

    fn v4(&self, from: Ipv4Addr, to: Ipv4Addr, length: usize) -> (Vec<u8>, Vec<u8>) {
        let mut header = vec![0x45, self.tos];
        header.extend(((V4_HEADER + length) as u16).to_be_bytes());
        header.extend([0, 0, 0x40, 0, self.ttl, TCP, 0, 0]); // do not fragment
        header.extend(from.octets());
        header.extend(to.octets());
        let sum = internet_checksum(&header);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let octets = (length as u16).to_be_bytes();
        (header, [&from.octets()[..], &to.octets(), &[0, TCP], &octets].concat())
    }

    fn v6(&self, from: Ipv6Addr, to: Ipv6Addr, length: usize) -> (Vec<u8>, Vec<u8>) {
        let mut header = vec![0x60 | self.tos >> 4, self.tos << 4, 0, 0];
        header.extend((length as u16).to_be_bytes());
        header.extend([TCP, self.ttl]);
        header.extend(from.octets());
        header.extend(to.octets());
        let octets = (length as u32).to_be_bytes();
        (header, [&from.octets()[..], &to.octets(), &octets, &[0, 0, 0, TCP]].concat())
    }

    /// The segment in a packet; `None` if it is not a whole TCP segment. Linux TCP sends neither
    /// fragments nor extension headers.
    pub fn read(packet: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        let (from, to, ttl, tos, begin): (IpAddr, IpAddr, _, _, _) = match packet.first()? >> 4 {
            4 if *packet.get(9)? == TCP => {
                let address = |at: usize| {
                    let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
                    Some(IpAddr::from(octets))
                };
                let begin = usize::from(packet[0] & 15) * 4;
                (address(12)?, address(16)?, packet[8], packet[1], begin)
            }
            6 if *packet.get(6)? == TCP => {
                let address = |at: usize| {
                    let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
                    Some(IpAddr::from(octets))
                };
                let tos = packet[0] << 4 | packet[1] >> 4;
                (address(8)?, address(24)?, packet[7], tos, V6_HEADER)
            }
            _ => return None,
        };
        let tcp = packet.get(begin..)?;
        let header = usize::from(*tcp.get(12)? >> 4) * 4;
        let number =
            |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        Some(Self {
            from: SocketAddr::new(from, word(begin)?),
            to: SocketAddr::new(to, word(begin + 2)?),
            ttl,
            tos,
            seq: number(4),
            ack: number(8),
            flags: tcp[13],
            ae: tcp[12] & 1 != 0,
            window: u16::from_be_bytes([tcp[14], *tcp.get(15)?]),
            options: Choices::read(tcp.get(TCP_HEADER..header)?)?,
            payload: tcp.len().checked_sub(header)?,
        })
    }
}
