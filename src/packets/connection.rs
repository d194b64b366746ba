//! One connection, from the packets of its end: what the kernel there had in its socket.
//!
//! Each segment makes operations on variables, by the definitions of the schema. The receiving side
//! does what Linux does with a segment that arrives (tcp_validate_incoming, tcp_ack, tcp_data_queue)
//! as far as the segment itself decides it: memory that ran out, and segments that PAWS refused,
//! cannot be seen.

use super::reassembly::Reassembly;
use super::segment::{Segment, after, before};
use super::state::{Agreed, CLOSED, Offer, State};
use crate::schema::{Op, Var};
use crate::wire::Operation;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// State before; none if it is only known that another took its place.
    pub from: Option<State>,
    /// What the kernel would have had in sk_err.
    pub errno: u32,
}

/// First segments of a handshake that the peer began.
#[derive(Clone, Debug)]
pub struct Request {
    /// The peer's initial sequence number.
    pub irs: u32,
    /// What its SYN said; none if that was not seen.
    pub theirs: Option<Offer>,
    /// Payload in the SYN that we took (fast open), with the SYN itself.
    pub taken: u32,
    /// Our answer: initial sequence number, offer.
    pub answer: Option<(u32, Offer)>,
    /// How often we repeated it.
    pub repeats: u64,
    /// TTL and TOS of the SYN are those of the last segment received before the row begins.
    pub tos_out: u8,
}

