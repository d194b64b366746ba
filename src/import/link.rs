//! From a frame to a packet digest: link header, IP with its extension headers, transport header.
//!
//! IP is taken apart by etherparse, whose lax slices accept packets that a capture has cut. The
//! link headers are a few fixed bytes, and one of them (cooked v2) etherparse does not know.

use etherparse::{Ipv6ExtensionSlice, LaxIpSlice};

use super::container::Frame;
use crate::schema::Hook;
use crate::wire::{Direction, Packet, known_header};

// LINKTYPE_ numbers, https://www.tcpdump.org/linktypes.html; 12 and 14 are DLT_RAW of some systems.
const NULL: i32 = 0;
const ETHERNET: i32 = 1;
const RAW: [i32; 5] = [101, 12, 14, 228, 229];
const LOOP: i32 = 108;
const LINUX_SLL: i32 = 113;
const LINUX_SLL2: i32 = 276;

// EtherTypes.
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// 802.1Q, 802.1ad, and what QinQ was before it had a number.
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

const TCP: u8 = 6;

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
    let (ip, _cut) = LaxIpSlice::from_slice(link.bytes).map_err(|e| {
        use etherparse::err::ip::LaxHeaderSliceError as E;
        match e {
            E::Len(_) => "IP header cut short",
            E::Content(_) => "IP header damaged",
        }
    })?;
    let mut packet = Packet {
        ts_ns,
        seq: 0,
        cpu: 0,
        hook: Hook::Capture,
        direction: match frame.direction {
            Direction::Unknown => link.direction,
            Direction::In | Direction::Out => frame.direction,
        },
        interface: Some(link.interface.unwrap_or(frame.interface)),
        netns: None,
        cookie: None,
        src_mac: link.src_mac,
        dst_mac: link.dst_mac,
        vlan: link.vlan,
        wire_len: frame.wire_len,
        captured_len: frame.data.len() as u32,
        src_addr: ip.source_addr(),
        dst_addr: ip.destination_addr(),
        ttl: 0,
        tos: 0,
        ip_id: None,
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len: 0,
        protocol: ip.payload_ip_number().0,
        src_port: None,
        dst_port: None,
        payload_len: 0,
        segments: 1,
        header: Vec::new(),
        payload: Vec::new(),
    };
    // The length field is 0 where the host leaves cutting to the interface and the packet is
    // longer than the field can say.
    let on_wire = frame.wire_len.saturating_sub(link.link_len as u32);
    match &ip {
        LaxIpSlice::Ipv4(v4) => {
            let h = v4.header();
            packet.ttl = h.ttl();
            packet.tos = link.bytes[1];
            packet.ip_id = Some(u32::from(h.identification()));
            packet.fragment_offset = h.fragments_offset().value();
            packet.more_fragments = h.more_fragments();
            packet.ip_len = match h.total_len() {
                0 => on_wire,
                n => u32::from(n),
            };
        }
        LaxIpSlice::Ipv6(v6) => {
            let h = v6.header();
            packet.ttl = h.hop_limit();
            packet.tos = h.traffic_class();
            packet.flow_label = Some(h.flow_label().value());
            packet.ip_len = match h.payload_length() {
                0 => on_wire,
                n => u32::from(n) + 40,
            };
            for extension in v6.extensions().clone() {
                if let Ipv6ExtensionSlice::Fragment(f) = extension {
                    packet.ip_id = Some(f.identification());
                    packet.fragment_offset = f.fragment_offset().value();
                    packet.more_fragments = f.more_fragments();
                }
            }
        }
    }
    let rest = ip.payload().payload;
    let before = (rest.as_ptr() as usize - link.bytes.as_ptr() as usize) as u32;
    transport(&mut packet, rest, before, payload);
    Ok(packet)
}

/// Fills in what the transport header says; `before` bytes of IP stand before it.
fn transport(packet: &mut Packet, rest: &[u8], before: u32, payload: usize) {
    let after_ip = packet.ip_len.saturating_sub(before);
    packet.payload_len = after_ip;
    if packet.fragment_offset > 0 {
        return;
    }
    let header = match packet.protocol {
        TCP => rest.get(12).map_or(20, |b| usize::from(b >> 4) * 4).max(20),
        // UDP, UDP-Lite, ICMP and ICMPv6 have eight bytes, SCTP and DCCP at least twelve.
        17 | 136 | 1 | 58 => 8,
        132 | 33 => 12,
        _ => 0,
    };
    if matches!(packet.protocol, TCP | 17 | 33 | 132 | 136)
        && let [a, b, c, d, ..] = *rest
    {
        packet.src_port = Some(u16::from_be_bytes([a, b]));
        packet.dst_port = Some(u16::from_be_bytes([c, d]));
    }
    packet.payload_len = after_ip.saturating_sub(header as u32);
    // What pads a short frame is not the packet's.
    let rest = &rest[..rest.len().min(after_ip as usize)];
    let (head, body) = rest.split_at(rest.len().min(header));
    head.clone_into(&mut packet.header);
    let ports = packet.src_port.zip(packet.dst_port);
    let kept = known_header(packet.protocol, ports, body.first().copied()).max(payload);
    body[..body.len().min(kept)].clone_into(&mut packet.payload);
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
    let tagged = |tags: Tags| Ok::<_, String>(Ip { vlan: tags.vlan, ..plain(tags.end)? });
    let mac = |at: usize| frame.get(at..at + 6).and_then(|b| b.try_into().ok());
    match link_type {
        ETHERNET => Ok(Ip { dst_mac: mac(0), src_mac: mac(6), ..tagged(after_tags(frame, 12)?)? }),
        LINUX_SLL => {
            let kind = u16_at(frame, 0).ok_or_else(cut)?;
            // The sender's address and its length are all that is left of the link header.
            let src_mac = if u16_at(frame, 4) == Some(6) { mac(6) } else { None };
            let tags = after_tags(frame, 14)?;
            Ok(Ip { direction: cooked(kind), src_mac, ..tagged(tags)? })
        }
        LINUX_SLL2 => {
            let kind = frame.get(10).ok_or_else(cut)?;
            let index = frame.get(4..8).ok_or_else(cut)?.try_into().expect("four bytes");
            let protocol = u16_at(frame, 0).ok_or_else(cut)?;
            // The type stands at the front here; tags follow the header all the same.
            let tags = match protocol {
                IPV4 | IPV6 => Tags { end: 20, vlan: None },
                tag if VLAN.contains(&tag) => after_tags(frame, 22)?,
                _ => return Err("not IP".to_owned()),
            };
            Ok(Ip {
                direction: cooked(u16::from(*kind)),
                interface: Some(u32::from_be_bytes(index)),
                src_mac: if frame.get(11) == Some(&6) { mac(12) } else { None },
                ..tagged(tags)?
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

/// What stands between the addresses of a link header and IP.
#[derive(Clone, Copy)]
struct Tags {
    /// Where IP begins.
    end: usize,
    /// Id in the first of them.
    vlan: Option<u16>,
}

/// From the place of an EtherType that may be a tag's.
fn after_tags(frame: &[u8], mut at: usize) -> Result<Tags, String> {
    let mut vlan = None;
    loop {
        match u16_at(frame, at).ok_or("link header cut short")? {
            IPV4 | IPV6 => return Ok(Tags { end: at + 2, vlan }),
            tag if VLAN.contains(&tag) => {
                vlan = vlan.or(u16_at(frame, at + 2).map(|tci| tci & 0xfff));
                at += 4;
            }
            _ => return Err("not IP".to_owned()),
        }
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

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
