//! Segments that stand twice in a capture.
//!
//! A mirror, or a capture of two interfaces, gives a packet again. The copy would be a retransmission
//! if it were taken for a packet: but a sender gives that a new IP identification
//! (tcp_retransmit_skb() sends by __ip_queue_xmit() of Linux 6.18, which takes the next number of
//! ip_select_ident_segs()). Without an identification only time tells, and not for sure.

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use crate::packets::segment::Segment;

/// Copies come no later: a sender uses an identification again after 65536 packets.
const SAME_NS: u64 = 100_000_000;
/// Without an identification: an end sends the same octets again after a round trip at the earliest.
const ALIKE_NS: u64 = 1_000_000;
/// Segments that are remembered of a connection, at most: 2 KiB.
const MOST: usize = 128;

/// What a segment is to one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// The same packet: its identification is the same.
    Same,
    /// All that shows is the same, but the packets have no identification.
    Alike,
}

/// The last segments of a connection, both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// Times, and hashes of what is the same in copies.
    segments: VecDeque<(u64, u64)>,
}

impl Recent {
    /// Looks for the segment among those before it, and remembers it.
    pub(super) fn see(&mut self, s: &Segment, sent: bool) -> Option<Again> {
        let id = s.ip_id.filter(|id| *id != 0);
        // Pure ACKs without an identification may well be the same: they are duplicate ACKs.
        if id.is_none() && s.end() == s.seq {
            return None;
        }
        let mut hasher = FxHasher::default();
        (sent, id, s.seq, s.payload, [s.fin, s.syn, s.rst, s.ack]).hash(&mut hasher);
        if id.is_none() {
            (s.ack_seq, s.window, s.checksum, s.ece, s.cwr).hash(&mut hasher);
        }
        let hash = hasher.finish();
        let is_old = |(ts_ns, _): &mut (u64, u64)| s.ts_ns.abs_diff(*ts_ns) > SAME_NS;
        while self.segments.pop_front_if(is_old).is_some() {}
        let (within, again) =
            if id.is_some() { (SAME_NS, Again::Same) } else { (ALIKE_NS, Again::Alike) };
        let is_there =
            self.segments.iter().any(|(ts_ns, h)| *h == hash && s.ts_ns.abs_diff(*ts_ns) <= within);
        if self.segments.len() == MOST {
            self.segments.pop_front();
        }
        self.segments.push_back((s.ts_ns, hash));
        is_there.then_some(again)
    }
}
