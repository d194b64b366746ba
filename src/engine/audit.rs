// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The self-audit: the values that replay computes from the stream, compared with the kernel's values of
//! the same connection at the same instant.
//!
//! A recording holds a snapshot of each connection's `struct tcp_info` fields beside the last record
//! of its variables, made by the same program at the same moment, so gauges are compared as exactly
//! as counters. The comparisons are relations of the schema ([`TcpInfo`]), those in [`checks`], where
//! packets were recorded at sockets too those in [`witness`], and nothing else.

mod auditor;
pub(crate) mod checks;
pub(crate) mod witness;

use std::fmt;

use serde::{Serialize, Serializer};

pub use auditor::{AuditCounts, Auditor};

use crate::schema::{SocketField, TcpInfo, Var};

/// The kernel's values: fields of `struct tcp_info` in its units; `None` where this kernel has no such
/// field.
pub type Kernel<'a> = &'a dyn Fn(SocketField) -> Option<u64>;

/// The replayed values, raw (codes of enumerations), `None` where NULL.
pub type Replayed<'a> = &'a dyn Fn(Var) -> Option<u64>;

/// How true a variable is in this recording, by the manifest's word.
pub type Qualities<'a> = &'a dyn Fn(Var) -> &'a str;

/// The result of one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The two are the same.
    Equal,
    /// Within the bound that the relation states.
    Bounded,
    /// Neither the same nor within the bound: one of the two values is wrong.
    Differs,
    /// The two cannot be compared, for the reason given.
    NotComparable,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: &'static [Self] =
        &[Self::Equal, Self::Bounded, Self::Differs, Self::NotComparable];

    /// The word in tables/audit.parquet.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Bounded => "bounded",
            Self::Differs => "differs",
            Self::NotComparable => "not comparable",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One comparison of one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The variable, or the first of several.
    #[serde(serialize_with = "by_name")]
    pub var: Var,
    /// What was compared, in the terms of the tables: `SegsOut = tcpi_segs_out`.
    pub relation: String,
    /// The left side.
    pub replayed: Option<i64>,
    /// The right side.
    pub kernel: Option<i64>,
    /// The value from packets, if all of the connection's packets were recorded at its socket.
    pub packets: Option<i64>,
    /// The result.
    pub verdict: Verdict,
    /// Why it is not comparable; empty otherwise.
    pub reason: &'static str,
}

/// The excess of the kernel's value where it counts segments that the host refused to send.
const REFUSED: &str = "refused";

