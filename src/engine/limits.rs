// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Why a connection was not faster: what limited its sender and for how long, and how long losses were
//! repaired. Pure: its input is the values in force after each record, and the kernel's values.
//!
//! The states of the sender ([`SenderState`], in `limits/state.rs`) are counted. A row makes causes
//! ([`LimitCause`]) of them, with what is known when the connection is over: whether the application set
//! the pace, how long the send buffer was full, how slowly the peer's application read.
//!
//! With the transmit loop's hooks Limstate is in force from the loop on ([`Basis::Loop`]). Elsewhere
//! it is found before each received segment, by the loop's own tests on what the loop left
//! ([`Basis::Segment`]), so it is of the time before that segment. A log without Limstate has the
//! gauges that these tests read ([`Basis::Gauges`]).
//!
//! Time is counted in three steps. It is undecided until a received segment (or another certain sign)
//! shows the state. It is then decided until data is acknowledged. Then it is final, because only then
//! it is known that no timeouts followed each other, which would make all of it path_dead.

mod buffer;
mod cause;
mod kernel;
mod reader;
mod state;

use std::ops::RangeInclusive;

use crate::schema::{DATA_RECOVERY, Var};
use crate::wire::SocketValues;

use buffer::Buffer;
pub use cause::LimitCause;
use kernel::KernelReadings;
use reader::Reader;
use state::Gauges;
pub use state::{GAUGES, SenderState};

/// RFC 4898 numbers of the states that follow the handshake, established to closing.
const SYNCHRONISED: RangeInclusive<u64> = 5..=10;
/// The slow values are read this often unless `--resolution` sets another interval. Readings closer
/// together than that may be older than the record that they stand in.
const RESOLUTION_NS: u64 = 1_000_000;
/// This many timeouts in a row, of the same data, mean a path that carries nothing: the retransmission
/// of the first timeout was not answered either. A single timeout repairs a loss.
const DEAD_AFTER: u64 = 2;

/// Where the times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Limstate, set at the end of each transmit loop.
    Loop,
    /// Limstate, found before each received segment.
    Segment,
    /// The gauges that decide it.
    Gauges,
}

/// A record, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// A received segment, before it is processed.
    pub received: bool,
    /// It had an operation on a value that is read at most every [`RESOLUTION_NS`].
    pub slow_read: bool,
}

/// Nanoseconds by [`SenderState`].
pub type Times = [u64; SenderState::ALL.len()];

/// Times of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    basis: Basis,
    /// Final, up to `final_ns`.
    ns: Times,
    final_ns: Option<u64>,
    /// Decided, from there up to `decided_ns`.
    held: Times,
    decided_ns: Option<u64>,
    /// Times that were decided otherwise before timeouts made them the path's.
    dead: Times,
    /// As last decided.
    state: Option<SenderState>,
    /// The state shown by the queue before a received segment, for a time in which it was not read.
    settled: Option<SenderState>,
    /// In force since the record before.
    limstate: Option<u64>,
    /// When the slow values were last read.
    slow_ns: Option<u64>,
    established: bool,
    una: Option<u64>,
    /// The most timeouts in a row since data was last acknowledged.
    timeouts: u64,
    buffer: Buffer,
    kernel: KernelReadings,
    reader: Reader,
    recoveries: u64,
    recovery_ns: u64,
    recovery_since: Option<u64>,
}

impl Limits {
    /// For a new connection.
    pub fn new(basis: Basis) -> Self {
        Self {
            basis,
            ns: Times::default(),
            final_ns: None,
            held: Times::default(),
            dead: Times::default(),
            decided_ns: None,
            state: None,
            settled: None,
            limstate: None,
            slow_ns: None,
            established: false,
            una: None,
            timeouts: 0,
            buffer: Buffer::new(),
            kernel: KernelReadings::default(),
            reader: Reader::default(),
            recoveries: 0,
            recovery_ns: 0,
            recovery_since: None,
        }
    }

    /// The connection begins, and is not established. Not called where the beginning was not seen.
    pub fn begin(&mut self, ts_ns: u64) {
        self.kernel.begun();
        if self.decided_ns.is_none() && !self.established {
            (self.decided_ns, self.final_ns) = (Some(ts_ns), Some(ts_ns));
            self.state = Some(SenderState::Startup);
        }
    }

    /// The connection is established.
    pub fn establish(&mut self, ts_ns: u64) {
        if self.established {
            return;
        }
        self.established = true;
        if self.state == Some(SenderState::Startup) {
            self.decide(ts_ns, SenderState::Startup);
            self.settle();
            // Until a record shows more: it has sent nothing.
            self.state = Some(SenderState::Idle);
        }
    }

