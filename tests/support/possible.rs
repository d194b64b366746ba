// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! No value of any table is outside the range that its column has, none is the kernel's word for "not
//! yet", and those of one row can be true together. Holds of every recording that a test makes.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use estats::engine::estats::ORDERED;
use estats::engine::limits::LimitCause;
use estats::output::tables::{Bounds, Qualities, specs};
use estats::schema::{Gap, Kind, Var};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The value of a minimum before the first sample, in RFC 4898 and in the kernel.
const NOT_YET: f64 = 4_294_967_295.0;
/// Limits that are not in force.
const UNLIMITED: [&str; 2] = ["LimCwnd", "LimSsthresh"];

/// The values that were checked, and the impossible ones.
#[derive(Debug, Default)]
pub struct Found {
    /// Values that are not NULL.
    pub values: usize,
    /// Rows of connections that lack records.
    pub lossy: usize,
    /// Rows that are marked because a value was discarded, or a hook was silent.
    pub marked: usize,
    /// One line for each value that cannot be.
    pub impossible: Vec<String>,
}

/// Panics with all values in the tables of a directory that cannot be.
#[track_caller]
pub fn assert_possible(tables: &Path) -> Found {
    let found = look(tables);
    assert!(
        found.impossible.is_empty(),
        "{}:\n  {}",
        tables.display(),
        found.impossible.join("\n  ")
    );
    found
}

/// Looks at every value of every table.
pub fn look(tables: &Path) -> Found {
    let mut found = Found::default();
    for spec in specs(&Qualities::default()) {
        for batch in read(&tables.join(spec.name).with_extension("parquet")) {
            for column in &spec.columns {
                let Some(bounds) = column.bounds() else { continue };
                let is_variable = Var::by_name(column.name).is_some();
                for (row, value) in numbers(&batch, column.name).into_iter().enumerate() {
                    let Some(value) = value else { continue };
                    found.values += 1;
                    let inside = match bounds {
                        Bounds::Int(range) => {
                            (range.least as f64..=range.most as f64).contains(&value)
                        }
                        Bounds::Float(least, most) => (least..=most).contains(&value),
                    };
                    let not_yet =
                        is_variable && value == NOT_YET && !UNLIMITED.contains(&column.name);
                    if !inside || not_yet {
                        let place = format!("{} row {row}", spec.name);
                        found.impossible.push(format!("{place}: {} is {value}", column.name));
                    }
                }
            }
            let ordered: &[(&str, &str)] = match spec.name {
                "connections" => &[("begin_ns", "end_ns"), ("counted_since_ns", "end_ns")],
                "flows" => &[("begin_ns", "end_ns"), ("data_segments", "segments")],
                "rtt" => &[("min_rtt_ns", "rtt_ns")],
                "rtt_aggregate" => &[("min_rtt_ns", "mean_rtt_ns"), ("mean_rtt_ns", "max_rtt_ns")],
                "sockets" => &[("tcpi_bytes_retrans", "tcpi_bytes_sent")],
                _ => &[],
            };
            for (less, more) in ordered {
                order(&batch, less, more, &mut found);
            }
            match spec.name {
                "connections" => connections(&batch, &mut found),
                "estats" => final_values(&batch, &mut found),
                _ => {}
            }
        }
    }
    found
}

const STATES: [&str; 8] = [
    "syn_sent",
    "syn_received",
    "established",
    "fin_wait1",
    "fin_wait2",
    "close_wait",
    "last_ack",
    "closing",
];

