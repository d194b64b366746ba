// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats.parquet and the eight tables of RFC 4898, all from the schema: final values.

use std::borrow::Cow;

use super::columns::{Bounds, Cell, ColumnKind, ColumnSpec, TableBuilder};
use super::{Qualities, TableSpec};
use crate::engine::estats::{Ended, Row};
use crate::engine::identity::Identity;
use crate::schema::{Table, Type, Var};

/// All variables side by side, then the tables of the specification.
pub(super) fn specs(qualities: &Qualities) -> Vec<TableSpec> {
    let tables = Table::ALL.iter().map(|&table| one(table, qualities));
    std::iter::once(all(qualities)).chain(tables).collect()
}

fn all(qualities: &Qualities) -> TableSpec {
    spec(
        "estats",
        "Final values of all variables side by side: one row per connection, in the order in which they ended.",
        Var::ALL.iter().copied(),
        qualities,
    )
}

/// The variables of one table of the specification.
fn one(table: Table, qualities: &Qualities) -> TableSpec {
    let doc = match table {
        Table::Global => "Sender limitation and clocks, final values.",
        Table::Connection => "Addresses and ports (tcpEStatsConnectTable).",
        Table::Perf => "Traffic and congestion, final values (tcpEStatsPerfTable).",
        Table::Path => "What the path did, final values (tcpEStatsPathTable).",
        Table::Stack => "What the stack did, final values (tcpEStatsStackTable).",
        Table::App => "What the application did, final values (tcpEStatsAppTable).",
        Table::Tune => "Limits and controls, final values (tcpEStatsTuneTable).",
        Table::Extras => "Web10G's additions, final values.",
    };
    let vars = Var::ALL.iter().copied().filter(|v| v.def().table == table);
    spec(table.name(), doc, vars, qualities)
}

fn spec(
    name: &'static str,
    doc: &'static str,
    vars: impl Iterator<Item = Var>,
    qualities: &Qualities,
) -> TableSpec {
    let mut columns = vec![
        ColumnSpec::new(
            "conn_id",
            ColumnKind::Int64,
            "",
            "Number of the connection, as in connections.",
        ),
        ColumnSpec::new("recording", ColumnKind::Text, "", "UUID of the recording."),
        ColumnSpec::new("completeness", ColumnKind::Text, "", "As in connections."),
        ColumnSpec::new("lost_records", ColumnKind::Int64, "records", "As in connections."),
        ColumnSpec::new("counted_since_ns", ColumnKind::Int64, "ns", "As in connections."),
    ];
    columns.extend(vars.map(|var| column(var, qualities)));
    TableSpec { name, doc, columns }
}

/// The column of a variable.
pub(super) fn column(var: Var, qualities: &Qualities) -> ColumnSpec {
    let def = var.def();
    let status = qualities.get(var);
    ColumnSpec {
        name: def.name,
        kind: kind(def.ty),
        unit: def.unit,
        rfc: def.rfc,
        doc: def.doc,
        quantity: def.kind.name(),
        quality: status.map(|s| s.quality.clone()),
        quality_reason: status.and_then(|s| s.reason.clone()),
        from: "",
        basis: var.basis().name(),
        range: match kind(def.ty) {
            ColumnKind::Int64 | ColumnKind::Int32 | ColumnKind::Time => {
                Some(Bounds::Int(var.range()))
            }
            ColumnKind::Float64 | ColumnKind::Bool | ColumnKind::Text => None,
        },
    }
}

const fn kind(ty: Type) -> ColumnKind {
    match ty {
        Type::U8 | Type::U16 | Type::I32 => ColumnKind::Int32,
        Type::U32 | Type::U64 | Type::MonotonicNs => ColumnKind::Int64,
        Type::Truth => ColumnKind::Bool,
        Type::Enum(_) | Type::Address => ColumnKind::Text,
        Type::WallUs => ColumnKind::Time,
    }
}

/// The value of a variable as its column has it.
pub(super) fn cell(var: Var, row: &Row, identity: &Identity) -> Cell<'static> {
    let Some(value) = row.get(var) else { return Cell::Null };
    match var.def().ty {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 | Type::MonotonicNs | Type::WallUs => {
            Cell::from(value)
        }
        // Two's complement, sign-extended or not.
        Type::I32 => Cell::Int(i64::from(value as i32)),
        // Replay discards other values of a TruthValue and unknown codes, so a row has none.
        Type::Truth => Cell::Bool(value == 1),
        Type::Enum(names) => names
            .iter()
            .find(|(code, _)| *code == value)
            .map_or(Cell::Null, |(_, name)| Cell::Text(Cow::Borrowed(*name))),
        Type::Address => identity.text(var).map_or(Cell::Null, |text| Cell::Text(text.into())),
    }
}

/// Adds the final values of a connection.
pub(super) fn push(table: &mut TableBuilder, recording: &str, ended: &Ended<'_>) {
    let lead = [
        Cell::from(ended.conn_id),
        Cell::from(recording),
        Cell::from(ended.completeness().name()),
        Cell::from(ended.lost_records),
        Cell::int(ended.counted_since_ns),
    ];
    table.push_values(lead, |var| cell(var, ended.row, ended.identity));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_columns_are_not_variables() {
        let spec = all(&Qualities::default());
        assert_eq!(TableBuilder::new(&spec).vars(), Var::ALL);
    }

    #[test]
    fn types_are_those_every_reader_takes() {
        for (var, kind) in [
            (Var::IpTtl, ColumnKind::Int32),
            (Var::RemPort, ColumnKind::Int32),
            (Var::WinScaleSent, ColumnKind::Int32),
            (Var::SegsOut, ColumnKind::Int64),
            (Var::HCDataOctetsOut, ColumnKind::Int64),
            (Var::StartTs, ColumnKind::Int64),
            (Var::StartTv, ColumnKind::Time),
            (Var::Nagle, ColumnKind::Bool),
            (Var::State, ColumnKind::Text),
            (Var::RemAddress, ColumnKind::Text),
        ] {
            assert_eq!(column(var, &Qualities::default()).kind, kind, "{}", var.name());
        }
    }
}
