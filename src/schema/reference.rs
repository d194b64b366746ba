//! How the value of a Web10G kernel (KIS 0.13, Linux 5.4) relates to ours: the same quantity read
//! from another implementation, whose units, instants and faults are known.

use super::Var;

/// How the value that a Web10G kernel reports relates to ours, and why it does not simply equal it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// By definition: equal, or equal in another unit.
    Is(Relation),
    /// Both are right, but defined or read differently; so far apart at most.
    Bounded {
        /// What holds all the same.
        relation: Relation,
        /// Why they may differ.
        why: &'static str,
    },
    /// The reference is wrong, and how is known.
    Fault {
        /// Name of the fault, the same for every variable that suffers from it.
        name: &'static str,
        /// What its value is in place of the right one.
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
    /// The reference has our value of the variable.
    Agrees(Var),
}

/// A relation between the value of the reference, R, and ours, O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// R and O are not the variable's values but this combination of variables (factor, variable)
    /// on both sides; empty: the variable alone.
    pub of: &'static [(i64, Var)],
    /// Only so many low bits of R and O are related; 64: all.
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
    /// Nothing follows: garbage, or another quantity.
    Unrelated,
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
    /// Nothing follows.
    pub const UNRELATED: Self = Self::new(How::Unrelated);
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

    /// R is a sum of whole milliseconds.
    pub const fn sum_of_floors(sum: Var, count: Var) -> Self {
        Self::new(How::SumOfFloors { sum, count })
    }

    /// The same for so many low bits: the reference has no more, or means no more.
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
}

/// A maximum that the reference follows at fewer moments.
pub const LOOKS_AFTER_RECEIVING: Reference =
    Reference::bounded(Relation::NOT_MORE, "the reference looks after received segments only");

/// Largest payload that one skb can carry (GRO, GSO).
pub const MAX_SKB: i64 = 65_535;

/// Both clocks are read in the same kernel function, but an interrupt may come between: so many
/// microseconds at most for each end of an interval.
const SKEW_US: i64 = 100;
/// That for both ends of an interval.
pub const INTERVAL_SKEW_US: i64 = 2 * SKEW_US;
/// Two ends of an interval in jiffies at HZ 100, the slowest there is, in microseconds.
pub const TWO_JIFFIES_US: Linear = Linear::constant(20_000);
/// NTP slews the wall clock by up to 500 ppm, and the recorder samples it every second.
pub const CLOCK_US: i64 = 500;

/// The time from the first to the last segment, in microseconds.
pub const ELAPSED: &[(i64, Var)] = &[(1_000_000, Var::ElapsedSecs), (1, Var::ElapsedMicroSecs)];
/// Timeouts of both sorts.
pub const TIMEOUTS: &[(i64, Var)] = &[(1, Var::Timeouts), (1, Var::SubsequentTimeouts)];
