// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The receiving side: tcp_validate_incoming(), tcp_ack() and tcp_data_queue() of Linux.

use super::Connection;
use crate::engine::packets::segment::{Segment, after, before};
use crate::engine::packets::state::{Agreed, Offer, TcpState};
use crate::schema::{Op, Var};

// errno of Linux.
const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;
const ECONNREFUSED: u32 = 111;

/// How old the last timestamp may be to refuse others: TCP_PAWS_WRAP of Linux 6.18 (24 days before 6.7).
const PAWS_WRAP_NS: u64 = 2_147_000_000_000;
/// Ticks of the peer's clock by which a duplicate ACK may be older: those of one RTO, which packets do
/// not show (tcp_tsval_replay()). At least TCP_RTO_MIN of 200 ms at 1024 a second (so before Linux 6.7;
/// then 1200), and at most TCP_RTO_MAX of 120 s in microseconds.
const LEAST_REPLAY: u32 = 204;
const MOST_REPLAY: u32 = 120_000_000;

/// How a segment is treated because of its timestamp (RFC 7323, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paws {
    Passed,
    Discarded,
    /// The kernel's RTO decides.
    Unknown,
}

/// The checksum is verified before the socket lookup up to this length only (CHECKSUM_BREAK of Linux
/// 6.18, skb_checksum_init() in tcp_v4_rcv()).
const CHECKED_FIRST: u32 = 76;

/// Segments held back at most: what comes while our answer is under way.
const MOST_HELD: usize = 256;

impl Connection {
    /// We received a segment.
    pub fn received(&mut self, s: &Segment) {
        // The network may have made it, and then the socket got both; or the capture alone.
        self.twice += u64::from(self.recent.see(s, false).is_some() || s.is_copy);
        let waits = match self.state {
            TcpState::FinWait1 => s.payload > 0 || !self.held.is_empty(),
            TcpState::FinWait2 => !self.open_fin_wait2 && !self.leaving,
            TcpState::SynSent
            | TcpState::SynReceived
            | TcpState::Established
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => false,
        };
        let takes = s.end() != s.seq && !s.syn && !s.rst;
        if waits && (takes || !self.held.is_empty()) && self.held.len() < MOST_HELD {
            self.held.push(s.clone());
            return;
        }
        self.settle();
        self.take_in(s);
    }

    /// A segment with a wrong checksum: tcp_v4_rcv() of Linux 6.18 drops a short one, and counts a
    /// longer one (tcp_segs_in()) before its checksum is looked at and it is dropped.
    pub fn received_damaged(&mut self, s: &Segment) {
        // After close() the socket may be gone.
        let is_there = !self.leaving && (self.state != TcpState::FinWait2 || self.open_fin_wait2);
        if s.length() > CHECKED_FIRST && is_there {
            self.count_in(s);
        }
    }

    /// A segment that the socket received.
    pub(super) fn take_in(&mut self, s: &Segment) {
        if self.leaving {
            // Our last ACK is not in the capture, but the socket is gone.
            self.missed += 1;
            return self.close(Some(TcpState::FinWait2), 0);
        }
        self.count_in(s);
        match self.state {
            TcpState::SynSent => self.received_in_syn_sent(s),
            TcpState::SynReceived
            | TcpState::Established
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::CloseWait
            | TcpState::LastAck
            | TcpState::Closing => self.received_synchronised(s),
        }
    }

    /// tcp_segs_in(), and counts by the header.
    pub(super) fn count_in(&mut self, s: &Segment) {
        let count = self.counted(s, Agreed::receive_mss, &[Var::SegsIn, Var::DataSegsIn]);
        self.segs_in += count;
        self.set(Var::SegsIn, self.segs_in);
        if s.payload > 0 {
            self.data_segs_in += count;
            self.set(Var::DataSegsIn, self.data_segs_in);
            self.op(Var::HCDataOctetsIn, Op::Add, u64::from(s.payload));
        }
        if self.ttl_in != Some(s.ttl) {
            self.ttl_in = Some(s.ttl);
            self.set(Var::IpTtl, u64::from(s.ttl));
        }
        if self.tos_in != Some(s.tos) {
            self.tos_in = Some(s.tos);
            self.set(Var::IpTosIn, u64::from(s.tos));
        }
    }

