// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The values of a connection that are compared: those that describe how it went, not its identity.

use crate::engine::limits::LimitCause;
use crate::schema::{Apply, Kind, Type, Var};
use crate::views::report::Connection;
use crate::views::summary::Line;

/// The value of a minimum or a threshold before there is one.
const NONE: u64 = 0xffff_ffff;

/// A number of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// The variable, or the figure.
    pub name: &'static str,
    /// Unit.
    pub unit: &'static str,
    source: QuantitySource,
}

#[derive(Clone, Copy, Debug)]
enum QuantitySource {
    Var(Var),
    Line(fn(&Line) -> Option<f64>),
    Share(LimitCause),
}

impl Quantity {
    /// A figure that a person asks for, and no variable.
    pub const fn is_figure(&self) -> bool {
        !matches!(self.source, QuantitySource::Var(_))
    }

    /// A smaller difference is not worth a person's time, whatever it is a part of: a hundredth of a
    /// connection's life, or of its octets.
    pub fn least(&self) -> f64 {
        if self.unit == "share" { 0.01 } else { 0.0 }
    }

    /// The value; none if it is not known.
    pub fn of(&self, connection: &Connection) -> Option<f64> {
        match self.source {
            QuantitySource::Line(of) => of(&connection.line),
            QuantitySource::Share(limit) => connection.line.why.limited[limit as usize],
            QuantitySource::Var(var) => {
                let value = connection.row.get(var)?;
                let ty = var.def().ty;
                // No 32-bit variable reaches that value as a real count.
                let none = ty == Type::U32 && value == NONE;
                if ty == Type::I32 {
                    Some(f64::from(value as i32))
                } else {
                    (!none).then_some(value as f64)
                }
            }
        }
    }
}

/// All of them, those first that a person asks for first.
pub fn quantities() -> impl Iterator<Item = Quantity> {
    let line = |name, unit, of| Quantity { name, unit, source: QuantitySource::Line(of) };
    let first = [
        line("rate", "bit/s", Line::rate),
        line("throughput", "bit/s", Line::throughput),
        line("duration_s", "s", |l| l.duration_s),
        line("retransmitted_share", "share", |l| l.why.retransmitted_share),
        line("recoveries", "episodes", |l| l.why.recoveries.map(|n| n as f64)),
        line("recovery_share", "share", |l| l.why.recovery_share),
        line("rtt_inflation", "ratio", |l| l.why.rtt_inflation),
        line("busy_share", "share", |l| l.why.busy_share),
    ];
    let shares = LimitCause::ALL.into_iter().map(|limit| Quantity {
        name: limit.column(),
        unit: "share",
        source: QuantitySource::Share(limit),
    });
    let variables = Var::ALL.iter().filter(|var| is_compared(**var)).map(|&var| Quantity {
        name: var.name(),
        unit: var.def().unit,
        source: QuantitySource::Var(var),
    });
    first.into_iter().chain(shares).chain(variables)
}

/// Numbers that would be another of themselves in any two runs (ports, sequence numbers, times), and
/// those that only repeat another, are left out.
fn is_compared(var: Var) -> bool {
    let def = var.def();
    let number = match def.ty {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::I32 => true,
        Type::Truth | Type::Enum(_) | Type::Address | Type::MonotonicNs | Type::WallUs => false,
    };
    let own = match def.apply {
        Apply::Stream(_) => true,
        Apply::Derived(rule) => rule.def().own,
    };
    number && own && def.kind != Kind::Identity && def.unit != "sequence"
}

/// A word of a connection.
type OfLine = fn(&Line) -> Option<&str>;

/// Texts that describe how a connection went.
pub(super) fn words() -> impl Iterator<Item = (&'static str, OfLine)> {
    let all: [(_, OfLine); 5] = [
        ("congestion_control", |l| l.congestion_control.as_deref()),
        ("limited_by", |l| l.why.limited_by),
        ("limits_basis", |l| l.why.limits_basis.as_deref()),
        ("close_reason", |l| l.close_reason.as_deref()),
        ("completeness", |l| l.completeness.as_deref()),
    ];
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_columns_are_not_compared() {
        let names: Vec<_> = quantities().map(|q| q.name).collect();
        for name in ["SegsRetrans", "CurCwnd", "HCDataOctetsOut", "SndLimTimeCwnd", "MinRTT"] {
            assert!(names.contains(&name), "{name}");
        }
        for name in ["RemPort", "SndUna", "SndInitial", "StartTs", "DataOctetsOut", "State"] {
            assert!(!names.contains(&name), "{name}");
        }
    }
}
