//! Why a connection was not faster: what limited its sender, and for how long, and how long it
//! repaired losses. Pure: fed the values in force after each record.
//!
//! The kernel's transmit loop says why it stopped (Limstate), but its "sender" covers two things that
//! a person must tell apart: an application that has written nothing (CurAppWQueue is 0), and data
//! that the stack holds back (Nagle's algorithm, the device's queue, TSO deferral). CurAppWQueue is
//! read at most every millisecond, so at the beginning of such a stretch, and after each segment sent
//! in it, it may be older than that; the next reading decides what was before it.
//!
//! A log without Limstate has the gauges that decide it, as they are before each received segment:
//! the state in which the transmit loop before left the socket. So a reading decides the time back to
//! the record before. What waits for the pacing timer is not known there.

use std::ops::RangeInclusive;

use crate::schema::Var;

/// RFC 4898 numbers of the states that follow the handshake, established to closing.
const SYNCHRONISED: RangeInclusive<u64> = 5..=10;
/// tcpEStatsStackInRecovery dataRecovery.
const DATA_RECOVERY: u64 = 3;
/// The slow values are read this often unless `--resolution` says otherwise. Readings closer
/// together than that may be older than the record that they stand in.
const RESOLUTION_NS: u64 = 1_000_000;

/// What keeps the sender from sending more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// The connection is not established yet.
    Startup,
    /// The application has written nothing that waits.
    Application,
    /// Data waits, and the host's stack holds it back.
    Sender,
    /// The congestion window is full.
    Congestion,
    /// The receiver's window is full.
    Receiver,
    /// The pacing timer.
    Pacing,
}

impl Limit {
    /// All, in the order in which tables and pages show them.
    pub const ALL: [Self; 6] = [
        Self::Startup,
        Self::Application,
        Self::Sender,
        Self::Congestion,
        Self::Receiver,
        Self::Pacing,
    ];

    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Application => "application",
            Self::Sender => "sender",
            Self::Congestion => "congestion",
            Self::Receiver => "receiver",
            Self::Pacing => "pacing",
        }
    }
}

/// Where the times come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Limstate, which the log has.
    Limstate,
    /// The gauges that decide it.
    Gauges,
}

/// A record, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// CLOCK_MONOTONIC.
    pub ts_ns: u64,
    /// A received segment, before it is processed.
    pub received: bool,
    /// A segment on its way out, or a transmit loop: the queue may have been emptied since it was
    /// read.
    pub sent: bool,
    /// It had an operation on CurAppWQueue.
    pub queue_read: bool,
    /// It had an operation on a value that is read at most every [`RESOLUTION_NS`].
    pub slow_read: bool,
}

/// Times of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    basis: Basis,
    /// Nanoseconds by [`Limit`].
    ns: [u64; Limit::ALL.len()],
    /// Everything before is in `ns`; none before the first value.
    since_ns: Option<u64>,
    limit: Option<Limit>,
    /// The sender's state began, or it sent, and CurAppWQueue was not read since.
    undecided: bool,
    established: bool,
    recoveries: u64,
    recovery_ns: u64,
    recovery_since: Option<u64>,
}

impl Limits {
    /// Of a connection of which nothing was seen.
    pub const fn new(basis: Basis) -> Self {
        Self {
            basis,
            ns: [0; Limit::ALL.len()],
            since_ns: None,
            limit: None,
            undecided: false,
            established: false,
            recoveries: 0,
            recovery_ns: 0,
            recovery_since: None,
        }
    }

    /// The connection begins, and is not established. Not called where the beginning was not seen.
    pub fn begin(&mut self, ts_ns: u64) {
        if self.since_ns.is_none() && !self.established {
            self.since_ns = Some(ts_ns);
            self.limit = Some(Limit::Startup);
        }
    }

    /// The connection is established.
    pub fn establish(&mut self, ts_ns: u64) {
        if self.established {
            return;
        }
        self.established = true;
        if self.limit == Some(Limit::Startup) {
            self.count(ts_ns);
            // Until something says more: it has sent nothing.
            self.limit = Some(Limit::Application);
        }
    }

