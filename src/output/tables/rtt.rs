// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! rtt.parquet: passive RTT, a row per answer.

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::rows::RttSample;
use crate::engine::rtt::Way;
use crate::engine::time::timeline::Timeline;

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    TableSpec {
        name: "rtt",
        doc: "Passive RTT: one row per answer and method, in order of time. An answer is a packet that answers one of the other end. No sample is left out; the command `rtt` filters them later.",
        columns: vec![
            c(
                "conn_id",
                K::Int64,
                "",
                "Number of the connection, as in connections; NULL for flows without one.",
            ),
            c("recording", K::Text, "", "UUID of the recording."),
            c("ts_ns", K::Int64, "ns", "When the answer was seen, CLOCK_MONOTONIC."),
            c("ts", K::Time, "", "The same in wall-clock time."),
            c("t_s", K::Float64, "s", "Seconds since the first packet of the flow."),
            c("flow", K::Int64, "", "Number of the flow, as in flows."),
            c("protocol", K::Int32, "", "IP protocol number."),
            c(
                "method",
                K::Text,
                "",
                "What makes it an answer: tcp_timestamps, tcp_sequence, tcp_sack, tcp_handshake, icmp_echo, quic_spin, quic_spin_period or dns.",
            ),
            c(
                "forward",
                K::Bool,
                "",
                "The packet that was answered went from the flow's first end (the local one, where one is) to its second.",
            ),
            c("rtt_ns", K::Int64, "ns", "From the packet to its answer."),
            c(
                "min_rtt_ns",
                K::Int64,
                "ns",
                "The smallest RTT so far of this flow, direction and method.",
            ),
            c(
                "match_on_egress",
                K::Bool,
                "",
                "The answer was sent by the recorded end: the time is how long this end took to answer, and not the RTT of a path. NULL where packets have no direction.",
            ),
            c(
                "sent_packets",
                K::Int64,
                "packets",
                "Packets that the end that got the answer had sent so far; a super-packet counts once.",
            ),
            c("sent_bytes", K::Int64, "bytes", "Payload of these."),
            c(
                "received_packets",
                K::Int64,
                "packets",
                "Packets that the end that answered had sent so far, with the answer.",
            ),
            c("received_bytes", K::Int64, "bytes", "Payload of these."),
        ],
    }
}

pub(super) fn push(table: &mut TableBuilder, recording: &str, clock: &Timeline, row: &RttSample) {
    let s = &row.sample;
    table.push([
        Cell::int(row.conn_id),
        Cell::from(recording),
        Cell::from(s.ts_ns),
        Cell::int(clock.wall_us(s.ts_ns)),
        Cell::Float(s.ts_ns.saturating_sub(row.begin_ns) as f64 / 1e9),
        Cell::from(row.flow),
        Cell::from(u64::from(row.protocol)),
        Cell::from(s.method.name()),
        Cell::Bool(s.replier == Way::Back),
        Cell::from(s.rtt_ns),
        Cell::from(s.min_rtt_ns),
        s.match_on_egress.map_or(Cell::Null, Cell::Bool),
        Cell::from(s.sent.packets),
        Cell::from(s.sent.bytes),
        Cell::from(s.received.packets),
        Cell::from(s.received.bytes),
    ]);
}
