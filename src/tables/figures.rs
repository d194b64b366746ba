//! Why a connection was not faster, in figures: columns of connections.parquet, a line of the
//! summary, the head of a report. Each names the variables that it comes from.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Qualities;
use super::columns::{Cell, ColumnKind as K, ColumnSpec};
use crate::estats::{Ended, Row};
use crate::limits::{Basis, Limit};
use crate::log::Manifest;
use crate::schema::{SocketField, Var};
use crate::wire::SocketValues;

/// The figures of one connection; `None` is NULL.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The limit with the largest share.
    pub limited_by: Option<&'static str>,
    /// How the shares were found.
    pub limits_basis: Option<String>,
    /// Shares of its life by [`Limit`].
    #[serde(serialize_with = "by_name")]
    pub limited: [Option<f64>; Limit::ALL.len()],
    /// Share of its life in which the kernel saw data outstanding or waiting.
    pub busy_share: Option<f64>,
    /// Share in which the kernel saw the receiver's window in the way.
    pub rwnd_limited_share: Option<f64>,
    /// Share in which the kernel saw the send buffer in the way.
    pub sndbuf_limited_share: Option<f64>,
    /// Octets sent again, of those sent.
    pub retransmitted_share: Option<f64>,
    /// Stays in recovery.
    pub recoveries: Option<u64>,
    /// Share of its life in recovery.
    pub recovery_share: Option<f64>,
    /// Mean RTT over the smallest.
    pub rtt_inflation: Option<f64>,
}

fn by_name<S: Serializer>(
    limited: &[Option<f64>; Limit::ALL.len()],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(Limit::ALL.iter().map(|limit| limit.name()).zip(limited))
}

/// One line for a person: what is worth saying of a sender, the largest share first.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = Vec::new();
        let mut shares: Vec<(f64, &str)> = Limit::ALL
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
                Some("exact") | None => "",
                Some(_) => " (estimated)",
            };
            said.push(format!("limited by {}{basis}", shares.join(", ")));
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
            said.push(format!("{} sent again{episodes}", percent(share)));
        }
        if let Some(times) = self.rtt_inflation {
            said.push(format!("mean RTT {times:.2} x the smallest"));
        }
        f.write_str(&said.join("; "))
    }
}

/// Two significant digits at least, and nothing that was not zero shown as zero.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0 %".to_owned(),
        p if p < 0.01 => "<0.01 %".to_owned(),
        p if p < 1.0 => format!("{p:.2} %"),
        p if p < 10.0 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// What a recording is able to say.
#[derive(Clone, Debug)]
pub struct FigureSource {
    qualities: Qualities,
}

impl FigureSource {
    /// Of a recording.
    pub fn of(manifest: &Manifest) -> Self {
        Self { qualities: Qualities::of(manifest) }
    }

