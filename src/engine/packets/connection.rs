// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One connection, from the packets of its end: what the kernel there had in its socket.
//!
//! Each segment makes operations on variables, by the definitions of the schema. What the handshake
//! fixed is in [`identity`]. The receiving side ([`receive`]) does what Linux does with a segment that
//! arrives, as far as the segment itself decides it: memory that ran out cannot be seen.

mod identity;
mod receive;
mod recent;

use self::recent::Again;
use super::reassembly::Reassembly;
use super::request::Request;
use super::segment::{Segment, after, before};
use super::state::{Agreed, CLOSED, Offer, TcpState};
use crate::schema::{Op, Var};
use crate::wire::Operation;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// State before; none if it is only known that another took its place.
    pub from: Option<TcpState>,
    /// The value that sk_err would have had.
    pub errno: u32,
}

/// A live connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub state: TcpState,
    pub established: bool,
    /// 1 we opened it, 2 the peer, 0 not seen.
    pub active: u8,
    /// Whose FIN came first: 0 none so far, 1 ours, 2 the peer's.
    pub first_fin: u8,
    pub start_ns: u64,
    pub closed: Option<Closed>,
    /// We sent a reset.
    pub sent_reset: bool,
    /// Packets that must have been there but are not in the capture, since last asked.
    pub missed: u64,
    /// Packets that are in the capture twice, since last asked.
    pub twice: u64,
    /// Variables that follow from options which the capture has cut, since last asked.
    pub unread: Vec<Var>,
    /// Operations since last asked.
    pub ops: Vec<Operation>,
    /// The last word on FIN_WAIT2: our ACK of the peer's FIN is still to come.
    leaving: bool,
    /// Segments that came after our FIN, while it is not known whether the socket accepted them. It did
    /// unless it was closed; our answer shows which.
    held: Vec<Segment>,
    /// Our segments in FIN_WAIT2 were sent by the socket.
    open_fin_wait2: bool,
    /// A packet of ours had an IP identification.
    identified: bool,
    /// Our SYN-ACK of a simultaneous open went out.
    answered: bool,
    /// Behind the data of the peer's SYN-ACK, which we may have taken (Fast Open).
    syn_ack_end: Option<u32>,
    ours: Option<Offer>,
    theirs: Option<Offer>,
    pub iss: Option<u32>,
    pub irs: Option<u32>,
    snd_una: Option<u32>,
    snd_nxt: Option<u32>,
    fin_sent: Option<u32>,
    rcv_nxt: Option<u32>,
    fin_received: Option<u32>,
    /// The peer's last timestamp in sequence (RFC 7323, TS.Recent).
    ts_recent: Option<u32>,
    /// When that came.
    ts_recent_ns: u64,
    /// We send timestamps.
    stamps: bool,
    /// The last acknowledgment we sent.
    rcv_wup: Option<u32>,
    /// Right edge of the window we advertised.
    rcv_right: Option<u32>,
    /// Sequence number of the segment that last updated the send window.
    snd_wl1: Option<u32>,
    rwin_sent: Option<u64>,
    rwin_rcvd: Option<u64>,
    queue: Reassembly,
    recent: recent::Recent,
    demand_cwr: bool,
    ttl_in: Option<u8>,
    tos_in: Option<u8>,
    tos_out: Option<u8>,
    max_retx: u32,
    max_reasm: u32,
    max_window: u64,
    segs_out: u64,
    data_segs_out: u64,
    data_octets_out: u64,
    segs_retrans: u64,
    octets_retrans: u64,
    segs_in: u64,
    data_segs_in: u64,
    acked: u64,
    received: u64,
    dsack_dups: u64,
}

impl Connection {
    fn new(state: TcpState, active: u8, start_ns: u64) -> Self {
        let mut new = Self {
            state,
            established: false,
            active,
            first_fin: 0,
            start_ns,
            closed: None,
            sent_reset: false,
            missed: 0,
            twice: 0,
            unread: Vec::new(),
            ops: Vec::new(),
            leaving: false,
            held: Vec::new(),
            open_fin_wait2: false,
            identified: false,
            answered: false,
            syn_ack_end: None,
            ours: None,
            theirs: None,
            iss: None,
            irs: None,
            snd_una: None,
            snd_nxt: None,
            fin_sent: None,
            rcv_nxt: None,
            fin_received: None,
            ts_recent: None,
            ts_recent_ns: 0,
            stamps: false,
            rcv_wup: None,
            rcv_right: None,
            snd_wl1: None,
            rwin_sent: None,
            rwin_rcvd: None,
            queue: Reassembly::default(),
            recent: recent::Recent::default(),
            demand_cwr: false,
            ttl_in: None,
            tos_in: None,
            tos_out: None,
            max_retx: 0,
            max_reasm: 0,
            max_window: 0,
            segs_out: 0,
            data_segs_out: 0,
            data_octets_out: 0,
            segs_retrans: 0,
            octets_retrans: 0,
            segs_in: 0,
            data_segs_in: 0,
            acked: 0,
            received: 0,
            dsack_dups: 0,
        };
        for var in [
            Var::SegsOut,
            Var::DataSegsOut,
            Var::HCDataOctetsOut,
            Var::SegsRetrans,
            Var::OctetsRetrans,
            Var::SegsIn,
            Var::DataSegsIn,
            Var::HCThruOctetsAcked,
            Var::HCThruOctetsReceived,
            Var::DSACKDups,
            Var::CurReasmQueue,
        ] {
            new.set(var, 0);
        }
        new
    }

