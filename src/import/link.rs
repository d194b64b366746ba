//! From a frame to a packet digest: the link header here, IP in [`Packet::read_ip`].
//!
//! The link headers are a few fixed bytes, and one of them (cooked v2) etherparse does not know.

use super::container::Frame;
use crate::schema::Hook;
use crate::wire::{Direction, Packet, ether_type, u16_be};

// LINKTYPE_ numbers, https://www.tcpdump.org/linktypes.html; 12 and 14 are DLT_RAW of some systems.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const RAW: [i32; 5] = [101, 12, 14, 228, 229];
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const LINUX_SLL2: i32 = 276;

/// The part of a frame that is IP.
struct Ip<'a> {
    bytes: &'a [u8],
    /// Bytes before it.
    link_len: usize,
    direction: Direction,
    interface: Option<u32>,
    src_mac: Option<[u8; 6]>,
    dst_mac: Option<[u8; 6]>,
    vlan: Option<u16>,
}

/// The digest of a frame, with so many bytes of payload, or why there is none.
pub fn digest(frame: &Frame<'_>, payload: usize) -> Result<Packet, String> {
    let ts_ns = frame.ts_ns.ok_or("without a time")?;
    let link = link(frame.link_type, frame.data)?;
    let mut packet = Packet {
        interface: Some(link.interface.unwrap_or(frame.interface)),
        src_mac: link.src_mac,
        dst_mac: link.dst_mac,
        vlan: link.vlan,
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
    let on_wire = frame.wire_len.saturating_sub(link.link_len as u32);
    packet.read_ip(link.bytes, on_wire, payload).map_err(|e| e.to_string())?;
    Ok(packet)
}

fn link(link_type: i32, frame: &[u8]) -> Result<Ip<'_>, String> {
    let cut = || "link header cut short".to_owned();
    let plain = |link_len: usize| {
        let bytes = frame.get(link_len..).ok_or_else(cut)?;
        Ok(Ip {
            bytes,
            link_len,
            direction: Direction::Unknown,
            interface: None,
            src_mac: None,
            dst_mac: None,
            vlan: None,
        })
    };
    let tagged = |at: usize| {
        let tags = ether_type::after_tags(frame, at).map_err(|e| e.to_string())?;
        Ok::<_, String>(Ip { vlan: tags.vlan, ..plain(tags.end)? })
    };
    let mac = |at: usize| frame.get(at..at + 6).and_then(|b| b.try_into().ok());
    match link_type {
        ETHERNET => Ok(Ip { dst_mac: mac(0), src_mac: mac(6), ..tagged(12)? }),
        LINUX_SLL => {
            let kind = u16_be(frame, 0).ok_or_else(cut)?;
            // The sender's address and its length are all that is left of the link header.
            let src_mac = if u16_be(frame, 4) == Some(6) { mac(6) } else { None };
            Ok(Ip { direction: cooked(kind), src_mac, ..tagged(14)? })
        }
        LINUX_SLL2 => {
            let kind = frame.get(10).ok_or_else(cut)?;
            let index = frame.get(4..8).ok_or_else(cut)?.try_into().expect("four bytes");
            let protocol = u16_be(frame, 0).ok_or_else(cut)?;
            // The type stands at the front here; tags follow the header all the same.
            let ip = match protocol {
                ether_type::IPV4 | ether_type::IPV6 => plain(20)?,
                tag if ether_type::VLAN.contains(&tag) => tagged(22)?,
                _ => return Err("not IP".to_owned()),
            };
            Ok(Ip {
                direction: cooked(u16::from(*kind)),
                interface: Some(u32::from_be_bytes(index)),
                src_mac: if frame.get(11) == Some(&6) { mac(12) } else { None },
                ..ip
            })
        }
        NULL | LOOP => match frame.get(4).map(|b| b >> 4) {
            Some(4 | 6) => plain(4),
            Some(_) => Err("not IP".to_owned()),
            None => Err(cut()),
        },
        raw if RAW.contains(&raw) => plain(0),
        -1 => Err("of an interface that the file does not describe".to_owned()),
        other => Err(format!("link type {other}")),
    }
}

/// Packet types of Linux' cooked captures: to us, broadcast, multicast, to another host, by us.
const fn cooked(kind: u16) -> Direction {
    match kind {
        0..=2 => Direction::In,
        4 => Direction::Out,
        _ => Direction::Unknown,
    }
}