    /// The figures of a connection that is over; `kernel` is the kernel's account of its end.
    pub fn of_ended(&self, ended: &Ended<'_>, kernel: Option<&SocketValues>) -> Figures {
        let (limits, row) = (ended.limits, ended.row);
        // A gauge may be known of the recording and not of a connection that came to nothing.
        let known = |var| row.get(var).is_some();
        let life_ns = ended.end_ns.saturating_sub(ended.begin_ns);
        let share_of_life =
            |ns: u64| (life_ns > 0).then(|| (ns as f64 / life_ns as f64).clamp(0.0, 1.0));
        // The kernel counts from the first octet of the socket: of an older one, more than was seen.
        let seen = kernel.filter(|_| !ended.begun_before);
        let chrono = |field| seen?.get(field).and_then(|us| share_of_life(us * 1_000));
        // With records missing, or time of which nothing is known, shares would be of something else.
        let whole = !ended.lossy && ended.silent.is_none() && limits.covers(life_ns);
        let largest = limits.largest(&known).filter(|_| whole);
        let recoveries = row
            .get(Var::InRecovery)
            .map(|_| limits.recoveries())
            .filter(|&n| n > 0 || !ended.lossy);
        Figures {
            limited_by: largest.map(Limit::name),
            limits_basis: largest.map(|_| match limits.basis() {
                Basis::Limstate => self.qualities.get(Var::Limstate).unwrap_or("exact").to_owned(),
                Basis::Gauges => "gauges".to_owned(),
            }),
            limited: Limit::ALL.map(|limit| limits.share(limit, &known).filter(|_| whole)),
            busy_share: chrono(SocketField::tcpi_busy_time),
            rwnd_limited_share: chrono(SocketField::tcpi_rwnd_limited),
            sndbuf_limited_share: chrono(SocketField::tcpi_sndbuf_limited),
            retransmitted_share: ratio(row, Var::OctetsRetrans, Var::HCDataOctetsOut),
            recoveries,
            recovery_share: recoveries
                .filter(|_| !ended.begun_before && !ended.lossy)
                .and_then(|_| share_of_life(limits.recovery_ns())),
            rtt_inflation: rtt_inflation(row),
        }
    }
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
    const LIMITS: &str =
        "Limstate, CurAppWQueue, PipeSize, CurCwnd, CurRetxQueue, CurRwinRcvd, CurMSS, State";
    vec![
        c(
            "limited_by",
            K::Text,
            "",
            "What limited the sender for the largest share of its life: startup, application, sender, congestion, receiver or pacing.",
        )
        .from(LIMITS),
        c(
            "limits_basis",
            K::Text,
            "",
            "How true the shares are: exact or approximate, as Limstate is with the hooks that were attached, or gauges: estimated before each received segment by the tests of tcp_write_xmit, for want of Limstate. NULL if nothing is known.",
        )
        .from("Limstate"),
        c(
            "limited_startup",
            K::Float64,
            SHARE,
            "Share of its life, as far as it was recorded, before ESTABLISHED. All of these shares are NULL where records were lost, or the time that is known is less than that life.",
        )
        .from("State"),
        c(
            "limited_application",
            K::Float64,
            SHARE,
            "Share in which the application had written nothing that waited: Limstate sender, and CurAppWQueue 0.",
        )
        .from(LIMITS),
        c(
            "limited_sender",
            K::Float64,
            SHARE,
            "Share in which data waited and the host's stack held it back: Nagle's algorithm, the device's queue, TSO deferral, and, after a loss probe, the wait for the retransmission timer; without Limstate the pacing timer too.",
        )
        .from(LIMITS),
        c(
            "limited_congestion",
            K::Float64,
            SHARE,
            "Share in which the congestion window was full.",
        )
        .from(LIMITS),
        c("limited_receiver", K::Float64, SHARE, "Share in which the receiver's window was full.")
            .from(LIMITS),
        c(
            "limited_pacing",
            K::Float64,
            SHARE,
            "Share in which the pacing timer was waited for; NULL without Limstate.",
        )
        .from("Limstate"),
        c(
            "busy_share",
            K::Float64,
            SHARE,
            "The kernel's own: share in which data was outstanding or waiting. The rest is the application's for certain. NULL for one begun before.",
        )
        .from("tcpi_busy_time"),
        c(
            "rwnd_limited_share",
            K::Float64,
            SHARE,
            "The kernel's own: share in which the receiver's window was in the way, in steps of a jiffy.",
        )
        .from("tcpi_rwnd_limited"),
        c(
            "sndbuf_limited_share",
            K::Float64,
            SHARE,
            "The kernel's own: share in which the send buffer kept the application from writing more.",
        )
        .from("tcpi_sndbuf_limited"),
        c("retransmitted_share", K::Float64, SHARE, "Octets sent again, of all octets sent.")
            .from("OctetsRetrans, HCDataOctetsOut"),
        c(
            "recoveries",
            K::Int64,
            "episodes",
            "Stays in recovery, after fast retransmission or timeout, since counted_since_ns.",
        )
        .from("InRecovery"),
        c("recovery_share", K::Float64, SHARE, "Share of its life in recovery; NULL for one begun before, or where records were lost.")
            .from("InRecovery"),
        c(
            "rtt_inflation",
            K::Float64,
            "ratio",
            "Mean RTT over the smallest: what queues added, on average.",
        )
        .from("HCSumRTT, CountRTT, MinRTT"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_names_what_it_comes_from() {
        assert_eq!(columns().len(), Figures::default().cells().count());
        for column in columns() {
            assert!(!column.from.is_empty(), "{}", column.name);
            for name in column.from.split(", ") {
                let known = Var::by_name(name).is_some() || SocketField::by_name(name).is_some();
                assert!(known, "{}: {name}", column.name);
            }
        }
        for (limit, column) in Limit::ALL.into_iter().zip(&columns()[2..]) {
            assert_eq!(column.name, format!("limited_{}", limit.name()));
        }
    }
}