impl Comparison {
    /// How much of the kernel's value was refused, where the relation allows for that.
    fn refused(&self) -> u64 {
        match (self.replayed, self.kernel) {
            (Some(replayed), Some(kernel)) if self.relation.ends_with(REFUSED) => {
                u64::try_from(kernel - replayed).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

fn by_name<S: Serializer>(var: &Var, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(var.name())
}

/// Facts of a row that limit its comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The connection was seen from its beginning: events could be counted.
    pub from_the_beginning: bool,
    /// It reached ESTABLISHED, from which on extremes are followed.
    pub established: bool,
    /// Records may be missing: counters of events are lower bounds.
    pub lossy: bool,
}

/// The relation between the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Left = right.
    Equal,
    /// Left = right, less what the host refused.
    Taken,
    /// Left <= right.
    AtMost,
    /// Left >= right.
    AtLeast,
}

impl Bound {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal | Self::Taken => "=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }

    const fn holds(self, left: i128, right: i128) -> bool {
        match self {
            Self::Equal => left == right,
            Self::AtMost | Self::Taken => left <= right,
            Self::AtLeast => left >= right,
        }
    }
}

/// One of the relations that every connection is compared by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationDef {
    /// Variables that it takes; the first is the one it speaks of.
    pub vars: Vec<Var>,
    /// The relation, in the terms of the tables.
    pub relation: String,
    /// It counts events of the whole life: not of connections begun before the recording, nor where
    /// records were lost.
    pub events: bool,
    /// It takes an extreme that is followed from ESTABLISHED on.
    pub extreme: bool,
}

/// All relations, in the order in which [`audit`] gives them.
pub fn relations() -> Vec<RelationDef> {
    let equalities = Var::ALL.iter().filter_map(|&var| {
        let relation = equality(var)?;
        Some(RelationDef { vars: vec![var], relation, events: false, extreme: false })
    });
    let checks = checks::CHECKS.iter().map(|check| RelationDef {
        vars: check.vars.to_vec(),
        relation: check.text(),
        events: check.events,
        extreme: check.extreme,
    });
    equalities.chain(checks).collect()
}

/// The variables that some relation takes, in the order of the specification.
pub fn variables() -> Vec<Var> {
    let relations = relations();
    let taken = |var: &Var| relations.iter().any(|r| r.vars.contains(var));
    Var::ALL.iter().copied().filter(taken).collect()
}

/// The schema's equality with a field, in words.
fn equality(var: Var) -> Option<String> {
    let field = match var.def().tcp_info {
        TcpInfo::None | TcpInfo::Related(_) => return None,
        TcpInfo::Equal(field) => field.to_string(),
        TcpInfo::EqualLow32(field) => format!("{field} modulo 2^32"),
        TcpInfo::Product(a, b) => format!("{a} x {b}"),
        TcpInfo::EqualIfTaken(field) => format!("{field} - {REFUSED}"),
    };
    Some(format!("{} = {field}", var.name()))
}

/// Compares everything of one connection.
pub fn audit(
    row: Replayed<'_>,
    kernel: Kernel<'_>,
    quality: Qualities<'_>,
    scope: Scope,
) -> Vec<Comparison> {
    let mut out: Vec<Comparison> = Vec::new();
    for &var in Var::ALL {
        let Some(relation) = equality(var) else { continue };
        let right = match var.def().tcp_info {
            TcpInfo::None | TcpInfo::Related(_) => None,
            TcpInfo::Equal(field) => kernel(field),
            TcpInfo::EqualLow32(field) => kernel(field).map(|v| v & 0xffff_ffff),
            TcpInfo::Product(a, b) => product(kernel, a, b),
            TcpInfo::EqualIfTaken(field) => kernel(field),
        };
        let bound = match var.def().tcp_info {
            TcpInfo::EqualIfTaken(_) => Bound::Taken,
            TcpInfo::None
            | TcpInfo::Related(_)
            | TcpInfo::Equal(_)
            | TcpInfo::EqualLow32(_)
            | TcpInfo::Product(..) => Bound::Equal,
        };
        let sides = (row(var).map(i128::from), right.map(i128::from));
        out.push(judge(var, relation, bound, sides, limit(&[var], quality, scope, false)));
    }
    for check in checks::CHECKS {
        let sides = (check.left.value(row, kernel), check.right.value(row, kernel));
        let relation = check.text();
        let why = if check.extreme && !scope.established {
            Some("never established")
        } else {
            limit(check.vars, quality, scope, check.events)
        };
        out.push(judge(check.vars[0], relation, check.bound, sides, why));
    }
    out
}

/// A threshold that was never set is not that many segments; octets saturate at 32 bits.
fn product(kernel: Kernel<'_>, a: SocketField, b: SocketField) -> Option<u64> {
    let segments = kernel(a)?;
    if a == SocketField::tcpi_snd_ssthresh && a.is_unset(segments) {
        return Some(0xffff_ffff);
    }
    Some(segments.saturating_mul(kernel(b)?).min(0xffff_ffff))
}

/// Why nothing can be concluded from this row's values of these variables, if so.
fn limit(vars: &[Var], quality: Qualities<'_>, scope: Scope, events: bool) -> Option<&'static str> {
    if events && !scope.from_the_beginning {
        return Some("the connection began before the recording");
    }
    if events && scope.lossy {
        return Some("records of that time were lost");
    }
    // A sampled value is the kernel's own, read at the same instant as the snapshot.
    let estimate = vars.iter().any(|var| quality(*var) == "approximate");
    estimate.then_some("an estimate with these hooks")
}

fn judge(
    var: Var,
    relation: String,
    bound: Bound,
    (left, right): (Option<i128>, Option<i128>),
    why: Option<&'static str>,
) -> Comparison {
    let (verdict, reason) = match (left, right, why) {
        (_, _, Some(why)) => (Verdict::NotComparable, why),
        (None, _, None) => (Verdict::NotComparable, "not recorded"),
        (_, None, None) => (Verdict::NotComparable, "this kernel's tcp_info does not have it"),
        (Some(l), Some(r), None) if !bound.holds(l, r) => (Verdict::Differs, ""),
        (Some(l), Some(r), None) if bound == Bound::Equal || (bound == Bound::Taken && l == r) => {
            (Verdict::Equal, "")
        }
        (Some(_), Some(_), None) => (Verdict::Bounded, ""),
    };
    let cell = |side: Option<i128>| side.and_then(|v| i64::try_from(v).ok());
    Comparison {
        var,
        relation,
        replayed: cell(left),
        kernel: cell(right),
        packets: None,
        verdict,
        reason,
    }
}

#[cfg(test)]
mod tests;
