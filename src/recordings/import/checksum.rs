// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Checksums of the packets that a capture has whole.
//!
//! A packet with a wrong one is in the capture, and whoever receives it drops it. But a capture on the
//! host that sends shows checksums which the interface still has to finish, and so do loopback, veth
//! and virtual machines on the end that receives: Linux leaves the sum of the pseudo-header in the
//! field (CHECKSUM_PARTIAL; __tcp_v4_send_check() of Linux 6.18, and tcp4_gro_complete() for what was
//! merged). Other systems leave other things, merging interfaces leave the first segment's, and tools
//! that rewrite addresses or cut payload leave what was there. All these make the checksums of most
//! packets of a sender wrong, where a damaged packet is one of many. So wrong checksums are believed
//! only where most of the sender's are right, which a first reading finds out.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::wire::protocol::TCP;
use crate::wire::{Checksum, Packet, u16_be};

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// Place of the checksum in the header.
const V4_CHECKSUM: usize = 10;
const TCP_CHECKSUM: usize = 16;

/// Wrong checksums are believed if at most one of this many of a sender is wrong: no TCP works on a link
/// that damages more.
const ONE_OF: u64 = 4;

/// Longer packets than an Ethernet carries may have been merged by the interface.
const ETHERNET_MTU: u32 = 1500;

/// Whether the checksums of a packet fit what they cover; none where that cannot be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fits {
    ip: Option<bool>,
    tcp: Option<bool>,
}

impl Fits {
    /// The state of a packet with these bytes from IP on; the transport header begins at `transport`.
    pub fn of(bytes: &[u8], packet: &Packet, transport: usize) -> Self {
        Self { ip: fits_ip(bytes), tcp: fits_tcp(bytes, packet, transport) }
    }

    fn of_each(self) -> [(Checksum, Option<bool>); 2] {
        [(Checksum::Ip, self.ip), (Checksum::Tcp, self.tcp)]
    }
}

/// That of the IPv4 header.
fn fits_ip(bytes: &[u8]) -> Option<bool> {
    let first = *bytes.first()?;
    let header = bytes.get(..usize::from(first & 15) * 4).filter(|h| h.len() >= V4_HEADER)?;
    // The interface fills in a checksum of 0, and a length of 0.
    let unfilled = u16_be(header, 2) == Some(0) || u16_be(header, V4_CHECKSUM) == Some(0);
    let fits = folded(sum(header)) == 0xffff;
    (first >> 4 == 4 && (fits || !unfilled)).then_some(fits)
}

/// That of TCP.
fn fits_tcp(bytes: &[u8], packet: &Packet, transport: usize) -> Option<bool> {
    // With source routing (options, extension headers) it covers an address that is not in its place.
    let plain = match packet.src_addr {
        IpAddr::V4(_) => transport == V4_HEADER && u16_be(bytes, 2) != Some(0),
        IpAddr::V6(_) => transport == V6_HEADER && u16_be(bytes, 4) != Some(0),
    };
    let is_fragment = packet.fragment_offset > 0 || packet.more_fragments;
    if !plain || is_fragment || packet.protocol != TCP {
        return None;
    }
    let segment = bytes.get(transport..packet.ip_len as usize)?;
    let field = u16_be(segment, TCP_CHECKSUM).filter(|_| segment.len() >= TCP_HEADER)?;
    let address = |addr: IpAddr| match addr {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    };
    // RFC 9293, 3.1.
    let pseudo =
        address(packet.src_addr) + address(packet.dst_addr) + u64::from(TCP) + segment.len() as u64;
    // In ones' complement 0 has two forms.
    let unfinished = field % 0xffff == folded(pseudo) % 0xffff;
    Some(unfinished || folded(pseudo + sum(segment)) == 0xffff)
}

/// The sum of the 16-bit words (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |octet| u64::from(*octet) << 8);
    words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() + last
}

fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Packets whose checksums are treated alike: those of a sender, with packets that may have been merged
/// kept separate.
type SenderClass = (IpAddr, bool, u8);

fn kind(packet: &Packet, which: Checksum) -> SenderClass {
    (packet.src_addr, packet.ip_len > ETHERNET_MTU, which as u8)
}

/// Looks at the checksums of a capture.
#[derive(Debug, Default)]
pub struct Checksums(BTreeMap<SenderClass, Share>);

#[derive(Debug, Default)]
struct Share {
    all: u64,
    wrong: u64,
}

impl Checksums {
    /// Takes in a packet.
    pub fn see(&mut self, packet: &Packet, fits: Fits) {
        for (which, fits) in fits.of_each() {
            let Some(fits) = fits else { continue };
            let share = self.0.entry(kind(packet, which)).or_default();
            share.all += 1;
            share.wrong += u64::from(!fits);
        }
    }

