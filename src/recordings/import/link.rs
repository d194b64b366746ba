// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From a frame to a packet digest: the link header here, what stands between it and IP in
//! [`layers`], IP in [`Packet::read_ip`], and packets that carry others in [`tunnel`].

mod layers;
pub mod names;
mod tunnel;

use super::checksum::Fits;
use super::container::Frame;
use crate::schema::Hook;
use crate::wire::{Direction, HeaderError, Packet};
use layers::{Rest, Way};

// LINKTYPE_ numbers, https://www.tcpdump.org/linktypes.html; 12 and 14 are DLT_RAW of some systems.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const PPP: i32 = 9;
const RAW: [i32; 5] = [101, 12, 14, 228, 229];
const PPP_HDLC: i32 = 50;
const PPP_ETHER: i32 = 51;
const CISCO_HDLC: i32 = 104;
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const LINUX_SLL2: i32 = 276;

/// How frames are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// Bytes of payload to keep.
    pub payload: usize,
    /// The packets inside of tunnels are taken, where they can be read.
    pub inner: bool,
}

/// A digest, and what the packet was in.
#[derive(Debug)]
pub struct Digest {
    pub packet: Packet,
    /// The layers that were removed, outermost first.
    pub within: Vec<&'static str>,
    /// It is a tunnel's, and what that carries was not looked into, or could not be: why.
    pub tunnel: Option<String>,
    /// Whether its checksums are right.
    pub fits: Fits,
}

/// Packets in packets, at most.
const DEEPEST: usize = 4;

/// No datagram in fragments is longer (RFC 791, 3.1).
const LONGEST: usize = 0xffff;

/// The part of a frame that is IP, and the facts of the link header.
struct Ip<'a> {
    rest: Rest<'a>,
    way: Way,
    direction: Direction,
    interface: Option<u32>,
    src_mac: Option<[u8; 6]>,
    dst_mac: Option<[u8; 6]>,
}

/// The digest of a frame, or why there is none.
pub fn digest(frame: &Frame<'_>, look: Look) -> Result<Digest, String> {
    let link = link(frame)?;
    let ts_ns = frame.ts_ns.ok_or("without a time")?;
    let unread = Packet {
        interface: Some(link.interface.unwrap_or(frame.interface)),
        src_mac: link.src_mac,
        dst_mac: link.dst_mac,
        vlan: link.way.vlan,
        wire_len: frame.wire_len,
        captured_len: frame.data.len() as u32,
        ..Packet::unread(
            ts_ns,
            Hook::Capture,
            match frame.direction {
                Direction::Unknown => link.direction,
                Direction::In | Direction::Out => frame.direction,
            },
        )
    };
    let mut way = link.way;
    let (mut packet, mut rest, mut fits) =
        read(&unread, link.rest, look.payload).map_err(|e| e.to_string())?;
    let mut tunnel = None;
    for _ in 0..DEEPEST {
        let Some(name) = tunnel::name(&packet) else { break };
        if !look.inner {
            tunnel = Some(name.to_owned());
            break;
        }
        let mut inner_way = Way::default();
        if packet.more_fragments {
            // Its payload continues in later fragments, so it is not cut.
            rest.on_wire = rest.on_wire.max(LONGEST);
        }
        let inner = tunnel::inside(&packet, rest, &mut inner_way)
            .and_then(|inner| read(&unread, inner, look.payload).map_err(|e| e.to_string()));
        match inner {
            Ok(inner) => (packet, rest, fits) = inner,
            Err(why) => {
                tunnel = Some(format!("{name} ({why})"));
                break;
            }
        }
        way.within.push(name);
        way.within.extend(inner_way.within);
    }
    Ok(Digest { packet, within: way.within, tunnel, fits })
}