    /// We sent a SYN.
    pub fn open(syn: &Segment) -> Self {
        let mut new = Self::new(TcpState::SynSent, 1, syn.ts_ns);
        new.iss = Some(syn.seq);
        new.snd_una = Some(syn.seq);
        new.snd_nxt = Some(syn.seq);
        new.set(Var::State, TcpState::SynSent.rfc());
        new.set(Var::SndInitial, u64::from(syn.seq.wrapping_add(1)));
        new.set(Var::SndUna, u64::from(syn.seq));
        new
    }

    /// A handshake that the peer began becomes a connection, by a segment that completes it and still
    /// has to be received, or by what we send before that (Fast Open).
    pub fn accept(request: &Request, by: &Segment) -> Self {
        // Linux 6.18, tcp_fastopen_create_child(): what takes data of the SYN is made by the SYN.
        let fast = request.syn.as_deref().filter(|_| request.taken > 1);
        let mut new = Self::new(TcpState::SynReceived, 2, fast.map_or(by.ts_ns, |syn| syn.ts_ns));
        // The child begins with the SYN already counted, and with the repeats of the SYN-ACK.
        new.segs_in = 1;
        new.set(Var::SegsIn, 1);
        if let Some(syn) = fast {
            new.fast_open(syn);
        }
        new.twice = request.twice;
        new.segs_retrans = request.repeats;
        new.set(Var::SegsRetrans, request.repeats);
        if let Some(syn) = &request.syn {
            new.set_ts_recent(syn);
        }
        new.theirs = request.theirs;
        new.irs = Some(request.irs);
        let rcv_nxt = request.irs.wrapping_add(request.taken);
        new.rcv_nxt = Some(rcv_nxt);
        new.rcv_wup = Some(rcv_nxt);
        new.snd_wl1 = Some(request.irs);
        new.tos_out = Some(request.tos_out);
        new.set(Var::IpTosOut, u64::from(request.tos_out));
        if let Some((iss, ours)) = request.answer {
            new.ours = Some(ours);
            new.iss = Some(iss);
            let first = iss.wrapping_add(1);
            new.snd_una = Some(first);
            new.snd_nxt = Some(first);
            new.rcv_right = Some(rcv_nxt.wrapping_add(u32::from(ours.window)));
            new.sent_window(u64::from(ours.window));
            new.set(Var::SndUna, u64::from(first));
            new.set(Var::SndNxt, u64::from(first));
        }
        new.set(Var::RcvNxt, u64::from(rcv_nxt));
        new.identify();
        new
    }

    /// tcp_fastopen_add_skb() of Linux 6.18: the SYN counts as a segment with data.
    fn fast_open(&mut self, syn: &Segment) {
        self.data_segs_in = 1;
        self.received = u64::from(syn.payload);
        self.ttl_in = Some(syn.ttl);
        self.tos_in = Some(syn.tos);
        self.set(Var::DataSegsIn, 1);
        self.op(Var::HCDataOctetsIn, Op::Add, u64::from(syn.payload));
        self.set(Var::HCThruOctetsReceived, self.received);
        self.set(Var::IpTtl, u64::from(syn.ttl));
        self.set(Var::IpTosIn, u64::from(syn.tos));
    }

    /// A connection of which the beginning was not seen.
    pub fn found(segment: &Segment) -> Self {
        let mut new = Self::new(TcpState::Established, 0, segment.ts_ns);
        new.become_established();
        new
    }

    fn set(&mut self, var: Var, value: u64) {
        self.ops.push(Operation { var, op: Op::Set, value });
    }

    fn op(&mut self, var: Var, op: Op, value: u64) {
        self.ops.push(Operation { var, op, value });
    }

    fn agreed(&self) -> Option<Agreed> {
        Some(Agreed { ours: self.ours?, theirs: self.theirs?, active: self.active == 1 })
    }

