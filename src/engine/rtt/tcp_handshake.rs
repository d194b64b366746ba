// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The handshake: SYN and SYN-ACK, SYN-ACK and the first segment that acknowledges it.
//!
//! A SYN or SYN-ACK that was seen twice gives no sample (Karn). The answers are immediate, except from
//! an opener whose ACK waits for data (Linux: TCP_DEFER_ACCEPT at the client, or quick ACKs off): this
//! wait is then in the second sample. An end that sends a reset instead of its answer gives no sample:
//! its later packets answer something else.

use super::{Match, Matcher, Method, ObservedPacket, RttOptions};
use crate::engine::packets::segment::{Segment, after};
use crate::wire::Packet;
use crate::wire::protocol::TCP;

/// The SYN or SYN-ACK of an end.
#[derive(Clone, Copy, Debug)]
struct Syn {
    seq: u32,
    /// Behind it, and the data of fast open.
    end: u32,
    ts_ns: u64,
    repeated: bool,
    answered: bool,
}

#[derive(Debug, Default)]
struct TcpHandshake([Option<Syn>; 2]);

pub fn start(packet: &Packet, _: RttOptions) -> Option<Box<dyn Matcher>> {
    (packet.protocol == TCP).then(|| Box::new(TcpHandshake::default()) as _)
}

impl Matcher for TcpHandshake {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let Some(segment) = seen.segment else { return };
        let &Segment { seq, ack_seq, syn, ack, rst, ts_ns, .. } = segment;
        if syn {
            let sent = &mut self.0[seen.way.index()];
            match sent {
                Some(sent) if sent.seq == seq => sent.repeated = true,
                Some(_) | None => {
                    *sent = Some(Syn {
                        seq,
                        end: segment.end(),
                        ts_ns,
                        repeated: false,
                        answered: false,
                    });
                }
            }
        }
        let Some(other) = &mut self.0[seen.way.other().index()] else { return };
        let acknowledges = after(ack_seq, other.seq) && !after(ack_seq, other.end);
        if rst {
            other.answered = true;
        }
        if !ack || other.answered || !acknowledges {
            return;
        }
        other.answered = true;
        if let Some(rtt_ns) = ts_ns.checked_sub(other.ts_ns)
            && !other.repeated
        {
            found.push(Match::new(Method::TcpHandshake, rtt_ns));
        }
    }
}
