// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The bytes of a packet, put together again from its digest.
//!
//! A digest has the fields of IP and link headers, not their bytes: these are rebuilt. The transport
//! header, and what was kept of the payload, are the bytes that were there. What a digest does not have
//! is left out (IP options, extension headers, tags within a VLAN tag) or 0 (the don't-fragment bit, the
//! priority of a VLAN tag).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::blocks::Link;
use crate::wire::protocol::{DCCP, FRAGMENT, ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use crate::wire::{Checksum, Packet};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;

const V4_HEADER: u32 = 20;
const V6_HEADER: u32 = 40;
const FRAGMENT_HEADER: u32 = 8;

/// The most octets of headers that a frame has here: Ethernet with a VLAN tag, IPv6 with a fragment
/// header, and the longest transport header.
pub const HEADERS_MAX: u32 = 18 + V6_HEADER + FRAGMENT_HEADER + crate::wire::HEADER_MAX as u32;

/// The facts of a frame, beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// How it begins.
    pub link: Link,
    /// Octets that there were.
    pub original: u32,
    /// Octets of IP options and extension headers that are left out of it.
    pub left_out: u32,
}

/// How a packet's frame begins.
pub const fn link(packet: &Packet) -> Link {
    match (packet.src_mac, packet.dst_mac) {
        (Some(_), Some(_)) => Link::Ethernet,
        (Some(_) | None, Some(_) | None) => Link::Raw,
    }
}

/// Puts the bytes of a packet into `out`.
pub fn write(packet: &Packet, out: &mut Vec<u8>) -> Frame {
    out.clear();
    let is_v6 = packet.src_addr.is_ipv6();
    if let (Some(src), Some(dst)) = (packet.src_mac, packet.dst_mac) {
        out.extend_from_slice(&dst);
        out.extend_from_slice(&src);
        if let Some(vlan) = packet.vlan {
            out.extend_from_slice(&ETHERTYPE_VLAN.to_be_bytes());
            out.extend_from_slice(&vlan.to_be_bytes());
        }
        let ethertype = if is_v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
        out.extend_from_slice(&ethertype.to_be_bytes());
    }
    let link_len = out.len() as u32;
    let transport = transport_len(packet);
    let ip = packet.ip_len.saturating_sub(packet.payload_len).saturating_sub(transport);
    let fragment = is_v6 && packet.ip_id.is_some();
    let made = match (is_v6, fragment) {
        (false, _) => V4_HEADER,
        (true, false) => V6_HEADER,
        (true, true) => V6_HEADER + FRAGMENT_HEADER,
    };
    let left_out = ip.saturating_sub(made);
    let ip_len = packet.ip_len.saturating_sub(left_out).max(made);
    match (packet.src_addr, packet.dst_addr) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => v4(packet, ip_len, src, dst, out),
        (src, dst) => v6(packet, ip_len, fragment, (mapped(src), mapped(dst)), out),
    }
    out.extend_from_slice(&packet.header);
    if packet.header.len() as u32 == transport {
        out.extend_from_slice(&packet.payload);
    }
    let link = link(packet);
    let framed = link_len.saturating_add(ip_len).max(out.len() as u32);
    let original = match link {
        // With what pads a short frame, and what is left out here.
        Link::Ethernet => framed.max(packet.wire_len),
        Link::Raw => framed,
    };
    Frame { link, original, left_out }
}

