// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The rules by which derived variables follow from others: one stanza per rule, with everything about it
//! except how it runs. When and how a rule runs is one arm in `src/engine/estats/rules.rs`.

use core::fmt;

use super::{Basis, Gap, Var};

/// The inputs that must be known before the result of a rule is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it is always known.
    Nothing,
    /// The lifecycle records, which every recording has whatever the hooks gave.
    Lifecycle,
    /// One variable.
    One(Var),
    /// Both variables.
    Both(Var, Var),
    /// One variable, and a latency limit of the replay.
    Limit(Var),
}

impl Needs {
    /// The variables among them.
    pub fn vars(self) -> impl Iterator<Item = Var> {
        let vars = match self {
            Self::Nothing | Self::Lifecycle => [None, None],
            Self::One(of) | Self::Limit(of) => [Some(of), None],
            Self::Both(a, b) => [Some(a), Some(b)],
        };
        vars.into_iter().flatten()
    }
}

/// Everything about one rule except how it runs.
#[derive(Clone, Copy, Debug)]
pub struct RuleDef {
    /// The inputs that must be known before its result is known.
    pub needs: Needs,
    /// The value before anything happened; none if it is not known then.
    pub initial: Option<u64>,
    /// Since when it counts.
    pub basis: Basis,
    /// How it is affected when records are missing.
    pub gap: Gap,
    /// Whether it never falls during a connection; in sequence space, modulo 2^32.
    pub grows: bool,
    /// Whether it can differ from row to row of one connection.
    pub varies: bool,
    /// False if it only restates its source in other terms.
    pub own: bool,
    /// Replaying a set of this variable twice changes the result.
    pub each_set: Option<Var>,
}

/// Declares the rules: `enum Rule`, `Rule::def`, and each in words.
macro_rules! rules {
    ($( $(#[doc = $doc:literal])+ $name:ident $(( $($of:ident: $ty:ty),+ ))? $words:literal
        { $($field:ident: $value:expr),+ $(,)? } )+) => {
        /// How a derived variable follows from others. Replay implements each rule once.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rule { $( $(#[doc = $doc])+ $name $(( $($ty),+ ))?, )+ }

        impl Rule {
            /// Everything known about the rule.
            #[allow(unused_variables, reason = "not every fact takes every variable")]
            pub const fn def(self) -> RuleDef {
                match self { $( Self::$name $(( $($of),+ ))? => RuleDef { $($field: $value),+ }, )+ }
            }
        }

        /// In words, for the documents.
        impl fmt::Display for Rule {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $( Self::$name $(( $($of),+ ))? => write!(f, $words), )+ }
            }
        }
    };
}

