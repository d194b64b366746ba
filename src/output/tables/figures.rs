// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Why a connection was not faster, in figures: columns of connections.parquet, a line of the
//! summary, the head of a report. Each names the variables that it comes from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Qualities;
use super::columns::{Cell, ColumnKind as K, ColumnSpec};
use crate::engine::estats::{Ended, Row};
use crate::engine::limits::{Basis, LimitCause, SenderState};
use crate::log::Manifest;
use crate::schema::{SocketField, Var};

/// The figures of one connection; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The limit with the largest share.
    pub limited_by: Option<&'static str>,
    /// How the shares were found.
    pub limits_basis: Option<String>,
    /// Shares of its life by [`LimitCause`].
    #[serde(serialize_with = "by_name")]
    pub limited: Shares,
    /// The shares that differ from the kernel's own by more than a tenth of its life.
    pub limits_differ: Option<String>,
    /// Share of its life in which the kernel saw data outstanding or waiting (tcpi_busy_time).
    pub busy_share: Option<f64>,
    /// Share in which the receiver's window limited the sender, by the kernel (tcpi_rwnd_limited).
    pub rwnd_limited_share: Option<f64>,
    /// Share in which the send buffer limited the application, by the kernel (tcpi_sndbuf_limited).
    pub sndbuf_limited_share: Option<f64>,
    /// Octets retransmitted, of those sent.
    pub retransmitted_share: Option<f64>,
    /// Stays in recovery.
    pub recoveries: Option<u64>,
    /// Share of its life in recovery.
    pub recovery_share: Option<f64>,
    /// Mean RTT over the smallest.
    pub rtt_inflation: Option<f64>,
}

fn by_name<S: Serializer>(limited: &Shares, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(LimitCause::ALL.iter().map(|limit| limit.name()).zip(limited))
}

/// One line for a person: the important figures of a sender, the largest share first.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        let mut shares: Vec<(f64, &str)> = LimitCause::ALL
            .iter()
            .zip(self.limited)
            .filter_map(|(limit, share)| Some((share?, limit.name())))
            .filter(|(share, _)| *share >= 0.005)
            .collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        if self.limited_by.is_some() && !shares.is_empty() {
            let shares: Vec<_> =
                shares.iter().map(|(share, name)| format!("{name} {}", percent(*share))).collect();
            let basis = match self.limits_basis.as_deref() {
                Some(basis) if !basis.starts_with("exact") => " (estimated)",
                Some(_) | None => "",
            };
            said.push(format!("limited by {}{basis}", shares.join(", ")));
        }
        if let Some(kernel) = self.by_the_kernel() {
            said.push(kernel);
        }
        if let Some(share) = self.retransmitted_share {
            let episodes = match (self.recoveries, self.recovery_share) {
                (None | Some(0), _) => String::new(),
                (Some(n), share) => {
                    let plural = if n == 1 { "recovery" } else { "recoveries" };
                    // Those before the recording are in the share, and not counted here.
                    let time = share.map_or_else(
                        || " since it was first seen".to_owned(),
                        |s| format!(" ({} of its life)", percent(s)),
                    );
                    format!(" in {n} {plural}{time}")
                }
            };
            said.push(format!("{} retransmitted{episodes}", percent(share)));
        }
        if let Some(times) = self.rtt_inflation {
            said.push(format!("mean RTT {times:.2} x the smallest"));
        }
        f.write_str(&said.join("; "))
    }
}

/// Shares further apart than this are worth a word: a jiffy of each change, and what the kernel counts
/// of the time in which a timer or another window was in the way too, stay below it.
const APART: f64 = 0.1;

/// tcp_chrono_set() counts in jiffies, of at most 10 ms (HZ 100). A difference of less shows nothing.
const LONGEST_JIFFY_NS: f64 = 1e7;

