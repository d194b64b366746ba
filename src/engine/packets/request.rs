// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A handshake that the peer began, until it is a connection: tcp_conn_request() and tcp_check_req().

use super::segment::{Segment, after, before};
use super::state::Offer;

/// First segments of a handshake that the peer began.
#[derive(Clone, Debug)]
pub struct Request {
    /// The peer's initial sequence number.
    pub irs: u32,
    /// The options of its SYN; none if the SYN was not seen.
    pub theirs: Option<Offer>,
    /// Payload in the SYN that we took (fast open), with the SYN itself.
    pub taken: u32,
    /// Our answer: initial sequence number, offer.
    pub answer: Option<(u32, Offer)>,
    /// How often we repeated it.
    pub repeats: u64,
    /// Packets of it that are in the capture twice.
    pub twice: u64,
    /// When our last answer was seen.
    answered_ns: u64,
    /// Its IP identification.
    answer_id: Option<u32>,
    /// Its timestamp (RFC 7323, TSval).
    answer_sent_at: Option<u32>,
    /// TTL and TOS of the SYN are those of the last segment received before the row begins.
    pub tos_out: u8,
    /// The SYN, for Fast Open; none if it was not seen.
    pub syn: Option<Box<Segment>>,
}

impl Request {
    /// The peer's SYN.
    pub fn of(syn: &Segment) -> Self {
        Self {
            irs: syn.seq,
            theirs: Some(Offer::of(syn)),
            taken: 1,
            answer: None,
            repeats: 0,
            twice: 0,
            answered_ns: 0,
            answer_id: None,
            answer_sent_at: None,
            tos_out: 0,
            syn: Some(Box::new(syn.clone())),
        }
    }

    /// Our SYN-ACK, where the SYN is not in the capture.
    pub fn of_answer(s: &Segment) -> Self {
        Self {
            irs: s.ack_seq.wrapping_sub(1),
            theirs: None,
            taken: 1,
            answer: Some((s.seq, Offer::of(s))),
            repeats: 0,
            twice: 0,
            answered_ns: s.ts_ns,
            answer_id: s.ip_id,
            answer_sent_at: s.options.timestamps.map(|(value, _)| value),
            tos_out: s.tos,
            syn: None,
        }
    }

    /// We sent a SYN-ACK; false if it answers another SYN.
    pub fn answered(&mut self, s: &Segment) -> bool {
        // With Fast Open, data of the SYN is acknowledged too.
        let taken = s.ack_seq.wrapping_sub(self.irs);
        if !(1..=MAX_SYN).contains(&taken) {
            return false;
        }
        let repeated = self.answer.is_some_and(|(iss, _)| iss == s.seq);
        let is_other = s.ip_id.is_some_and(|id| id != 0) && self.answer_id != s.ip_id;
        self.answer_id = s.ip_id;
        let apart_ns = s.ts_ns.saturating_sub(std::mem::replace(&mut self.answered_ns, s.ts_ns));
        let sent_at = s.options.timestamps.map(|(value, _)| value);
        let is_later = std::mem::replace(&mut self.answer_sent_at, sent_at) != sent_at;
        if repeated && !is_other && !is_later && apart_ns <= COPY_NS {
            self.twice += 1;
            return true;
        }
        self.repeats = if repeated { self.repeats + 1 } else { 0 };
        self.answer = Some((s.seq, Offer::of(s)));
        self.taken = taken;
        self.tos_out = s.tos;
        true
    }

    /// Whether a segment makes the connection: tcp_check_req() of Linux 6.18. An acknowledgment of
    /// more than our SYN is of segments that the capture lacks.
    pub fn is_completed_by(&self, s: &Segment) -> bool {
        let Some((iss, ours)) = self.answer else { return false };
        if s.rst || !s.ack || !after(s.ack_seq, iss) {
            return false;
        }
        s.ack_seq != iss.wrapping_add(1)
            || self.has_in_window(s, ours.window) && !self.is_refused_by_paws(s)
    }

    /// tcp_paws_reject(): with a timestamp before that of the SYN.
    fn is_refused_by_paws(&self, s: &Segment) -> bool {
        let stamp = |s: &Segment| s.options.timestamps.map(|(value, _)| value);
        let agreed = self.answer.is_some_and(|(_, ours)| ours.timestamps);
        let first = self.syn.as_deref().and_then(stamp).filter(|first| *first != 0 && agreed);
        first.zip(stamp(s)).is_some_and(|(first, now)| before(now, first))
    }

    /// Whether a reset that the peer sent ends the handshake (tcp_check_req(): only one in the
    /// window does).
    pub fn is_ended_by(&self, s: &Segment) -> bool {
        s.rst && self.answer.is_none_or(|(_, ours)| self.has_in_window(s, ours.window))
    }

    /// Whether a reset that we sent ends it: one that answers a segment with another acknowledgment
    /// does not.
    pub fn is_ended_by_ours(&self, s: &Segment) -> bool {
        s.rst && (s.ack || self.answer.is_none_or(|(iss, _)| s.seq == iss.wrapping_add(1)))
    }

    /// tcp_in_window(); the SYN itself may be in the segment once more.
    fn has_in_window(&self, s: &Segment, window: u16) -> bool {
        let rcv_nxt = self.irs.wrapping_add(self.taken);
        let right = rcv_nxt.wrapping_add(u32::from(window));
        if s.seq == rcv_nxt || s.seq == self.irs {
            return true;
        }
        after(s.end(), rcv_nxt) && before(s.seq, right)
    }
}

/// A SYN-ACK that comes again so soon, with neither an identification nor a timestamp (TSval) of its
/// own, is a copy which the capture made: Linux 6.18 repeats it after a second (TCP_TIMEOUT_INIT), and
/// for a SYN that comes again at most every half second (tcp_oow_rate_limited() in tcp_check_req()).
/// These two can come in one moment, so without timestamps it is not certain, and the row is marked.
const COPY_NS: u64 = 100_000_000;

/// Sequence space of the longest SYN: itself, and a packet full of data.
const MAX_SYN: u32 = 1 << 16;
