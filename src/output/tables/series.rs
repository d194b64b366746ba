// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! series.parquet: values over time.

use super::columns::{Cell, ColumnKind, ColumnSpec, TableBuilder};
use super::variables::{cell, column};
use super::{Qualities, TableSpec};
use crate::engine::estats::Sample;
use crate::engine::time::timeline::Timeline;
use crate::schema::Var;

pub(super) fn spec(qualities: &Qualities) -> TableSpec {
    let mut columns = vec![
        ColumnSpec::new(
            "conn_id",
            ColumnKind::Int64,
            "",
            "Number of the connection, as in connections.",
        ),
        ColumnSpec::new("recording", ColumnKind::Text, "", "UUID of the recording."),
        ColumnSpec::new("ts_ns", ColumnKind::Int64, "ns", "Time of the row, CLOCK_MONOTONIC."),
        ColumnSpec::new("ts", ColumnKind::Time, "", "The same in wall-clock time."),
        ColumnSpec::new("t_s", ColumnKind::Float64, "s", "Seconds since the connection began. For a record of the handshake it may be slightly below 0.")
            .since_begin(),
    ];
    columns.extend(Var::ALL.iter().filter(|v| v.varies()).map(|&v| column(v, qualities)));
    TableSpec {
        name: "series",
        doc: "Values over time. A connection has one row at each multiple of --interval if anything was recorded since the row before, and one row at its end. With --interval event there is one row per hook record. In order of time. The table connections has the completeness: it is known only at the end.",
        columns,
    }
}

pub(super) fn push(
    table: &mut TableBuilder,
    recording: &str,
    clock: &Timeline,
    sample: &Sample<'_>,
) {
    // Records of the handshake may come before the connection's own idea of its beginning.
    let since_begin = i128::from(sample.ts_ns) - i128::from(sample.begin_ns);
    let lead = [
        Cell::from(sample.conn_id),
        Cell::from(recording),
        Cell::from(sample.ts_ns),
        Cell::int(clock.wall_us(sample.ts_ns)),
        Cell::Float(since_begin as f64 / 1e9),
    ];
    table.push_values(lead, |var| cell(var, sample.row, sample.identity));
}