impl Figures {
    /// The kernel's own shares (tcp_info) of the same life, and where the two differ.
    fn by_the_kernel(&self) -> Option<String> {
        let busy = self.busy_share?;
        let (window, buffer) = (self.rwnd_limited_share?, self.sndbuf_limited_share?);
        let shares = format!(
            "by the kernel busy {}, receiver's window {}, send buffer {}",
            percent(busy),
            percent(window),
            percent(buffer)
        );
        let differs = self
            .limits_differ
            .as_ref()
            .map_or_else(String::new, |what| format!(" (the two differ in {what})"));
        Some(shares + &differs)
    }

    /// In what these shares and the kernel's are more than a tenth of its life apart. `busy` is ours: the
    /// share in which anything was under way, or waited.
    fn differs(&self, busy: f64, life_ns: u64) -> Option<String> {
        let of = |limit: LimitCause| self.limited[limit as usize];
        self.limited_by?;
        let margin = APART.max(LONGEST_JIFFY_NS / life_ns as f64);
        let mut differs = Vec::new();
        if self.busy_share.is_some_and(|kernel| (busy - kernel).abs() > margin) {
            differs.push("busy");
        }
        // While nothing is answered the kernel goes on counting what was in the way before.
        let dead = of(LimitCause::PathDead).unwrap_or(0.0);
        let apart = |ours: Option<f64>, kernel: Option<f64>| {
            let (Some(ours), Some(kernel)) = (ours, kernel) else { return false };
            ours - kernel > margin || kernel - ours > margin + dead
        };
        let receiver = of(LimitCause::Receiver)
            .map(|share| share + of(LimitCause::ReceiverApp).unwrap_or(0.0));
        if apart(receiver, self.rwnd_limited_share) {
            differs.push("receiver");
        }
        if apart(of(LimitCause::SendBuffer), self.sndbuf_limited_share) {
            differs.push("send_buffer");
        }
        (!differs.is_empty()).then(|| differs.join(", "))
    }
}