fn connections(batch: &RecordBatch, found: &mut Found) {
    let shares = LimitCause::ALL.map(|limit| numbers(batch, limit.column()));
    let states = STATES.map(|state| numbers(batch, &format!("{state}_ns")));
    let [begin, end] = ["begin_ns", "end_ns"].map(|name| numbers(batch, name));
    let completeness = texts(batch, "completeness");
    let marks = [texts(batch, "discarded"), texts(batch, "silent_hooks")];
    for row in 0..batch.num_rows() {
        let sum: f64 = shares.iter().filter_map(|share| share[row]).sum();
        // All of its life, or nothing: a connection that never sent knows its startup alone.
        let known = shares.iter().filter(|share| share[row].is_some()).count();
        if sum > 1.0 + 1e-9 || (known > 1 && sum < 1.0 - 1e-9) {
            found.impossible.push(format!("connections row {row}: the shares' sum is {sum}"));
        }
        let life = end[row].zip(begin[row]).map(|(end, begin)| end - begin).unwrap_or_default();
        let sum: f64 = states.iter().filter_map(|ns| ns[row]).sum();
        let all_known = states.iter().all(|ns| ns[row].is_some());
        // Whole nanoseconds, read as numbers that hold 2^53 of them.
        if sum > life + 1e3 || (all_known && sum < life - 1e3) {
            found
                .impossible
                .push(format!("connections row {row}: {sum} ns in states of {life} ns"));
        }
        let marked = marks.iter().any(|mark| mark[row].is_some());
        found.marked += usize::from(marked);
        if marked && completeness[row].as_deref() != Some("lossy") {
            found
                .impossible
                .push(format!("connections row {row}: something is missing, not lossy"));
        }
    }
}

fn final_values(batch: &RecordBatch, found: &mut Found) {
    for (less, more) in ORDERED {
        order(batch, less.name(), more.name(), found);
    }
    let completeness = texts(batch, "completeness");
    let lost = numbers(batch, "lost_records");
    for &var in Var::ALL {
        let values = numbers_or_none(batch, var.name());
        for row in (0..batch.num_rows()).filter(|&row| lost[row] > Some(0.0)) {
            let value = values.as_ref().and_then(|values| values[row]);
            let is =
                |what| format!("estats row {row}, which lacks records: {} is {what}", var.name());
            match (var.gap(), value) {
                // That nothing was seen proves nothing.
                (Gap::AtLeast, Some(0.0)) => found.impossible.push(is("0")),
                (Gap::Unknown, Some(_)) => found.impossible.push(is("known")),
                (Gap::Whole | Gap::AtLeast | Gap::Unknown, _) => {}
            }
            if var.def().kind == Kind::Max || var.def().kind == Kind::Min {
                assert_eq!(value, None, "{}", var.name());
            }
        }
    }
    found.lossy += completeness.iter().filter(|c| c.as_deref() == Some("lossy")).count();
}

/// The first is never more than the second.
fn order(batch: &RecordBatch, less: &str, more: &str, found: &mut Found) {
    let (a, b) = (numbers(batch, less), numbers(batch, more));
    for (row, pair) in a.into_iter().zip(b).enumerate() {
        if let (Some(a), Some(b)) = pair
            && a > b
        {
            found.impossible.push(format!("row {row}: {less} {a} is above {more} {b}"));
        }
    }
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build();
    reader.expect("reader").map(|batch| batch.expect("batch")).collect()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> &'a ArrayRef {
    batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}"))
}

/// As numbers: 2^53 is far above all that is compared.
fn numbers(batch: &RecordBatch, name: &str) -> Vec<Option<f64>> {
    numbers_or_none(batch, name).unwrap_or_else(|| panic!("{name} has no numbers"))
}

fn numbers_or_none(batch: &RecordBatch, name: &str) -> Option<Vec<Option<f64>>> {
    let array = column(batch, name);
    match array.data_type() {
        DataType::Float64 => Some(array.as_primitive::<Float64Type>().iter().collect()),
        DataType::Int32 | DataType::Int64 | DataType::Timestamp(..) => {
            let array = cast(array, &DataType::Int64).expect("a number");
            let values = array.as_primitive::<Int64Type>().iter();
            Some(values.map(|value| value.map(|n| n as f64)).collect())
        }
        _ => None,
    }
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let array = cast(column(batch, name), &DataType::Utf8).expect("text");
    array.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}