    /// Takes the values in force at the end of a record.
    pub fn record(&mut self, record: &Observation, values: &impl Fn(Var) -> Option<u64>) {
        let Observation { ts_ns, .. } = *record;
        if values(Var::State).is_some_and(|state| SYNCHRONISED.contains(&state)) {
            self.establish(ts_ns);
        }
        self.recovery(ts_ns, values(Var::InRecovery) == Some(DATA_RECOVERY));
        if self.state != Some(SenderState::Startup) {
            self.waits(record, values);
        }
        self.limstate = values(Var::Limstate);
    }

    fn recovery(&mut self, ts_ns: u64, recovering: bool) {
        match (self.recovery_since, recovering) {
            (None, true) => {
                self.recoveries += 1;
                self.recovery_since = Some(ts_ns);
            }
            (Some(since), false) => {
                self.recovered(ts_ns.saturating_sub(since));
                self.recovery_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    /// The state of the sender until this record.
    fn waits(&mut self, record: &Observation, values: &impl Fn(Var) -> Option<u64>) {
        let Observation { ts_ns, .. } = *record;
        let fresh = record.slow_read
            || self.slow_ns.is_none_or(|read| ts_ns.saturating_sub(read) >= RESOLUTION_NS);
        if fresh {
            self.slow_ns = Some(ts_ns);
        }
        let gauges = Gauges::of(values);
        self.reader.record(ts_ns, fresh, values);
        if self.decided_ns.is_none() {
            // The time before the first value is not known, and is not part of the total.
            let known = match self.basis {
                Basis::Loop | Basis::Segment => values(Var::Limstate).is_some(),
                Basis::Gauges => gauges.by_tests().is_some(),
            };
            if known {
                (self.decided_ns, self.final_ns) = (Some(ts_ns), Some(ts_ns));
                (self.una, self.state) = (values(Var::SndUna), gauges.by_tests());
                self.settled = gauges.of_queue();
                if values(Var::Limstate) == Some(state::STARTUP) && !self.established {
                    self.state = Some(SenderState::Startup);
                }
            }
            return;
        }
        self.acknowledged(values);
        let at_rest = fresh && gauges.is_at_rest();
        if let Some(octets) = gauges.in_buffer().filter(|_| fresh) {
            self.buffer.holds(octets);
        }
        // A loop only takes from the queue, and counts the segment on its way out as waiting: what
        // was read before a segment came is what the loop before has left.
        let state = if record.received {
            if fresh {
                self.settled = gauges.of_queue().or(self.settled);
            }
            self.before_segment(&gauges, fresh, values(Var::Limstate))
        } else if at_rest && self.may_rest() {
            Some(self.at_rest(&gauges))
        } else {
            self.after_loop(&gauges, values(Var::Limstate))
        };
        if let Some(state) = state {
            self.decide(ts_ns, state);
        }
        if at_rest {
            self.settle();
        }
    }

    /// New data has been acknowledged: what was decided before this record is final.
    fn acknowledged(&mut self, values: &impl Fn(Var) -> Option<u64>) {
        let una = values(Var::SndUna);
        let timeouts = values(Var::CurTimeoutCount).unwrap_or(0);
        if una != self.una || (self.timeouts > 0 && timeouts == 0) {
            self.una = una;
            self.settle();
        }
        self.timeouts = self.timeouts.max(timeouts);
    }

    /// The state of the sender when a segment has just arrived.
    fn before_segment(
        &self,
        gauges: &Gauges,
        fresh: bool,
        now: Option<u64>,
    ) -> Option<SenderState> {
        let limstate = match self.basis {
            Basis::Loop => self.limstate,
            Basis::Segment => now,
            Basis::Gauges if fresh => return gauges.by_tests().or(self.state),
            Basis::Gauges => return self.state,
        };
        let of_queue = if fresh { gauges.of_queue() } else { self.settled };
        state::of_limstate(limstate?, gauges, of_queue)
    }

    /// Whether nothing is in flight at a record that is not a received segment, and no loop has given a
    /// reason.
    fn may_rest(&self) -> bool {
        match self.basis {
            Basis::Loop => matches!(self.limstate, None | Some(state::SENDER | state::STARTUP)),
            Basis::Segment | Basis::Gauges => true,
        }
    }

    /// The state until then. At a slow pace, everything sent may be acknowledged before the timer allows
    /// more.
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other state is itself")]
    fn at_rest(&self, gauges: &Gauges) -> SenderState {
        let waited = matches!(self.settled, Some(SenderState::Host | SenderState::Nagle));
        match gauges.at_rest() {
            SenderState::Idle if self.state == Some(SenderState::Paced) && waited => {
                SenderState::Paced
            }
            state => state,
        }
    }

    /// The state by the loop before, if it leaves no doubt or if another loop has changed it since.
    fn after_loop(&self, gauges: &Gauges, now: Option<u64>) -> Option<SenderState> {
        if self.basis != Basis::Loop {
            return None;
        }
        match self.limstate? {
            state::SENDER | state::STARTUP if now == self.limstate => None,
            limstate => {
                state::of_limstate(limstate, gauges, self.settled.or(Some(SenderState::Idle)))
            }
        }
    }

    /// Decides all time up to this.
    fn decide(&mut self, ts_ns: u64, state: SenderState) {
        if let Some(since) = self.decided_ns {
            let ns = ts_ns.saturating_sub(since);
            self.held[state as usize] += ns;
            if state == SenderState::Waiting {
                self.buffer.waited(ns);
            }
            self.decided_ns = Some(ts_ns.max(since));
        }
        self.state = Some(state);
    }

    /// Makes the decided times final: they are the path's if timeouts followed each other in them.
    fn settle(&mut self) {
        if self.timeouts >= DEAD_AFTER {
            self.ns[SenderState::PathDead as usize] += self.held.iter().sum::<u64>();
            self.dead.iter_mut().zip(self.held).for_each(|(dead, held)| *dead += held);
            self.kernel.was_dead(self.held[SenderState::Paced as usize]);
        } else {
            self.ns.iter_mut().zip(self.held).for_each(|(ns, held)| *ns += held);
        }
        self.held = Times::default();
        self.final_ns = self.decided_ns;
        self.timeouts = 0;
    }

    /// Takes the kernel's values of the socket at this time.
    pub fn kernel_values(&mut self, values: &SocketValues) {
        self.kernel.read(values, self.total(SenderState::Paced));
    }

    /// The connection is over, with these final values; `timed_out` where a timeout ended it.
    pub fn end(&mut self, ts_ns: u64, timed_out: bool, values: &impl Fn(Var) -> Option<u64>) {
        if self.state != Some(SenderState::Startup) && self.decided_ns.is_some() {
            self.acknowledged(values);
            let gauges = Gauges::of(values);
            // Without the loop's hooks Limstate is as old as the last segment.
            let state = match gauges.of_queue() {
                Some(state @ (SenderState::Idle | SenderState::Waiting))
                    if self.basis == Basis::Segment =>
                {
                    Some(state)
                }
                _ => self.before_segment(&gauges, true, values(Var::Limstate)),
            };
            self.state = state.or(self.state);
        }
        if let Some(state) = self.state {
            self.decide(ts_ns, state);
        }
        // The kernel does not count the last expiry of the timer: tcp_write_timeout() ends the connection
        // before it would send again.
        let last = u64::from(timed_out && self.timeouts > 0);
        self.timeouts = self.timeouts.saturating_add(last);
        self.settle();
        self.read_until(ts_ns);
        if let Some(since) = self.recovery_since.take() {
            self.recovered(ts_ns.saturating_sub(since));
        }
    }

    /// Late records may count a time again.
    const fn recovered(&mut self, ns: u64) {
        self.recovery_ns = self.recovery_ns.saturating_add(ns);
    }

    fn total(&self, state: SenderState) -> u64 {
        self.ns[state as usize] + self.held[state as usize]
    }

    /// Final nanoseconds, by what was waited for; those up to [`Limits::counted_until`].
    pub const fn ns(&self) -> &Times {
        &self.ns
    }

    /// Everything before this time is final.
    pub const fn counted_until(&self) -> Option<u64> {
        self.final_ns
    }

    /// Whether the times cover a life of this length, to a hundredth or the kernel's millisecond: the
    /// first state is known a little after ESTABLISHED.
    pub fn covers(&self, life_ns: u64) -> bool {
        let total: u64 = self.ns.iter().sum();
        let missing = life_ns.saturating_sub(total);
        missing <= RESOLUTION_NS || missing <= life_ns / 100
    }

    /// How long this end's own application was behind with reading: more was unread than the window
    /// still offered.
    pub const fn reader_behind_ns(&self) -> u64 {
        self.reader.behind_ns()
    }

    /// Counts the same up to this time.
    pub fn read_until(&mut self, ts_ns: u64) {
        self.reader.until(ts_ns);
    }

    /// Whether time of which a part had this cause became the path's: how much of that part did is not
    /// known.
    pub const fn is_partly_dead(&self, part: LimitCause) -> bool {
        let state = match part {
            LimitCause::SendBuffer => SenderState::Waiting,
            LimitCause::AppRate => SenderState::Paced,
            LimitCause::ReceiverApp => SenderState::Receiver,
            LimitCause::Startup
            | LimitCause::Application
            | LimitCause::Nagle
            | LimitCause::CcRate
            | LimitCause::Network
            | LimitCause::Receiver
            | LimitCause::Host
            | LimitCause::PathDead => return false,
        };
        self.dead[state as usize] > 0
    }

    /// Whether paced time is divided between the application's pace and that of the congestion control. Which of the
    /// two was in force is read at snapshots, so how much of the time between two of them it was is not known. A link
    /// that is as fast as the application's pace looks like that pace under BBR, too.
    pub fn divides_paced(&self) -> bool {
        self.kernel.has_pace() && self.total(SenderState::Paced) > 0
    }

    /// The causes of times by state: `ns` may be those of a part of the connection's life.
    /// `reader_behind_ns` is the peer's, where it was recorded too.
    pub fn causes(
        &self,
        ns: &Times,
        reader_behind_ns: Option<u64>,
    ) -> [f64; LimitCause::ALL.len()] {
        let of = |state: SenderState| ns[state as usize] as f64;
        // The shares of the whole life are known; within a part of it they are taken as evenly spread. A
        // part may contain time that became the path's. How much is not known: at most all of it.
        let part = |part: u64, state: SenderState| match self.total(state) {
            0 => 0.0,
            whole => {
                let part = part.saturating_sub(self.dead[state as usize]).min(whole);
                part as f64 / whole as f64 * of(state)
            }
        };
        let send_buffer = part(self.sndbuf_ns().unwrap_or(0), SenderState::Waiting);
        let app_rate = part(self.capped_ns(), SenderState::Paced);
        let receiver_app = part(reader_behind_ns.unwrap_or(0), SenderState::Receiver);
        LimitCause::ALL.map(|limit| match limit {
            LimitCause::Startup => of(SenderState::Startup),
            LimitCause::Application => {
                of(SenderState::Idle) + of(SenderState::Waiting) - send_buffer
            }
            LimitCause::SendBuffer => send_buffer,
            LimitCause::Nagle => of(SenderState::Nagle),
            LimitCause::AppRate => app_rate,
            LimitCause::CcRate => of(SenderState::Paced) - app_rate,
            LimitCause::Network => of(SenderState::Network),
            LimitCause::Receiver => of(SenderState::Receiver) - receiver_app,
            LimitCause::ReceiverApp => receiver_app,
            LimitCause::Host => of(SenderState::Host),
            LimitCause::PathDead => of(SenderState::PathDead),
        })
    }

    /// How long the application waited for room: by the kernel's clock, or by how full the buffer was.
    fn sndbuf_ns(&self) -> Option<u64> {
        let full = self.kernel.sndbuf().map(|sndbuf| self.buffer.full_ns(sndbuf));
        self.kernel.sndbuf_limited_ns().max(full)
    }

    fn capped_ns(&self) -> u64 {
        self.kernel.capped_ns(self.total(SenderState::Paced))
    }

    /// Whether the log can distinguish this cause from the one that would contain it otherwise.
    pub fn tells(
        &self,
        limit: LimitCause,
        peer_recorded: bool,
        known: &impl Fn(Var) -> bool,
    ) -> bool {
        let decides = self.decides(known);
        match limit {
            LimitCause::Startup => true,
            LimitCause::Application
            | LimitCause::Network
            | LimitCause::Receiver
            | LimitCause::Host => decides,
            LimitCause::SendBuffer => decides && self.sndbuf_ns().is_some(),
            LimitCause::Nagle => decides && known(Var::Nagle),
            LimitCause::CcRate => decides && self.basis != Basis::Gauges,
            LimitCause::AppRate => decides && self.basis != Basis::Gauges && self.kernel.was_read(),
            LimitCause::ReceiverApp => decides && peer_recorded,
            LimitCause::PathDead => decides && known(Var::CurTimeoutCount),
        }
    }

    /// Whether anything but the startup is known.
    fn decides(&self, known: &impl Fn(Var) -> bool) -> bool {
        match self.basis {
            Basis::Loop | Basis::Segment => known(Var::CurAppWQueue),
            Basis::Gauges => GAUGES.iter().all(|&var| known(var)),
        }
    }

    /// The state that was last decided; none before the first value.
    pub const fn state(&self) -> Option<SenderState> {
        self.state
    }

    /// Up to which time that is decided. What was decided is not final before [`Limits::counted_until`]
    /// has reached it.
    pub const fn decided_until(&self) -> Option<u64> {
        self.decided_ns
    }

    /// Number of stays in recovery so far.
    pub const fn recoveries(&self) -> u64 {
        self.recoveries
    }

    /// Time in them; the one now running is counted when it is over.
    pub const fn recovery_ns(&self) -> u64 {
        self.recovery_ns
    }

    /// Where the times come from.
    pub const fn basis(&self) -> Basis {
        self.basis
    }
}

#[cfg(test)]
mod tests;
