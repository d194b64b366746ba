// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connections of a recording as a table a person reads, or as JSON.

mod condition;
mod drops;
mod figures;
mod groups;
mod keys;
mod listeners;
mod render;
mod table;
mod totals;

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Serialize;

use crate::engine::estats::Ended;
use crate::engine::limits::LimitCause;
use crate::output::sink::SinkError;
use crate::output::tables::Figures;
use crate::schema::Var;

pub use self::condition::Condition;
pub use self::drops::dropped;
pub use self::groups::{Group, Groups};
pub use self::keys::{KEYS, SummaryKey, Unit, Value, names};
pub use self::listeners::not_taken;
pub use self::render::{Hints, Style, Text, View, connections, groups};
pub use self::table::{Head, fitting};
pub use self::totals::percentile;

/// One connection in short.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Line {
    /// Number of the connection.
    pub conn_id: i64,
    /// Local address and port.
    pub local: Option<String>,
    /// Remote address and port.
    pub remote: Option<String>,
    /// The end that opened it.
    pub opened_by: Option<String>,
    /// Command name and process id of the owner.
    pub owner: Option<String>,
    /// Congestion control.
    pub congestion_control: Option<String>,
    /// Seconds from beginning to end.
    pub duration_s: Option<f64>,
    /// Payload bytes acknowledged by the peer.
    pub octets_acked: Option<i64>,
    /// Payload bytes received.
    pub octets_received: Option<i64>,
    /// Segments retransmitted.
    pub segs_retrans: Option<i64>,
    /// Congestion signals.
    pub cong_signals: Option<i64>,
    /// Smallest RTT in microseconds; none without a sample.
    pub min_rtt_us: Option<i64>,
    /// Smoothed RTT at the end in microseconds.
    pub smoothed_rtt_us: Option<i64>,
    /// The end that closed it.
    pub closed_by: Option<String>,
    /// How it ended.
    pub close_reason: Option<String>,
    /// How much of it was seen.
    pub completeness: Option<String>,
    /// Its beginning was not seen: octets count since then, and not since the duration's beginning.
    pub begun_before: bool,
    /// Octets of payload sent, retransmissions included.
    pub octets_sent: Option<i64>,
    /// Token of the MPTCP connection that it is a subflow of.
    pub mptcp_id: Option<i64>,
    /// Path of the socket's cgroup.
    pub cgroup: Option<String>,
    /// Container, by the name of the cgroup.
    pub container_id: Option<String>,
    /// The part of `local` before the port.
    #[serde(skip)]
    pub local_address: Option<String>,
    /// The port of `local`.
    #[serde(skip)]
    pub local_port: Option<u16>,
    /// The part of `remote` before the port.
    #[serde(skip)]
    pub remote_address: Option<String>,
    /// The port of `remote`.
    #[serde(skip)]
    pub remote_port: Option<u16>,
    /// The command name of `owner`.
    #[serde(skip)]
    pub comm: Option<String>,
    /// The process id of `owner`.
    #[serde(skip)]
    pub pid: Option<i64>,
    /// Why it was not faster.
    #[serde(flatten)]
    pub why: Figures,
}

impl Line {
    /// The line of a connection that is over.
    pub fn of(ended: &Ended<'_>, why: Figures) -> Self {
        let (identity, known) = (ended.identity, ended.identity.lifecycle());
        let text = |s: &str| (!s.is_empty()).then(|| s.to_owned());
        let addresses = identity.addresses();
        let local_address = addresses.map(|a| a.0.to_string());
        let remote_address = addresses.map(|a| a.1.to_string());
        let (local_port, remote_port) = (known.map(|l| l.local_port), known.map(|l| l.remote_port));
        let comm = known.and_then(|l| text(&l.comm));
        let pid = known.map(|l| i64::from(l.pid)).filter(|&pid| pid != 0);
        let cgroup = known.and_then(|l| text(&l.cgroup_path));
        let value = |var| ended.row.get(var).and_then(|v| i64::try_from(v).ok());
        Self {
            conn_id: i64::try_from(ended.conn_id).unwrap_or(i64::MAX),
            local: local_address.as_deref().map(|a| endpoint(a, local_port)),
            remote: remote_address.as_deref().map(|a| endpoint(a, remote_port)),
            opened_by: Some(identity.opened_by().name().to_owned()),
            owner: owner(comm.as_deref(), pid),
            congestion_control: known.and_then(|l| text(&l.congestion)),
            duration_s: Some(ended.end_ns.saturating_sub(ended.begin_ns) as f64 / 1e9),
            octets_acked: value(Var::HCThruOctetsAcked),
            octets_received: value(Var::HCThruOctetsReceived),
            segs_retrans: value(Var::SegsRetrans),
            cong_signals: value(Var::CongSignals),
            min_rtt_us: value(Var::MinRTT),
            smoothed_rtt_us: value(Var::SmoothedRTT),
            closed_by: Some(identity.closed_by().name().to_owned()),
            close_reason: identity.close_reason().map(|r| r.name().to_owned()),
            completeness: Some(ended.completeness().name().to_owned()),
            begun_before: ended.begun_before,
            octets_sent: value(Var::HCDataOctetsOut),
            mptcp_id: known.map(|l| i64::from(l.mptcp)).filter(|&token| token != 0),
            container_id: identity.container_id().map(str::to_owned),
            cgroup,
            local_address,
            local_port,
            remote_address,
            remote_port,
            comm,
            pid,
            why,
        }
    }

