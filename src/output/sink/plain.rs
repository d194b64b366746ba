// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Tables as Arrow, CSV and lines of JSON: for what does not read Parquet, and for pipes.
//!
//! Strings are plain here, not dictionary-encoded: an Arrow file allows each column one dictionary,
//! and a stream of rows cannot know it beforehand. What is not known is an empty cell in CSV and
//! `null` in JSON. In CSV a text that begins like a formula has an apostrophe before it.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray as _, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::json;

use super::Origin;
use crate::output::tables::TableSpec;
use crate::util::visible::cell;

/// Formats in which tables are written, besides Parquet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// Arrow's IPC file.
    Arrow,
    /// Arrow's IPC stream, which needs no end to be read.
    ArrowStream,
    /// CSV with a header, RFC 4180.
    Csv,
    /// A JSON object per line.
    Jsonl,
}

impl Plain {
    /// The end of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Arrow => "arrow",
            Self::ArrowStream => "arrows",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
        }
    }
}

enum Encoder<W: Write> {
    Arrow(Box<FileWriter<W>>),
    Stream(Box<StreamWriter<W>>),
    Csv(Box<csv::Writer<W>>),
    Jsonl(json::LineDelimitedWriter<W>),
}

/// Writes the batches of one table.
pub struct PlainWriter<W: Write> {
    schema: SchemaRef,
    encoder: Encoder<W>,
}

impl<W: Write> std::fmt::Debug for PlainWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainWriter").finish_non_exhaustive()
    }
}

impl<W: Write> PlainWriter<W> {
    /// Begins a table of a recording.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn new(
        format: Plain,
        table: &TableSpec,
        origin: &Origin,
        out: W,
    ) -> Result<Self, ArrowError> {
        let schema = table.schema();
        let is_text = matches!(format, Plain::Csv | Plain::Jsonl);
        let fields = schema.fields().iter().map(|field| {
            let ty = plain_type(field.data_type(), is_text);
            Field::new(field.name(), ty, true).with_metadata(field.metadata().clone())
        });
        let fields = fields.collect::<Vec<_>>();
        let schema = Arc::new(Schema::new_with_metadata(fields, origin.metadata(table)));
        let mut encoder = match format {
            Plain::Arrow => Encoder::Arrow(Box::new(FileWriter::try_new(out, &schema)?)),
            Plain::ArrowStream => Encoder::Stream(Box::new(StreamWriter::try_new(out, &schema)?)),
            Plain::Csv => {
                Encoder::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(out)))
            }
            Plain::Jsonl => Encoder::Jsonl(
                json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<W, json::writer::LineDelimited>(out),
            ),
        };
        if let Encoder::Csv(csv) = &mut encoder {
            // A table without rows has its header too.
            csv.write(&RecordBatch::new_empty(schema.clone()))?;
        }
        Ok(Self { schema, encoder })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let fields = self.schema.fields().iter();
        let columns = batch.columns().iter().zip(fields).map(|(c, f)| plain(c, f.data_type()));
        let batch = RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)?;
        match &mut self.encoder {
            Encoder::Arrow(w) => w.write(&batch),
            Encoder::Stream(w) => w.write(&batch),
            Encoder::Csv(w) => w.write(&without_formulas(&batch)?),
            Encoder::Jsonl(w) => w.write(&batch),
        }
    }

    /// Ends the table and gives back what it was written to.
    ///
    /// # Errors
    /// If the end cannot be written.
    pub fn finish(self) -> Result<W, ArrowError> {
        match self.encoder {
            Encoder::Arrow(w) => w.into_inner(),
            Encoder::Stream(w) => w.into_inner(),
            Encoder::Csv(w) => Ok(w.into_inner()),
            Encoder::Jsonl(mut w) => {
                w.finish()?;
                Ok(w.into_inner())
            }
        }
    }
}

/// Cells of text that a program which calculates would take for formulas are marked as text.
fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let column = |column: &ArrayRef| -> ArrayRef {
        match column.as_string_opt::<i32>() {
            Some(texts) => {
                Arc::new(texts.iter().map(|text| text.map(cell)).collect::<StringArray>())
            }
            None => column.clone(),
        }
    };
    RecordBatch::try_new(batch.schema(), batch.columns().iter().map(column).collect())
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are in no table")]
fn plain_type(ty: &DataType, is_text: bool) -> DataType {
    match ty {
        DataType::Dictionary(..) => DataType::Utf8,
        // arrow knows UTC by name only with a feature of 4 MB.
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) if is_text => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
        }
        other => other.clone(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "most of Arrow's types are in no table")]
fn plain(column: &ArrayRef, ty: &DataType) -> Result<ArrayRef, ArrowError> {
    match ty {
        same if same == column.data_type() => Ok(column.clone()),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let times = column.as_primitive::<TimestampMicrosecondType>().clone();
            Ok(Arc::new(times.with_timezone(zone.clone())))
        }
        other => cast(column, other),
    }
}
