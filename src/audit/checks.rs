// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Relations that the schema has in words only: between several variables, between parts of fields,
//! and bounds.

use super::{Bound, Kernel, Replayed};
use crate::schema::Var;

/// One relation.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Variables that it takes; the first is the one it speaks of.
    pub vars: &'static [Var],
    /// Both sides in words.
    pub says: (&'static str, &'static str),
    /// What must hold between them.
    pub bound: Bound,
    /// Counts events of the whole life of the connection.
    pub events: bool,
    /// Takes an extreme that is followed from ESTABLISHED on.
    pub extreme: bool,
    /// The side of the table; `None` where NULL.
    pub left: Side,
    /// The kernel's side, or the table's other one.
    pub right: Side,
}

impl Check {
    /// The relation in the terms of the tables.
    pub fn text(&self) -> String {
        format!("{} {} {}", self.says.0, self.bound.symbol(), self.says.1)
    }
}

/// Computes one side.
pub type Side = fn(Replayed<'_>, Kernel<'_>) -> Option<i128>;

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
    kernel("tcpi_options").map(|bits| i128::from(bits & bit != 0))
}

/// A shift is negotiated with the option only.
fn shift(kernel: Kernel<'_>, field: &str) -> Option<i128> {
    if kernel("tcpi_options")? & WSCALE == 0 {
        return None;
    }
    n(kernel(field))
}

fn timeouts(row: Replayed<'_>) -> Option<i128> {
    Some(i128::from(row(Var::Timeouts)?) + i128::from(row(Var::SubsequentTimeouts)?))
}

/// tcp_packets_in_flight(); tcp_write_queue_purge() forgets packets_out alone.
fn in_flight(kernel: Kernel<'_>) -> Option<i128> {
    let left = i128::from(kernel("tcpi_sacked")?) + i128::from(kernel("tcpi_lost")?);
    let out = i128::from(kernel("tcpi_unacked")?) + i128::from(kernel("tcpi_retrans")?);
    Some((out - left).max(0) * i128::from(kernel("tcpi_snd_mss")?))
}

/// Only of connections that took samples: extremes of nothing have no order.
fn sampled(row: Replayed<'_>, value: Option<i128>) -> Option<i128> {
    if row(Var::CountRTT)? == 0 { None } else { value }
}

const fn check(
    vars: &'static [Var],
    says: (&'static str, &'static str),
    bound: Bound,
    left: Side,
    right: Side,
) -> Check {
    Check { vars, says, bound, events: false, extreme: false, left, right }
}

const fn events(
    vars: &'static [Var],
    says: (&'static str, &'static str),
    bound: Bound,
    left: Side,
    right: Side,
) -> Check {
    Check { vars, says, bound, events: true, extreme: false, left, right }
}

const fn extreme(
    vars: &'static [Var],
    says: (&'static str, &'static str),
    bound: Bound,
    left: Side,
    right: Side,
) -> Check {
    Check { vars, says, bound, events: false, extreme: true, left, right }
}

use Bound::{AtLeast, AtMost, Equal};

