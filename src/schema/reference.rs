// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How the value of a Web10G kernel (KIS 0.13, Linux 5.4) relates to ours: the same quantity read
//! from another implementation, whose units, instants and faults are known.

use super::{INFINITE_SSTHRESH, Var};

/// How the value that a Web10G kernel reports relates to ours, and why it does not simply equal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By definition: equal, or equal in another unit.
    Is(Relation),
    /// Both are right, but defined or read differently. This is the largest difference.
    Bounded {
        /// The relation that must still hold.
        relation: Relation,
        /// Why they may differ.
        why: &'static str,
    },
    /// The reference is wrong, and how is known.
    Fault {
        /// Name of the fault, the same for every variable that suffers from it.
        name: &'static str,
        /// The relation of its value to ours.
        relation: Relation,
    },
    /// Nothing follows from its value, or it has none.
    NotComparable(&'static str),
    /// The first case that applies.
    Cases(&'static [Case]),
}

/// A relation under conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// All must hold; none: always.
    pub when: &'static [When],
    /// The relation then.
    pub then: Reference,
}

/// A condition. One on a value that is not known does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Our variable has this value.
    Value(Var, i64),
    /// The reference has our value of the variable. Only where nothing but the same history gives the
    /// same value: two counts of different things agree by chance.
    Agrees(Var),
    /// The reference has this much more than our value of the variable.
    More(Var, i64),
    /// By our own record we reset the connection, or it was taken down here.
    ResetByUs,
}

/// A relation between the value of the reference, R, and ours, O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// R and O are not the variable's values but this combination of variables (factor, variable)
    /// on both sides; empty: the variable alone.
    pub of: &'static [(i64, Var)],
    /// The number of low bits of R and O that are related; 64: all.
    pub bits: u32,
    /// How.
    pub how: How,
}

/// How R follows from O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// R is O.
    Same,
    /// R is O in whole milliseconds, O in microseconds; 2^32 - 1 stays what it is.
    FlooredToMs,
    /// R is a sum of whole milliseconds, each floored; `sum` is ours in microseconds, of `count`
    /// terms.
    SumOfFloors {
        /// Our sum.
        sum: Var,
        /// How many terms it has.
        count: Var,
    },
    /// R is this combination of our values.
    Is(Linear),
    /// R - O lies between these, ends included.
    Between {
        /// The smallest difference, if there is one.
        least: Option<Linear>,
        /// The largest.
        most: Option<Linear>,
    },
    /// R is `jiffies_to_usecs(x) >> 3`, where x is already in microseconds, times 8: O is `x >> 3`.
    MicrosecondsAsJiffies,
    /// R itself, not its difference to O, lies between these, ends included.
    Within {
        /// The smallest value, if there is one.
        least: Option<Linear>,
        /// The largest.
        most: Option<Linear>,
    },
    /// R is O, or this.
    SameOr(i64),
    /// R is a sum of as many terms as the reference counts in `count`, each between these, ends
    /// included; all terms are in our unit, of which R's has `unit`.
    SumOfTerms {
        /// How many terms: the reference's value of this variable.
        count: Var,
        /// The number of our units in one unit of the reference, to which each term is rounded down.
        unit: i64,
        /// The smallest term.
        least: Linear,
        /// The largest.
        most: Linear,
    },
    /// R is the sum of a quantity over the congestion signals that the reference counts if there are no
    /// marks and no stalls. These are all timeouts, and the recoveries that an ACK began, whose number
    /// is its FastRetran.
    SumOverSignals(Signal),
    /// R, a time in microseconds, is not before the last segment of the peer that the log has, but for
    /// this many microseconds.
    NotBeforeReceived(i64),
    /// R, a time in microseconds, is not after the reading of the reference, but for this many
    /// microseconds.
    BeforeReading(i64),
    /// All of these hold.
    All(&'static [Relation]),
}

/// The quantity that is added up at each congestion signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The congestion window, in octets.
    Window,
    /// The last round-trip sample, in whole milliseconds there.
    RoundTrip,
}

/// A constant and multiples of our values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// The constant.
    pub constant: i64,
    /// Factor and variable.
    pub of: &'static [(i64, Var)],
}

impl Linear {
    /// A constant.
    pub const fn constant(constant: i64) -> Self {
        Self { constant, of: &[] }
    }

    /// Multiples of our values.
    pub const fn of(of: &'static [(i64, Var)]) -> Self {
        Self { constant: 0, of }
    }

    /// A constant and multiples of our values.
    pub const fn new(constant: i64, of: &'static [(i64, Var)]) -> Self {
        Self { constant, of }
    }
}

