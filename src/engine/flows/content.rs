// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What distinguishes a packet from others, and what each sighting of it adds.

use std::net::IpAddr;

use crate::wire::protocol::{ICMP, ICMPV6, TCP, UDP};
use crate::wire::{HEADER_MAX, Packet};

/// What the link shows of a packet; nothing if only its socket saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// 1, or how many fragments.
    pub packets: u64,
    /// Bytes with the link's header.
    pub bytes: u64,
    pub src_mac: Option<[u8; 6]>,
    pub dst_mac: Option<[u8; 6]>,
    pub vlan: Option<u16>,
    pub interface: Option<u32>,
}

impl Wire {
    pub fn of(packet: &Packet) -> Self {
        Self {
            packets: 1,
            bytes: u64::from(packet.wire_len),
            src_mac: packet.src_mac,
            dst_mac: packet.dst_mac,
            vlan: packet.vlan,
            interface: packet.interface,
        }
    }

    /// A further fragment of the same packet.
    pub const fn with(self, piece: &Self) -> Self {
        Self {
            packets: self.packets + piece.packets,
            bytes: self.bytes + piece.bytes,
            src_mac: piece.src_mac,
            dst_mac: piece.dst_mac,
            vlan: piece.vlan,
            interface: piece.interface,
        }
    }
}

/// What identifies a flow beside the addresses; a later fragment takes it from the first one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Source and destination port.
    pub ports: Option<(u16, u16)>,
    /// Identifier of an ICMP echo, and whether it is the request.
    pub echo: Option<(u16, bool)>,
}

/// ICMP and ICMPv6 types of an echo's request and reply (RFC 792, RFC 4443).
const ECHO: [(u8, u8, u8); 2] = [(ICMP, 8, 0), (ICMPV6, 128, 129)];

impl Selector {
    pub fn of(packet: &Packet) -> Self {
        let ports = packet.src_port.zip(packet.dst_port);
        Self { ports, echo: echo(packet) }
    }

    pub fn or(self, other: Self) -> Self {
        Self { ports: self.ports.or(other.ports), echo: self.echo.or(other.echo) }
    }
}

fn echo(packet: &Packet) -> Option<(u16, bool)> {
    let &(_, request, reply) = ECHO.iter().find(|(protocol, ..)| *protocol == packet.protocol)?;
    if packet.fragment_offset > 0 {
        return None;
    }
    let h: &[u8; 6] = packet.header.first_chunk()?;
    let id = u16::from_be_bytes([h[4], h[5]]);
    if h[0] == request {
        Some((id, true))
    } else if h[0] == reply {
        Some((id, false))
    } else {
        None
    }
}

/// What is the same in all sightings of a packet. Checksums are not: they may be left to the device.
/// Nor are the length and the mark of a fragment that follows, since a fragment may be all of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    netns: Option<u32>,
    direction: u8,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    ttl: u8,
    fragment_offset: u16,
    /// IPv6 has one in fragments only.
    ip_id: Option<u32>,
    header_len: u8,
    header: [u8; HEADER_MAX],
}

impl Content {
    pub fn of(packet: &Packet) -> Self {
        let len = packet.header.len().min(HEADER_MAX);
        let mut header = [0; HEADER_MAX];
        header[..len].copy_from_slice(&packet.header[..len]);
        if packet.fragment_offset == 0 {
            match packet.protocol {
                TCP => header[16..18].fill(0),
                UDP => header[6..8].fill(0),
                _ => {}
            }
        }
        let has_id = packet.src_addr.is_ipv4() || packet.fragment_offset > 0;
        Self {
            netns: packet.netns,
            direction: packet.direction as u8,
            src: packet.src_addr,
            dst: packet.dst_addr,
            protocol: packet.protocol,
            ttl: packet.ttl,
            fragment_offset: packet.fragment_offset,
            ip_id: packet.ip_id.filter(|_| has_id),
            header_len: len as u8,
            header,
        }
    }
}

/// The fragments of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    netns: Option<u32>,
    direction: u8,
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    id: u32,
}

impl Datagram {
    /// None for a whole packet.
    pub fn of(packet: &Packet) -> Option<Self> {
        if !packet.more_fragments && packet.fragment_offset == 0 {
            return None;
        }
        Some(Self {
            netns: packet.netns,
            direction: packet.direction as u8,
            src: packet.src_addr,
            dst: packet.dst_addr,
            protocol: packet.protocol,
            id: packet.ip_id?,
        })
    }
}
