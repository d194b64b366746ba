//! Columns: their types, their builders, and their description.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};

/// The physical types: those that DuckDB, polars, pandas, Spark and ClickHouse all read without
/// help. Spark turns UINT_64 into a decimal and refuses a file with TIMESTAMP(ns) whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Counters, cookies, monotonic times.
    Int64,
    /// Small numbers.
    Int32,
    /// Seconds, for plots.
    Float64,
    /// Truth values.
    Bool,
    /// Enumerations, addresses, names: dictionary-encoded strings.
    Text,
    /// Wall-clock time: TIMESTAMP(us, UTC).
    Time,
}

impl ColumnKind {
    /// The Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Int64 => DataType::Int64,
            Self::Int32 => DataType::Int32,
            Self::Float64 => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Text => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// The word in the documentation.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int64 => "Int64",
            Self::Int32 => "Int32",
            Self::Float64 => "Float64",
            Self::Bool => "Boolean",
            Self::Text => "String",
            Self::Time => "Timestamp(us, UTC)",
        }
    }
}

/// A column with its description.
#[derive(Clone, Debug)]
pub struct ColumnSpec {
    /// Name: the RFC 4898 name of a variable, or snake_case.
    pub name: &'static str,
    /// Type.
    pub kind: ColumnKind,
    /// Unit in words, empty if there is none.
    pub unit: &'static str,
    /// RFC 4898 object, empty if there is none.
    pub rfc: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// How true the recording makes it, for variables.
    pub quality: Option<String>,
    /// Variables and fields of the kernel that it is computed from, with commas; empty otherwise.
    pub from: &'static str,
}

impl ColumnSpec {
    /// A column that is no variable.
    pub const fn new(
        name: &'static str,
        kind: ColumnKind,
        unit: &'static str,
        doc: &'static str,
    ) -> Self {
        Self { name, kind, unit, rfc: "", doc, quality: None, from: "" }
    }

    /// The same, computed from these.
    pub const fn from(mut self, from: &'static str) -> Self {
        self.from = from;
        self
    }

    fn field(&self) -> Field {
        let quality = self.quality.as_deref().unwrap_or("");
        let metadata = [
            ("unit", self.unit),
            ("rfc", self.rfc),
            ("doc", self.doc.trim()),
            ("quality", quality),
            ("from", self.from),
        ];
        // All columns may be NULL: what is not known is not zero.
        Field::new(self.name, self.kind.data_type(), true).with_metadata(
            metadata
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>(),
        )
    }
}

pub(super) fn schema(columns: &[ColumnSpec]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(ColumnSpec::field).collect::<Vec<_>>()))
}

/// A value on its way into a column.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Null,
    Int(i64),
    Float(f64),
    Bool(bool),
    Text(Cow<'a, str>),
}

impl<'a> Cell<'a> {
    pub fn int(value: Option<u64>) -> Self {
        // Counters beyond 2^63 do not occur; two's complement would show them all the same.
        value.map_or(Self::Null, |v| Self::Int(v as i64))
    }

    pub fn text(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, |v| Self::Text(Cow::Borrowed(v)))
    }
}

impl From<u64> for Cell<'_> {
    fn from(value: u64) -> Self {
        Self::int(Some(value))
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

enum Column {
    Int64(Int64Builder),
    Int32(Int32Builder),
    Float64(Float64Builder),
    Bool(BooleanBuilder),
    Text(StringDictionaryBuilder<Int32Type>),
    Time(TimestampMicrosecondBuilder),
}

impl fmt::Debug for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int64(_) => "Int64",
            Self::Int32(_) => "Int32",
            Self::Float64(_) => "Float64",
            Self::Bool(_) => "Bool",
            Self::Text(_) => "Text",
            Self::Time(_) => "Time",
        })
    }
}

impl Column {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Int64 => Self::Int64(Int64Builder::new()),
            ColumnKind::Int32 => Self::Int32(Int32Builder::new()),
            ColumnKind::Float64 => Self::Float64(Float64Builder::new()),
            ColumnKind::Bool => Self::Bool(BooleanBuilder::new()),
            ColumnKind::Text => Self::Text(StringDictionaryBuilder::new()),
            ColumnKind::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        }
    }

    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Int64(b), Cell::Int(v)) => b.append_value(*v),
            // Small types have small values; a log that says otherwise is shown as NULL, not cut.
            (Self::Int32(b), Cell::Int(v)) => b.append_option(i32::try_from(*v).ok()),
            (Self::Time(b), Cell::Int(v)) => b.append_value(*v),
            (Self::Float64(b), Cell::Float(v)) => b.append_value(*v),
            (Self::Bool(b), Cell::Bool(v)) => b.append_value(*v),
            (Self::Text(b), Cell::Text(v)) => b.append_value(v),
            (Self::Int64(b), Cell::Null) => b.append_null(),
            (Self::Int32(b), Cell::Null) => b.append_null(),
            (Self::Time(b), Cell::Null) => b.append_null(),
            (Self::Float64(b), Cell::Null) => b.append_null(),
            (Self::Bool(b), Cell::Null) => b.append_null(),
            (Self::Text(b), Cell::Null) => b.append_null(),
            (column, cell) => unreachable!("{cell:?} given to {column:?}"),
        }
    }

    fn take(&mut self) -> ArrayRef {
        match self {
            Self::Int64(b) => Arc::new(b.finish()),
            Self::Int32(b) => Arc::new(b.finish()),
            Self::Float64(b) => Arc::new(b.finish()),
            Self::Bool(b) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Time(b) => Arc::new(b.finish()),
        }
    }
}

/// Collects rows into batches.
#[derive(Debug)]
pub(super) struct TableBuilder {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
}

impl TableBuilder {
    pub fn new(columns: &[ColumnSpec]) -> Self {
        Self {
            schema: schema(columns),
            columns: columns.iter().map(|c| Column::new(c.kind)).collect(),
            rows: 0,
        }
    }

    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row: a cell for each column.
    pub fn push<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        let mut filled = 0;
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(&cell);
            filled += 1;
        }
        assert_eq!(filled, self.columns.len(), "a cell for each column");
        self.rows += 1;
    }

    /// What was collected; the builder is empty afterwards.
    pub fn take(&mut self) -> RecordBatch {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Column::take).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("columns are built by the schema, all of them by each row")
    }
}
