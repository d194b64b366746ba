// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! TCP sequence numbers: a segment and the first acknowledgment that can only be its own.
//!
//! For connections without timestamps, and as a second opinion where there are some.
//!
//! * **Karn**: a segment of which anything was sent twice gives nothing, and neither does one that was
//!   sent before a retransmission of something below the acknowledgment: that may be what was waited
//!   for. What fills a hole in the capture counts as a retransmission.
//! * **Cumulative acknowledgment** of exactly the end of a segment. The newest acknowledged segment is
//!   taken, so the time for which a delayed ACK waits for a second segment is not in the sample. The
//!   wait for the delayed-ACK timer is in it, since packets do not show it. (TSecr is of the oldest
//!   segment: there both are in the sample.)
//! * **SACK**: the first block that has a segment is an immediate answer to the newest segment in it,
//!   and is a method of its own. The cumulative acknowledgment that covers this segment later gives no
//!   further sample.
//! * **Super-packets** that the host has not yet cut: the first acknowledgment within one.

use std::collections::VecDeque;

use super::{Match, Matcher, Method, ObservedPacket, RttOptions};
use crate::engine::packets::segment::Segment;
use crate::wire::Packet;
use crate::wire::protocol::TCP;

/// Segments of one end that wait for their acknowledgment, at most; more are not followed. That is
/// 24 MB under way in segments of 1448 bytes, and forty times that in super-packets.
pub const MOST: usize = 16_384;
/// Retransmissions that are distinguished.
const MOST_REPEATS: usize = 64;

/// In the middle, so that there is room below the first.
const BASE: u64 = 1 << 32;

/// Data under way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    start: u64,
    end: u64,
    ts_ns: u64,
    /// Any of it was sent twice.
    repeated: bool,
    /// Answered: by a SACK block, or by an acknowledgment of a part.
    answered: bool,
    /// More than a segment on the wire.
    large: bool,
}

/// A retransmission that is not acknowledged.
#[derive(Clone, Copy, Debug)]
struct Repeat {
    start: u64,
    end: u64,
    ts_ns: u64,
}

/// One end's data, by unwrapped sequence numbers.
#[derive(Debug, Default)]
struct Sender {
    /// First not acknowledged, and behind the last that was sent; none before the first segment.
    edges: Option<(u64, u64)>,
    queue: VecDeque<Sent>,
    /// Oldest first; of more than [`MOST_REPEATS`] the oldest stand together as one.
    repeats: VecDeque<Repeat>,
    /// The peer's MSS, if its SYN was seen.
    mss: Option<u16>,
}

/// The value next to `nxt` that has these low 32 bits.
fn unwrap(seq: u32, nxt: u64) -> u64 {
    nxt.wrapping_add_signed(i64::from(seq.wrapping_sub(nxt as u32) as i32))
}

impl Sender {
    fn restart(&mut self, seq: u32) {
        let nxt = BASE + u64::from(seq);
        *self = Self { edges: Some((nxt, nxt)), mss: self.mss, ..Self::default() };
    }

    fn sent(&mut self, s: &Segment) {
        if s.syn {
            let first = s.seq.wrapping_add(1);
            if self.edges.is_none_or(|(_, nxt)| nxt as u32 != first) {
                self.restart(first);
            }
            return;
        }
        let length = u64::from(s.payload) + u64::from(s.fin);
        if length == 0 || s.rst {
            return;
        }
        if self.edges.is_none() {
            self.restart(s.seq);
        }
        let Some((una, nxt)) = self.edges else { return };
        let start = unwrap(s.seq, nxt);
        let end = start + length;
        if end <= una {
            return;
        }
        let repeated = start < nxt;
        if repeated {
            for sent in &mut self.queue {
                sent.repeated |= sent.start < end && start < sent.end;
            }
            if self.repeats.len() == MOST_REPEATS
                && let Some(oldest) = self.repeats.pop_front()
                && let Some(second) = self.repeats.front_mut()
            {
                second.start = second.start.min(oldest.start);
                second.end = second.end.max(oldest.end);
            }
            self.repeats.push_back(Repeat { start, end, ts_ns: s.ts_ns });
        }
        if end > nxt {
            self.edges = Some((una, end));
            if self.queue.len() < MOST {
                let large = s.segments > 1 || self.mss.is_some_and(|m| s.payload > u32::from(m));
                let start = start.max(nxt);
                let ts_ns = s.ts_ns;
                self.queue.push_back(Sent { start, end, ts_ns, repeated, answered: false, large });
            }
        }
    }

