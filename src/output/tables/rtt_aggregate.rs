// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! rtt_aggregate.parquet: RTTs and traffic by prefix and interval.

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::rtt::Method;
use crate::engine::rtt::aggregate::{AggregateInterval, Count, Global, PrefixStats, Rtts};
use crate::engine::time::timeline::Timeline;
use crate::util::base64;

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    let packets = |name, doc| c(name, K::Int64, "packets", doc);
    let bytes = |name, doc| c(name, K::Int64, "bytes", doc);
    let ns = |name, doc| c(name, K::Int64, "ns", doc);
    TableSpec {
        name: "rtt_aggregate",
        doc: "RTTs and traffic by interval and address prefix (IPv4 /24, IPv6 /48; intervals of 10 s by CLOCK_MONOTONIC). There are three kinds of rows. Rows with prefix and method: RTTs whose answer came from the prefix. Rows with a prefix only: traffic of the prefix. Rows with neither: traffic of all prefixes. Columns that do not belong to a kind of row are NULL.",
        columns: vec![
            c("recording", K::Text, "", "UUID of the recording."),
            c("ts_ns", K::Int64, "ns", "End of the interval, CLOCK_MONOTONIC."),
            c("ts", K::Time, "", "The same in wall-clock time."),
            c("ip_prefix", K::Text, "", "Address and length."),
            c("method", K::Text, "", "As in rtt."),
            c("count_rtt", K::Int64, "", "RTTs."),
            ns("min_rtt_ns", "The smallest RTT."),
            c("mean_rtt_ns", K::Float64, "ns", "The arithmetic mean."),
            ns("median_rtt_ns", "The median, to a hundredth."),
            ns("p95_rtt_ns", "The 95th percentile, to a hundredth."),
            ns("max_rtt_ns", "The largest RTT."),
            c(
                "histogram",
                K::Text,
                "",
                "HdrHistogram of microseconds with two digits: its V2 encoding in base64.",
            ),
            packets("rx_tcp_ts_packets", "From the prefix: TCP with timestamps."),
            bytes("rx_tcp_ts_bytes", "The same, with the link headers that were recorded."),
            packets("rx_tcp_no_ts_packets", "TCP without timestamps, SYN and SYN-ACK."),
            bytes("rx_tcp_no_ts_bytes", "The same."),
            packets("rx_other_packets", "Other protocols."),
            bytes("rx_other_bytes", "The same."),
            packets("tx_tcp_ts_packets", "To the prefix: TCP with timestamps."),
            bytes("tx_tcp_ts_bytes", "The same."),
            packets("tx_tcp_no_ts_packets", "The same."),
            bytes("tx_tcp_no_ts_bytes", "The same."),
            packets("tx_other_packets", "The same."),
            bytes("tx_other_bytes", "The same."),
            packets("tcp_packets", "All traffic: TCP."),
            bytes("tcp_bytes", "The same."),
            packets("udp_packets", "UDP."),
            bytes("udp_bytes", "The same."),
            packets("icmp_packets", "ICMP."),
            bytes("icmp_bytes", "The same."),
            packets("icmpv6_packets", "ICMPv6."),
            bytes("icmpv6_bytes", "The same."),
            packets("other_packets", "All other protocols."),
            packets("not_ect_packets", "ECN field 00."),
            packets("ect1_packets", "ECN field 01."),
            packets("ect0_packets", "ECN field 10."),
            packets("ce_packets", "ECN field 11."),
            c(
                "no_room",
                K::Int64,
                "",
                "Counts of prefixes beyond the first 16384 of the interval: they are in the prefix of length 0.",
            ),
        ],
    }
}

const RTT: usize = 7;
const TRAFFIC: usize = 12;
const GLOBAL: usize = 14;

/// Pushes the rows of an interval; `full` runs after each row, to write out a full batch.
pub(super) fn rows<E>(
    interval: &AggregateInterval,
    recording: &str,
    clock: &Timeline,
    table: &mut TableBuilder,
    mut full: impl FnMut(&mut TableBuilder) -> Result<(), E>,
) -> Result<(), E> {
    let mut row = |prefix: Option<&str>, method: Option<Method>, cells: Vec<Cell<'_>>| {
        let lead = [
            Cell::from(recording),
            Cell::from(interval.end_ns),
            Cell::int(clock.wall_us(interval.end_ns)),
            Cell::text(prefix),
            Cell::text(method.map(Method::name)),
        ];
        table.push(lead.into_iter().chain(cells));
        full(table)
    };
    let nulls = |n: usize| vec![Cell::Null; n];
    for (prefix, stats) in &interval.prefixes {
        let prefix = prefix.to_string();
        row(Some(&prefix), None, [nulls(RTT), traffic(stats), nulls(GLOBAL)].concat())?;
        for (method, rtts) in &stats.rtts {
            let cells = [rtt_cells(rtts), nulls(TRAFFIC), nulls(GLOBAL)].concat();
            row(Some(&prefix), Some(*method), cells)?;
        }
    }
    row(None, None, [nulls(RTT), nulls(TRAFFIC), global(&interval.global)].concat())
}

fn rtt_cells(rtts: &Rtts) -> Vec<Cell<'static>> {
    let mut histogram = String::new();
    base64::encode(&rtts.encoded(), &mut histogram);
    vec![
        Cell::from(rtts.count),
        Cell::from(rtts.min_ns),
        Cell::Float(rtts.mean_ns()),
        Cell::from(rtts.quantile_ns(0.5)),
        Cell::from(rtts.quantile_ns(0.95)),
        Cell::from(rtts.max_ns),
        Cell::Text(histogram.into()),
    ]
}

fn pairs(counts: &[Count]) -> Vec<Cell<'static>> {
    counts.iter().flat_map(|c| [Cell::from(c.packets), Cell::from(c.bytes)]).collect()
}

fn traffic(stats: &PrefixStats) -> Vec<Cell<'static>> {
    let all = [stats.rx, stats.tx].map(|t| pairs(&[t.tcp_ts, t.tcp_no_ts, t.other]));
    all.concat()
}

fn global(g: &Global) -> Vec<Cell<'static>> {
    let mut cells = pairs(&[g.tcp, g.udp, g.icmp, g.icmpv6]);
    cells.push(Cell::from(g.other.values().sum::<u64>()));
    cells.extend(g.ecn.map(Cell::from));
    cells.push(Cell::from(g.no_room));
    cells
}