impl Relation {
    const fn new(how: How) -> Self {
        Self { of: &[], bits: 64, how }
    }

    /// R is O.
    pub const SAME: Self = Self::new(How::Same);
    /// R is O in whole milliseconds.
    pub const FLOORED_TO_MS: Self = Self::new(How::FlooredToMs);
    /// R is O, taken for jiffies.
    pub const MICROSECONDS_AS_JIFFIES: Self = Self::new(How::MicrosecondsAsJiffies);
    /// R is not larger than O.
    pub const NOT_MORE: Self = Self::at_most(Linear::constant(0));
    /// R is not smaller than O.
    pub const NOT_LESS: Self = Self::at_least(Linear::constant(0));

    /// R is a combination of our values.
    pub const fn is(linear: Linear) -> Self {
        Self::new(How::Is(linear))
    }

    /// R is always this.
    pub const fn always(value: i64) -> Self {
        Self::is(Linear::constant(value))
    }

    /// R - O lies between these.
    pub const fn between(least: Linear, most: Linear) -> Self {
        Self::new(How::Between { least: Some(least), most: Some(most) })
    }

    /// R - O is this or more.
    pub const fn at_least(least: Linear) -> Self {
        Self::new(How::Between { least: Some(least), most: None })
    }

    /// R - O is this or less.
    pub const fn at_most(most: Linear) -> Self {
        Self::new(How::Between { least: None, most: Some(most) })
    }

    /// R itself lies between these.
    pub const fn within(least: Linear, most: Linear) -> Self {
        Self::new(How::Within { least: Some(least), most: Some(most) })
    }

    /// R is O, or this.
    pub const fn same_or(other: i64) -> Self {
        Self::new(How::SameOr(other))
    }

    /// R is a sum of `count` terms, each between these bounds.
    pub const fn sum_of_terms(count: Var, unit: i64, least: Linear, most: Linear) -> Self {
        Self::new(How::SumOfTerms { count, unit, least, most })
    }

    /// R is a sum over the congestion signals that the reference counts.
    pub const fn sum_over_signals(signal: Signal) -> Self {
        Self::new(How::SumOverSignals(signal))
    }

    /// R is not before the last segment of the peer that the log has.
    pub const fn not_before_received(slack_us: i64) -> Self {
        Self::new(How::NotBeforeReceived(slack_us))
    }

    /// R is not after the reading of the reference.
    pub const fn before_reading(slack_us: i64) -> Self {
        Self::new(How::BeforeReading(slack_us))
    }

    /// All of these hold.
    pub const fn all(relations: &'static [Self]) -> Self {
        Self::new(How::All(relations))
    }

    /// R is a sum of whole milliseconds.
    pub const fn sum_of_floors(sum: Var, count: Var) -> Self {
        Self::new(How::SumOfFloors { sum, count })
    }

    /// The same for `bits` low bits: the others are missing in the reference, or have no meaning.
    pub const fn low(self, bits: u32) -> Self {
        Self { bits, ..self }
    }

    /// The same for a combination of variables.
    pub const fn together(self, of: &'static [(i64, Var)]) -> Self {
        Self { of, ..self }
    }
}

impl Reference {
    /// Equal.
    pub const SAME: Self = Self::Is(Relation::SAME);
    /// Equal modulo 2^32: the reference keeps 32 bits.
    pub const SAME_LOW32: Self = Self::Is(Relation::SAME.low(32));
    /// Microseconds here, whole milliseconds there.
    pub const FLOORED_TO_MS: Self = Self::Is(Relation::FLOORED_TO_MS);
    /// Not among the 124 variables that KIS 0.13 exports.
    pub const NOT_EXPORTED: Self = Self::NotComparable("Web10G KIS 0.13 does not export it");
    /// Addresses and ports.
    pub const MATCHED: Self = Self::NotComparable("connections are matched by it");

    /// Another value within bounds, and why.
    pub const fn bounded(relation: Relation, why: &'static str) -> Self {
        Self::Bounded { relation, why }
    }

    /// A fault and what it makes of the value.
    pub const fn fault(name: &'static str, relation: Relation) -> Self {
        Self::Fault { name, relation }
    }
}

/// The relation, under these conditions.
pub const fn when(when: &'static [When], then: Reference) -> Case {
    Case { when, then }
}

/// The relation in all cases that are left.
pub const fn otherwise(then: Reference) -> Case {
    Case { when: &[], then }
}

/// The active end: it went through SYN-SENT.
pub const ACTIVE: When = When::Value(Var::ActiveOpen, 1);
/// IPv6 addresses.
pub const IPV6: When = When::Value(Var::AddressType, 2);
/// The connection is over.
pub const CLOSED: When = When::Value(Var::State, 1);

