// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! TCP timestamps (RFC 7323), by ePPing's rules: the first packet of each TSval and the first packet
//! that echoes it.
//!
//! * A pure ACK is not stamped: nothing need answer it. A SYN is only with [`RttOptions::include_syn`].
//! * Only what is newer than the last TSval in RFC 7323's order is stamped, so a retransmission with
//!   its own TSval is a packet of its own, and one with an old TSval is none.
//! * Of a flow that is met in the middle the first TSval may have been there before: the next one is
//!   the first to be stamped.
//! * TSecr means something with ACK only. A match deletes the stamp.
//!
//! Differences from ePPing: an end that has sent its FIN still gives samples. No stamp is refused
//! because a table that flows share is full. A TSval is compared with 64 bits, so that a value after a
//! wrap is not taken for an old equal one.

use std::collections::VecDeque;

use super::{Match, Matcher, Method, ObservedPacket, Pipe, RttOptions};
use crate::engine::packets::segment::Segment;
use crate::wire::Packet;
use crate::wire::protocol::TCP;

/// Stamps of one end that wait, at most; the oldest are given up. With a clock of a millisecond, as
/// Linux has it, that is eight seconds of unanswered packets.
pub const MOST: usize = 8192;

/// In the middle, so that there is room below the first.
const BASE: u64 = 1 << 32;

#[derive(Clone, Copy, Debug)]
struct Stamp {
    value: u64,
    /// None once it was matched.
    ts_ns: Option<u64>,
    /// Bytes that the end had sent by then, and the part of them that had been matched.
    sent: u64,
    departed: u64,
}

/// One end's TSvals, unwrapped, and the packets that brought them.
#[derive(Debug, Default)]
struct Sender {
    last: Option<u64>,
    /// In their order, which is that of time.
    stamps: VecDeque<Stamp>,
    departed: u64,
    /// A TSval may have come that was cut: the next is not surely the first of its kind.
    unread: bool,
    /// Bytes that it had sent when it last replied.
    replied: u64,
}

impl Sender {
    fn sent(&mut self, tsval: u32, syn: bool, ts_ns: u64, horizon_ns: u64, frames: u64) {
        let value = match self.last {
            None if !syn => {
                self.last = Some(BASE + u64::from(tsval));
                return;
            }
            None => BASE + u64::from(tsval),
            Some(last) => {
                let step = tsval.wrapping_sub(last as u32);
                if (1..1 << 31).contains(&step) {
                    last + u64::from(step)
                } else if syn && step != 0 {
                    // Another connection, with another clock.
                    self.stamps.clear();
                    BASE + u64::from(tsval)
                } else {
                    return;
                }
            }
        };
        self.last = Some(value);
        if std::mem::take(&mut self.unread) {
            return;
        }
        while self.stamps.front().is_some_and(|s| {
            s.ts_ns.is_none_or(|sent_ns| ts_ns.saturating_sub(sent_ns) > horizon_ns)
        }) {
            self.stamps.pop_front();
        }
        if self.stamps.len() == MOST {
            self.stamps.pop_front();
        }
        self.stamps.push_back(Stamp {
            value,
            ts_ns: Some(ts_ns),
            sent: frames,
            departed: self.departed,
        });
    }

    /// How long ago the packet was sent that had this TSval first, and that packet.
    fn echoed(&mut self, tsecr: u32, ts_ns: u64, horizon_ns: u64) -> Option<(u64, Stamp)> {
        let last = self.last?;
        let value = last.checked_sub(u64::from((last as u32).wrapping_sub(tsecr)))?;
        let index = self.stamps.binary_search_by_key(&value, |s| s.value).ok()?;
        let stamp = &mut self.stamps[index];
        let rtt_ns = ts_ns.checked_sub(stamp.ts_ns.take()?)?;
        (rtt_ns <= horizon_ns).then_some((rtt_ns, *stamp))
    }
}

#[derive(Debug)]
struct TcpTimestamps {
    options: RttOptions,
    senders: [Sender; 2],
}

pub fn start(packet: &Packet, options: RttOptions) -> Option<Box<dyn Matcher>> {
    (packet.protocol == TCP)
        .then(|| Box::new(TcpTimestamps { options, senders: Default::default() }) as _)
}

impl Matcher for TcpTimestamps {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let Some(s @ &Segment { ts_ns, syn, payload, ack, .. }) = seen.segment else { return };
        let Some((tsval, tsecr)) = s.options.timestamps else {
            if s.options.cut {
                self.senders[seen.way.index()].unread = true;
                // Any of them may have been echoed, for the first time.
                self.senders[seen.way.other().index()].stamps.clear();
            }
            return;
        };
        let RttOptions { include_syn, horizon_ns } = self.options;
        if syn && !include_syn {
            return;
        }
        let (way, other) = (seen.way.index(), seen.way.other().index());
        let frames = seen.frames[way];
        if payload > 0 || syn {
            self.senders[way].sent(tsval, syn, ts_ns, horizon_ns, frames);
        }
        if ack && let Some((rtt_ns, stamp)) = self.senders[other].echoed(tsecr, ts_ns, horizon_ns) {
            let replied = frames - std::mem::replace(&mut self.senders[way].replied, frames);
            let pipe = Pipe { sent: stamp.sent, departed: stamp.departed, replied };
            self.senders[other].departed = stamp.sent;
            found.push(Match { pipe: Some(pipe), ..Match::new(Method::TcpTimestamps, rtt_ns) });
        }
    }
}