/// The digest of an IP packet, what follows its headers, and whether its checksums are right.
fn read<'a>(
    unread: &Packet,
    ip: Rest<'a>,
    payload: usize,
) -> Result<(Packet, Rest<'a>, Fits), HeaderError> {
    let mut packet = unread.clone();
    let end = packet.read_ip_to_end(ip.bytes, ip.on_wire as u32, payload)?;
    // The padding of a short frame is not part of the packet.
    let length = ip.on_wire.min(packet.ip_len as usize);
    let bytes = ip.bytes.get(end..ip.bytes.len().min(length)).unwrap_or_default();
    let fits = Fits::of(ip.bytes, &packet, end);
    Ok((packet, Rest { bytes, on_wire: length.saturating_sub(end) }, fits))
}

fn link<'a>(frame: &Frame<'a>) -> Result<Ip<'a>, String> {
    let whole = Rest { bytes: frame.data, on_wire: frame.wire_len as usize };
    let mut way = Way::default();
    let plain = |rest| Ip {
        rest,
        way: Way::default(),
        direction: Direction::Unknown,
        interface: None,
        src_mac: None,
        dst_mac: None,
    };
    let ip = match frame.link_type {
        ETHERNET => {
            Ip { dst_mac: whole.mac(0), src_mac: whole.mac(6), ..plain(way.ethernet(whole)?) }
        }
        LINUX_SLL => {
            let (kind, hardware) = (whole.u16(0)?, whole.u16(2)?);
            // The sender's address and its length are all that is left of the link header.
            let src_mac = if whole.u16(4)? == 6 { whole.mac(6) } else { None };
            let rest = way.by_cooked_type(whole.u16(14)?, whole.skip(16)?)?;
            Ip { direction: cooked(kind, hardware), src_mac, ..plain(rest) }
        }
        LINUX_SLL2 => {
            // Here the type comes first, but tags still follow the header.
            let (kind, hardware) = (u16::from(whole.u8(10)?), whole.u16(8)?);
            let index = u32::from(whole.u16(4)?) << 16 | u32::from(whole.u16(6)?);
            let src_mac = if whole.u8(11)? == 6 { whole.mac(12) } else { None };
            let rest = way.by_cooked_type(whole.u16(0)?, whole.skip(20)?)?;
            Ip { direction: cooked(kind, hardware), interface: Some(index), src_mac, ..plain(rest) }
        }
        NULL | LOOP => {
            let rest = whole.skip(4)?;
            rest.u8(0)?;
            rest.version().ok_or("not IP (BSD loopback)")?;
            plain(rest)
        }
        PPP | PPP_HDLC => {
            let framed = whole.bytes.starts_with(&[0xff, 3]);
            // Cisco's framing (RFC 1547, appendix) in place of RFC 1662's: unicast, broadcast.
            if frame.link_type == PPP_HDLC && [0x0f, 0x8f].contains(&whole.u8(0)?) {
                plain(way.by_ether_type(whole.u16(2)?, whole.skip(4)?)?)
            } else {
                plain(way.ppp(whole.skip(if framed { 2 } else { 0 })?)?)
            }
        }
        PPP_ETHER => plain(way.pppoe(whole)?),
        CISCO_HDLC => plain(way.by_ether_type(whole.u16(2)?, whole.skip(4)?)?),
        raw if RAW.contains(&raw) => plain(whole),
        other => return Err(names::link_type(other)),
    };
    Ok(Ip { way, ..ip })
}

/// ARPHRD_LOOPBACK of Linux.
const LOOPBACK: u16 = 772;

/// Packet types of Linux' cooked captures: to us, broadcast, multicast, to another host, by us. On
/// loopback, libpcap leaves out sent packets and keeps received ones, so that the packets of both ends
/// look alike.
const fn cooked(kind: u16, hardware: u16) -> Direction {
    match kind {
        _ if hardware == LOOPBACK => Direction::Unknown,
        0..=2 => Direction::In,
        4 => Direction::Out,
        _ => Direction::Unknown,
    }
}