/// Names of faults that more than one variable suffers from.
pub mod fault {
    /// `end_seq - seq` is taken for payload.
    pub const SYN_FIN_OCTETS: &str = "SYN and FIN are counted as one octet each";
    /// `tcp_estats_update_timeout` runs after `icsk_backoff` was raised and the state is Loss.
    pub const AFTER_BACKOFF: &str = "timeouts are classified after the back-off";
    /// Pacing stops keep the reason "sender".
    pub const NO_PACING: &str = "the pacing state is never entered";
    /// `tcp_enter_cwr` counts although the state is CWR already; RACK's timer and TLP are missed.
    pub const EVERY_ECE: &str = "every ECE ACK in CWR counts as a congestion signal, \
                                 recoveries by the RACK timer and by loss probes do not";
    /// `ip_hdr()` on an IPv6 header.
    pub const IPV4_LAYOUT: &str = "the IPv4 header's layout is read from IPv6 headers";
    /// The sample is taken when the state returns to Open.
    pub const AT_OPEN: &str = "the RTT after congestion is sampled at the return to Open";
    /// `tcp_estats_update_mss` runs from the creation of the row on.
    pub const EARLY_MSS: &str = "extremes of the MSS include values from before the handshake";
    /// `ofo_qlen` returns `first.seq - last.end_seq`.
    pub const REASSEMBLY: &str = "the length of the reassembly queue is subtracted wrong way round";
    /// `tcp_write_queue_purge` forgets `packets_out` alone.
    pub const NEGATIVE_FLIGHT: &str =
        "in an aborted connection less than nothing is in flight, and wraps";
    /// The infinite value is multiplied by the MSS.
    pub const INFINITE_TIMES_MSS: &str = "an unlimited window is multiplied by the MSS, and wraps";
    /// `tcp_disconnect()` clears the socket that the row is then read from.
    pub const CLEARED: &str =
        "cleared: the socket is read after AF_UNSPEC or SO_LINGER 0 cleared it";
}

/// Why an extreme that the reference follows at fewer moments lies inside ours.
pub const AFTER_RECEIVING: &str = "the reference looks after received segments only";

/// Nothing moved the congestion window between received segments, nor back and forth while one was
/// processed: no timeout, no refused transmission, no validation, no recovery that a timer began (which
/// FastRetran lacks there), and nothing taken back. What the reference sees after each segment is then what we see
/// before the next.
pub const WINDOW_MOVES_BY_ACKS: &[When] = &[
    When::Value(Var::Timeouts, 0),
    When::Value(Var::SubsequentTimeouts, 0),
    When::Value(Var::SendStall, 0),
    When::Value(Var::OtherReductions, 0),
    When::Value(Var::CongOverCount, 0),
    When::Value(Var::SpuriousFrDetected, 0),
    When::Value(Var::SpuriousRtoDetected, 0),
    When::Agrees(Var::FastRetran),
];

/// Every signal that we count is one that the reference counts: without marks and stalls it misses
/// only recoveries by timer, which FastRetran shows, and loss probes, which CongSignals then shows.
pub const SAME_SIGNALS: &[When] = &[
    When::Value(Var::ECNsignals, 0),
    When::Value(Var::SendStall, 0),
    When::Agrees(Var::FastRetran),
    When::Agrees(Var::CongSignals),
];
/// Without marks and stalls the reference counts timeouts and recoveries that an ACK began.
pub const NO_MARKS_NO_STALLS: &[When] =
    &[When::Value(Var::ECNsignals, 0), When::Value(Var::SendStall, 0)];
/// The signals that the reference counts beside timeouts (`tcp_estats_update_congestion`, KIS 0.13):
/// recoveries in tcp_fastretrans_alert, ECE ACKs in tcp_try_to_open, stalls in __tcp_transmit_skb.
pub const SIGNALS_BUT_TIMEOUTS: &[(i64, Var)] =
    &[(1, Var::CongSignals), (-1, Var::FastRetran), (-1, Var::ECNsignals), (-1, Var::SendStall)];
/// Signals that are not recoveries.
pub const SIGNALS_BUT_RECOVERIES: &[(i64, Var)] = &[(1, Var::CongSignals), (-1, Var::FastRetran)];

/// Largest payload that one skb can carry (GRO, GSO).
pub const MAX_SKB: i64 = 65_535;

