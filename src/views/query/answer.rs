// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The rows of an answer, in the formats in which one asks for them.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the types of polars and JSON: the few that are shown in their own way are named"
)]

use std::path::Path;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use comfy_table::{CellAlignment, Table, presets};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::ser::{Serialize, SerializeSeq as _, Serializer};
use serde_json::Value;

use super::QueryError;
use crate::util::private;
use crate::util::visible::{quoted, visible};

/// The rows of an answer.
///
/// They come as Parquet, which polars writes and our own library reads: so nothing else knows polars'
/// types, and all formats have the same content.
#[derive(Clone, Debug)]
pub struct Answer {
    parquet: Bytes,
    names: Vec<String>,
    /// Whether a column holds numbers.
    numeric: Vec<bool>,
    rows: Vec<Vec<Value>>,
}

impl Answer {
    /// Reads the bytes of a Parquet file.
    ///
    /// # Errors
    /// [`QueryError::Parquet`], [`QueryError::Arrow`].
    pub fn of(parquet: Vec<u8>) -> Result<Self, QueryError> {
        let parquet = Bytes::from(parquet);
        let builder = ParquetRecordBatchReaderBuilder::try_new(parquet.clone())?;
        let schema = builder.schema().clone();
        let mut rows = Vec::new();
        for batch in builder.build()? {
            read(&batch?, &mut rows)?;
        }
        Ok(Self {
            parquet,
            names: schema.fields().iter().map(|f| f.name().clone()).collect(),
            numeric: schema.fields().iter().map(|f| f.data_type().is_numeric()).collect(),
            rows,
        })
    }

    /// Names of the columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The rows; a value is NULL, a number, a boolean or text.
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// As a table for a person: every row, and NULL is written out.
    pub fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING);
        table.set_header(&self.names);
        for row in &self.rows {
            table.add_row(row.iter().map(|value| match value {
                Value::Null => "NULL".to_owned(),
                value => visible(&plain(value)).into_owned(),
            }));
        }
        for (i, _) in self.numeric.iter().enumerate().filter(|(_, numeric)| **numeric) {
            if let Some(column) = table.column_mut(i) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.trim_fmt() + "\n"
    }

    /// As CSV with a header. NULL is empty, and text that is empty has quotes.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: &mut dyn Iterator<Item = String>| {
            out.push_str(&cells.collect::<Vec<_>>().join(","));
            out.push('\n');
        };
        line(&mut self.names.iter().map(|name| quoted(name).into_owned()));
        for row in &self.rows {
            line(&mut row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => quoted(text).into_owned(),
                value => plain(value),
            }));
        }
        out
    }

    /// Writes it as a Parquet file.
    ///
    /// # Errors
    /// [`QueryError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), QueryError> {
        let written = private::write_named(path, &self.parquet);
        written.map_err(|source| QueryError::Io { action: "write", path: path.to_owned(), source })
    }
}

/// As JSON: an array with an object per row, whose names are in the order of the columns.
impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Row<'a>(&'a [String], &'a [Value]);
        impl Serialize for Row<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().zip(self.1))
            }
        }
        let mut rows = serializer.serialize_seq(Some(self.rows.len()))?;
        for row in &self.rows {
            rows.serialize_element(&Row(&self.names, row))?;
        }
        rows.end()
    }
}

/// A value without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A column as one of four plain types.
enum Column {
    Integers(Int64Array),
    Floats(Float64Array),
    Booleans(BooleanArray),
    Texts(StringArray),
}

impl Column {
    fn of(array: &ArrayRef) -> Result<Self, ArrowError> {
        // A value that does not fit is an error: as NULL it would look like an unknown value.
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let to = |t: &DataType| cast_with_options(array, t, &options);
        Ok(match array.data_type() {
            t if t.is_integer() => Self::Integers(downcast(&to(&DataType::Int64)?)?),
            t if t.is_floating() => Self::Floats(downcast(&to(&DataType::Float64)?)?),
            DataType::Boolean => Self::Booleans(downcast(array)?),
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Utf8View
            | DataType::Dictionary(..) => Self::Texts(downcast(&to(&DataType::Utf8)?)?),
            // Without a data base of time zones arrow knows offsets, not names.
            DataType::Timestamp(unit, Some(zone)) if **zone == *"UTC" => {
                shown(&to(&DataType::Timestamp(*unit, Some("+00:00".into())))?)?
            }
            _ => shown(array)?,
        })
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Self::Integers(a) if a.is_valid(row) => a.value(row).into(),
            // Infinite and not a number become null, as JSON has neither.
            Self::Floats(a) if a.is_valid(row) => a.value(row).into(),
            Self::Booleans(a) if a.is_valid(row) => a.value(row).into(),
            Self::Texts(a) if a.is_valid(row) => a.value(row).into(),
            Self::Integers(_) | Self::Floats(_) | Self::Booleans(_) | Self::Texts(_) => Value::Null,
        }
    }
}

/// Any other type (times, lists) as arrow writes it.
fn shown(array: &ArrayRef) -> Result<Column, ArrowError> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(array, &options)?;
    // Logical: a column of the type NULL has no bitmap of its own.
    let nulls = array.logical_nulls();
    let known = |row| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
    let text = |row| known(row).then(|| formatter.value(row).to_string());
    Ok(Column::Texts((0..array.len()).map(text).collect()))
}

fn downcast<T: Array + Clone + 'static>(array: &ArrayRef) -> Result<T, ArrowError> {
    array
        .as_any()
        .downcast_ref::<T>()
        .cloned()
        .ok_or_else(|| ArrowError::CastError(format!("{} is not plain", array.data_type())))
}

fn read(batch: &RecordBatch, rows: &mut Vec<Vec<Value>>) -> Result<(), ArrowError> {
    let columns: Vec<_> = batch.columns().iter().map(Column::of).collect::<Result<_, _>>()?;
    rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row)).collect()));
    Ok(())
}