/// All of them.
pub const CHECKS: &[Check] = &[
    check(
        &[Var::PipeSize],
        ("PipeSize", "(unacked - sacked - lost + retrans) x snd_mss"),
        Equal,
        |row, _| n(row(Var::PipeSize)),
        |_, kernel| in_flight(kernel).map(|octets| octets.min(0xffff_ffff)),
    ),
    check(
        &[Var::CurRetxQueue, Var::SndNxt, Var::SndUna],
        ("SndNxt - SndUna", "CurRetxQueue"),
        Equal,
        |row, _| span(row, Var::SndNxt, Var::SndUna),
        |row, _| n(row(Var::CurRetxQueue)),
    ),
    check(
        &[Var::RcvNxt, Var::RecInitial],
        ("RcvNxt - RecInitial", "bytes_received modulo 2^32"),
        Equal,
        |row, _| span(row, Var::RcvNxt, Var::RecInitial),
        |_, kernel| n(kernel("tcpi_bytes_received").map(|v| v & 0xffff_ffff)),
    ),
    // bytes_acked counts the SYN of an active open: it is acknowledged on the full socket.
    check(
        &[Var::SndUna, Var::SndInitial, Var::ActiveOpen],
        ("SndUna - SndInitial + the SYN of an active open", "bytes_acked modulo 2^32"),
        Equal,
        |row, _| {
            let active = i128::from(row(Var::ActiveOpen)? == 1);
            Some((span(row, Var::SndUna, Var::SndInitial)? + active) & 0xffff_ffff)
        },
        |_, kernel| n(kernel("tcpi_bytes_acked").map(|v| v & 0xffff_ffff)),
    ),
    check(
        &[Var::TimeStamps],
        ("TimeStamps", "TCPI_OPT_TIMESTAMPS"),
        Equal,
        |row, _| enabled(row, Var::TimeStamps),
        |_, kernel| option(kernel, TIMESTAMPS),
    ),
    check(
        &[Var::WillSendSACK],
        ("WillSendSACK", "TCPI_OPT_SACK"),
        Equal,
        |row, _| enabled(row, Var::WillSendSACK),
        |_, kernel| option(kernel, SACK),
    ),
    check(
        &[Var::WillUseSACK],
        ("WillUseSACK", "TCPI_OPT_SACK"),
        Equal,
        |row, _| enabled(row, Var::WillUseSACK),
        |_, kernel| option(kernel, SACK),
    ),
    check(
        &[Var::ECN],
        ("ECN", "TCPI_OPT_ECN"),
        Equal,
        |row, _| enabled(row, Var::ECN),
        |_, kernel| option(kernel, ECN),
    ),
    check(
        &[Var::WinScaleRcvd],
        ("WinScaleRcvd", "tcpi_snd_wscale"),
        Equal,
        |row, _| n(row(Var::WinScaleRcvd)),
        |_, kernel| shift(kernel, "tcpi_snd_wscale"),
    ),
    check(
        &[Var::WinScaleSent],
        ("WinScaleSent", "tcpi_rcv_wscale"),
        Equal,
        |row, _| n(row(Var::WinScaleSent)),
        |_, kernel| shift(kernel, "tcpi_rcv_wscale"),
    ),
    // The kernel's advmss is without the room that timestamps take; the option is not.
    check(
        &[Var::MSSSent],
        ("MSSSent", "tcpi_advmss + 12 with timestamps"),
        Equal,
        |row, _| n(row(Var::MSSSent)),
        |_, kernel| Some(n(kernel("tcpi_advmss"))? + 12 * option(kernel, TIMESTAMPS)?),
    ),
    check(
        &[Var::InRecovery],
        ("InRecovery", "tcpi_ca_state as its code"),
        Equal,
        |row, _| n(row(Var::InRecovery)),
        |_, kernel| {
            Some(match kernel("tcpi_ca_state")? {
                0 | 2 => 1,
                1 => 2,
                _ => 3,
            })
        },
    ),
    events(
        &[Var::Timeouts, Var::SubsequentTimeouts],
        ("Timeouts + SubsequentTimeouts", "tcpi_total_rto less those of a listener's SYN-ACK"),
        Equal,
        |row, _| timeouts(row),
        |_, kernel| n(kernel("tcpi_total_rto")),
    ),
    // Segments there, skbs here: the same without GRO.
    events(
        &[Var::DupAcksOut],
        ("DupAcksOut", "tcpi_rcv_ooopack"),
        AtMost,
        |row, _| n(row(Var::DupAcksOut)),
        |_, kernel| n(kernel("tcpi_rcv_ooopack")),
    ),
    extreme(
        &[Var::MaxRwinSent],
        ("MaxRwinSent", "tcpi_rcv_wnd"),
        AtLeast,
        |row, _| n(row(Var::MaxRwinSent)),
        |_, kernel| n(kernel("tcpi_rcv_wnd")),
    ),
    extreme(
        &[Var::MaxRwinRcvd],
        ("MaxRwinRcvd", "tcpi_snd_wnd"),
        AtLeast,
        |row, _| n(row(Var::MaxRwinRcvd)),
        |_, kernel| n(kernel("tcpi_snd_wnd")),
    ),
    extreme(
        &[Var::MaxMSS],
        ("MaxMSS", "tcpi_snd_mss"),
        AtLeast,
        |row, _| n(row(Var::MaxMSS)),
        |_, kernel| n(kernel("tcpi_snd_mss")),
    ),
    extreme(
        &[Var::MinMSS],
        ("MinMSS", "tcpi_snd_mss"),
        AtMost,
        |row, _| n(row(Var::MinMSS)),
        |_, kernel| n(kernel("tcpi_snd_mss")),
    ),
    check(
        &[Var::LimMSS],
        ("LimMSS", "tcpi_snd_mss"),
        AtLeast,
        |row, _| n(row(Var::LimMSS)),
        |_, kernel| n(kernel("tcpi_snd_mss")),
    ),
    check(
        &[Var::SumOctetsReordered],
        ("SumOctetsReordered", "tcpi_bytes_acked"),
        AtMost,
        |row, _| n(row(Var::SumOctetsReordered)),
        |_, kernel| n(kernel("tcpi_bytes_acked")),
    ),
    check(
        &[Var::CERcvd],
        ("CERcvd", "tcpi_received_ce"),
        AtMost,
        |row, _| n(row(Var::CERcvd)),
        |_, kernel| n(kernel("tcpi_received_ce")),
    ),
    events(
        &[Var::HCDataOctetsIn],
        ("HCDataOctetsIn", "tcpi_bytes_received less the FIN"),
        AtLeast,
        |row, _| n(row(Var::HCDataOctetsIn)),
        |_, kernel| Some(n(kernel("tcpi_bytes_received"))? - 1),
    ),
    extreme(
        &[Var::MaxAppWQueue],
        ("MaxAppWQueue", "tcpi_notsent_bytes"),
        AtLeast,
        |row, _| n(row(Var::MaxAppWQueue)),
        |_, kernel| n(kernel("tcpi_notsent_bytes")),
    ),
    extreme(
        &[Var::MaxRetxQueue, Var::CurRetxQueue],
        ("MaxRetxQueue", "CurRetxQueue"),
        AtLeast,
        |row, _| n(row(Var::MaxRetxQueue)),
        |row, _| n(row(Var::CurRetxQueue)),
    ),
    extreme(
        &[Var::MaxPipeSize, Var::PipeSize],
        ("MaxPipeSize", "PipeSize"),
        AtLeast,
        |row, _| n(row(Var::MaxPipeSize)),
        |row, _| n(row(Var::PipeSize)),
    ),
    check(
        &[Var::ECESent, Var::CERcvd],
        ("ECESent", "CERcvd"),
        AtMost,
        |row, _| n(row(Var::ECESent)),
        |row, _| n(row(Var::CERcvd)),
    ),
    check(
        &[Var::DupAckEpisodes, Var::DupAcksOut],
        ("DupAckEpisodes", "DupAcksOut"),
        AtMost,
        |row, _| n(row(Var::DupAckEpisodes)),
        |row, _| n(row(Var::DupAcksOut)),
    ),
    check(
        &[Var::AbruptTimeouts, Var::Timeouts, Var::SubsequentTimeouts],
        ("AbruptTimeouts", "all timeouts"),
        AtMost,
        |row, _| n(row(Var::AbruptTimeouts)),
        |row, _| timeouts(row),
    ),
    check(
        &[Var::PostCongCountRTT, Var::CongSignals],
        ("PostCongCountRTT", "CongSignals"),
        AtMost,
        |row, _| n(row(Var::PostCongCountRTT)),
        |row, _| n(row(Var::CongSignals)),
    ),
    check(
        &[Var::CongSignals, Var::Timeouts, Var::SubsequentTimeouts, Var::FastRetran],
        ("CongSignals", "timeouts and recoveries"),
        AtLeast,
        |row, _| n(row(Var::CongSignals)),
        |row, _| Some(timeouts(row)? + n(row(Var::FastRetran))?),
    ),
    check(
        &[Var::SACKBlocksRcvd, Var::SACKsRcvd],
        ("SACKBlocksRcvd", "SACKsRcvd"),
        AtLeast,
        |row, _| n(row(Var::SACKBlocksRcvd)),
        |row, _| n(row(Var::SACKsRcvd)),
    ),
    check(
        &[Var::MaxRTO, Var::MinRTO],
        ("MaxRTO", "MinRTO"),
        AtLeast,
        |row, _| sampled(row, n(row(Var::MaxRTO))),
        |row, _| n(row(Var::MinRTO)),
    ),
    check(
        &[Var::MaxRTT, Var::MinRTT],
        ("MaxRTT", "MinRTT"),
        AtLeast,
        |row, _| sampled(row, n(row(Var::MaxRTT))),
        |row, _| n(row(Var::MinRTT)),
    ),
    check(
        &[Var::HCSumRTT, Var::CountRTT, Var::MinRTT],
        ("HCSumRTT", "CountRTT x MinRTT"),
        AtLeast,
        |row, _| sampled(row, n(row(Var::HCSumRTT))),
        |row, _| Some(n(row(Var::CountRTT))? * n(row(Var::MinRTT))?),
    ),
    check(
        &[Var::HCSumRTT, Var::CountRTT, Var::MaxRTT],
        ("HCSumRTT", "CountRTT x MaxRTT"),
        AtMost,
        |row, _| sampled(row, n(row(Var::HCSumRTT))),
        |row, _| Some(n(row(Var::CountRTT))? * n(row(Var::MaxRTT))?),
    ),
];