    fn received_in_syn_sent(&mut self, s: &Segment) {
        // tcp_rcv_synsent_state_process() of Linux 6.18: with Fast Open, any part of the data.
        let acked = s.ack
            && self.snd_una.is_some_and(|una| after(s.ack_seq, una))
            && self.snd_nxt.is_some_and(|nxt| !after(s.ack_seq, nxt));
        if s.rst {
            if acked {
                self.close(Some(TcpState::SynSent), ECONNREFUSED);
            }
            return;
        }
        if !s.syn || (s.ack && !acked) {
            return;
        }
        self.irs = Some(s.seq);
        self.theirs = Some(Offer::of(s));
        self.set_ts_recent(s);
        let rcv_nxt = s.seq.wrapping_add(1);
        self.rcv_nxt = Some(rcv_nxt);
        self.rcv_wup = Some(rcv_nxt);
        self.snd_wl1 = Some(s.seq);
        self.rcv_right = self.ours.map(|o| rcv_nxt.wrapping_add(u32::from(o.window)));
        self.set(Var::RcvNxt, u64::from(rcv_nxt));
        self.received_window(u64::from(s.window));
        self.identify();
        if s.ack {
            // Data that comes with it is taken where Fast Open was asked for
            // (tcp_rcv_fastopen_synack()): our acknowledgment shows it.
            self.syn_ack_end = Some(s.end());
            self.acknowledged(s.ack_seq);
            self.become_established();
        } else {
            self.enter(TcpState::SynReceived);
        }
    }

    fn received_synchronised(&mut self, s: &Segment) {
        let una = self.snd_una;
        // Linux makes the child of a passive open with this segment; it has no queue to be
        // duplicated yet.
        let establishes = self.state == TcpState::SynReceived;
        if s.ack && !s.rst && s.payload == 0 && una == Some(s.ack_seq) && !establishes {
            self.op(Var::DupAcksIn, Op::Inc, 1);
        }
        if s.rst {
            if self.is_reset_by(s) {
                let errno = if self.state == TcpState::CloseWait { EPIPE } else { ECONNRESET };
                self.close(Some(self.state), errno);
            }
            return;
        }
        let paws = self.paws(s);
        if paws == Paws::Unknown {
            // A duplicate ACK has no other effect.
            if !s.options.sack.is_empty() {
                self.unread.extend([Var::SACKsRcvd, Var::SACKBlocksRcvd, Var::DSACKDups]);
            }
            if s.ece {
                self.unread.push(Var::ECNsignals);
            }
        }
        if paws != Paws::Passed || !self.is_acceptable(s) || !s.ack {
            return;
        }
        // In a simultaneous open the SYN-ACK acknowledges our SYN (Linux 6.12); any other SYN is
        // answered with a challenge.
        let answer = establishes
            && self.active == 1
            && s.payload == 0
            && self.rcv_nxt == Some(s.end())
            && self.snd_nxt == Some(s.ack_seq);
        if s.syn && !answer {
            return;
        }
        if self.acknowledgment(s) && self.closed.is_none() {
            self.data(s);
        }
    }

    /// Whether a reset is taken for one, by tcp_validate_incoming() and tcp_reset_check() of Linux
    /// 6.18. Any other is answered with a challenge (RFC 5961, 3.2), or not at all.
    fn is_reset_by(&self, s: &Segment) -> bool {
        let Some(nxt) = self.rcv_nxt else { return true };
        // After a FIN, its own number too: macOS sends that.
        let after_fin =
            matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
        if s.seq == nxt || after_fin && s.seq == nxt.wrapping_sub(1) {
            return true;
        }
        // The right edge of what was selectively acknowledged.
        let sack = self.agreed().is_some_and(|a| a.sack());
        sack && !self.queue.is_empty()
            && s.seq == nxt.wrapping_add(self.queue.span(nxt))
            && self.is_acceptable(s)
    }

    /// tcp_paws_check() and tcp_disordered_ack_check() of Linux 6.18: a timestamp more than a tick older
    /// than the last in sequence, unless that is 0 or too old itself.
    fn paws(&self, s: &Segment) -> Paws {
        let (Some((value, _)), Some(recent)) = (s.options.timestamps, self.ts_recent) else {
            return Paws::Passed;
        };
        let is_used = self.agreed().map_or(self.stamps, |a| a.timestamps());
        let idle_ns = s.ts_ns.saturating_sub(self.ts_recent_ns);
        if !is_used
            || recent == 0
            || idle_ns >= PAWS_WRAP_NS
            || !before(value.wrapping_add(1), recent)
        {
            return Paws::Passed;
        }
        let in_sequence = s.ack && s.end() == s.seq && self.rcv_nxt == Some(s.seq);
        let is_duplicate = in_sequence && self.snd_una == Some(s.ack_seq);
        let age = recent.wrapping_sub(value);
        if !is_duplicate || age > MOST_REPLAY {
            return Paws::Discarded;
        }
        // Without the windows before it, it is not known whether this one changes them.
        let Some(agreed) = self.agreed().filter(Agreed::knows_shifts) else {
            return Paws::Unknown;
        };
        if self.may_update_window(s, u64::from(s.window) << agreed.their_shift(), false) {
            return Paws::Discarded;
        }
        if age <= LEAST_REPLAY { Paws::Passed } else { Paws::Unknown }
    }