/// A live connection.
#[derive(Clone, Debug)]
pub struct Connection {
    pub state: State,
    pub established: bool,
    /// 1 we opened it, 2 the peer, 0 not seen.
    pub active: u8,
    /// 0 nobody's FIN so far, 1 ours came first, 2 the peer's.
    pub first_fin: u8,
    pub start_ns: u64,
    pub closed: Option<Closed>,
    /// Packets that must have been there but are not in the capture, since last asked.
    pub missed: u64,
    /// Operations since last asked.
    pub ops: Vec<Operation>,
    /// The last word on FIN_WAIT2: our ACK of the peer's FIN is still to come.
    leaving: bool,
    ours: Option<Offer>,
    theirs: Option<Offer>,
    pub iss: Option<u32>,
    pub irs: Option<u32>,
    snd_una: Option<u32>,
    snd_nxt: Option<u32>,
    fin_sent: Option<u32>,
    rcv_nxt: Option<u32>,
    fin_received: Option<u32>,
    /// The last acknowledgment we sent.
    rcv_wup: Option<u32>,
    /// Right edge of the window we advertised.
    rcv_right: Option<u32>,
    /// Sequence number of the segment that last updated the send window.
    snd_wl1: Option<u32>,
    rwin_sent: Option<u64>,
    rwin_rcvd: Option<u64>,
    queue: Reassembly,
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

// errno of Linux.
const EPIPE: u32 = 32;
const ECONNRESET: u32 = 104;
const ECONNREFUSED: u32 = 111;

impl Connection {
    fn new(state: State, active: u8, start_ns: u64) -> Self {
        let mut new = Self {
            state,
            established: false,
            active,
            first_fin: 0,
            start_ns,
            closed: None,
            missed: 0,
            ops: Vec::new(),
            leaving: false,
            ours: None,
            theirs: None,
            iss: None,
            irs: None,
            snd_una: None,
            snd_nxt: None,
            fin_sent: None,
            rcv_nxt: None,
            fin_received: None,
            rcv_wup: None,
            rcv_right: None,
            snd_wl1: None,
            rwin_sent: None,
            rwin_rcvd: None,
            queue: Reassembly::default(),
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
        let mut new = Self::new(State::SynSent, 1, syn.ts_ns);
        new.iss = Some(syn.seq);
        new.snd_una = Some(syn.seq);
        new.snd_nxt = Some(syn.seq);
        new.set(Var::State, State::SynSent.rfc());
        new.set(Var::SndInitial, u64::from(syn.seq.wrapping_add(1)));
        new.set(Var::SndUna, u64::from(syn.seq));
        new
    }

    /// A segment completed a handshake that the peer began. It still has to be received.
    pub fn accept(request: &Request, ack: &Segment) -> Self {
        let mut new = Self::new(State::SynReceived, 2, ack.ts_ns);
        // The child begins with the SYN already counted, and with the repeats of the SYN-ACK.
        new.segs_in = 1;
        new.segs_retrans = request.repeats;
        new.set(Var::SegsRetrans, request.repeats);
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

    /// A connection of which the beginning was not seen.
    pub fn found(segment: &Segment) -> Self {
        let mut new = Self::new(State::Established, 0, segment.ts_ns);
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

    fn enter(&mut self, state: State) {
        self.state = state;
        self.set(Var::State, state.rfc());
    }

    fn become_established(&mut self) {
        self.established = true;
        self.enter(State::Established);
    }

    pub fn close(&mut self, from: Option<State>, errno: u32) {
        if self.closed.is_none() {
            self.closed = Some(Closed { from, errno });
            self.set(Var::State, CLOSED);
        }
    }

    /// Says what the handshake fixed for good.
    fn identify(&mut self) {
        const NONE: u64 = -1_i64 as u64;
        let shift = |s: Option<u8>| s.map_or(NONE, u64::from);
        if let Some(ours) = self.ours {
            self.set(Var::MSSSent, u64::from(ours.mss.unwrap_or(0)));
            self.set(Var::WinScaleSent, shift(ours.window_scale));
        }
        if let Some(iss) = self.iss {
            self.set(Var::SndInitial, u64::from(iss.wrapping_add(1)));
        }
        if let Some(irs) = self.irs {
            self.set(Var::RecInitial, u64::from(irs.wrapping_add(1)));
        }
        if let Some(theirs) = self.theirs {
            self.set(Var::MSSRcvd, u64::from(theirs.mss.unwrap_or(0)));
        }
        let Some(agreed) = self.agreed() else { return };
        let Agreed { ours, theirs, .. } = agreed;
        // An option that we do not use is as good as none.
        let received = ours.window_scale.and(theirs.window_scale);
        self.set(Var::WinScaleRcvd, shift(received));
        self.set(Var::TimeStamps, agreed.negotiated(ours.timestamps, theirs.timestamps));
        self.set(Var::ECN, agreed.negotiated(ours.ecn, theirs.ecn));
        let sack = agreed.negotiated(ours.sack, theirs.sack);
        self.set(Var::WillSendSACK, sack);
        self.set(Var::WillUseSACK, sack);
        self.set(Var::CurMSS, u64::from(agreed.send_mss()));
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
        let count = s.count(self.agreed().map(|a| a.send_mss()));
        self.segs_out += count;
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
            self.ours = Some(Offer::of(s));
            self.sent_window(u64::from(s.window));
            self.identify();
        } else if !s.rst {
            self.advertised(s);
        }
        self.sent_sequence(s, count);
        if s.rst {
            self.close(Some(self.state), 0);
        } else if self.leaving {
            self.close(Some(State::FinWait2), 0);
        }
    }

    /// Acknowledgment and window of a segment we sent.
    fn advertised(&mut self, s: &Segment) {
        if s.ack {
            match self.rcv_nxt {
                Some(rcv_nxt) if after(s.ack_seq, rcv_nxt) => {
                    // We acknowledge what never arrived: it did, the capture lacks it.
                    self.missed += 1;
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
        if let Some(agreed) = self.agreed() {
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
        // A keepalive of old stacks carries one octet that was acknowledged long ago.
        let keepalive = s.payload <= 1 && !s.fin && self.snd_una == Some(end);
        if end != s.seq && before(s.seq, nxt) && !keepalive {
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
                State::Established | State::SynReceived | State::SynSent => {
                    self.enter(State::FinWait1);
                }
                State::CloseWait => self.enter(State::LastAck),
                State::FinWait1 | State::FinWait2 | State::LastAck | State::Closing => {}
            }
        }
    }

    /// We received a segment.
    pub fn received(&mut self, s: &Segment) {
        if self.leaving {
            // Our last ACK is not in the capture; the socket is gone all the same.
            self.missed += 1;
            return self.close(Some(State::FinWait2), 0);
        }
        let count = s.count(self.agreed().map(|a| a.receive_mss()));
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
        match self.state {
            State::SynSent => self.received_in_syn_sent(s),
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait
            | State::LastAck
            | State::Closing => self.received_synchronised(s),
        }
    }

    fn received_in_syn_sent(&mut self, s: &Segment) {
        let acked = s.ack && self.snd_nxt == Some(s.ack_seq);
        if s.rst {
            if acked {
                self.close(Some(State::SynSent), ECONNREFUSED);
            }
            return;
        }
        if !s.syn || (s.ack && !acked) {
            return;
        }
        self.irs = Some(s.seq);
        self.theirs = Some(Offer::of(s));
        let rcv_nxt = s.seq.wrapping_add(1);
        self.rcv_nxt = Some(rcv_nxt);
        self.rcv_wup = Some(rcv_nxt);
        self.snd_wl1 = Some(s.seq);
        self.rcv_right = self.ours.map(|o| rcv_nxt.wrapping_add(u32::from(o.window)));
        self.set(Var::RcvNxt, u64::from(rcv_nxt));
        self.received_window(u64::from(s.window));
        self.identify();
        if s.ack {
            self.acknowledged(s.ack_seq);
            self.become_established();
        } else {
            self.enter(State::SynReceived);
        }
    }

    fn received_synchronised(&mut self, s: &Segment) {
        let una = self.snd_una;
        // Linux makes the child of a passive open with this segment; it has no queue to be
        // duplicated yet.
        let establishes = self.state == State::SynReceived;
        if s.ack && s.payload == 0 && una == Some(s.ack_seq) && !establishes {
            self.op(Var::DupAcksIn, Op::Inc, 1);
        }
        if s.rst {
            // RFC 5961: any other sequence number is answered with a challenge.
            if self.rcv_nxt.is_none_or(|nxt| nxt == s.seq) {
                let errno = if self.state == State::CloseWait { EPIPE } else { ECONNRESET };
                self.close(Some(self.state), errno);
            }
            return;
        }
        if s.syn || !self.is_acceptable(s) || !s.ack {
            return;
        }
        self.acknowledgment(s);
        if self.closed.is_none() {
            self.data(s);
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

    /// tcp_ack().
    fn acknowledgment(&mut self, s: &Segment) {
        let (una, nxt) = (self.snd_una, self.snd_nxt);
        if nxt.is_none_or(|nxt| after(s.ack_seq, nxt)) {
            // The peer has what we were not seen to send.
            self.missed += u64::from(nxt.is_some());
            self.snd_nxt = Some(s.ack_seq);
            self.set(Var::SndNxt, u64::from(s.ack_seq));
        }
        if !s.options.sack.is_empty() {
            self.sack(s);
        }
        if una.is_some_and(|una| before(s.ack_seq, una)) {
            return;
        }
        if self.state == State::SynReceived {
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
                State::FinWait1 => self.enter(State::FinWait2),
                State::Closing | State::LastAck => self.close(Some(self.state), 0),
                State::SynSent
                | State::SynReceived
                | State::Established
                | State::FinWait2
                | State::CloseWait => {}
            }
        }
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

    /// tcp_may_update_window().
    fn window_update(&mut self, s: &Segment, advances: bool) {
        let Some(agreed) = self.agreed() else { return };
        let window = u64::from(s.window) << agreed.their_shift();
        let newer = self.snd_wl1.is_none_or(|wl1| after(s.seq, wl1));
        let wider = self.snd_wl1 == Some(s.seq) && self.rwin_rcvd.is_none_or(|old| window > old);
        if advances || newer || wider {
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
    fn arrived(&mut self, end: u32) {
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
            State::SynReceived | State::Established => self.enter(State::CloseWait),
            State::FinWait1 => self.enter(State::Closing),
            State::FinWait2 => self.leaving = true,
            State::SynSent | State::CloseWait | State::LastAck | State::Closing => {}
        }
    }
}
