// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Packet digests: what a hook or a capture saw of one packet.

use std::net::{IpAddr, Ipv4Addr};

use super::Header;
use super::decode::{WireError, header, unknown};
use super::ether_type::{VLAN_ID, after_tags};
use super::protocol::{TCP, UDP};
use crate::schema::record::{Member as _, PacketHead, RecordKind};
use crate::schema::{Hook, Place};

pub use crate::schema::Direction;

/// Which checksum of a packet is wrong. Whoever receives it drops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Checksum {
    /// That of the IPv4 header (ip_rcv_core() of Linux 6.18).
    Ip = 1,
    /// That of TCP (tcp_v4_rcv(), tcp_rcv_established()).
    Tcp = 2,
}

impl Checksum {
    /// All of them, by code from 1.
    pub const ALL: &'static [Self] = &[Self::Ip, Self::Tcp];
}

/// The longest transport header that is kept, which is TCP's: 15 words.
pub const HEADER_MAX: usize = 60;

/// One IP packet, or one super-packet that the host has not yet cut, or has already merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// CLOCK_MONOTONIC at the hook; in an imported capture its wall clock, which serves as both.
    pub ts_ns: u64,
    /// Number of the record on its CPU, shared with the other streams.
    pub seq: u64,
    /// CPU on which the hook ran; 0 in an imported capture.
    pub cpu: u16,
    /// Where it was seen.
    pub hook: Hook,
    /// Which way it went.
    pub direction: Direction,
    /// Interface: the index on the host, or its number in the capture.
    pub interface: Option<u32>,
    /// Inode number of the network namespace.
    pub netns: Option<u32>,
    /// Socket cookie.
    pub cookie: Option<u64>,
    /// Source address of the link, where it was seen with a header of Ethernet's kind.
    pub src_mac: Option<[u8; 6]>,
    /// Destination address of the link; none where there is no Ethernet header.
    pub dst_mac: Option<[u8; 6]>,
    /// Id of the outermost VLAN (IEEE 802.1Q VID), where it had a tag.
    pub vlan: Option<u16>,
    /// Bytes where it was seen, with the link header if there was one there.
    pub wire_len: u32,
    /// How many of them were there to be read.
    pub captured_len: u32,
    /// Source address.
    pub src_addr: IpAddr,
    /// Destination address.
    pub dst_addr: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class: DSCP and ECN.
    pub tos: u8,
    /// Identification of IPv4, or of the fragment header of IPv6.
    pub ip_id: Option<u32>,
    /// Offset of a fragment in units of 8 bytes; 0 for the first and for whole packets.
    pub fragment_offset: u16,
    /// Whether fragments follow.
    pub more_fragments: bool,
    /// Flow label of IPv6.
    pub flow_label: Option<u32>,
    /// Bytes of the IP packet, header included, as it was sent.
    pub ip_len: u32,
    /// IP protocol number of what follows IP and its extension headers: 6 is TCP.
    pub protocol: u8,
    /// Source port of TCP, UDP and the like.
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// Bytes after the transport header, as they were sent.
    pub payload_len: u32,
    /// Segments in a super-packet, as the host counts them; 1 for others, and if the number is not
    /// known.
    pub segments: u16,
    /// A checksum that does not fit what it covers, in an imported capture that has all of it.
    pub wrong_checksum: Option<Checksum>,
    /// The packet is in the capture before, as a mirror gives it, but nothing proves that both are one.
    /// Only imports know this.
    pub is_copy: bool,
    /// The transport header, as far as it was captured: at most [`HEADER_MAX`] bytes.
    pub header: Vec<u8>,
    /// The beginning of the payload, as far as it was asked for ([`known_header`] is always) and
    /// captured.
    pub payload: Vec<u8>,
}

impl Packet {
    /// A packet of which nothing is known yet but when and where it was seen.
    pub const fn unread(ts_ns: u64, hook: Hook, direction: Direction) -> Self {
        Self {
            ts_ns,
            seq: 0,
            cpu: 0,
            hook,
            direction,
            interface: None,
            netns: None,
            cookie: None,
            src_mac: None,
            dst_mac: None,
            vlan: None,
            wire_len: 0,
            captured_len: 0,
            src_addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            dst_addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ttl: 0,
            tos: 0,
            ip_id: None,
            fragment_offset: 0,
            more_fragments: false,
            flow_label: None,
            ip_len: 0,
            protocol: 0,
            src_port: None,
            dst_port: None,
            payload_len: 0,
            segments: 1,
            wrong_checksum: None,
            is_copy: false,
            header: Vec::new(),
            payload: Vec::new(),
        }
    }
}

/// Bytes of two Ethernet addresses.
const ADDRESSES: usize = 12;
/// Bytes of a VLAN tag.
const TAG: u32 = 4;

