// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Headers as they cross the wire -> the fields of a [`Packet`].
//!
//! The bytes are the network's, and the recorder reads them as root: every look is a checked one,
//! and a header that runs past its packet is an error, never a longer read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::packet::{Packet, known_header};
use super::protocol::{DCCP, FRAGMENT, ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use super::u16_be;

// Extension headers: RFC 8200, section 4; RFC 4302; RFC 6275, section 6.1.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;

const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// Why a packet has no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It ends before its link header does.
    #[error("link header cut short")]
    LinkCut,
    /// It ends before its IP header does.
    #[error("IP header cut short")]
    IpCut,
    /// Its IP header, or one of its extension headers, cannot be one: it is longer than the packet
    /// is, or stands where none may; or the packet is longer than its frame. The kernel drops such a
    /// packet (ip_rcv_core(), ip6_rcv_core() of Linux 6.18).
    #[error("malformed IP header")]
    Malformed,
    /// It is of another protocol.
    #[error("not IP")]
    NotIp,
}

/// Whether this is an extension header's number and no protocol's: of a packet whose protocol it is,
/// the headers were cut before the one that names the protocol.
pub const fn is_extension(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY)
}

/// A packet's bytes, and where it ends.
#[derive(Clone, Copy)]
struct Extent<'a> {
    /// From the IP header on, as far as they were captured.
    bytes: &'a [u8],
    /// How many were there.
    on_wire: usize,
    /// The end by the IP header; at most `on_wire`.
    end: usize,
}

impl Extent<'_> {
    /// The error if `end` is beyond the bytes: they were not captured, or never there.
    const fn short(&self, end: usize) -> HeaderError {
        if end > self.on_wire { HeaderError::Malformed } else { HeaderError::IpCut }
    }
}

impl Packet {
    /// Fills in the fields of the headers. `bytes` begin with IP, and had `on_wire` bytes. `payload`
    /// bytes of the payload are kept, and a known header always.
    ///
    /// # Errors
    /// [`HeaderError`] if there is no whole IP header, or it is malformed.
    pub fn read_ip(
        &mut self,
        bytes: &[u8],
        on_wire: u32,
        payload: usize,
    ) -> Result<(), HeaderError> {
        self.read_ip_to_end(bytes, on_wire, payload).map(|_| ())
    }

