// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! schema.parquet: what the columns of all tables mean, for readers that do not show the metadata of fields.

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};

/// The columns from `unit` on are [`ColumnSpec::facts`].
pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    TableSpec {
        name: "schema",
        doc: "What the columns mean: one row per column of each table, of this one too, in their order. As information_schema.columns of SQL databases, with unit, meaning and quality. The columns from unit on are also the metadata of each field in the files, whose keys stand in parentheses.",
        columns: vec![
            c("recording", K::Text, "", "UUID of the recording."),
            c("table_name", K::Text, "", "The table, which is the stem of its file."),
            c("column_name", K::Text, "", "The column."),
            c("ordinal_position", K::Int32, "", "Its place in the table, from 1."),
            c(
                "data_type",
                K::Text,
                "",
                "Arrow type. String is dictionary-encoded in Parquet files (Dictionary(Int32, Utf8)), and Utf8 in Arrow files.",
            ),
            c(
                "parquet_type",
                K::Text,
                "",
                "Physical type in a Parquet file, and the logical type if it has one.",
            ),
            c(
                "is_nullable",
                K::Bool,
                "",
                "Whether the file permits NULL. It does in every column: a value that is not known is not zero.",
            ),
            c("unit", K::Text, "", "Unit (`unit`); NULL if it has none."),
            c("description", K::Text, "", "Meaning (`doc`)."),
            c("rfc_object", K::Text, "", "Object of RFC 4898 (`rfc`); NULL if it is none."),
            c(
                "kind",
                K::Text,
                "",
                "What sort of quantity a variable is (`kind`): counter, gauge, maximum, minimum, identity or derived. NULL for other columns.",
            ),
            c(
                "basis",
                K::Text,
                "",
                "Since when it counts (`basis`): connection, recording (since counted_since_ns of the row) or now (it does not count). NULL for other columns than variables.",
            ),
            c(
                "value_range",
                K::Text,
                "",
                "The numbers it can have, both ends included (`range`): 0..1, or 0.. without a largest. A value outside is discarded and counted. NULL for text and truth values.",
            ),
            c(
                "computed_from",
                K::Text,
                "",
                "Variables and fields of the kernel that it is computed from, with commas (`from`).",
            ),
            c(
                "quality",
                K::Text,
                "",
                "How true this recording makes a variable (`quality`): exact, sampled (the right value, read at other times), approximate, constant (it cannot change on today's kernels) or missing (NULL in every row). NULL for other columns.",
            ),
            c(
                "quality_reason",
                K::Text,
                "",
                "Why it is not exact (`quality_reason`); NULL if it is.",
            ),
        ],
    }
}

/// A row for each column of the tables.
pub(super) fn rows(table: &mut TableBuilder, recording: &str, specs: &[TableSpec]) {
    for spec in specs {
        for (column, position) in spec.columns.iter().zip(1..) {
            let field = column.field();
            let lead = [
                Cell::from(recording),
                Cell::from(spec.name),
                Cell::from(column.name),
                Cell::Int(position),
                Cell::from(column.kind.name()),
                Cell::from(column.kind.parquet()),
                Cell::Bool(field.is_nullable()),
            ];
            let stated = column.facts().map(|(_, fact)| {
                // Comments of the list of variables have several lines.
                let line = fact.split_whitespace().collect::<Vec<_>>().join(" ");
                if line.is_empty() { Cell::Null } else { Cell::Text(line.into()) }
            });
            table.push(lead.into_iter().chain(stated));
        }
    }
}
