// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! audit.parquet: the values that replay computes from the stream, compared with the kernel's values.

use super::TableSpec;
use super::columns::{Cell, ColumnKind, ColumnSpec, TableBuilder};
use crate::engine::audit::Comparison;

pub(super) fn spec() -> TableSpec {
    let columns = vec![
        ColumnSpec::new(
            "conn_id",
            ColumnKind::Int64,
            "",
            "Number of the connection, as in connections.",
        ),
        ColumnSpec::new("recording", ColumnKind::Text, "", "UUID of the recording."),
        ColumnSpec::new(
            "variable",
            ColumnKind::Text,
            "",
            "The variable, or the first of those in the relation.",
        ),
        ColumnSpec::new("relation", ColumnKind::Text, "", "What must hold."),
        ColumnSpec::new("replayed", ColumnKind::Int64, "", "The left side, from the stream.")
            .within(i64::MIN, i64::MAX),
        ColumnSpec::new(
            "kernel",
            ColumnKind::Int64,
            "",
            "The right side, from the kernel's values read at the same instant.",
        )
        .within(i64::MIN, i64::MAX),
        ColumnSpec::new(
            "packets",
            ColumnKind::Int64,
            "",
            "The same value from packets at the connection's socket, up to its last record. NULL if packets cannot show it, or if not all packets were recorded.",
        ),
        ColumnSpec::new(
            "verdict",
            ColumnKind::Text,
            "",
            "equal; bounded: within what the relation states; differs; or not comparable.",
        ),
        ColumnSpec::new("reason", ColumnKind::Text, "", "Why it is not comparable."),
    ];
    TableSpec {
        name: "audit",
        doc: "The self-audit: one row per connection and relation. A relation compares the connection's final values with the kernel's values read at the same instant and, with --packets, with the recorded packets. In the order in which connections end.",
        columns,
    }
}

pub(super) fn push(
    table: &mut TableBuilder,
    recording: &str,
    conn_id: u64,
    comparison: &Comparison,
) {
    let side = |value: Option<i64>| value.map_or(Cell::Null, Cell::Int);
    let reason =
        if comparison.reason.is_empty() { Cell::Null } else { Cell::from(comparison.reason) };
    table.push([
        Cell::from(conn_id),
        Cell::from(recording),
        Cell::from(comparison.var.name()),
        Cell::from(comparison.relation.as_str()),
        side(comparison.replayed),
        side(comparison.kernel),
        side(comparison.packets),
        Cell::from(comparison.verdict.name()),
        reason,
    ]);
}
