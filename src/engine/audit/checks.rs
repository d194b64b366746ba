// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Relations that the schema has in words only: between several variables, between parts of fields,
//! and bounds.

use std::fmt;

use super::{Bound, Kernel, Replayed};
use crate::schema::{SocketField, SocketField as F, Var};

/// One relation.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Variables that it takes; the first is the one it speaks of.
    pub vars: &'static [Var],
    /// The relation that must hold between them.
    pub bound: Bound,
    /// Counts events of the whole life of the connection.
    pub events: bool,
    /// Takes an extreme that is followed from ESTABLISHED on.
    pub extreme: bool,
    /// The side of the table.
    pub left: RelationSide,
    /// The kernel's side, or the table's other one.
    pub right: RelationSide,
}

impl Check {
    /// The relation in the terms of the tables.
    pub fn text(&self) -> String {
        format!("{} {} {}", self.left, self.bound.symbol(), self.right)
    }
}

/// One side of a relation.
#[derive(Clone, Copy, Debug)]
pub enum RelationSide {
    /// The variable.
    Of(Var),
    /// The kernel's field.
    Field(SocketField),
    /// In words, and how it is computed; `None` where NULL. What the words call `tcpi_` is checked when
    /// this is compiled.
    Words(&'static str, Compute),
}

/// Computes one side.
pub type Compute = fn(Replayed<'_>, Kernel<'_>) -> Option<i128>;

impl RelationSide {
    /// Its value; `None` where NULL, and where this kernel has no such field.
    pub fn value(&self, row: Replayed<'_>, kernel: Kernel<'_>) -> Option<i128> {
        match *self {
            Self::Of(var) => n(row(var)),
            Self::Field(field) => n(kernel(field)),
            Self::Words(_, compute) => compute(row, kernel),
        }
    }

    /// Whether its variable, if it is one, is one of these.
    const fn is_among(&self, vars: &[Var]) -> bool {
        let Self::Of(var) = *self else { return true };
        let mut i = 0;
        while i < vars.len() {
            if vars[i] as usize == var as usize {
                return true;
            }
            i += 1;
        }
        false
    }

    const fn names_fields(&self) -> bool {
        match *self {
            Self::Of(_) | Self::Field(_) => true,
            Self::Words(text, _) => SocketField::are_named(text),
        }
    }
}

impl fmt::Display for RelationSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(var) => var.fmt(f),
            Self::Field(field) => field.fmt(f),
            Self::Words(text, _) => f.write_str(text),
        }
    }
}

/// TCPI_OPT_* of include/uapi/linux/tcp.h.
const TIMESTAMPS: u64 = 1;
const SACK: u64 = 2;
const WSCALE: u64 = 4;
const ECN: u64 = 8;

/// TcpEStatsNegotiated and TruthValue: enabled, true.
const ENABLED: u64 = 1;

fn n(value: Option<u64>) -> Option<i128> {
    value.map(i128::from)
}

/// Distance in sequence space.
fn span(row: Replayed<'_>, to: Var, from: Var) -> Option<i128> {
    Some(i128::from((row(to)? as u32).wrapping_sub(row(from)? as u32)))
}

fn enabled(row: Replayed<'_>, var: Var) -> Option<i128> {
    row(var).map(|code| i128::from(code == ENABLED))
}

fn option(kernel: Kernel<'_>, bit: u64) -> Option<i128> {
    kernel(F::tcpi_options).map(|bits| i128::from(bits & bit != 0))
}

/// A shift is negotiated with the option only.
fn shift(kernel: Kernel<'_>, field: F) -> Option<i128> {
    if kernel(F::tcpi_options)? & WSCALE == 0 {
        return None;
    }
    n(kernel(field))
}

fn timeouts(row: Replayed<'_>) -> Option<i128> {
    Some(i128::from(row(Var::Timeouts)?) + i128::from(row(Var::SubsequentTimeouts)?))
}

/// tcp_packets_in_flight(); tcp_write_queue_purge() forgets packets_out alone.
fn in_flight(kernel: Kernel<'_>) -> Option<i128> {
    let left = i128::from(kernel(F::tcpi_sacked)?) + i128::from(kernel(F::tcpi_lost)?);
    let out = i128::from(kernel(F::tcpi_unacked)?) + i128::from(kernel(F::tcpi_retrans)?);
    Some((out - left).max(0) * i128::from(kernel(F::tcpi_snd_mss)?))
}

/// Only of connections that took samples: extremes of nothing have no order.
fn sampled(row: Replayed<'_>, value: Option<i128>) -> Option<i128> {
    if row(Var::CountRTT)? == 0 { None } else { value }
}

const fn check(
    vars: &'static [Var],
    left: RelationSide,
    bound: Bound,
    right: RelationSide,
) -> Check {
    Check { vars, bound, events: false, extreme: false, left, right }
}

