// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments that are in a capture twice.
//!
//! A mirror, or a capture of two interfaces, gives a packet twice. The copy would count as a
//! retransmission. But a sender gives a retransmission a new IP identification (tcp_retransmit_skb()
//! sends by __ip_queue_xmit() of Linux 6.18, which takes the next number of ip_select_ident_segs()).
//! Without an identification only the time distinguishes the two, and this is not certain.

use std::collections::VecDeque;
use std::hash::{Hash as _, Hasher as _};

use rustc_hash::FxHasher;

use crate::engine::packets::segment::Segment;

/// Copies come no later: a sender uses an identification again after 65536 packets.
const SAME_NS: u64 = 100_000_000;
/// Without an identification: an end sends the same octets again after a round trip at the earliest.
const ALIKE_NS: u64 = 1_000_000;
/// Segments that are remembered of a connection, at most: 8 KiB.
const MOST: usize = 128;

/// The relation of a segment to an earlier one.
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
    segments: VecDeque<Fingerprint>,
    /// The hash and the identification ([`name`]) of each, in lines of their own. Nearly no segment is there twice,
    /// and a line of numbers is searched many times as fast as `segments`.
    hashes: VecDeque<u64>,
    names: VecDeque<u64>,
    /// An end, received and sent, gives different packets one identification: it is none.
    is_constant: [bool; 2],
}

/// A segment, as far as copies are the same.
#[derive(Clone, Copy, Debug)]
struct Fingerprint {
    ts_ns: u64,
    hash: u64,
    /// SEQ, ACK and octets of payload: not the same in all segments of an end.
    place: (u32, u32, u32),
    id: Option<u32>,
    sent: bool,
}

/// An identification and whose it is, in one number; 0 is none.
fn name(id: Option<u32>, sent: bool) -> u64 {
    id.map_or(0, |id| 2 << 32 | u64::from(sent) << 32 | u64::from(id))
}

fn contains(line: &VecDeque<u64>, number: u64) -> bool {
    let (front, back) = line.as_slices();
    front.contains(&number) || back.contains(&number)
}

impl Recent {
    /// The first segment was taken out.
    fn forget_numbers(&mut self) {
        self.hashes.pop_front();
        self.names.pop_front();
    }

    /// Looks for the segment among those before it, and remembers it.
    pub(super) fn see(&mut self, s: &Segment, sent: bool) -> Option<Again> {
        let named = s.ip_id.filter(|id| *id != 0);
        let place = (s.seq, s.ack_seq, s.payload);
        let its_name = name(named, sent);
        if named.is_some() && contains(&self.names, its_name) {
            let other =
                |old: &Fingerprint| old.sent == sent && old.id == named && old.place != place;
            self.is_constant[usize::from(sent)] |= self.segments.iter().any(other);
        }
        let id = named.filter(|_| !self.is_constant[usize::from(sent)]);
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
        let is_old = |old: &mut Fingerprint| s.ts_ns.abs_diff(old.ts_ns) > SAME_NS;
        while self.segments.pop_front_if(is_old).is_some() {
            self.forget_numbers();
        }
        let (within, again) =
            if id.is_some() { (SAME_NS, Again::Same) } else { (ALIKE_NS, Again::Alike) };
        let is_it = |old: &Fingerprint| old.hash == hash && s.ts_ns.abs_diff(old.ts_ns) <= within;
        let is_there = contains(&self.hashes, hash) && self.segments.iter().any(is_it);
        if self.segments.len() == MOST {
            self.segments.pop_front();
            self.forget_numbers();
        }
        self.hashes.push_back(hash);
        self.names.push_back(its_name);
        self.segments.push_back(Fingerprint { ts_ns: s.ts_ns, hash, place, id: named, sent });
        is_there.then_some(again)
    }
}