/// The length of the transport header, as it was; of what is not captured of it, the least.
fn transport_len(packet: &Packet) -> u32 {
    if packet.fragment_offset > 0 {
        return 0;
    }
    match packet.protocol {
        TCP => packet.header.get(12).map_or(20, |b| u32::from(b >> 4) * 4).max(20),
        UDP | UDP_LITE | ICMP | ICMPV6 => 8,
        SCTP | DCCP => 12,
        _ => 0,
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A length field. A super-packet may be longer than the field can hold: then it is 0, as in the host.
fn length(octets: u32) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(0).to_be_bytes()
}

fn v4(packet: &Packet, ip_len: u32, src: Ipv4Addr, dst: Ipv4Addr, out: &mut Vec<u8>) {
    let at = out.len();
    let more = u16::from(packet.more_fragments) << 13;
    out.extend_from_slice(&[0x45, packet.tos]);
    out.extend_from_slice(&length(ip_len));
    out.extend_from_slice(&(packet.ip_id.unwrap_or(0) as u16).to_be_bytes());
    out.extend_from_slice(&(more | packet.fragment_offset & 0x1fff).to_be_bytes());
    out.extend_from_slice(&[packet.ttl, packet.protocol, 0, 0]);
    out.extend_from_slice(&src.octets());
    out.extend_from_slice(&dst.octets());
    let words = out[at..].chunks_exact(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let right = !(folded as u16);
    let checksum = if packet.wrong_checksum == Some(Checksum::Ip) { !right } else { right };
    out[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
}

fn v6(
    packet: &Packet,
    ip_len: u32,
    fragment: bool,
    (src, dst): (Ipv6Addr, Ipv6Addr),
    out: &mut Vec<u8>,
) {
    let label = packet.flow_label.unwrap_or(0) & 0xf_ffff;
    let first = 6 << 28 | u32::from(packet.tos) << 20 | label;
    out.extend_from_slice(&first.to_be_bytes());
    out.extend_from_slice(&length(ip_len.saturating_sub(V6_HEADER)));
    out.push(if fragment { FRAGMENT } else { packet.protocol });
    out.push(packet.ttl);
    out.extend_from_slice(&src.octets());
    out.extend_from_slice(&dst.octets());
    if fragment {
        let offset = packet.fragment_offset << 3 | u16::from(packet.more_fragments);
        out.extend_from_slice(&[packet.protocol, 0]);
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&packet.ip_id.unwrap_or(0).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Direction, Hook};

    /// A frame reads as the packet that it was made from.
    fn read_back(packet: &Packet, bytes: &[u8], frame: Frame) {
        let link_len = match frame.link {
            Link::Ethernet => 14 + 4 * usize::from(packet.vlan.is_some()),
            Link::Raw => 0,
        };
        let mut again = Packet {
            src_mac: packet.src_mac,
            dst_mac: packet.dst_mac,
            vlan: packet.vlan,
            wire_len: packet.wire_len,
            captured_len: packet.captured_len,
            segments: packet.segments,
            ..Packet::unread(packet.ts_ns, packet.hook, packet.direction)
        };
        let on_wire = frame.original - link_len as u32;
        again.read_ip(&bytes[link_len..], on_wire, usize::MAX).expect("an IP packet");
        assert_eq!(&again, packet);
    }

    fn packet(ip: &[u8], on_wire: u32) -> Packet {
        let mut packet = Packet::unread(1, Hook::SocketOut, Direction::Out);
        packet.read_ip(ip, on_wire, usize::MAX).expect("an IP packet");
        packet
    }

    fn tcp(length: u8) -> Vec<u8> {
        let mut header = vec![1; usize::from(length)];
        header[12] = (length / 4) << 4;
        header
    }

    #[test]
    fn a_frame_reads_as_the_digest_it_is_made_of() {
        let v4 = |total: u16, protocol: u8, fragment: u16| {
            let mut header = vec![0x45, 0x2e, 0, 0, 0x12, 0x34, 0, 0, 63, protocol, 0, 0];
            header.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            header[2..4].copy_from_slice(&total.to_be_bytes());
            header[6..8].copy_from_slice(&fragment.to_be_bytes());
            header
        };
        let mut v6 = vec![0x62, 0xe1, 0x23, 0x45, 0, 0, TCP, 64];
        v6.extend((0..32).map(|i| i * 3));
        let mut fragment = v6.clone();
        fragment[6] = FRAGMENT;
        fragment.extend([UDP, 0, 0, 1, 1, 2, 3, 4]);
        let with_len = |mut header: Vec<u8>, after: u16| {
            header[4..6].copy_from_slice(&after.to_be_bytes());
            header
        };
        let udp = [0, 53, 1, 2, 0, 100, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let cases = [
            packet(&[v4(1052, TCP, 0), tcp(32)].concat(), 1052),
            packet(&[v4(52, TCP, 0), tcp(32)].concat(), 52),
            // Cut within its options.
            packet(&[v4(1060, TCP, 0), tcp(40)[..28].to_vec()].concat(), 1060),
            packet(&[v4(120, UDP, 0x2000), udp.to_vec()].concat(), 120),
            packet(&v4(120, UDP, 0x2007), 120),
            packet(&v4(84, 47, 0), 84),
            packet(&[with_len(v6.clone(), 1440), tcp(20)].concat(), 1480),
            packet(&[with_len(fragment, 1448), udp.to_vec()].concat(), 1488),
            // Longer than the field of its length.
            packet(&[with_len(v6, 0), tcp(32)].concat(), 150_040),
            packet(&[v4(0, TCP, 0), tcp(32)].concat(), 90_000),
        ];
        let mut bytes = Vec::new();
        for digest in &cases {
            let frame = write(digest, &mut bytes);
            assert_eq!((frame.link, frame.original, frame.left_out), (Link::Raw, digest.ip_len, 0));
            assert!(bytes.len() as u32 <= HEADERS_MAX + digest.payload.len() as u32);
            read_back(digest, &bytes, frame);
            let framed = Packet {
                src_mac: Some([2, 0, 0, 0, 0, 1]),
                dst_mac: Some([2, 0, 0, 0, 0, 2]),
                vlan: Some(7),
                wire_len: digest.ip_len + 18,
                ..digest.clone()
            };
            let frame = write(&framed, &mut bytes);
            assert_eq!((frame.link, frame.original), (Link::Ethernet, framed.wire_len));
            assert_eq!(bytes[12..18], [0x81, 0, 0, 7, bytes[16], bytes[17]]);
            read_back(&framed, &bytes, frame);
        }
    }

    #[test]
    fn options_of_ip_are_left_out_with_their_length() {
        let mut ip = vec![0x47, 0, 0, 60, 0, 1, 0, 0, 64, TCP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        ip.extend([1; 8]);
        let digest = packet(&[ip, tcp(20)].concat(), 60);
        let mut bytes = Vec::new();
        let frame = write(&digest, &mut bytes);
        assert_eq!((frame.left_out, frame.original), (8, 52));
        assert_eq!((bytes[0], &bytes[2..4]), (0x45, &[0, 52][..]));
        // RFC 1071: over a header with a right checksum the sum is all ones.
        let words = bytes[..20].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
        let sum: u32 = words.sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }
}