    pub(super) fn set_ts_recent(&mut self, s: &Segment) {
        self.ts_recent = s.options.timestamps.map(|(value, _)| value);
        self.ts_recent_ns = s.ts_ns;
    }

    /// tcp_replace_ts_recent().
    fn remember_timestamp(&mut self, s: &Segment) {
        let next = self.rcv_wup.is_none_or(|wup| !after(s.seq, wup));
        let Some((value, _)) = s.options.timestamps else { return };
        let is_newer = |recent| recent == 0 || !before(value, recent);
        let is_old = s.ts_ns.saturating_sub(self.ts_recent_ns) >= PAWS_WRAP_NS;
        if next && (is_old || self.ts_recent.is_none_or(is_newer)) {
            self.set_ts_recent(s);
        }
    }

    /// tcp_sequence().
    fn is_acceptable(&self, s: &Segment) -> bool {
        let old = self.rcv_wup.is_some_and(|wup| before(s.end(), wup));
        let right = match (self.rcv_right, self.rcv_nxt) {
            (Some(right), Some(nxt)) if before(right, nxt) => Some(nxt),
            (right, _) => right,
        };
        let beyond = right.is_some_and(|right| after(s.seq, right));
        !old && !beyond
    }

    /// tcp_ack(); false if the segment is dropped for what it acknowledges.
    pub(super) fn acknowledgment(&mut self, s: &Segment) -> bool {
        let (una, nxt) = (self.snd_una, self.snd_nxt);
        if self.max_window > 0 && self.acknowledges_nonsense(s.ack_seq) {
            return false;
        }
        if nxt.is_none_or(|nxt| after(s.ack_seq, nxt)) {
            // The peer has what we were not seen to send.
            self.missed += u64::from(nxt.is_some());
            self.snd_nxt = Some(s.ack_seq);
            self.set(Var::SndNxt, u64::from(s.ack_seq));
        }
        if una.is_none_or(|una| !before(s.ack_seq, una)) {
            self.remember_timestamp(s);
        }
        if !s.options.sack.is_empty() {
            if self.agreed().is_none_or(|a| a.may_sack()) {
                self.sack(s);
            }
        } else if s.options.cut && self.agreed().is_none_or(|a| a.may_sack()) {
            self.unread.extend([Var::SACKsRcvd, Var::SACKBlocksRcvd, Var::DSACKDups]);
        }
        if una.is_some_and(|una| before(s.ack_seq, una)) {
            return true;
        }
        if self.state == TcpState::SynReceived {
            self.window_update(s, true);
            self.acknowledged(s.ack_seq);
            self.become_established();
        } else {
            let advances = una != Some(s.ack_seq);
            self.window_update(s, advances);
            self.acknowledged(s.ack_seq);
        }
        if s.ece && self.agreed().is_some_and(|a| a.ecn()) {
            self.op(Var::ECNsignals, Op::Inc, 1);
        }
        if self.fin_sent.is_some() && self.fin_sent == self.snd_una {
            match self.state {
                TcpState::FinWait1 => self.enter(TcpState::FinWait2),
                TcpState::Closing | TcpState::LastAck => self.close(Some(self.state), 0),
                TcpState::SynSent
                | TcpState::SynReceived
                | TcpState::Established
                | TcpState::FinWait2
                | TcpState::CloseWait => {}
            }
        }
        true
    }

    /// Linux 6.18 drops what acknowledges more than was sent, or less than a window ago: it is of
    /// another connection. What the capture lacks may be in between, as much as the peer's window
    /// takes.
    fn acknowledges_nonsense(&self, ack_seq: u32) -> bool {
        let beyond = self.snd_nxt.map_or(0, |nxt| ack_seq.wrapping_sub(nxt) as i32);
        let behind = self.snd_una.map_or(0, |una| una.wrapping_sub(ack_seq) as i32);
        i64::from(beyond) > self.max_window as i64
            || i64::from(behind) > self.max_window.min(self.acked) as i64
    }

    fn acknowledged(&mut self, ack_seq: u32) {
        let una = self.snd_una.replace(ack_seq);
        let step = una.map_or(0, |una| ack_seq.wrapping_sub(una));
        if step > 0 {
            self.acked += u64::from(step);
            self.set(Var::HCThruOctetsAcked, self.acked);
        }
        if una != Some(ack_seq) {
            self.set(Var::SndUna, u64::from(ack_seq));
            self.retx_queue();
        }
    }