    /// The checksum for which the receiver dropped a packet; asked when all packets were seen.
    pub fn wrong(&self, packet: &Packet, fits: Fits) -> Option<Checksum> {
        let is_wrong = |which, fits| {
            let share = self.0.get(&kind(packet, which));
            fits == Some(false) && share.is_some_and(|s| s.wrong * ONE_OF <= s.all)
        };
        fits.of_each().into_iter().find_map(|(which, fits)| is_wrong(which, fits).then_some(which))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Hook;
    use crate::wire::Direction;

    /// RFC 1071, 3.
    #[test]
    fn the_sum_of_the_rfc() {
        let octets = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(folded(sum(&octets)), 0xddf2);
        assert_eq!(folded(sum(&[0x12, 0x34, 0x56])), 0x1234 + 0x5600);
    }

    /// A SYN of Linux 6.18 as an interface sent it, and as the host's capture had it before.
    const SENT: [u8; 60] = [
        0x45, 0, 0, 60, 0x5f, 0x2c, 0x40, 0, 0x40, 6, 0x5c, 0xd2, 192, 0, 2, 1, 192, 0, 2, 2, 0x93,
        0x14, 0x13, 0x89, 0x1c, 0x1b, 0x05, 0x2b, 0, 0, 0, 0, 0xa0, 2, 0xfa, 0xf0, 0, 0, 0, 0, 2,
        4, 5, 0xb4, 4, 2, 8, 10, 0x6f, 0x0a, 0x97, 0x1b, 0, 0, 0, 0, 1, 3, 3, 7,
    ];

    fn fits(bytes: &[u8]) -> Fits {
        let mut packet = Packet::unread(0, Hook::Capture, Direction::Unknown);
        let at = packet.read_ip_to_end(bytes, bytes.len() as u32, 0).expect("a packet");
        Fits::of(bytes, &packet, at)
    }

    fn with(at: usize, value: u16) -> Vec<u8> {
        let mut bytes = SENT.to_vec();
        bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
        bytes
    }

    #[test]
    fn right_unfinished_and_wrong_checksums_are_distinguished() {
        let pseudo = folded(sum(&SENT[12..20]) + 6 + 40);
        let right = !folded(u64::from(pseudo) + sum(&SENT[20..]));
        let ip = !folded(sum(&with(10, 0)[..20]));
        let finished = |tcp: u16| {
            let mut bytes = with(36, tcp);
            bytes[10..12].copy_from_slice(&ip.to_be_bytes());
            bytes
        };
        let both = |ip, tcp| Fits { ip, tcp };
        assert_eq!(fits(&finished(right)), both(Some(true), Some(true)));
        assert_eq!(fits(&finished(pseudo)), both(Some(true), Some(true)), "CHECKSUM_PARTIAL");
        for wrong in [right ^ 1, pseudo ^ 1, !pseudo, 0] {
            assert_eq!(fits(&finished(wrong)).tcp, Some(false), "{wrong:#x}");
        }
        let mut bytes = finished(right);
        bytes[8] -= 1;
        assert_eq!(fits(&bytes), both(Some(false), Some(true)), "a TTL that another had");
        bytes[10..12].copy_from_slice(&[0, 0]);
        assert_eq!(fits(&bytes).ip, None, "the interface fills it in");
        // Padding is not covered, and what is not there cannot be summed.
        let padded = [finished(right), vec![0xee; 5]].concat();
        assert_eq!(fits(&padded).tcp, Some(true));
        let mut packet = Packet::unread(0, Hook::Capture, Direction::Unknown);
        let cut = &finished(right)[..59];
        let at = packet.read_ip_to_end(cut, 60, 0).expect("a packet");
        assert_eq!(Fits::of(cut, &packet, at), both(Some(true), None));
    }

    #[test]
    fn wrong_checksums_are_believed_if_they_are_few() {
        let mut packet = Packet::unread(0, Hook::Capture, Direction::Unknown);
        packet.src_addr = [192, 0, 2, 1].into();
        let (good, bad) = (Fits { ip: None, tcp: Some(true) }, Fits { ip: None, tcp: Some(false) });
        let mut checksums = Checksums::default();
        for _ in 0..3 {
            checksums.see(&packet, good);
        }
        checksums.see(&packet, bad);
        assert_eq!(checksums.wrong(&packet, bad), Some(Checksum::Tcp));
        assert_eq!(checksums.wrong(&packet, good), None);
        // Checksums of another sender, and of merged packets, do not count here.
        let merged = Packet { ip_len: 9000, ..packet.clone() };
        checksums.see(&merged, bad);
        assert_eq!(checksums.wrong(&merged, bad), None);
        checksums.see(&packet, bad);
        assert_eq!(checksums.wrong(&packet, bad), None, "two of five");
    }
}