    /// Takes an acknowledgment of the other end.
    fn acknowledged(&mut self, s: &Segment) -> Option<Match> {
        let (una, nxt) = self.edges?;
        let ack = unwrap(s.ack_seq, nxt);
        if ack > nxt {
            // It has what was not seen: nothing that waits is known to be complete.
            self.queue.clear();
            self.repeats.clear();
            self.edges = Some((ack, ack));
            return None;
        }
        let sack = self.sacked(s, ack, nxt);
        if s.options.cut && s.options.sack.is_empty() {
            // A segment that a SACK block may have answered gives no sample for a later acknowledgment.
            self.queue.iter_mut().filter(|q| q.start >= ack).for_each(|q| q.answered = true);
        }
        let cumulative = if ack > una { self.advance(ack) } else { None };
        let answered = |method, sent_ns: u64| {
            s.ts_ns.checked_sub(sent_ns).map(|rtt_ns| Match::new(method, rtt_ns))
        };
        match (cumulative, sack) {
            (Some(sent_ns), _) => answered(Method::TcpSequence, sent_ns),
            (None, Some(sent_ns)) => answered(Method::TcpSack, sent_ns),
            (None, None) => None,
        }
    }

    /// Everything before `ack` has arrived: when the segment was sent that this acknowledges.
    fn advance(&mut self, ack: u64) -> Option<u64> {
        let mut newest = None;
        while let Some(front) = self.queue.front_mut() {
            if front.start >= ack {
                break;
            }
            if front.end > ack {
                if front.large && !front.answered {
                    newest = Some(*front);
                    front.answered = true;
                }
                break;
            }
            newest = self.queue.pop_front();
        }
        let (_, nxt) = self.edges?;
        self.edges = Some((ack, nxt));
        let newest = newest.filter(|n| n.end == ack || n.large);
        let waited = |n: &Sent| self.repeats.iter().any(|r| r.start < ack && r.ts_ns >= n.ts_ns);
        let doubt = newest.as_ref().is_some_and(waited);
        self.repeats.retain(|r| r.end > ack);
        let newest = newest?;
        (!newest.repeated && !newest.answered && !doubt).then_some(newest.ts_ns)
    }

    /// Segments that blocks have: when the newest was sent that none had before.
    fn sacked(&mut self, s: &Segment, ack: u64, nxt: u64) -> Option<u64> {
        let blocks = &s.options.sack;
        let mut newest: Option<Sent> = None;
        for &(start, end) in blocks {
            let (start, end) = (unwrap(start, nxt), unwrap(end, nxt));
            // A duplicate, reported again (RFC 2883), or damage.
            if start < ack || start >= end || end > nxt {
                continue;
            }
            let first = self.queue.partition_point(|q| q.end <= start);
            for sent in self.queue.iter_mut().skip(first).take_while(|q| q.start < end) {
                let whole = sent.start >= start && sent.end <= end;
                if sent.answered || !(whole || sent.large) {
                    continue;
                }
                if newest.is_none_or(|n| sent.ts_ns >= n.ts_ns) {
                    newest = Some(*sent);
                }
                sent.answered = true;
            }
        }
        newest.filter(|n| !n.repeated).map(|n| n.ts_ns)
    }
}

#[derive(Debug, Default)]
struct TcpSequence([Sender; 2]);

pub fn start(packet: &Packet, _: RttOptions) -> Option<Box<dyn Matcher>> {
    (packet.protocol == TCP).then(|| Box::new(TcpSequence::default()) as _)
}

impl Matcher for TcpSequence {
    fn packet(&mut self, seen: &ObservedPacket<'_>, found: &mut Vec<Match>) {
        let Some(s) = seen.segment else { return };
        if s.syn {
            self.0[seen.way.other().index()].mss = s.options.mss;
        }
        self.0[seen.way.index()].sent(s);
        if s.ack && !s.rst {
            found.extend(self.0[seen.way.other().index()].acknowledged(s));
        }
    }
}
