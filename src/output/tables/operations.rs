// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! operations: the log itself, a row per operation. No table of replay, but an export.

use arrow::array::RecordBatch;

use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use super::{BATCH_ROWS, TableSpec};
use crate::engine::time::timeline::Timeline;
use crate::schema::{Op, Type};
use crate::wire::{Header, Operation};

/// Name, meaning and columns.
pub fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    TableSpec {
        name: "operations",
        doc: "Every operation of the log, in the order in which replay applies them.",
        columns: vec![
            c(
                "conn_id",
                K::Int64,
                "",
                "Number of the connection, as in connections; NULL for what comes after its end.",
            ),
            c("recording", K::Text, "", "UUID of the recording."),
            c("ts_ns", K::Int64, "ns", "When the hook ran, CLOCK_MONOTONIC."),
            c("ts", K::Time, "", "The same in wall-clock time."),
            c("cpu", K::Int32, "", "CPU on which the hook ran."),
            c("seq", K::Int64, "", "Number of the record on its CPU."),
            c("cookie", K::Int64, "", "Socket cookie, as in connections."),
            c("generation", K::Int32, "", "Which of the connections of that socket, from 0."),
            c("hook", K::Text, "", "The hook that made the record."),
            c("variable", K::Text, "", "Name of the variable, as in RFC 4898."),
            c("op", K::Text, "", "set, add, inc, dec, max, min, missed or void."),
            c("value", K::Int64, "", "Operand in the unit of the variable; NULL for inc and dec."),
        ],
    }
}

/// Makes batches of rows.
#[derive(Debug)]
pub struct Operations<'a> {
    builder: TableBuilder,
    recording: &'a str,
    clock: &'a Timeline,
}

impl<'a> Operations<'a> {
    /// For a recording with this UUID and these clocks.
    pub fn new(recording: &'a str, clock: &'a Timeline) -> Self {
        Self { builder: TableBuilder::new(&spec()), recording, clock }
    }

    /// Adds a row.
    pub fn push(&mut self, conn_id: Option<u64>, header: &Header, operation: &Operation) {
        let Operation { var, op, value } = *operation;
        let value = match (op, var.def().ty) {
            (Op::Inc | Op::Dec | Op::Void, _) => Cell::Null,
            (Op::Set | Op::Add | Op::Max | Op::Min, Type::I32) => {
                Cell::Int(i64::from(value as i32))
            }
            (Op::Set | Op::Add | Op::Max | Op::Min | Op::Missed, _) => Cell::from(value),
        };
        self.builder.push([
            Cell::int(conn_id),
            Cell::from(self.recording),
            Cell::from(header.ts_ns),
            Cell::int(self.clock.wall_us(header.ts_ns)),
            Cell::from(u64::from(header.cpu)),
            Cell::from(header.seq),
            Cell::from(header.cookie),
            Cell::from(u64::from(header.generation)),
            Cell::from(header.hook.name()),
            Cell::from(var.name()),
            Cell::from(op.name()),
            value,
        ]);
    }

    /// A batch, if there are enough rows for one, or any at the end.
    pub fn take(&mut self, at_end: bool) -> Option<RecordBatch> {
        let rows = if at_end { 1 } else { BATCH_ROWS };
        (self.builder.rows() >= rows).then(|| self.builder.take())
    }
}
