// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! DNS: a query to port 53 and the response of the same id.
//!
//! The RTT is the time that the client waited: the path and the server's own time. Only the id is
//! matched. A query repeated with the same id (by a client that retries, or by TCP) is ambiguous and
//! gives no sample. Over TCP, only the beginning of a segment was kept: messages that begin within one
//! are not seen, and after such a message reading continues with the next segment that one message fills.

use super::open::Open;
use super::{Match, Matcher, Method, ObservedPacket, RttOptions, Way};
use crate::engine::packets::segment::{Segment, before};
use crate::wire::protocol::{TCP, UDP};
use crate::wire::{DNS_PORT, Packet};

/// The response bit, QR, of the third byte (RFC 1035, 4.1.1).
const RESPONSE: u8 = 0x80;

#[derive(Debug)]
struct Dns {
    horizon_ns: u64,
    asked: [Open; 2],
    /// TCP: where each end's next message begins.
    next: [Option<u32>; 2],
}

pub fn start(packet: &Packet, options: RttOptions) -> Option<Box<dyn Matcher>> {
    let port = |port| port == Some(DNS_PORT);
    let ours = matches!(packet.protocol, TCP | UDP);
    if !ours || !(port(packet.src_port) || port(packet.dst_port)) {
        return None;
    }
    let horizon_ns = options.horizon_ns;
    Some(Box::new(Dns { horizon_ns, asked: Default::default(), next: [None; 2] }))
}

/// Length of a message over TCP with the length field before it.
fn framed(payload: &[u8]) -> Option<u32> {
    let length: [u8; 2] = *payload.first_chunk()?;
    Some(u32::from(u16::from_be_bytes(length)) + 2)
}

impl Dns {
    /// The message at the beginning of a segment, if one begins there.
    fn of_segment<'a>(&mut self, s: &Segment, way: Way, payload: &'a [u8]) -> Option<&'a [u8]> {
        let next = &mut self.next[way.index()];
        if s.syn {
            *next = Some(s.seq.wrapping_add(1));
            return None;
        }
        if s.payload == 0 {
            return None;
        }
        let end = s.seq.wrapping_add(s.payload);
        match *next {
            Some(at) if before(s.seq, at) => {
                if !before(at, end) {
                    // Nothing new.
                    self.asked[way.index()].doubt();
                    return None;
                }
                *next = None;
            }
            // The rest of a long message, up to its end or over it.
            Some(_) | None => {}
        }
        let length = framed(payload)?;
        let begins = *next == Some(s.seq) || (next.is_none() && length == s.payload);
        if begins {
            let after = s.seq.wrapping_add(length);
            // A message that begins before the segment's end is not seen.
            *next = (!before(after, end)).then_some(after);
            return payload.get(2..);
        }
        if next.is_some_and(|at| before(at, end)) {
            *next = None;
        }
        None
    }
}

impl Matcher for Dns {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let packet = seen.packet;
        let message = match seen.segment {
            Some(segment) => self.of_segment(segment, seen.way, &packet.payload),
            None if packet.protocol == UDP => Some(&packet.payload[..]),
            None => None,
        };
        let Some(&[a, b, flags, ..]) = message else { return };
        let key = u64::from(u16::from_be_bytes([a, b]));
        let response = flags & RESPONSE != 0;
        if !response && packet.dst_port == Some(DNS_PORT) {
            self.asked[seen.way.index()].ask(key, packet.ts_ns, self.horizon_ns);
        } else if response && packet.src_port == Some(DNS_PORT) {
            let asked = &mut self.asked[seen.way.other().index()];
            if let Some(rtt_ns) = asked.answer(key, packet.ts_ns, self.horizon_ns) {
                found.push(Match::new(Method::Dns, rtt_ns));
            }
        }
    }
}