#[rustfmt::skip]
mod list {
    use super::*;

rules! {
    /// The mechanism no longer exists, or the value cannot change: always this.
    Constant(value: u64) "always {value}" {
        needs: Needs::Nothing, initial: None, basis: Basis::Connection, gap: Gap::Whole,
        grows: false, varies: false, own: false, each_set: None,
    }
    /// Taken from the lifecycle record of the connection.
    Lifecycle "from the lifecycle record" {
        needs: Needs::Lifecycle, initial: None, basis: Basis::Connection, gap: Gap::Whole,
        grows: false, varies: false, own: false, each_set: None,
    }
    /// The other variable modulo 2^32.
    Low32(of: Var) "{of} modulo 2^32" {
        needs: Needs::One(of), initial: None, basis: of.basis(), gap: of.gap(),
        grows: of.grows(), varies: of.varies(), own: false, each_set: None,
    }
    /// Largest value set; a variable of the sent or received window, from ESTABLISHED on.
    MaxSinceEstablished(of: Var) "largest {of} in force since ESTABLISHED; NULL before" {
        needs: Needs::Both(of, Var::State), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Smallest value set from ESTABLISHED on.
    MinSinceEstablished(of: Var) "smallest {of} in force since ESTABLISHED; NULL before" {
        needs: Needs::Both(of, Var::State), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: false, varies: true, own: true, each_set: None,
    }
    /// Largest value set.
    MaxOf(of: Var) "largest {of}; NULL before the first" {
        needs: Needs::One(of), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Smallest value set.
    MinOf(of: Var) "smallest {of}; NULL before the first" {
        needs: Needs::One(of), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: false, varies: true, own: true, each_set: None,
    }
    /// Sum of the values set.
    SumOf(of: Var) "sum of all values of {of}" {
        needs: Needs::One(of), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: Some(of),
    }
    /// How often it was set.
    CountOf(of: Var) "how often {of} was set" {
        needs: Needs::One(of), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: Some(of),
    }
    /// Largest value of the second variable in records that set the first.
    MaxAt(at: Var, of: Var) "largest {of} at the records that set {at}; NULL before" {
        needs: Needs::Both(at, of), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: Some(at),
    }
    /// Smallest value of the second in records that set the first.
    MinAt(at: Var, of: Var) "smallest {of} at the records that set {at}; NULL before" {
        needs: Needs::Both(at, of), initial: None, basis: Basis::Recording, gap: Gap::Unknown,
        grows: false, varies: true, own: true, each_set: Some(at),
    }
    /// Changes from non-zero to zero from ESTABLISHED on; a zero in force there is one.
    ZeroTransitions(of: Var) "changes of {of} to 0 from ESTABLISHED on; a 0 in force at ESTABLISHED counts" {
        needs: Needs::Both(of, Var::State), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Largest value in sequence space, compared modulo 2^32.
    SerialMax(of: Var) "farthest {of} in sequence space, compared modulo 2^32" {
        needs: Needs::One(of), initial: None, basis: Basis::Now, gap: Gap::Whole,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Changes of the first variable to this value.
    TransitionsTo(of: Var, value: u64) "changes of {of} to {value}" {
        needs: Needs::One(of), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Microseconds during which the variable had this value.
    TimeIn(of: Var, value: u64) "microseconds during which {of} was {value}" {
        needs: Needs::One(of), initial: Some(0), basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// Microseconds from the beginning of the row to ESTABLISHED.
    TimeToEstablished "microseconds from the beginning to ESTABLISHED; NULL if either was not seen" {
        needs: Needs::One(Var::State), initial: None, basis: Basis::Connection, gap: Gap::Unknown,
        grows: false, varies: true, own: true, each_set: None,
    }
    /// Monotonic time at which the variable was last set.
    TimeOfLast(of: Var) "time at which {of} was last set" {
        needs: Needs::One(of), initial: None, basis: Basis::Now, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: Some(of),
    }
    /// At each step of the first variable, the value of the second is added.
    SumAt(at: Var, of: Var) "sum of {of} at each step of {at}" {
        needs: Needs::Both(at, of), initial: Some(0), basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: Some(at),
    }
    /// The first set of the second variable after each step of the first: sum of the values.
    FirstAfterSum(step: Var, of: Var) "sum of the first {of} after each step of {step}" {
        needs: Needs::Both(step, of), initial: Some(0), basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: Some(step),
    }
    /// How many first values of one variable after a step of the other there were.
    FirstAfterCount(step: Var, of: Var) "number of first values of {of} after a step of {step}" {
        needs: Needs::Both(step, of), initial: Some(0), basis: Basis::Recording, gap: Gap::Unknown,
        grows: true, varies: true, own: true, each_set: Some(step),
    }
    /// Sets not larger than the latency limit of the replay; not known without one.
    WithinLimit(of: Var) "values of {of} up to --latency-limit-us; NULL without a limit" {
        needs: Needs::Limit(of), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: Some(of),
    }
    /// Sets larger than the latency limit of the replay; not known without one.
    AboveLimit(of: Var) "values of {of} above --latency-limit-us; NULL without a limit" {
        needs: Needs::Limit(of), initial: Some(0), basis: Basis::Recording, gap: Gap::AtLeast,
        grows: true, varies: true, own: true, each_set: Some(of),
    }
    /// Monotonic time of the last segment sent or received that the log shows. The stream is thinned, and
    /// has the exact time once, at the end.
    LastSegment
        "time of the latest record of a segment, or the value of the stream if it is later" {
        needs: Needs::Nothing, initial: None, basis: Basis::Now, gap: Gap::Whole,
        grows: true, varies: true, own: true, each_set: None,
    }
    /// A monotonic time turned into wall-clock time by the clock samples of the ledger.
    WallClock(of: Var) "{of} in wall-clock time, by the ledger's clock samples" {
        needs: Needs::One(of), initial: None, basis: of.basis(), gap: of.gap(),
        grows: false, varies: of.varies(), own: false, each_set: None,
    }
    /// Whole seconds between two monotonic times.
    ElapsedSeconds(from: Var, to: Var) "whole seconds from {from} to {to}" {
        needs: Needs::Both(from, to), initial: None, basis: Basis::Recording, gap: Gap::Whole,
        grows: false, varies: true, own: false, each_set: None,
    }
    /// Microseconds of that interval beyond whole seconds.
    ElapsedMicroseconds(from: Var, to: Var) "microseconds from {from} to {to} beyond whole seconds" {
        needs: Needs::Both(from, to), initial: None, basis: Basis::Recording, gap: Gap::Whole,
        grows: false, varies: true, own: false, each_set: None,
    }
}
}

pub use list::Rule;