/// Two significant digits at least, and nothing that was not zero shown as zero.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.01 => "<0.01 %".to_owned(),
        p if p < 1.0 => format!("{p:.2} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// The figures that a recording can have.
#[derive(Clone, Debug)]
pub struct FigureSource {
    qualities: Qualities,
}

impl FigureSource {
    /// The figures that this recording can have.
    pub fn of(manifest: &Manifest) -> Self {
        Self { qualities: Qualities::of(manifest) }
    }

    /// The figures of a connection that is over.
    pub fn of_ended(&self, ended: &Ended<'_>) -> Figures {
        let (limits, row) = (ended.limits, ended.row);
        // A gauge may be known of the recording and not of a connection that came to nothing.
        let known = |var| row.get(var).is_some();
        let life_ns = ended.end_ns.saturating_sub(ended.begin_ns);
        let share_of_life =
            |ns: u64| (life_ns > 0).then(|| (ns as f64 / life_ns as f64).clamp(0.0, 1.0));
        // The kernel counts from the first octet of the socket: of an older one, more than was seen.
        let seen = ended.kernel.map(|k| &k.values).filter(|_| !ended.begun_before);
        let chrono =
            |field| seen?.get(field).and_then(|us| share_of_life(us.saturating_mul(1_000)));
        // With records missing, or time of which nothing is known, shares would be of something else.
        let whole = !ended.lossy && ended.silent.is_none() && limits.covers(life_ns);
        let shares = shares(ended, &known).filter(|_| whole);
        let largest = shares.as_ref().and_then(largest);
        let recoveries = row
            .get(Var::InRecovery)
            .map(|_| limits.recoveries())
            .filter(|&n| n > 0 || !ended.lossy);
        let mut figures = Figures {
            limited_by: largest.map(LimitCause::name),
            limits_basis: largest.and(shares.as_ref()).map(|s| self.basis(ended, s, &known)),
            limited: shares.unwrap_or_default(),
            limits_differ: None,
            busy_share: chrono(SocketField::tcpi_busy_time),
            rwnd_limited_share: chrono(SocketField::tcpi_rwnd_limited),
            sndbuf_limited_share: chrono(SocketField::tcpi_sndbuf_limited),
            retransmitted_share: ratio(row, Var::OctetsRetrans, Var::HCDataOctetsOut),
            recoveries,
            recovery_share: recoveries
                .filter(|_| !ended.begun_before && !ended.lossy)
                .and_then(|_| share_of_life(limits.recovery_ns())),
            rtt_inflation: rtt_inflation(row),
        };
        // What the kernel calls busy: not before ESTABLISHED, and not while nothing is under way. In the
        // share of the application is also the time in which all that it wrote is under way.
        let ns = limits.ns();
        let idle = ns[SenderState::Startup as usize] + ns[SenderState::Idle as usize];
        let busy = 1.0 - idle as f64 / ns.iter().sum::<u64>() as f64;
        figures.limits_differ = figures.differs(busy, life_ns);
        figures
    }
}

impl FigureSource {
    /// How the shares were found, and which causes could not be distinguished.
    fn basis(&self, ended: &Ended<'_>, shares: &Shares, known: &impl Fn(Var) -> bool) -> String {
        let limits = ended.limits;
        let is_partly_dead = |&limit: &LimitCause| {
            shares[limit as usize].is_some_and(|share| share > 0.0) && limits.is_partly_dead(limit)
        };
        let is_estimated = limits.divides_paced() || LimitCause::ALL.iter().any(is_partly_dead);
        let mut basis = match limits.basis() {
            Basis::Loop | Basis::Segment if is_estimated => "approximate",
            Basis::Loop | Basis::Segment => {
                self.qualities.get(Var::Limstate).map_or("exact", |status| status.quality.as_str())
            }
            Basis::Gauges => "gauges",
        }
        .to_owned();
        for holder in LimitCause::ALL {
            let within: Vec<_> = LimitCause::ALL
                .into_iter()
                .filter(|&limit| shares[limit as usize].is_none() && limit != holder)
                .filter(|&limit| holds(ended, limit, known) == holder)
                .map(LimitCause::name)
                .collect();
            if !within.is_empty() {
                basis += &format!("; {} holds {}", holder.name(), within.join(", "));
            }
        }
        if shares[LimitCause::PathDead as usize].is_none() {
            basis += "; path_dead is in the others";
        }
        basis
    }
}

/// Shares of its life by [`LimitCause`]; none if the recording cannot give the share.
pub type Shares = [Option<f64>; LimitCause::ALL.len()];

fn tells(ended: &Ended<'_>, limit: LimitCause, known: &impl Fn(Var) -> bool) -> bool {
    ended.limits.tells(limit, ended.peer_behind_ns.is_some(), known)
}

/// The cause in whose share this one's time is.
fn holds(ended: &Ended<'_>, limit: LimitCause, known: &impl Fn(Var) -> bool) -> LimitCause {
    let mut holder = limit;
    while holder.within() != holder && !tells(ended, holder, known) {
        holder = holder.within();
    }
    holder
}

/// By cause, the one in whose share its time is; none where that share is NULL, as all are of a connection of
/// which nothing but the handshake is known.
pub fn holders(ended: &Ended<'_>) -> [Option<LimitCause>; LimitCause::ALL.len()] {
    let known = |var| ended.row.get(var).is_some();
    let decides = tells(ended, LimitCause::Network, &known);
    LimitCause::ALL.map(|limit| {
        let holder = holds(ended, limit, &known);
        (decides && tells(ended, holder, &known)).then_some(holder)
    })
}

/// Shares of the counted time. None if nothing was counted.
fn shares(ended: &Ended<'_>, known: &impl Fn(Var) -> bool) -> Option<Shares> {
    let causes = ended.limits.causes(ended.limits.ns(), ended.peer_behind_ns);
    let total: f64 = causes.iter().sum();
    let mut shares = LimitCause::ALL.map(|limit| tells(ended, limit, known).then_some(0.0));
    for limit in LimitCause::ALL {
        let holder = holds(ended, limit, known);
        if let Some(share) = &mut shares[holder as usize] {
            *share += causes[limit as usize] / total;
        }
    }
    // A part of nothing is nothing. Without Limstate the pacing timer hides elsewhere, too.
    for limit in [LimitCause::SendBuffer, LimitCause::AppRate, LimitCause::ReceiverApp] {
        let whole = shares[limit.within() as usize];
        if shares[limit as usize].is_none() && whole == Some(0.0) {
            shares[limit as usize] = Some(0.0);
        }
    }
    (total > 0.0).then_some(shares)
}

/// The largest share; with only the handshake known, nothing is.
fn largest(shares: &Shares) -> Option<LimitCause> {
    shares[LimitCause::Network as usize]?;
    let mut best: Option<(LimitCause, f64)> = None;
    for (limit, share) in LimitCause::ALL.into_iter().zip(*shares) {
        if let Some(share) = share.filter(|share| best.is_none_or(|(_, most)| *share > most)) {
            best = Some((limit, share));
        }
    }
    best.map(|(limit, _)| limit)
}

fn ratio(row: &Row, part: Var, whole: Var) -> Option<f64> {
    let (part, whole) = (row.get(part)?, row.get(whole)?);
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn rtt_inflation(row: &Row) -> Option<f64> {
    let mean = ratio(row, Var::HCSumRTT, Var::CountRTT)?;
    let least = row.get(Var::MinRTT)?;
    Some(mean / least as f64)
}

impl Figures {
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        let float = |value: Option<f64>| value.map_or(Cell::Null, Cell::Float);
        let names = [Cell::text(self.limited_by), Cell::text(self.limits_basis.as_deref())];
        let rest = [
            Cell::text(self.limits_differ.as_deref()),
            float(self.busy_share),
            float(self.rwnd_limited_share),
            float(self.sndbuf_limited_share),
            float(self.retransmitted_share),
            Cell::int(self.recoveries),
            float(self.recovery_share),
            float(self.rtt_inflation),
        ];
        names.into_iter().chain(self.limited.map(float)).chain(rest)
    }
}

/// The columns, in the order of [`Figures::cells`].
pub(super) fn columns() -> Vec<ColumnSpec> {
    let c = ColumnSpec::new;
    const SHARE: &str = "share";
    const LIMITS: &str = "Limstate, CurAppWQueue, PipeSize, CurCwnd, CurRetxQueue, CurRwinRcvd, CurMSS, SndUna, CurTimeoutCount, State";
    vec![
        c(
            "limited_by",
            K::Text,
            "",
            "What limited the sender for the largest share of its life: startup, application, send_buffer, nagle, app_rate, cc_rate, network, receiver, receiver_app, host or path_dead.",
        )
        .from(LIMITS),
        c(
            "limits_basis",
            K::Text,
            "",
            "How accurate the shares are. exact or approximate: as Limstate is in this recording. approximate also if the path was dead for a time that may contain send_buffer, app_rate or receiver_app, or if the sender was paced and the application had set a pace: which of app_rate and cc_rate it was is read at snapshots. gauges: Limstate is not recorded, and the shares are estimated before each received segment by the tests of tcp_write_xmit. Then the causes that cannot be distinguished: `A holds B` means that the share of B, from none to all of A, is contained in A, and limited_B is NULL. NULL if nothing is known.",
        )
        .from("Limstate, Nagle, skmem_sndbuf, tcpi_sndbuf_limited, tcpi_max_pacing_rate"),
        c(
            LimitCause::Startup.column(),
            K::Float64,
            SHARE,
            "Share of the connection's recorded life before ESTABLISHED. The shares from limited_startup to limited_path_dead add up to 1 where limited_by is not NULL. They are NULL if records were lost, or if the time for which a cause is known is shorter than the recorded life.",
        )
        .from("State"),
        c(
            LimitCause::Application.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the application had written nothing more to send, or held back what it had written (TCP_CORK, MSG_MORE): CurAppWQueue was 0, or nothing was in flight.",
        )
        .from(LIMITS),
        c(
            LimitCause::SendBuffer.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the send buffer (SO_SNDBUF, tcp_wmem) was full and all data in it was in flight: it begins when as much data is unacknowledged as skmem_sndbuf allows, and ends when a third of the buffer is free. If the kernel's tcpi_sndbuf_limited is more, that is taken. NULL without tcp_info.",
        )
        .from("CurAppWQueue, CurRetxQueue, skmem_sndbuf, tcpi_sndbuf_limited"),
        c(
            LimitCause::Nagle.column(),
            K::Float64,
            SHARE,
            "Share of the time in which less than a segment waited until the data in flight was acknowledged (Nagle's algorithm, which TCP_NODELAY switches off).",
        )
        .from("Limstate, CurAppWQueue, CurRetxQueue, CurMSS, Nagle"),
        c(
            LimitCause::AppRate.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the sender waited for the pacing timer, at the rate that the application had set with SO_MAX_PACING_RATE. NULL without Limstate or without tcp_info.",
        )
        .from("Limstate, tcpi_max_pacing_rate, tcpi_pacing_rate, bbr_bw"),
        c(
            LimitCause::CcRate.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the sender waited for the pacing timer, at the rate of the congestion control. NULL without Limstate.",
        )
        .from("Limstate, tcpi_max_pacing_rate, tcpi_pacing_rate, bbr_bw"),
        c(
            LimitCause::Network.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the congestion window limited the sender: it was full, or the stack waited for more room to fill a super-segment (TSO deferral) and this window had less room than the receiver's. Includes slow start and loss recovery.",
        )
        .from(LIMITS),
        c(
            LimitCause::Receiver.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the receiver's window limited the sender, in the same two cases. Time of limited_receiver_app is not counted here.",
        )
        .from(LIMITS),
        c(
            LimitCause::ReceiverApp.column(),
            K::Float64,
            SHARE,
            "Share of the time in which the receiver's window limited the sender and the receiver's application had more unread data than this window offered. NULL unless the other end is in the recording too.",
        )
        .from("Limstate, CurAppRQueue, CurRwinSent, SndInitial, RecInitial"),
        c(
            LimitCause::Host.column(),
            K::Float64,
            SHARE,
            "Share of the time in which data waited and the host's own stack held it back: the device's queue, TCP small queues, a cork while data is in flight; without Limstate also the pacing timer.",
        )
        .from(LIMITS),
        c(
            LimitCause::PathDead.column(),
            K::Float64,
            SHARE,
            "Share of the time in which nothing was acknowledged and at least two timeouts followed each other: from the last acknowledgment before them to the first after them, or to the end.",
        )
        .from("CurTimeoutCount, SndUna"),
        c(
            "limits_differ",
            K::Text,
            "",
            "Names the shares that differ from the kernel's own (the next three columns) by more than a tenth of the connection's life and more than 10 ms, in either direction: busy (whether anything was in flight or waited), receiver (with receiver_app), send_buffer. The kernel goes on counting while nothing is answered, so its receiver and send_buffer may be larger, by up to limited_path_dead. NULL if they agree, or if one of the two is not known.",
        )
        .from("tcpi_busy_time, tcpi_rwnd_limited, tcpi_sndbuf_limited, Limstate"),
        c(
            "busy_share",
            K::Float64,
            SHARE,
            "The kernel's own value: share of the time in which data was unacknowledged or waited to be sent. In the rest of the time the application had nothing to send. NULL for a connection begun before the recording.",
        )
        .from("tcpi_busy_time"),
        c(
            "rwnd_limited_share",
            K::Float64,
            SHARE,
            "The kernel's own value, in steps of a jiffy: share of the time in which the receiver's window limited the sender.",
        )
        .from("tcpi_rwnd_limited"),
        c(
            "sndbuf_limited_share",
            K::Float64,
            SHARE,
            "The kernel's own value: share of the time in which a full send buffer kept the application from writing more.",
        )
        .from("tcpi_sndbuf_limited"),
        c("retransmitted_share", K::Float64, SHARE, "Share of the payload octets sent that were retransmissions.")
            .from("OctetsRetrans, HCDataOctetsOut"),
        c(
            "recoveries",
            K::Int64,
            "episodes",
            "Stays in recovery, after fast retransmission or timeout, since counted_since_ns.",
        )
        .from("InRecovery"),
        c("recovery_share", K::Float64, SHARE, "Share of the connection's life in recovery. NULL for a connection begun before the recording, or if records were lost.")
            .from("InRecovery"),
        c(
            "rtt_inflation",
            K::Float64,
            "ratio",
            "Mean RTT divided by the smallest RTT: how much the queues added, on average.",
        )
        .from("HCSumRTT, CountRTT, MinRTT"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shares: &[(LimitCause, f64)], ours: f64, kernel: [f64; 3]) -> Figures {
        let mut limited = [Some(0.0); LimitCause::ALL.len()];
        for &(limit, share) in shares {
            limited[limit as usize] = Some(share);
        }
        let [busy, window, buffer] = kernel.map(Some);
        let mut figures = Figures {
            limited_by: Some("network"),
            limited,
            busy_share: busy,
            rwnd_limited_share: window,
            sndbuf_limited_share: buffer,
            ..Figures::default()
        };
        figures.limits_differ = figures.differs(ours, 1_000_000_000);
        figures
    }

    #[test]
    fn a_difference_of_less_than_a_jiffy_is_not_named() {
        let mut figures = of(&[(LimitCause::Network, 1.0)], 1.0, [0.65, 0.0, 0.0]);
        assert_eq!(figures.limits_differ.as_deref(), Some("busy"));
        figures.limits_differ = figures.differs(1.0, 6_000_000);
        assert_eq!(figures.limits_differ, None);
    }

    #[test]
    fn shares_more_than_a_tenth_from_the_kernels_are_named() {
        use LimitCause::{Application, Network, PathDead, Receiver, ReceiverApp, SendBuffer};
        let mixed = &[(Network, 0.5), (Receiver, 0.3), (Application, 0.2)][..];
        for (shares, busy, kernel, differs) in [
            (mixed, 0.95, [1.0, 0.35, 0.0], None),
            (
                &[(Receiver, 0.2), (ReceiverApp, 0.7), (Application, 0.1)],
                1.0,
                [1.0, 0.95, 0.0],
                None,
            ),
            (&[(Receiver, 0.3), (Network, 0.7)], 1.0, [1.0, 0.5, 0.0], Some("receiver")),
            (&[(SendBuffer, 0.9), (Application, 0.1)], 1.0, [1.0, 0.0, 0.0], Some("send_buffer")),
            (&[(Network, 0.9), (Application, 0.1)], 0.9, [0.5, 0.0, 0.0], Some("busy")),
            // The other way round: what we call idle, the kernel calls busy.
            (&[(Network, 0.4), (Application, 0.6)], 0.4, [0.9, 0.0, 0.0], Some("busy")),
            // All that the application wrote is under way: its share, and busy.
            (&[(Network, 0.4), (Application, 0.6)], 0.95, [0.9, 0.0, 0.0], None),
            // The kernel's clock of the window goes on while nothing is answered.
            (&[(PathDead, 0.6), (Receiver, 0.4)], 1.0, [1.0, 1.0, 0.0], None),
        ] {
            let figures = of(shares, busy, kernel);
            assert_eq!(figures.limits_differ.as_deref(), differs, "{shares:?}");
            let text = figures.to_string();
            assert!(text.contains("by the kernel busy "), "{text}");
            assert_eq!(text.contains("the two differ in"), differs.is_some(), "{text}");
        }
    }

    #[test]
    fn every_figure_names_its_sources() {
        assert_eq!(columns().len(), Figures::default().cells().count());
        for column in columns() {
            assert!(!column.from.is_empty(), "{}", column.name);
            for name in column.from.split(", ") {
                let known = Var::by_name(name).is_some() || SocketField::by_name(name).is_some();
                assert!(known, "{}: {name}", column.name);
            }
        }
        for (limit, column) in LimitCause::ALL.into_iter().zip(&columns()[2..]) {
            assert_eq!(column.name, limit.column());
        }
    }
}
