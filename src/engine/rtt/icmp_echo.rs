// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! ICMP and ICMPv6 echo: a request and the reply of the same identifier and sequence number.
//!
//! A request seen twice before its reply (a duplicate, or 65536 later) is ambiguous and gives nothing.

use std::net::IpAddr;

use super::open::Open;
use super::{Match, Matcher, Method, ObservedPacket, RttOptions};
use crate::wire::Packet;
use crate::wire::protocol::{ICMP, ICMPV6};

// Types of RFC 792 and RFC 4443; the code of both is 0.
const V4: (u8, u8) = (8, 0);
const V6: (u8, u8) = (128, 129);

#[derive(Debug)]
struct IcmpEcho {
    horizon_ns: u64,
    request: u8,
    reply: u8,
    asked: [Open; 2],
}

pub fn start(packet: &Packet, options: RttOptions) -> Option<Box<dyn Matcher>> {
    let (request, reply) = match (packet.protocol, packet.src_addr) {
        (ICMP, IpAddr::V4(_)) => V4,
        (ICMPV6, IpAddr::V6(_)) => V6,
        _ => return None,
    };
    let horizon_ns = options.horizon_ns;
    Some(Box::new(IcmpEcho { horizon_ns, request, reply, asked: Default::default() }))
}

/// Identifier and sequence number, of an echo request (true) or reply.
fn echo(header: &[u8], request: u8, reply: u8) -> Option<(bool, u64)> {
    let h: &[u8; 8] = header.first_chunk()?;
    let key = u64::from(u32::from_be_bytes([h[4], h[5], h[6], h[7]]));
    match (h[0], h[1]) {
        (kind, 0) if kind == request => Some((true, key)),
        (kind, 0) if kind == reply => Some((false, key)),
        _ => None,
    }
}

impl Matcher for IcmpEcho {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let Some((request, key)) = echo(&seen.packet.header, self.request, self.reply) else {
            return;
        };
        let ts_ns = seen.packet.ts_ns;
        if request {
            self.asked[seen.way.index()].ask(key, ts_ns, self.horizon_ns);
        } else {
            let asked = &mut self.asked[seen.way.other().index()];
            if let Some(rtt_ns) = asked.answer(key, ts_ns, self.horizon_ns) {
                found.push(Match::new(Method::IcmpEcho, rtt_ns));
            }
        }
    }
}