    /// Takes the values in force at the end of a record.
    pub fn record(&mut self, record: &Record, values: &impl Fn(Var) -> Option<u64>) {
        let Record { ts_ns, .. } = *record;
        if values(Var::State).is_some_and(|state| SYNCHRONISED.contains(&state)) {
            self.establish(ts_ns);
        }
        self.recovery(ts_ns, values(Var::InRecovery) == Some(DATA_RECOVERY));
        match self.basis {
            Basis::Limstate => self.limstate(record, values),
            Basis::Gauges if self.limit != Some(Limit::Startup) => self.gauges(record, values),
            Basis::Gauges => {}
        }
    }

    fn recovery(&mut self, ts_ns: u64, recovering: bool) {
        match (self.recovery_since, recovering) {
            (None, true) => {
                self.recoveries += 1;
                self.recovery_since = Some(ts_ns);
            }
            (Some(since), false) => {
                self.recovery_ns += ts_ns.saturating_sub(since);
                self.recovery_since = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    fn limstate(&mut self, record: &Record, values: &impl Fn(Var) -> Option<u64>) {
        let queue = values(Var::CurAppWQueue);
        let limit = match values(Var::Limstate) {
            Some(0) if queue == Some(0) => Limit::Application,
            Some(0 | 4) => Limit::Sender,
            Some(1) => Limit::Congestion,
            Some(2) => Limit::Receiver,
            Some(3) => Limit::Startup,
            Some(5) => Limit::Pacing,
            Some(_) | None => return,
        };
        // TSO deferral needs data that waits; only "sender" leaves it open.
        let open = values(Var::Limstate) == Some(0);
        // In the middle of a loop the segment on its way out still counts as waiting.
        let settled = record.queue_read && !record.sent;
        if self.undecided && open {
            if !settled && limit == Limit::Sender {
                return;
            }
            self.limit = Some(limit);
        }
        // A loop only takes from the queue: what was read as empty is.
        let old = open && limit == Limit::Sender && !settled;
        if self.limit != Some(limit) || self.undecided || (old && record.sent) {
            self.count(record.ts_ns);
            self.undecided = old;
            self.limit = Some(limit);
        }
    }

    fn gauges(&mut self, record: &Record, values: &impl Fn(Var) -> Option<u64>) {
        let fresh = self.since_ns.is_none_or(|s| record.ts_ns.saturating_sub(s) >= RESOLUTION_NS);
        if !record.received {
            // In the middle of what sends: the reading before tells of the time before.
            self.count(record.ts_ns);
            // Of one that was open before, the baseline is the first word.
            self.limit = self.limit.or_else(|| by_gauges(values));
        } else if record.slow_read || fresh {
            let limit = by_gauges(values);
            if self.since_ns.is_some() {
                self.limit = limit.or(self.limit);
            }
            self.count(record.ts_ns);
            self.limit = limit.or(self.limit);
        }
    }

    /// The connection is over, with these final values.
    pub fn end(&mut self, ts_ns: u64, values: &impl Fn(Var) -> Option<u64>) {
        if self.basis == Basis::Gauges && self.limit != Some(Limit::Startup) {
            self.limit = by_gauges(values).or(self.limit);
        }
        self.count(ts_ns);
        if let Some(since) = self.recovery_since.take() {
            self.recovery_ns += ts_ns.saturating_sub(since);
        }
    }

    /// Counts the time up to now for the limit in force.
    fn count(&mut self, ts_ns: u64) {
        let since = self.since_ns.replace(ts_ns.max(self.since_ns.unwrap_or(0)));
        if let (Some(since), Some(limit)) = (since, self.limit) {
            self.ns[limit as usize] += ts_ns.saturating_sub(since);
        }
    }

    /// Nanoseconds counted so far, by [`Limit`]; those up to [`Limits::counted_until`].
    pub const fn ns(&self) -> &[u64; Limit::ALL.len()] {
        &self.ns
    }

    /// Everything before this time is counted.
    pub const fn counted_until(&self) -> Option<u64> {
        self.since_ns
    }

    /// Whether so long a life is counted, to a hundredth or the kernel's millisecond: the first words
    /// of a limit come somewhat after ESTABLISHED.
    pub fn covers(&self, life_ns: u64) -> bool {
        let total: u64 = self.ns.iter().sum();
        let missing = life_ns.saturating_sub(total);
        missing <= RESOLUTION_NS || missing <= life_ns / 100
    }

    /// The share of the counted time; none if nothing was, or if the log cannot tell.
    pub fn share(&self, limit: Limit, known: &impl Fn(Var) -> bool) -> Option<f64> {
        let total: u64 = self.ns.iter().sum();
        let tells = match (self.basis, limit) {
            (_, Limit::Startup) => true,
            // Without the queue, "sender" cannot be taken apart.
            (Basis::Limstate, Limit::Application | Limit::Sender) => known(Var::CurAppWQueue),
            (Basis::Limstate, Limit::Congestion | Limit::Receiver | Limit::Pacing) => true,
            (Basis::Gauges, Limit::Pacing) => false,
            (
                Basis::Gauges,
                Limit::Application | Limit::Sender | Limit::Congestion | Limit::Receiver,
            ) => GAUGES.iter().all(|&var| known(var)),
        };
        // A connection that never sent has decided nothing but its startup.
        (total > 0 && tells).then(|| self.ns[limit as usize] as f64 / total as f64)
    }

    /// The limit with the largest share, of those that the log can tell.
    pub fn largest(&self, known: &impl Fn(Var) -> bool) -> Option<Limit> {
        // With only the handshake known, nothing is the largest.
        self.share(Limit::Congestion, known)?;
        let mut best = None;
        for limit in Limit::ALL {
            let share = self.share(limit, known);
            if share.is_some() && best.is_none_or(|(_, most)| share > most) {
                best = Some((limit, share));
            }
        }
        best.map(|(limit, _)| limit)
    }

    /// Stays in recovery so far.
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

/// What decides without Limstate.
pub const GAUGES: [Var; 6] = [
    Var::CurAppWQueue,
    Var::PipeSize,
    Var::CurCwnd,
    Var::CurRetxQueue,
    Var::CurRwinRcvd,
    Var::CurMSS,
];

/// The tests of tcp_write_xmit(), in its order, as far as the gauges can repeat them.
fn by_gauges(values: &impl Fn(Var) -> Option<u64>) -> Option<Limit> {
    let [queue, pipe, cwnd, unacknowledged, window, mss] = GAUGES.map(values);
    let (queue, pipe, cwnd) = (queue?, pipe?, cwnd?);
    let (unacknowledged, window, mss) = (unacknowledged?, window?, mss?);
    Some(if queue == 0 {
        Limit::Application
    } else if pipe >= cwnd {
        Limit::Congestion
    } else if unacknowledged + queue.min(mss) > window {
        Limit::Receiver
    } else {
        Limit::Sender
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn record(ms: u64) -> Record {
        Record { ts_ns: ms * MS, received: false, sent: false, queue_read: false, slow_read: false }
    }

    fn milliseconds(limits: &Limits) -> [u64; 6] {
        limits.ns().map(|ns| ns / MS)
    }

    fn with(state: u64, queue: u64) -> impl Fn(Var) -> Option<u64> {
        move |var| match var {
            Var::Limstate => Some(state),
            Var::CurAppWQueue => Some(queue),
            _ => None,
        }
    }

    #[test]
    fn a_stretch_of_the_sender_is_decided_by_the_first_reading_of_the_queue_in_it() {
        let mut limits = Limits::new(Basis::Limstate);
        limits.begin(0);
        limits.establish(10 * MS);
        limits.record(&record(10), &with(1, 500));
        // The loop that emptied the queue says "sender"; the queue as last read is not empty.
        limits.record(&record(30), &with(0, 500));
        limits.record(&Record { queue_read: true, ..record(50) }, &with(0, 0));
        // Written, and held back: from its reading on.
        limits.record(&Record { queue_read: true, ..record(90) }, &with(0, 7));
        limits.end(95 * MS, &with(0, 7));
        assert_eq!(milliseconds(&limits), [10, 60, 5, 20, 0, 0]);
        let all = |_| true;
        assert_eq!(limits.share(Limit::Application, &all), Some(60.0 / 95.0));
        assert_eq!(limits.largest(&all), Some(Limit::Application));
        assert_eq!(limits.share(Limit::Application, &|_| false), None);
    }

    #[test]
    fn what_is_written_and_sent_at_once_does_not_wait() {
        let mut limits = Limits::new(Basis::Limstate);
        let read = |ms| Record { queue_read: true, ..record(ms) };
        let sent = |ms| Record { sent: true, ..record(ms) };
        limits.record(&read(10), &with(0, 0));
        // Written, and sent within the millisecond; the next reading is that of the ACK.
        limits.record(&read(30), &with(0, 500));
        limits.record(&sent(31), &with(0, 500));
        limits.record(&read(50), &with(0, 0));
        // The same, read only while it is sent.
        limits.record(&Record { queue_read: true, ..sent(60) }, &with(0, 9));
        limits.record(&Record { queue_read: true, ..sent(61) }, &with(0, 8));
        limits.record(&read(80), &with(0, 0));
        limits.end(90 * MS, &with(0, 0));
        assert_eq!(milliseconds(&limits), [0, 79, 1, 0, 0, 0]);
    }

    #[test]
    fn a_stretch_without_a_reading_is_as_the_queue_was() {
        let mut limits = Limits::new(Basis::Limstate);
        limits.record(&record(10), &with(0, 500));
        limits.record(&record(30), &with(5, 500));
        limits.record(&record(40), &with(2, 500));
        limits.record(&record(45), &with(4, 500));
        limits.end(50 * MS, &with(4, 500));
        assert_eq!(milliseconds(&limits), [0, 0, 25, 0, 5, 10]);
        // What was before the first value is not known, and no part of the whole.
        assert_eq!(limits.share(Limit::Sender, &|_| true), Some(25.0 / 40.0));
        assert_eq!(limits.counted_until(), Some(50 * MS));
    }

    fn gauges(queue: u64, pipe: u64, unacknowledged: u64) -> impl Fn(Var) -> Option<u64> {
        move |var| match var {
            Var::CurAppWQueue => Some(queue),
            Var::PipeSize => Some(pipe),
            Var::CurCwnd => Some(10_000),
            Var::CurRetxQueue => Some(unacknowledged),
            Var::CurRwinRcvd => Some(60_000),
            Var::CurMSS => Some(1_000),
            _ => None,
        }
    }

    #[test]
    fn without_limstate_a_received_segment_tells_of_the_time_before_it() {
        let mut limits = Limits::new(Basis::Gauges);
        limits.begin(0);
        limits.establish(10 * MS);
        let received = |ms| Record { received: true, slow_read: true, ..record(ms) };
        // Idle until the first write at 40 ms; then the window is full until the ACK at 60.
        limits.record(&record(40), &gauges(5_000, 1_000, 1_000));
        limits.record(&received(60), &gauges(5_000, 10_000, 10_000));
        limits.record(&received(80), &gauges(5_000, 9_000, 59_500));
        limits.record(&received(83), &gauges(5_000, 9_000, 9_000));
        limits.end(90 * MS, &gauges(0, 0, 0));
        assert_eq!(milliseconds(&limits), [10, 37, 3, 20, 20, 0]);
        assert_eq!(limits.share(Limit::Pacing, &|_| true), None);
    }

    #[test]
    fn recoveries_are_counted_and_timed() {
        let mut limits = Limits::new(Basis::Limstate);
        let state = |code| move |var| (var == Var::InRecovery).then_some(code);
        for (ms, code) in [(1, 1), (5, 3), (7, 3), (9, 2), (20, 3)] {
            limits.record(&record(ms), &state(code));
        }
        limits.end(21 * MS, &state(3));
        assert_eq!((limits.recoveries(), limits.recovery_ns()), (2, 5 * MS));
        // Nothing said what limited it.
        assert_eq!(limits.share(Limit::Congestion, &|_| true), None);
    }
}