const fn events(
    vars: &'static [Var],
    left: RelationSide,
    bound: Bound,
    right: RelationSide,
) -> Check {
    Check { vars, bound, events: true, extreme: false, left, right }
}

const fn extreme(
    vars: &'static [Var],
    left: RelationSide,
    bound: Bound,
    right: RelationSide,
) -> Check {
    Check { vars, bound, events: false, extreme: true, left, right }
}

use Bound::{AtLeast, AtMost, Equal};
use RelationSide::{Field, Of, Words};

/// All of them.
pub const CHECKS: &[Check] = &[
    check(
        &[Var::PipeSize],
        Of(Var::PipeSize),
        Equal,
        Words("(unacked - sacked - lost + retrans) x snd_mss", |_, kernel| {
            in_flight(kernel).map(|octets| octets.min(0xffff_ffff))
        }),
    ),
    check(
        &[Var::CurRetxQueue, Var::SndNxt, Var::SndUna],
        Words("SndNxt - SndUna", |row, _| span(row, Var::SndNxt, Var::SndUna)),
        Equal,
        Of(Var::CurRetxQueue),
    ),
    check(
        &[Var::RcvNxt, Var::RecInitial],
        Words("RcvNxt - RecInitial", |row, _| span(row, Var::RcvNxt, Var::RecInitial)),
        Equal,
        Words("bytes_received modulo 2^32", |_, kernel| {
            n(kernel(F::tcpi_bytes_received).map(|v| v & 0xffff_ffff))
        }),
    ),
    // bytes_acked counts the SYN of an active open: it is acknowledged on the full socket.
    check(
        &[Var::SndUna, Var::SndInitial, Var::ActiveOpen],
        Words("SndUna - SndInitial + the SYN of an active open", |row, _| {
            let active = i128::from(row(Var::ActiveOpen)? == 1);
            Some((span(row, Var::SndUna, Var::SndInitial)? + active) & 0xffff_ffff)
        }),
        Equal,
        Words("bytes_acked modulo 2^32", |_, kernel| {
            n(kernel(F::tcpi_bytes_acked).map(|v| v & 0xffff_ffff))
        }),
    ),
    check(
        &[Var::TimeStamps],
        Words("TimeStamps", |row, _| enabled(row, Var::TimeStamps)),
        Equal,
        Words("TCPI_OPT_TIMESTAMPS", |_, kernel| option(kernel, TIMESTAMPS)),
    ),
    check(
        &[Var::WillSendSACK],
        Words("WillSendSACK", |row, _| enabled(row, Var::WillSendSACK)),
        Equal,
        Words("TCPI_OPT_SACK", |_, kernel| option(kernel, SACK)),
    ),
    check(
        &[Var::WillUseSACK],
        Words("WillUseSACK", |row, _| enabled(row, Var::WillUseSACK)),
        Equal,
        Words("TCPI_OPT_SACK", |_, kernel| option(kernel, SACK)),
    ),
    check(
        &[Var::ECN],
        Words("ECN", |row, _| enabled(row, Var::ECN)),
        Equal,
        Words("TCPI_OPT_ECN", |_, kernel| option(kernel, ECN)),
    ),
    check(
        &[Var::WinScaleRcvd],
        Of(Var::WinScaleRcvd),
        Equal,
        Words("tcpi_snd_wscale", |_, kernel| shift(kernel, F::tcpi_snd_wscale)),
    ),
    check(
        &[Var::WinScaleSent],
        Of(Var::WinScaleSent),
        Equal,
        Words("tcpi_rcv_wscale", |_, kernel| shift(kernel, F::tcpi_rcv_wscale)),
    ),
    // The kernel's advmss is without the room that timestamps take; the option is not.
    check(
        &[Var::MSSSent],
        Of(Var::MSSSent),
        Equal,
        Words("tcpi_advmss + 12 with timestamps", |_, kernel| {
            Some(n(kernel(F::tcpi_advmss))? + 12 * option(kernel, TIMESTAMPS)?)
        }),
    ),
    check(
        &[Var::InRecovery],
        Of(Var::InRecovery),
        Equal,
        Words("tcpi_ca_state as its code", |_, kernel| {
            Some(match kernel(F::tcpi_ca_state)? {
                0 | 2 => 1,
                1 => 2,
                _ => 3,
            })
        }),
    ),
    events(
        &[Var::Timeouts, Var::SubsequentTimeouts],
        Words("Timeouts + SubsequentTimeouts", |row, _| timeouts(row)),
        Equal,
        Words("tcpi_total_rto less those of a listener's SYN-ACK", |_, kernel| {
            n(kernel(F::tcpi_total_rto))
        }),
    ),
    // Segments there, skbs here: the same without GRO.
    events(&[Var::DupAcksOut], Of(Var::DupAcksOut), AtMost, Field(F::tcpi_rcv_ooopack)),
    extreme(&[Var::MaxRwinSent], Of(Var::MaxRwinSent), AtLeast, Field(F::tcpi_rcv_wnd)),
    extreme(&[Var::MaxRwinRcvd], Of(Var::MaxRwinRcvd), AtLeast, Field(F::tcpi_snd_wnd)),
    extreme(&[Var::MaxMSS], Of(Var::MaxMSS), AtLeast, Field(F::tcpi_snd_mss)),
    extreme(&[Var::MinMSS], Of(Var::MinMSS), AtMost, Field(F::tcpi_snd_mss)),
    check(&[Var::LimMSS], Of(Var::LimMSS), AtLeast, Field(F::tcpi_snd_mss)),
    check(
        &[Var::SumOctetsReordered],
        Of(Var::SumOctetsReordered),
        AtMost,
        Field(F::tcpi_bytes_acked),
    ),
    check(&[Var::CERcvd], Of(Var::CERcvd), AtMost, Field(F::tcpi_received_ce)),
    events(
        &[Var::HCDataOctetsIn],
        Of(Var::HCDataOctetsIn),
        AtLeast,
        Words("tcpi_bytes_received less the FIN", |_, kernel| {
            Some(n(kernel(F::tcpi_bytes_received))? - 1)
        }),
    ),
    extreme(&[Var::MaxAppWQueue], Of(Var::MaxAppWQueue), AtLeast, Field(F::tcpi_notsent_bytes)),
    extreme(
        &[Var::MaxRetxQueue, Var::CurRetxQueue],
        Of(Var::MaxRetxQueue),
        AtLeast,
        Of(Var::CurRetxQueue),
    ),
    extreme(&[Var::MaxPipeSize, Var::PipeSize], Of(Var::MaxPipeSize), AtLeast, Of(Var::PipeSize)),
    check(&[Var::ECESent, Var::CERcvd], Of(Var::ECESent), AtMost, Of(Var::CERcvd)),
    check(
        &[Var::DupAckEpisodes, Var::DupAcksOut],
        Of(Var::DupAckEpisodes),
        AtMost,
        Of(Var::DupAcksOut),
    ),
    check(
        &[Var::AbruptTimeouts, Var::Timeouts, Var::SubsequentTimeouts],
        Of(Var::AbruptTimeouts),
        AtMost,
        Words("all timeouts", |row, _| timeouts(row)),
    ),
    check(
        &[Var::PostCongCountRTT, Var::CongSignals],
        Of(Var::PostCongCountRTT),
        AtMost,
        Of(Var::CongSignals),
    ),
    check(
        &[Var::CongSignals, Var::Timeouts, Var::SubsequentTimeouts, Var::FastRetran],
        Of(Var::CongSignals),
        AtLeast,
        Words("timeouts and recoveries", |row, _| Some(timeouts(row)? + n(row(Var::FastRetran))?)),
    ),
    check(
        &[Var::SACKBlocksRcvd, Var::SACKsRcvd],
        Of(Var::SACKBlocksRcvd),
        AtLeast,
        Of(Var::SACKsRcvd),
    ),
    check(
        &[Var::MaxRTO, Var::MinRTO],
        Words("MaxRTO", |row, _| sampled(row, n(row(Var::MaxRTO)))),
        AtLeast,
        Of(Var::MinRTO),
    ),
    check(
        &[Var::MaxRTT, Var::MinRTT],
        Words("MaxRTT", |row, _| sampled(row, n(row(Var::MaxRTT)))),
        AtLeast,
        Of(Var::MinRTT),
    ),
    check(
        &[Var::HCSumRTT, Var::CountRTT, Var::MinRTT],
        Words("HCSumRTT", |row, _| sampled(row, n(row(Var::HCSumRTT)))),
        AtLeast,
        Words("CountRTT x MinRTT", |row, _| Some(n(row(Var::CountRTT))? * n(row(Var::MinRTT))?)),
    ),
    check(
        &[Var::HCSumRTT, Var::CountRTT, Var::MaxRTT],
        Words("HCSumRTT", |row, _| sampled(row, n(row(Var::HCSumRTT)))),
        AtMost,
        Words("CountRTT x MaxRTT", |row, _| Some(n(row(Var::CountRTT))? * n(row(Var::MaxRTT))?)),
    ),
];

const _: () = {
    let mut i = 0;
    while i < CHECKS.len() {
        let named = CHECKS[i].left.names_fields() && CHECKS[i].right.names_fields();
        assert!(named, "a relation names a tcpi_ field that there is not");
        let listed =
            CHECKS[i].left.is_among(CHECKS[i].vars) && CHECKS[i].right.is_among(CHECKS[i].vars);
        assert!(listed, "the variable of a side is one of those that the relation depends on");
        i += 1;
    }
};