    fn enter(&mut self, state: TcpState) {
        self.state = state;
        self.set(Var::State, state.rfc());
    }

    fn become_established(&mut self) {
        self.established = true;
        self.enter(TcpState::Established);
    }

    /// Whether our next octet has this sequence number.
    pub fn is_next(&self, seq: u32) -> bool {
        self.snd_nxt == Some(seq) || self.iss.is_some_and(|iss| seq == iss.wrapping_add(1))
    }

    /// The number of the peer's next octet, after those that were seen in order.
    pub const fn rcv_nxt(&self) -> Option<u32> {
        self.rcv_nxt
    }

    pub fn close(&mut self, from: Option<TcpState>, errno: u32) {
        if self.closed.is_none() {
            self.closed = Some(Closed { from, errno });
            self.set(Var::State, CLOSED);
        }
    }

    fn sent_window(&mut self, window: u64) {
        if self.rwin_sent != Some(window) {
            self.rwin_sent = Some(window);
            self.set(Var::CurRwinSent, window);
        }
    }

    fn received_window(&mut self, window: u64) {
        self.max_window = self.max_window.max(window);
        if self.rwin_rcvd != Some(window) {
            self.rwin_rcvd = Some(window);
            self.set(Var::CurRwinRcvd, window);
        }
    }

    fn retx_queue(&mut self) {
        let (Some(una), Some(nxt)) = (self.snd_una, self.snd_nxt) else { return };
        let queue = nxt.wrapping_sub(una);
        self.set(Var::CurRetxQueue, u64::from(queue));
        if queue > self.max_retx {
            self.max_retx = queue;
            self.op(Var::MaxRetxQueue, Op::Max, u64::from(queue));
        }
    }

    /// We sent a segment.
    pub fn sent(&mut self, s: &Segment) {
        match self.recent.see(s, true) {
            Some(Again::Same) => {
                self.twice += 1;
                return;
            }
            Some(Again::Alike) => self.twice += 1,
            None => self.twice += u64::from(s.is_copy),
        }
        let held = !self.held.is_empty();
        if held && self.state == TcpState::FinWait2 && self.is_of_time_wait(s) {
            // After close() Linux has no socket any more in FIN_WAIT2 (tcp_time_wait()): neither
            // what came nor the answer is in the counters.
            self.held.clear();
            return self.close(Some(TcpState::FinWait2), 0);
        }
        if held && self.state == TcpState::FinWait1 && s.rst && !s.ack {
            return self.abort_on_data();
        }
        self.open_fin_wait2 |= self.state == TcpState::FinWait2;
        self.settle();
        self.identified |= s.ip_id.is_some_and(|id| id != 0);
        self.stamps |= s.options.timestamps.is_some() && !s.syn && !s.rst;
        if s.syn && s.ack && self.active == 2 {
            return self.repeated_answer(s);
        }
        let count =
            self.counted(s, Agreed::send_mss, &[Var::SegsOut, Var::DataSegsOut, Var::SegsRetrans]);
        // A reset without an acknowledgment is the kernel's answer in the name of no socket
        // (tcp_v4_send_reset()): the one of a socket has one (tcp_send_active_reset()).
        self.segs_out += if s.rst && !s.ack { 0 } else { count };
        self.set(Var::SegsOut, self.segs_out);
        if s.payload > 0 {
            self.data_segs_out += count;
            self.data_octets_out += u64::from(s.payload);
            self.set(Var::DataSegsOut, self.data_segs_out);
            self.set(Var::HCDataOctetsOut, self.data_octets_out);
        }
        if self.tos_out != Some(s.tos) {
            self.tos_out = Some(s.tos);
            self.set(Var::IpTosOut, u64::from(s.tos));
        }
        if s.syn {
            // A SYN that is repeated after its answer changes nothing.
            if !self.established {
                // The SYN that is repeated no longer asks for ECN, but still agrees to it
                // (tcp_ecn_clear_syn() of Linux 6.18).
                let before = |asked: fn(&Offer) -> bool| self.ours.as_ref().is_some_and(asked);
                let offer = Offer::of(s);
                self.ours = Some(Offer {
                    ecn: offer.ecn || before(|o| o.ecn),
                    accurate_ecn: offer.accurate_ecn || before(|o| o.accurate_ecn),
                    ..offer
                });
                self.sent_window(u64::from(s.window));
                self.identify();
            }
        } else if !s.rst {
            self.advertised(s);
        }
        self.sent_sequence(s, count);
        if s.rst {
            self.sent_reset = true;
            self.close(Some(self.state), 0);
        } else if self.leaving {
            self.close(Some(TcpState::FinWait2), 0);
        }
    }