    /// Bits per second over its life. Octets count since the connection began and the duration since it
    /// was first seen, so of one that began before the recording there is none.
    fn per_second(&self, octets: Option<i64>) -> Option<f64> {
        let seconds = self.duration_s.filter(|&s| s > 0.0 && !self.begun_before)?;
        Some(octets? as f64 * 8.0 / seconds)
    }

    /// Payload acknowledged, in bits per second.
    pub fn goodput(&self) -> Option<f64> {
        self.per_second(self.octets_acked)
    }

    /// Payload received, in bits per second.
    pub fn received_rate(&self) -> Option<f64> {
        self.per_second(self.octets_received)
    }

    /// Payload sent with its retransmissions, in bits per second.
    pub fn throughput(&self) -> Option<f64> {
        self.per_second(self.octets_sent)
    }

    /// Payload of the direction that carried more, in bits per second: what a receiver received, and
    /// not the few octets of its requests.
    pub fn rate(&self) -> Option<f64> {
        self.per_second(Some(self.octets_acked?.max(self.octets_received?)))
    }

    /// The port of the end that listened: the one by which a service is known. If it was not seen which
    /// end opened the connection, the smaller port.
    pub fn service_port(&self) -> Option<u16> {
        match self.opened_by.as_deref() {
            Some("local") => self.remote_port,
            Some("remote") => self.local_port,
            _ => Some(self.local_port?.min(self.remote_port?)),
        }
    }
}

/// A connection with its rates, for JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Rated<'a> {
    #[serde(flatten)]
    line: &'a Line,
    goodput_bit_per_s: Option<f64>,
    received_bit_per_s: Option<f64>,
    throughput_bit_per_s: Option<f64>,
}

impl<'a> From<&'a Line> for Rated<'a> {
    fn from(line: &'a Line) -> Self {
        Self {
            line,
            goodput_bit_per_s: line.goodput(),
            received_bit_per_s: line.received_rate(),
            throughput_bit_per_s: line.throughput(),
        }
    }
}

/// Columns of a Parquet file, each as one of three plain types.
struct Columns(Vec<(String, Vec<ArrayRef>)>);

impl Columns {
    fn read(path: &Path, names: &[&str]) -> Result<Self, SinkError> {
        let fault = |e| SinkError::parquet("read", path, e);
        let file = File::open(path).map_err(|e| SinkError::io("read", path, e))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(fault)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        let reader = builder.with_projection(mask).build().map_err(fault)?;
        let mut columns: Vec<_> = names.iter().map(|n| ((*n).to_owned(), Vec::new())).collect();
        for batch in reader {
            let batch = batch.map_err(|e| fault(e.into()))?;
            for (name, arrays) in &mut columns {
                let array = batch.column_by_name(name).ok_or_else(|| {
                    let what = format!("it has no column {name}");
                    fault(parquet::errors::ParquetError::General(what))
                })?;
                arrays.push(plain(array).map_err(|e| fault(e.into()))?);
            }
        }
        Ok(Self(columns))
    }

    /// The values of a column as `of` takes them out of an array.
    fn values<T>(&self, name: &str, of: impl Fn(&dyn Array, usize) -> Option<T>) -> Vec<Option<T>> {
        self.0
            .iter()
            .filter(|(column, _)| column == name)
            .flat_map(|(_, arrays)| arrays)
            .flat_map(|array| {
                (0..array.len()).map(|i| if array.is_null(i) { None } else { of(array, i) })
            })
            .collect()
    }