/// Both clocks are read in the same kernel function, but an interrupt may come between. The largest
/// difference in microseconds, for each end of an interval.
const SKEW_US: i64 = 100;
/// That for both ends of an interval.
pub const INTERVAL_SKEW_US: i64 = 2 * SKEW_US;
/// How long a processor may stop between two readings of one moment, once in a connection. 4.2 ms was
/// the longest in testdata/web10g, whose processors are emulated.
pub const STALL_US: i64 = 10_000;
/// Two ends of an interval in jiffies at HZ 100, the slowest there is, and ticks that come late: up to
/// 28 ms in testdata/web10g, whose processors are emulated.
pub const JIFFIES_US: i64 = 50_000;
/// NTP slews the wall clock by up to 500 ppm, and the recorder samples it every second.
pub const CLOCK_US: i64 = 500;

/// The time of the last segment, in microseconds since the epoch: wherever the row begins.
pub const LAST: &[(i64, Var)] =
    &[(1, Var::StartTimeStamp), (1_000_000, Var::ElapsedSecs), (1, Var::ElapsedMicroSecs)];
/// The time of ESTABLISHED, in microseconds since the epoch: wherever the row begins.
pub const ESTABLISHED: &[(i64, Var)] = &[(1, Var::StartTimeStamp), (1, Var::SndLimTimeStartup)];
/// The relation of the last segment's time: the reference sees each segment received, and those sent
/// that are not pure ACKs.
pub const ELAPSED: Reference = Reference::bounded(
    Relation::all(
        const {
            &[
                Relation::at_most(Linear::constant(JIFFIES_US)).together(LAST),
                Relation::not_before_received(JIFFIES_US).together(LAST),
            ]
        },
    ),
    "jiffies (HZ 100 or more), and pure ACKs sent do not count there",
);
/// The values that `tcp_disconnect()` leaves in a socket of Linux 5.4, which the reference then reads.
pub const CLEARED: &[(Var, Relation)] = &[
    (Var::SmoothedRTT, Relation::always(0)),
    // TCP_TIMEOUT_INIT, one second.
    (Var::CurRTO, Relation::always(1_000)),
    // TCP_INIT_CWND; the segment size stays.
    (Var::CurCwnd, Relation::is(Linear::of(&[(10, Var::CurMSS)]))),
    (
        Var::CurSsthresh,
        Relation::is(Linear::of(&[(INFINITE_SSTHRESH as i64, Var::CurMSS)])).low(32),
    ),
    (Var::PipeSize, Relation::always(0)),
    // The received options: after that the kernel's values depend on the settings, as if an option was
    // not offered or not wanted.
    (Var::TimeStamps, Relation::within(Linear::constant(2), Linear::constant(3))),
    (Var::WillSendSACK, Relation::within(Linear::constant(2), Linear::constant(3))),
    (Var::WillUseSACK, Relation::within(Linear::constant(2), Linear::constant(3))),
    (Var::WinScaleSent, Relation::always(-1)),
    (Var::WinScaleRcvd, Relation::always(-1)),
    (Var::MSSRcvd, Relation::always(0)),
    (Var::LimMSS, Relation::always(0).low(16)),
    (Var::LimRwin, Relation::always(0)),
    (Var::InRecovery, Relation::always(2)),
    (
        Var::CurTimeoutCount,
        Relation::within(Linear::constant(0), Linear::of(&[(1, Var::CurTimeoutCount)])),
    ),
    (Var::ThruOctetsAcked, Relation::always(0)),
    (Var::HCThruOctetsAcked, Relation::always(0)),
    (Var::ThruOctetsReceived, Relation::always(0)),
    (Var::HCThruOctetsReceived, Relation::always(0)),
    (Var::DSACKDups, Relation::within(Linear::constant(0), Linear::of(&[(1, Var::DSACKDups)]))),
    (Var::CurReasmQueue, Relation::always(0)),
    (Var::CurAppRQueue, Relation::always(0)),
    // The next connection's first number is the largest window and 2 behind the last octet written.
    // tcp_sock.max_window has the window of the SYN too, which is not scaled.
    (
        Var::CurAppWQueue,
        Relation::between(
            Linear::new(2, &[(1, Var::MaxRwinRcvd)]),
            Linear::new(2 + 65_535, &[(1, Var::MaxRwinRcvd)]),
        )
        .low(32),
    ),
];
/// The part of these values that no socket with a connection has: they identify a cleared socket.
pub const CLEARED_FOR_CERTAIN: &[Var] = &[Var::SmoothedRTT, Var::LimMSS, Var::LimRwin];

/// Timeouts of both sorts.
pub const TIMEOUTS: &[(i64, Var)] = &[(1, Var::Timeouts), (1, Var::SubsequentTimeouts)];