    /// tcp_may_update_window() of Linux 6.18 (before 6.6 a window of 0 alone did not count).
    fn may_update_window(&self, s: &Segment, window: u64, advances: bool) -> bool {
        let newer = self.snd_wl1.is_none_or(|wl1| after(s.seq, wl1));
        let wider = window == 0 || self.rwin_rcvd.is_none_or(|old| window > old);
        advances || newer || self.snd_wl1 == Some(s.seq) && wider
    }

    /// tcp_ack_update_window().
    fn window_update(&mut self, s: &Segment, advances: bool) {
        let Some(agreed) = self.agreed().filter(Agreed::knows_shifts) else { return };
        let window = u64::from(s.window) << agreed.their_shift();
        if self.may_update_window(s, window, advances) {
            self.snd_wl1 = Some(s.seq);
            self.received_window(window);
        }
    }

    /// tcp_sacktag_write_queue() and tcp_check_dsack().
    fn sack(&mut self, s: &Segment) {
        let blocks = &s.options.sack;
        let count = blocks.len() as u64;
        let (start, end) = blocks[0];
        let inside = blocks.get(1).is_some_and(|(a, b)| !before(start, *a) && !after(end, *b));
        let dsack = before(start, s.ack_seq) || inside;
        self.op(Var::SACKsRcvd, Op::Inc, 1);
        self.op(Var::SACKBlocksRcvd, Op::Add, count);
        let Some(mss) = self.agreed().map(|a| a.send_mss()) else { return };
        let length = end.wrapping_sub(start);
        // tcp_dsack_seen(): no such stretch can have been sent.
        if dsack && !self.agreed().is_some_and(|a| a.knows_mss()) {
            self.unread.push(Var::DSACKDups);
        }
        if dsack && before(start, end) && u64::from(length) <= self.max_window {
            self.dsack_dups += u64::from(length.div_ceil(mss.max(1)));
            self.set(Var::DSACKDups, self.dsack_dups);
        }
    }

    /// tcp_data_queue().
    fn data(&mut self, s: &Segment) {
        let end = s.end();
        if end == s.seq {
            if self.rcv_nxt.is_none() {
                self.rcv_nxt = Some(s.seq);
                self.set(Var::RcvNxt, u64::from(s.seq));
            }
            return;
        }
        let nxt = *self.rcv_nxt.get_or_insert(s.seq);
        let ecn = s.payload > 0 && self.agreed().is_some_and(|a| a.ecn());
        if ecn && s.cwr {
            self.demand_cwr = false;
        }
        if !after(end, nxt) {
            return;
        }
        let closed = s.payload > 0 && self.rcv_right.is_some_and(|right| !before(s.seq, right));
        if closed {
            return;
        }
        if s.fin {
            self.fin_received = Some(end);
        }
        if after(s.seq, nxt) {
            if s.payload > 0 {
                if self.queue.is_empty() {
                    self.op(Var::DupAckEpisodes, Op::Inc, 1);
                }
                self.op(Var::DupAcksOut, Op::Inc, 1);
            }
            self.queue.insert(s.seq, end);
            self.reassembly(nxt);
        } else {
            self.arrived(end);
        }
        if ecn && s.is_ce() {
            self.op(Var::CERcvd, Op::Inc, 1);
            if !self.demand_cwr {
                self.demand_cwr = true;
                self.op(Var::ECESent, Op::Inc, 1);
            }
        }
    }

    fn reassembly(&mut self, rcv_nxt: u32) {
        let span = self.queue.span(rcv_nxt);
        self.set(Var::CurReasmQueue, u64::from(span));
        if span > self.max_reasm {
            self.max_reasm = span;
            self.op(Var::MaxReasmQueue, Op::Max, u64::from(span));
        }
    }

    /// Everything up to `end` is there.
    pub(super) fn arrived(&mut self, end: u32) {
        let from = self.rcv_nxt.unwrap_or(end);
        let waited = !self.queue.is_empty();
        let nxt = self.queue.take(end);
        self.rcv_nxt = Some(nxt);
        self.received += u64::from(nxt.wrapping_sub(from));
        self.set(Var::RcvNxt, u64::from(nxt));
        self.set(Var::HCThruOctetsReceived, self.received);
        if waited {
            self.reassembly(nxt);
        }
        if self.fin_received != Some(nxt) {
            return;
        }
        self.fin_received = None;
        if self.first_fin == 0 {
            self.first_fin = 2;
        }
        match self.state {
            TcpState::SynReceived | TcpState::Established => self.enter(TcpState::CloseWait),
            TcpState::FinWait1 => self.enter(TcpState::Closing),
            TcpState::FinWait2 => self.leaving = true,
            TcpState::SynSent | TcpState::CloseWait | TcpState::LastAck | TcpState::Closing => {}
        }
    }
}