    /// TIME-WAIT of Linux 6.18 acknowledges a FIN by tcp_v4_send_ack(), whose packets have no
    /// identification, where those of a socket have one (ip_select_ident_segs()), and answers data
    /// by tcp_v4_send_reset().
    fn is_of_time_wait(&self, s: &Segment) -> bool {
        let bare = !s.syn && !s.fin && s.payload == 0;
        let unnamed = self.identified && s.ip_id == Some(0);
        bare && if s.rst { !s.ack } else { s.ack && unnamed }
    }

    /// Data that comes after close() ends the connection (tcp_rcv_state_process() of Linux 6.18): the
    /// socket has received the segment and not its data. What came behind found no socket.
    fn abort_on_data(&mut self) {
        let held = std::mem::take(&mut self.held);
        let Some(first) = held.iter().find(|s| s.payload > 0) else { return };
        self.count_in(first);
        self.acknowledgment(first);
        self.sent_reset = true;
        self.close(Some(TcpState::FinWait1), 0);
    }

    /// Accepts the segments that were held back: they are the socket's.
    pub fn settle(&mut self) {
        for segment in std::mem::take(&mut self.held) {
            self.take_in(&segment);
        }
    }

    /// Our SYN-ACK once more, after Fast Open has made the connection: tcp_rtx_synack() of Linux 6.18
    /// counts it as a retransmission, and not as a segment of the socket.
    fn repeated_answer(&mut self, s: &Segment) {
        if self.iss == Some(s.seq) {
            self.segs_retrans += 1;
            self.set(Var::SegsRetrans, self.segs_retrans);
        }
    }

    /// Acknowledgment and window of a segment we sent.
    fn advertised(&mut self, s: &Segment) {
        if s.ack {
            match self.rcv_nxt {
                Some(rcv_nxt) if after(s.ack_seq, rcv_nxt) => {
                    let of_syn_ack = self.syn_ack_end.is_some_and(|end| !after(s.ack_seq, end));
                    // We acknowledge what never arrived: it did, the capture lacks it.
                    self.missed += u64::from(!of_syn_ack);
                    self.arrived(s.ack_seq);
                }
                Some(_) => {}
                None => {
                    self.rcv_nxt = Some(s.ack_seq);
                    self.set(Var::RcvNxt, u64::from(s.ack_seq));
                }
            }
            self.rcv_wup = Some(s.ack_seq);
        }
        if let Some(agreed) = self.agreed().filter(Agreed::knows_shifts) {
            let window = u32::from(s.window) << agreed.our_shift();
            self.sent_window(u64::from(window));
            let right = s.ack_seq.wrapping_add(window);
            if s.ack && self.rcv_right.is_none_or(|old| after(right, old)) {
                self.rcv_right = Some(right);
            }
        }
    }

    /// Sequence space of a segment we sent.
    fn sent_sequence(&mut self, s: &Segment, count: u64) {
        let end = s.end();
        let nxt = *self.snd_nxt.get_or_insert(s.seq);
        self.snd_una.get_or_insert(s.seq);
        // A socket leaves no gap: the octets between were sent and are not in the capture, or not in
        // their place. Then the segment that fills the gap looks like a retransmission.
        self.missed += u64::from(after(s.seq, nxt) && !s.rst);
        // A keepalive of old stacks carries one octet that was acknowledged long ago.
        let keepalive = s.payload <= 1 && !s.fin && !s.syn && self.snd_una == Some(end);
        // In a simultaneous open the SYN-ACK is not a retransmission of the SYN (tcp_send_synack()).
        let answer = s.syn && s.ack && !std::mem::replace(&mut self.answered, s.syn && s.ack);
        if end != s.seq && before(s.seq, nxt) && !keepalive && !answer {
            self.segs_retrans += count;
            self.set(Var::SegsRetrans, self.segs_retrans);
            let again = s.payload.min(nxt.wrapping_sub(s.seq));
            self.octets_retrans += u64::from(again);
            self.set(Var::OctetsRetrans, self.octets_retrans);
        }
        if after(end, nxt) {
            self.snd_nxt = Some(end);
            self.set(Var::SndNxt, u64::from(end));
        }
        self.retx_queue();
        if s.fin && self.fin_sent.is_none() {
            self.fin_sent = Some(end);
            if self.first_fin == 0 {
                self.first_fin = 1;
            }
            match self.state {
                TcpState::Established | TcpState::SynReceived | TcpState::SynSent => {
                    self.enter(TcpState::FinWait1);
                }
                TcpState::CloseWait => self.enter(TcpState::LastAck),
                TcpState::FinWait1 | TcpState::FinWait2 | TcpState::LastAck | TcpState::Closing => {
                }
            }
        }
    }
}
