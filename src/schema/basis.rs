// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Since when a variable counts, and what is left of it when records are missing.

use super::{Apply, Kind, Op, Rule, Type, Var};

/// Since when a value counts. For a connection that was seen from its beginning, all are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// Since the connection began: the kernel counts it, or it is the connection's identity.
    Connection,
    /// Since the connection was first seen: the recorder counts it.
    Recording,
    /// The value now in force.
    Now,
}

impl Basis {
    /// The word in the metadata of the columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Recording => "recording",
            Self::Now => "now",
        }
    }
}

/// How a value is affected when records of the connection are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Whole: the kernel keeps it, and the next reading has it again. If the last reading is lost, the
    /// value is that of the reading before.
    Whole,
    /// At least this much happened; nothing is known if nothing was seen.
    AtLeast,
    /// Not known: the missing record may have had the extreme, or the end of an interval.
    Unknown,
}

impl Var {
    /// Since when it counts.
    pub const fn basis(self) -> Basis {
        let def = self.def();
        match def.apply {
            // The value before the recording is taken from the kernel, see `Var::before`.
            Apply::Stream(_) if self.before().is_some() => Basis::Connection,
            Apply::Stream(ops) => match def.kind {
                Kind::Identity => Basis::Connection,
                Kind::Gauge => Basis::Now,
                Kind::Counter if matches!(ops, [Op::Set]) => Basis::Connection,
                Kind::Counter | Kind::Max | Kind::Min | Kind::Derived => Basis::Recording,
            },
            // A connection that was open before begins, for its row, when it is first seen.
            Apply::Derived(Rule::Lifecycle) if matches!(def.ty, Type::MonotonicNs) => {
                Basis::Recording
            }
            Apply::Derived(rule) => rule.def().basis,
        }
    }

    /// The counter of the kernel that has what came before the recording: octets received in order.
    /// What the peer had sent twice by then is not in it. While octets wait for others before them,
    /// how many were received is not known.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "few variables have such a counter; none is the safe answer"
    )]
    pub const fn before(self) -> Option<Self> {
        match self {
            Self::HCDataOctetsIn => Some(Self::HCThruOctetsReceived),
            _ => None,
        }
    }

    /// Whether it never falls during a connection; in sequence space, modulo 2^32.
    #[allow(clippy::wildcard_enum_match_arm, reason = "a new variable's kind answers")]
    pub const fn grows(self) -> bool {
        let def = self.def();
        match def.apply {
            Apply::Stream(_) => match self {
                Self::SndUna | Self::SndNxt | Self::RcvNxt => true,
                _ => matches!(def.kind, Kind::Counter | Kind::Max),
            },
            Apply::Derived(rule) => rule.def().grows,
        }
    }

    /// Whether it can differ from row to row of one connection.
    pub const fn varies(self) -> bool {
        match self.def().apply {
            Apply::Stream(_) => !matches!(self.def().kind, Kind::Identity),
            Apply::Derived(rule) => rule.def().varies,
        }
    }

    /// How it is affected when records are missing.
    pub const fn gap(self) -> Gap {
        let def = self.def();
        match def.apply {
            Apply::Stream(ops) => match def.kind {
                Kind::Identity | Kind::Gauge => Gap::Whole,
                Kind::Counter if matches!(ops, [Op::Set]) => Gap::Whole,
                Kind::Counter => Gap::AtLeast,
                Kind::Max | Kind::Min | Kind::Derived => Gap::Unknown,
            },
            Apply::Derived(rule) => rule.def().gap,
        }
    }
}
