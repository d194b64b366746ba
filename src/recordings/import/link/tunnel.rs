// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! IP packets that carry other packets, without encrypting them.

use super::layers::{Rest, Way};
use crate::wire::protocol::{GRE, IPV4, IPV6, UDP};
use crate::wire::{Packet, ether_type};

// Ports of UDP: RFC 7348, and what Linux had before; RFC 8926.
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;

// EtherTypes of GRE.
const ETHERNET: u16 = 0x6558;
const ERSPAN_2: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;
const PPTP: u16 = 0x880b;

/// The name of the tunnel in the packet, if it is one that can be decapsulated.
pub fn name(packet: &Packet) -> Option<&'static str> {
    if packet.fragment_offset > 0 {
        return None;
    }
    match packet.protocol {
        IPV4 if packet.src_addr.is_ipv4() => Some("IPIP"),
        IPV4 => Some("4in6"),
        IPV6 if packet.src_addr.is_ipv4() => Some("6in4"),
        IPV6 => Some("6in6"),
        GRE => Some("GRE"),
        UDP if packet.dst_port.is_some_and(|port| VXLAN.contains(&port)) => Some("VXLAN"),
        UDP if packet.dst_port == Some(GENEVE) => Some("Geneve"),
        _ => None,
    }
}

/// The packet inside of one that [`name`] has a name for. `rest` is what follows IP and its extension
/// headers.
pub fn inside<'a>(packet: &Packet, rest: Rest<'a>, way: &mut Way) -> Result<Rest<'a>, String> {
    match packet.protocol {
        GRE => gre(rest, way),
        UDP if packet.dst_port == Some(GENEVE) => {
            let options = usize::from(rest.u8(8)? & 0x3f) * 4;
            by_protocol(rest.u16(10)?, rest.skip(8 + 8 + options)?, way)
        }
        UDP => way.ethernet(rest.skip(8 + 8)?),
        _ => Ok(rest),
    }
}

/// The frame behind a header of ERSPAN (draft-foschiano-erspan-03, 4.2 and 4.3). With the bit T in that
/// header the mirror has cut the frame, which was longer than what is there.
fn whole_frame(erspan: Rest<'_>, header: usize) -> Result<Rest<'_>, String> {
    const CUT: u8 = 0x04;
    let is_cut = erspan.u8(2)? & CUT != 0;
    let frame = erspan.skip(header)?;
    Ok(if is_cut { Rest { on_wire: frame.on_wire.max(super::LONGEST), ..frame } } else { frame })
}

/// RFC 2784, RFC 2890, RFC 2637.
fn gre<'a>(rest: Rest<'a>, way: &mut Way) -> Result<Rest<'a>, String> {
    let (flags, kind) = (rest.u16(0)?, rest.u16(2)?);
    let has = |bit: u16| usize::from(flags & bit != 0) * 4;
    let (checksum, key, sequence, acknowledgment) =
        (has(0x8000), has(0x2000), has(0x1000), has(0x0080));
    match flags & 7 {
        0 if flags & 0x4000 != 0 => Err("with routing".to_owned()),
        0 => {
            let inner = rest.skip(4 + checksum + key + sequence)?;
            match kind {
                // The older kind has no header of its own, and no sequence number.
                ERSPAN_2 if sequence == 0 => way.ethernet(inner),
                ERSPAN_2 => way.ethernet(whole_frame(inner, 8)?),
                ERSPAN_3 => {
                    let more = if inner.u8(11)? & 1 == 1 { 8 } else { 0 };
                    way.ethernet(whole_frame(inner, 12 + more)?)
                }
                other => by_protocol(other, inner, way),
            }
        }
        1 if kind == PPTP => {
            let inner = rest.skip(8 + sequence + acknowledgment)?;
            // Address and control of HDLC may have been left.
            let framed = inner.bytes.starts_with(&[0xff, 3]);
            way.ppp(inner.skip(if framed { 2 } else { 0 })?)
        }
        version => Err(format!("of version {version}")),
    }
}

fn by_protocol<'a>(kind: u16, rest: Rest<'a>, way: &mut Way) -> Result<Rest<'a>, String> {
    match kind {
        ETHERNET => way.ethernet(rest),
        ether_type::IPV4 | ether_type::IPV6 => Ok(rest),
        other => way.by_ether_type(other, rest),
    }
}
