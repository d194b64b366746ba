// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Parquet tables as rows a test can ask by column name.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// A value that is not NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Integers of any width, and times.
    Int(i64),
    /// Floating point.
    Float(f64),
    /// Truth.
    Bool(bool),
    /// Text, plain or dictionary-encoded.
    Text(String),
}

/// One row: a value or NULL for every column.
#[derive(Clone, Debug, Default)]
pub struct Row(BTreeMap<String, Option<Value>>);

impl Row {
    /// A row made by hand.
    pub fn new(columns: impl IntoIterator<Item = (String, Option<Value>)>) -> Self {
        Self(columns.into_iter().collect())
    }

    /// The value, `None` for NULL; panics if there is no such column.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column).unwrap_or_else(|| panic!("no column {column}")).as_ref()
    }

    /// The number, `None` for NULL.
    pub fn number(&self, column: &str) -> Option<i64> {
        self.get(column).map(|value| match value {
            Value::Int(n) => *n,
            other => panic!("{column} is {other:?}, not an integer"),
        })
    }

    /// The number; panics on NULL.
    pub fn int(&self, column: &str) -> i64 {
        self.number(column).unwrap_or_else(|| panic!("{column} is NULL"))
    }

    /// A truth value; panics where it is NULL.
    pub fn flag(&self, column: &str) -> bool {
        match self.get(column) {
            Some(Value::Bool(flag)) => *flag,
            other => panic!("{column} is {other:?}, not a truth value"),
        }
    }

    /// The text; panics on NULL.
    pub fn text(&self, column: &str) -> &str {
        match self.get(column) {
            Some(Value::Text(text)) => text,
            other => panic!("{column} is {other:?}, not text"),
        }
    }

    /// An address and a port.
    pub fn endpoint(&self, address: &str, port: &str) -> SocketAddr {
        let text = self.text(address);
        let ip: IpAddr = text.parse().unwrap_or_else(|e| panic!("{address} {text}: {e}"));
        let port = self.int(port);
        SocketAddr::new(ip, u16::try_from(port).unwrap_or_else(|_| panic!("port {port}")))
    }
}

/// All rows of a Parquet file.
pub fn read(path: &Path) -> Vec<Row> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| builder.build())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rows = Vec::new();
    for batch in batches {
        let batch = batch.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let first = rows.len();
        rows.resize_with(first + batch.num_rows(), Row::default);
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            for (row, value) in rows[first..].iter_mut().zip(values(column)) {
                row.0.insert(field.name().clone(), value);
            }
        }
    }
    rows
}

fn values(column: &ArrayRef) -> Vec<Option<Value>> {
    let to = |data_type| {
        cast(column, &data_type)
            .unwrap_or_else(|e| panic!("{} is no column of a table: {e}", column.data_type()))
    };
    match column.data_type() {
        DataType::Boolean => column.as_boolean().iter().map(|v| v.map(Value::Bool)).collect(),
        DataType::Float32 | DataType::Float64 => {
            let array = to(DataType::Float64);
            array.as_primitive::<Float64Type>().iter().map(|v| v.map(Value::Float)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Dictionary(..) => {
            let array = to(DataType::Utf8);
            let texts = array.as_string::<i32>().iter();
            texts.map(|v| v.map(|text| Value::Text(text.to_owned()))).collect()
        }
        // Integers of all widths, timestamps; anything else fails in the cast.
        _ => {
            let array = to(DataType::Int64);
            array.as_primitive::<Int64Type>().iter().map(|v| v.map(Value::Int)).collect()
        }
    }
}