    fn ints(&self, name: &str) -> Vec<Option<i64>> {
        self.values(name, |a, i| Some(a.as_any().downcast_ref::<Int64Array>()?.value(i)))
    }

    fn floats(&self, name: &str) -> Vec<Option<f64>> {
        self.values(name, |a, i| Some(a.as_any().downcast_ref::<Float64Array>()?.value(i)))
    }

    fn texts(&self, name: &str) -> Vec<Option<String>> {
        self.values(name, |a, i| {
            Some(a.as_any().downcast_ref::<StringArray>()?.value(i).to_owned())
        })
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are in no table")]
fn plain(array: &ArrayRef) -> Result<ArrayRef, arrow::error::ArrowError> {
    match array.data_type() {
        DataType::Dictionary(..) => cast(array, &DataType::Utf8),
        DataType::Int32 | DataType::Boolean => cast(array, &DataType::Int64),
        _ => Ok(array.clone()),
    }
}

/// Reads the tables in `dir`; in order of `conn_id`.
///
/// # Errors
/// [`SinkError`] if a table is missing or cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Line>, SinkError> {
    let names = [
        "conn_id",
        "completeness",
        "begun_before",
        "duration_s",
        "local_address",
        "local_port",
        "remote_address",
        "remote_port",
        "pid",
        "comm",
        "mptcp_id",
        "cgroup",
        "container_id",
        "congestion_control",
        "opened_by",
        "closed_by",
        "close_reason",
        "limited_by",
        "limits_basis",
        "limits_differ",
        "busy_share",
        "rwnd_limited_share",
        "sndbuf_limited_share",
        "retransmitted_share",
        "recoveries",
        "recovery_share",
        "rtt_inflation",
    ];
    let shares = LimitCause::ALL.map(LimitCause::column);
    let connections =
        Columns::read(&dir.join("connections.parquet"), &[&names[..], &shares].concat())?;
    // Both tables have their rows in the order in which connections end.
    let estats = Columns::read(
        &dir.join("estats.parquet"),
        &[
            "HCDataOctetsOut",
            "HCThruOctetsAcked",
            "HCThruOctetsReceived",
            "SegsRetrans",
            "CongSignals",
            "MinRTT",
            "SmoothedRTT",
        ],
    )?;
    let ids = connections.ints("conn_id");
    let mut lines = vec![Line::default(); ids.len()];
    for (line, id) in lines.iter_mut().zip(ids) {
        line.conn_id = id.unwrap_or_default();
    }
    fn fill<T>(lines: &mut [Line], values: Vec<T>, set: impl Fn(&mut Line, T)) {
        lines.iter_mut().zip(values).for_each(|(line, value)| set(line, value));
    }
    let all = &mut lines[..];
    let port = |n: Option<i64>| n.and_then(|n| u16::try_from(n).ok());
    fill(all, connections.texts("local_address"), |l, v| l.local_address = v);
    fill(all, connections.ints("local_port"), |l, v| l.local_port = port(v));
    fill(all, connections.texts("remote_address"), |l, v| l.remote_address = v);
    fill(all, connections.ints("remote_port"), |l, v| l.remote_port = port(v));
    fill(all, connections.texts("comm"), |l, v| l.comm = v);
    fill(all, connections.ints("pid"), |l, v| l.pid = v);
    fill(all, connections.texts("cgroup"), |l, v| l.cgroup = v);
    fill(all, connections.texts("container_id"), |l, v| l.container_id = v);
    for line in all.iter_mut() {
        line.local = line.local_address.as_deref().map(|a| endpoint(a, line.local_port));
        line.remote = line.remote_address.as_deref().map(|a| endpoint(a, line.remote_port));
        line.owner = owner(line.comm.as_deref(), line.pid);
    }
    fill(all, connections.texts("opened_by"), |l, v| l.opened_by = v);
    fill(all, connections.texts("closed_by"), |l, v| l.closed_by = v);
    fill(all, connections.texts("close_reason"), |l, v| l.close_reason = v);
    fill(all, connections.ints("mptcp_id"), |l, v| l.mptcp_id = v);
    fill(all, connections.texts("completeness"), |l, v| l.completeness = v);
    fill(all, connections.ints("begun_before"), |l, v| l.begun_before = v == Some(1));
    fill(all, connections.texts("congestion_control"), |l, v| l.congestion_control = v);
    fill(all, connections.floats("duration_s"), |l, v| l.duration_s = v);
    let limit = |name: Option<String>| {
        LimitCause::ALL.iter().map(|l| l.name()).find(|n| Some(*n) == name.as_deref())
    };
    fill(all, connections.texts("limited_by"), |l, v| l.why.limited_by = limit(v));
    fill(all, connections.texts("limits_basis"), |l, v| l.why.limits_basis = v);
    for limit in LimitCause::ALL {
        let shares = connections.floats(limit.column());
        fill(all, shares, |l, v| l.why.limited[limit as usize] = v);
    }
    fill(all, connections.texts("limits_differ"), |l, v| l.why.limits_differ = v);
    fill(all, connections.floats("busy_share"), |l, v| l.why.busy_share = v);
    fill(all, connections.floats("rwnd_limited_share"), |l, v| l.why.rwnd_limited_share = v);
    fill(all, connections.floats("sndbuf_limited_share"), |l, v| l.why.sndbuf_limited_share = v);
    fill(all, connections.floats("retransmitted_share"), |l, v| l.why.retransmitted_share = v);
    fill(all, connections.ints("recoveries"), |l, v| l.why.recoveries = v.map(|n| n as u64));
    fill(all, connections.floats("recovery_share"), |l, v| l.why.recovery_share = v);
    fill(all, connections.floats("rtt_inflation"), |l, v| l.why.rtt_inflation = v);
    fill(all, estats.ints("HCDataOctetsOut"), |l, v| l.octets_sent = v);
    fill(all, estats.ints("HCThruOctetsAcked"), |l, v| l.octets_acked = v);
    fill(all, estats.ints("HCThruOctetsReceived"), |l, v| l.octets_received = v);
    fill(all, estats.ints("SegsRetrans"), |l, v| l.segs_retrans = v);
    fill(all, estats.ints("CongSignals"), |l, v| l.cong_signals = v);
    fill(all, estats.ints("MinRTT"), |l, v| l.min_rtt_us = v);
    fill(all, estats.ints("SmoothedRTT"), |l, v| l.smoothed_rtt_us = v);
    lines.sort_by_key(|line| line.conn_id);
    Ok(lines)
}

fn owner(comm: Option<&str>, pid: Option<i64>) -> Option<String> {
    match (comm, pid) {
        (Some(comm), Some(pid)) => Some(format!("{comm}/{pid}")),
        (comm, pid) => comm.map(str::to_owned).or(pid.map(|pid| pid.to_string())),
    }
}

/// `address:port`, with brackets around IPv6 (RFC 5952, section 6).
fn endpoint(address: &str, port: Option<u16>) -> String {
    let port = port.map_or_else(|| "?".to_owned(), |p| p.to_string());
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// The lines as a table; those with the most octets if there are more than `top`. Lines of any length,
/// without colours.
pub fn render(lines: &[Line], top: usize) -> String {
    let text = connections(
        &chosen(lines, top),
        View { top, width: None, sort: None, hints: Hints::default() },
    );
    text.into_iter().map(|(_, line)| line + "\n").collect()
}

/// All lines, those first that are shown if nothing else is asked for: the `top` with the most octets,
/// in order of `conn_id`.
pub fn chosen(lines: &[Line], top: usize) -> Vec<&Line> {
    let mut all: Vec<&Line> = lines.iter().collect();
    all.sort_by(|a, b| keys::BYTES.compare(a, b, false));
    let shown = top.min(all.len());
    all[..shown].sort_by_key(|line| line.conn_id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_shown_as_unknown() {
        let line = Line { conn_id: 3, octets_acked: Some(0), ..Line::default() };
        let text = render(&[line], 10);
        let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
        let row = row.join(" ");
        assert_eq!(row, "3 - -- - - - - 0 B - - - - -/- - -");
    }

    #[test]
    fn names_cannot_write_on_the_terminal() {
        let owner = Some("\x1b[2J\n9 forged/1".to_owned());
        let text = render(&[Line { conn_id: 1, owner, ..Line::default() }], 10);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("\\x1b[2J\\n9 forged/1") && !text.contains('\x1b'), "{text}");
    }

    #[test]
    fn subflows_are_grouped_in_the_summary() {
        let line = |conn_id, mptcp_id, octets_received| Line {
            conn_id,
            mptcp_id,
            octets_acked: Some(1000),
            octets_received,
            ..Line::default()
        };
        let lines = [
            line(1, Some(9), Some(5)),
            line(2, None, None),
            line(3, Some(7), None),
            line(4, Some(9), Some(6)),
        ];
        let text = render(&lines, 10);
        let last: Vec<&str> = text.lines().filter(|line| line.starts_with("MPTCP")).collect();
        assert_eq!(
            last,
            [
                "MPTCP 9: connections 1, 4: 2.0 kB acked, 11 B received",
                "MPTCP 7: connection 3: 1.0 kB acked, - received",
            ]
        );
    }

    #[test]
    fn the_largest_are_shown_in_order_of_number() {
        let line = |conn_id, n| Line { conn_id, octets_acked: Some(n), ..Line::default() };
        let text = render(&[line(1, 5), line(2, 1), line(3, 1500)], 2);
        let ids: Vec<_> = text.lines().filter_map(|l| l.split_whitespace().next()).collect();
        assert_eq!(ids[..3], ["ID", "1", "3"], "{text}");
        assert!(text.contains("3 connections: 1.5 kB acked"), "{text}");
        assert!(text.contains("3 connections, 2 shown"), "{text}");
        assert!(text.contains("1.5 kB"), "{text}");
    }

    #[test]
    fn endpoints() {
        assert_eq!(endpoint("192.0.2.1", Some(80)), "192.0.2.1:80");
        assert_eq!(endpoint("2001:db8::1", Some(443)), "[2001:db8::1]:443");
        assert_eq!(endpoint("192.0.2.1", None), "192.0.2.1:?");
    }

    #[test]
    fn a_receiver_has_the_rate_that_it_received() {
        let line = Line {
            octets_acked: Some(100),
            octets_received: Some(1_000_000),
            duration_s: Some(2.0),
            ..Line::default()
        };
        assert_eq!(line.rate(), Some(4e6));
        assert_eq!((line.goodput(), line.received_rate()), (Some(400.0), Some(4e6)));
        // Its octets are those of a longer time than that in which it was recorded.
        let line = Line { begun_before: true, ..line };
        assert_eq!((line.rate(), line.throughput()), (None, None));
    }

    #[test]
    fn a_service_is_known_by_the_port_that_listened() {
        let line = |opened_by: &str| Line {
            local_port: Some(22),
            remote_port: Some(50_000),
            opened_by: Some(opened_by.to_owned()),
            ..Line::default()
        };
        let ports = ["local", "remote", "unknown"].map(|by| line(by).service_port());
        assert_eq!(ports, [Some(50_000), Some(22), Some(22)]);
    }

    #[test]
    fn a_table_fits_the_width_and_names_the_missing_columns() {
        let line = Line {
            conn_id: 12,
            local: Some("192.0.2.1:44444".to_owned()),
            remote: Some("198.51.100.200:50000".to_owned()),
            owner: Some("iperf3/123456".to_owned()),
            octets_acked: Some(123_456_789),
            octets_received: Some(0),
            octets_sent: Some(130_000_000),
            duration_s: Some(10.0),
            completeness: Some("complete".to_owned()),
            ..Line::default()
        };
        let lines = [&line, &line];
        for width in [40, 80, 120, 200] {
            let text = connections(
                &lines,
                View { top: 10, width: Some(width), sort: None, hints: Hints::default() },
            );
            // Below 80 the columns that are always there may not fit.
            let too_long = text.iter().find(|(_, line)| line.chars().count() > width.max(80));
            assert_eq!(too_long, None, "{width}");
            let has = |part: &str| text.iter().any(|(_, line)| line.contains(part));
            // These columns must stay: which connection it is, how fast, and whether this is certain.
            assert!(width < 80 || (has("98.8 Mbit/s") && has("complete")), "{width}: {text:?}");
            assert_eq!(has("no room for"), width < 200, "{width}: {text:?}");
        }
    }

    #[test]
    fn a_lossy_row_is_shown_as_a_warning() {
        let lossy = Line { completeness: Some("lossy".to_owned()), ..Line::default() };
        let text = connections(
            &[&lossy],
            View { top: 1, width: None, sort: None, hints: Hints::default() },
        );
        assert_eq!([text[0].0, text[1].0], [Style::Heading, Style::Warning]);
    }
}