    /// The same; gives the place of what follows IP and its extension headers, which may be beyond
    /// the bytes.
    ///
    /// # Errors
    /// As [`Self::read_ip`].
    pub(crate) fn read_ip_to_end(
        &mut self,
        bytes: &[u8],
        on_wire: u32,
        payload: usize,
    ) -> Result<usize, HeaderError> {
        // Some programs write a length on the wire below that of what they captured.
        let on_wire = on_wire.max(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let extent = Extent { bytes, on_wire: on_wire as usize, end: on_wire as usize };
        let first = bytes.first().ok_or_else(|| extent.short(1))?;
        let transport = match first >> 4 {
            4 => self.read_v4(extent)?,
            6 => self.read_v6(extent)?,
            _ => return Err(HeaderError::Malformed),
        };
        // The end of a cut chain of headers may be known but not captured.
        let rest = bytes.get(transport..).unwrap_or_default();
        self.read_transport(rest, transport as u32, payload);
        Ok(transport)
    }

    /// Keeps `octets` bytes of the payload, and a known header always.
    pub fn keep_payload(&mut self, octets: usize) {
        let ports = self.src_port.zip(self.dst_port);
        let known = known_header(self.protocol, ports, self.payload.first().copied());
        self.payload.truncate(known.max(octets));
    }

    /// Reads the header of IPv4, and gives the place of what follows it.
    fn read_v4(&mut self, extent: Extent<'_>) -> Result<usize, HeaderError> {
        let h: &[u8; V4_HEADER] =
            extent.bytes.first_chunk().ok_or_else(|| extent.short(V4_HEADER))?;
        let header = usize::from(h[0] & 15) * 4;
        let total = u16::from_be_bytes([h[2], h[3]]);
        let fragment = u16::from_be_bytes([h[6], h[7]]);
        // The length field is 0 where the host leaves cutting to the interface and the packet is longer
        // than the field can hold.
        self.ip_len = if total == 0 { extent.on_wire as u32 } else { u32::from(total) };
        let end = self.ip_len as usize;
        if header < V4_HEADER || header > end || end > extent.on_wire {
            return Err(HeaderError::Malformed);
        }
        if header > extent.bytes.len() {
            return Err(HeaderError::IpCut);
        }
        self.tos = h[1];
        self.ip_id = Some(u32::from(u16::from_be_bytes([h[4], h[5]])));
        self.more_fragments = fragment & 0x2000 != 0;
        self.fragment_offset = fragment & 0x1fff;
        self.ttl = h[8];
        self.protocol = h[9];
        self.src_addr = IpAddr::V4(Ipv4Addr::new(h[12], h[13], h[14], h[15]));
        self.dst_addr = IpAddr::V4(Ipv4Addr::new(h[16], h[17], h[18], h[19]));
        if self.protocol != AUTHENTICATION || self.fragment_offset > 0 {
            return Ok(header);
        }
        self.read_extensions(Extent { end, ..extent }, header)
    }

    /// Reads the header of IPv6 and those that extend it, and gives the place of what follows.
    fn read_v6(&mut self, extent: Extent<'_>) -> Result<usize, HeaderError> {
        let h: &[u8; V6_HEADER] =
            extent.bytes.first_chunk().ok_or_else(|| extent.short(V6_HEADER))?;
        let first = u32::from_be_bytes([h[0], h[1], h[2], h[3]]);
        let length = u16::from_be_bytes([h[4], h[5]]);
        let address = |at: usize| {
            let octets: [u8; 16] = h[at..at + 16].try_into().expect("sixteen bytes");
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        // 0: as with IPv4.
        self.ip_len = match length {
            0 => extent.on_wire as u32,
            n => u32::from(n) + V6_HEADER as u32,
        };
        self.tos = (first >> 20) as u8;
        self.flow_label = Some(first & 0xf_ffff);
        self.protocol = h[6];
        self.ttl = h[7];
        self.src_addr = address(8);
        self.dst_addr = address(24);
        let end = self.ip_len as usize;
        if end > extent.on_wire {
            return Err(HeaderError::Malformed);
        }
        self.read_extensions(Extent { end, ..extent }, V6_HEADER)
    }

    /// Walks the chain of extension headers from `at` on, until a protocol comes, or what a later
    /// fragment carries, or the end of the bytes: then the protocol stays that of the extension
    /// ([`is_extension`]).
    ///
    /// `skip_extensions()` of `bpf/packet.bpf.h` has the same rules.
    fn read_extensions(&mut self, extent: Extent<'_>, mut at: usize) -> Result<usize, HeaderError> {
        let is_v6 = self.src_addr.is_ipv6();
        while is_extension(self.protocol) && (is_v6 || self.protocol == AUTHENTICATION) {
            // RFC 8200, section 4.1: nowhere else.
            if self.protocol == HOP_BY_HOP && at != V6_HEADER {
                return Err(HeaderError::Malformed);
            }
            let least = if self.protocol == AUTHENTICATION { 12 } else { 8 };
            if at + least > extent.end {
                return Err(HeaderError::Malformed);
            }
            let Some(&[next, length, c, d, e, f, g, h]) =
                extent.bytes.get(at..).and_then(<[u8]>::first_chunk)
            else {
                return Ok(at);
            };
            let size = match self.protocol {
                FRAGMENT => 8,
                AUTHENTICATION => usize::from(length) * 4 + 8,
                _ => usize::from(length) * 8 + 8,
            };
            if size < least || at + size > extent.end {
                return Err(HeaderError::Malformed);
            }
            at += size;
            if self.protocol == FRAGMENT {
                let fragment = u16::from_be_bytes([c, d]);
                self.fragment_offset = fragment >> 3;
                self.more_fragments = fragment & 1 != 0;
                self.ip_id = Some(u32::from_be_bytes([e, f, g, h]));
            }
            self.protocol = next;
            if self.fragment_offset > 0 {
                break;
            }
        }
        Ok(at)
    }

    /// Fills in the fields of the transport header; `before` bytes of IP precede it.
    fn read_transport(&mut self, rest: &[u8], before: u32, payload: usize) {
        let after_ip = self.ip_len.saturating_sub(before);
        self.payload_len = after_ip;
        if self.fragment_offset > 0 {
            return;
        }
        // The padding of a short frame is not part of the packet or its header.
        let rest = &rest[..rest.len().min(after_ip as usize)];
        let header = match self.protocol {
            TCP => rest.get(12).map_or(20, |b| usize::from(b >> 4) * 4).max(20),
            UDP | UDP_LITE | ICMP | ICMPV6 => 8,
            // At least.
            SCTP | DCCP => 12,
            _ => 0,
        };
        if matches!(self.protocol, TCP | UDP | DCCP | SCTP | UDP_LITE)
            && let (Some(src), Some(dst)) = (u16_be(rest, 0), u16_be(rest, 2))
        {
            self.src_port = Some(src);
            self.dst_port = Some(dst);
        }
        self.payload_len = after_ip.saturating_sub(header as u32);
        let (head, body) = rest.split_at(rest.len().min(header));
        head.clone_into(&mut self.header);
        let ports = self.src_port.zip(self.dst_port);
        let kept = known_header(self.protocol, ports, body.first().copied()).max(payload);
        body[..body.len().min(kept)].clone_into(&mut self.payload);
    }
}