/// The result of decoding a packet's record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "made on the stack once per record, never stored")]
pub enum Decoded {
    /// A digest.
    Packet(Packet),
    /// A packet whose headers are malformed: its sender's doing, and no fault of the record.
    Malformed {
        /// CPU whose number the record has used up.
        cpu: u16,
        /// Where it was seen.
        hook: Hook,
    },
}

/// Decodes a packet's record.
///
/// # Errors
/// [`WireError`] if the bytes are not a record of this build. No content of a packet is an error.
pub fn decode_packet(b: &[u8]) -> Result<Decoded, WireError> {
    let size = |expected| WireError::Size { expected, found: b.len() };
    if b.len() < PacketHead::SIZE {
        return Err(size(PacketHead::SIZE));
    }
    let head = PacketHead::read(b);
    if head.hdr.kind != RecordKind::Packet as u8 {
        return Err(unknown("record kind", head.hdr.kind));
    }
    let Header { ts_ns, seq, cookie, cpu, hook, .. } = header(&head.hdr)?;
    let direction = match hook.sees() {
        Some((Place::Socket | Place::Interface, direction)) => direction,
        // No program of the recorder makes packets of a capture.
        Some((Place::Capture, _)) | None => return Err(unknown("hook of packets", head.hdr.hook)),
    };
    // Slack follows: a record's size in the ring is one of a few.
    let end = PacketHead::SIZE + usize::from(head.hdr.count);
    let data = b.get(PacketHead::SIZE..end).ok_or(size(end))?;
    let link_len = usize::from(head.ip_offset);
    let beside = (head.tagged != 0).then_some(head.tag & VLAN_ID);
    // Interfaces of other kinds have other headers.
    let ethernet = after_tags(data, ADDRESSES).ok().filter(|tags| tags.end == link_len);
    let mac = |at: usize| data[at..at + 6].try_into().expect("six bytes");
    let len = head.wire_len;
    // A tag that the interface has taken off, or will put on, is of the wire like any other.
    let wire_len = len.saturating_add(if beside.is_some() { TAG } else { 0 });
    let mut packet = Packet {
        seq,
        cpu,
        interface: Some(head.ifindex),
        netns: Some(head.netns),
        cookie: (cookie != 0).then_some(cookie),
        dst_mac: ethernet.map(|_| mac(0)),
        src_mac: ethernet.map(|_| mac(6)),
        vlan: beside.or(ethernet.and_then(|tags| tags.vlan)),
        wire_len,
        captured_len: wire_len,
        ..Packet::unread(ts_ns, hook, direction)
    };
    // The programs send what begins with an IP header; how much of the payload, they decide.
    let ip = data.get(link_len..).unwrap_or_default();
    // The programs have read the same headers, and count malformed packets. Only this reader sees the
    // end of a chain that is longer than they follow.
    if packet.read_ip(ip, len.saturating_sub(link_len as u32), usize::MAX).is_err() {
        return Ok(Decoded::Malformed { cpu: packet.cpu, hook });
    }
    packet.segments = match (head.gso_segs, head.gso_size) {
        (0, 0) => 1,
        // A virtual machine's super-packet comes without their number.
        (0, size) => packet.payload_len.div_ceil(u32::from(size)).clamp(1, 0xffff) as u16,
        (n, _) => n,
    };
    Ok(Decoded::Packet(packet))
}

/// The port of DNS servers (RFC 1035, section 4.2).
pub const DNS_PORT: u16 = 53;

/// The fixed header of DNS (RFC 1035, section 4.1.1).
const DNS_HEADER: usize = 12;
/// Length of a message of DNS over TCP (RFC 1035, section 4.2.2).
const DNS_FRAMING: usize = 2;
/// The bits of QUIC's first byte that are the same in all versions but one (RFC 9000, section 17).
const QUIC_LONG: u8 = 0x80;
const QUIC_FIXED: u8 = 0x40;
/// First byte, version and the length of the connection id (RFC 8999, section 5.1).
const QUIC_LONG_HEADER: usize = 6;
/// The first byte: the rest is connection id and ciphertext (RFC 9000, section 17.3.1).
const QUIC_SHORT_HEADER: usize = 1;

/// How much of a payload is a header of a protocol that replay knows, and nothing that a user
/// wrote: kept even where no payload is asked for. DNS has it on its port; what may be QUIC, by its
/// fixed bit, on any port of UDP.
///
/// `bpf/packet.bpf.h` has the same rule.
pub fn known_header(protocol: u8, ports: Option<(u16, u16)>, first: Option<u8>) -> usize {
    let dns = ports.is_some_and(|(src, dst)| src == DNS_PORT || dst == DNS_PORT);
    match (protocol, first) {
        (TCP, _) if dns => DNS_FRAMING + DNS_HEADER,
        (UDP, _) if dns => DNS_HEADER,
        (UDP, Some(byte)) if byte & QUIC_LONG != 0 => QUIC_LONG_HEADER,
        (UDP, Some(byte)) if byte & QUIC_FIXED != 0 => QUIC_SHORT_HEADER,
        _ => 0,
    }
}
