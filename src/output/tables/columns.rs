// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Columns: their types, their builders, and their description.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, RecordBatch,
    StringDictionaryBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};

use super::TableSpec;
use crate::schema::{Range, Var};

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

    /// The physical type in a Parquet file, with the logical one where it has one.
    pub const fn parquet(self) -> &'static str {
        match self {
            Self::Int64 => "INT64",
            Self::Int32 => "INT32",
            Self::Float64 => "DOUBLE",
            Self::Bool => "BOOLEAN",
            Self::Text => "BYTE_ARRAY (STRING)",
            Self::Time => "INT64 (TIMESTAMP(MICROS, UTC))",
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
    /// What sort of quantity it is, for variables: counter, gauge, maximum, minimum, identity or derived; empty
    /// otherwise.
    pub quantity: &'static str,
    /// How true the recording makes it, for variables.
    pub quality: Option<String>,
    /// Why it is not exact.
    pub quality_reason: Option<String>,
    /// Variables and fields of the kernel that it is computed from, with commas; empty otherwise.
    pub from: &'static str,
    /// Since when it counts: connection, recording or now; empty where nothing is counted.
    pub basis: &'static str,
    /// The numbers it can have; none: those of its kind and unit, see [`ColumnSpec::bounds`].
    pub range: Option<Bounds>,
}

/// The numbers that a column can have, ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bounds {
    /// Whole numbers.
    Int(Range),
    /// Others, which are finite.
    Float(f64, f64),
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |n: i64| if n == i64::MAX { String::new() } else { n.to_string() };
        match *self {
            Self::Int(Range { least: i64::MIN, most }) => write!(f, "..{}", end(most)),
            Self::Int(range) => write!(f, "{}..{}", range.least, end(range.most)),
            Self::Float(least, f64::MAX) => write!(f, "{least}.."),
            Self::Float(least, most) => write!(f, "{least}..{most}"),
        }
    }
}

impl ColumnSpec {
    /// A column that is not a variable.
    pub const fn new(
        name: &'static str,
        kind: ColumnKind,
        unit: &'static str,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            unit,
            rfc: "",
            doc,
            quantity: "",
            quality: None,
            quality_reason: None,
            from: "",
            basis: "",
            range: None,
        }
    }

    /// The same, with these numbers alone.
    pub const fn within(mut self, least: i64, most: i64) -> Self {
        self.range = Some(Bounds::Int(Range::new(least, most)));
        self
    }

    /// The same, of seconds since the beginning of a connection: its first records may come somewhat
    /// before it.
    pub const fn since_begin(mut self) -> Self {
        self.range = Some(Bounds::Float(-1.0, f64::MAX));
        self
    }

    /// The numbers that it can have; none for text and truth values. What is not stated follows from
    /// kind and unit: nothing that is counted or measured is less than nothing, and no share is more
    /// than the whole.
    pub fn bounds(&self) -> Option<Bounds> {
        self.range.or(match self.kind {
            ColumnKind::Int64 => Some(Bounds::Int(Range::COUNT)),
            ColumnKind::Int32 => Some(Bounds::Int(Range::new(0, i32::MAX.into()))),
            ColumnKind::Time => Some(Bounds::Int(Range::WALL_US)),
            ColumnKind::Float64 if self.unit == "share" => Some(Bounds::Float(0.0, 1.0)),
            ColumnKind::Float64 => Some(Bounds::Float(0.0, f64::MAX)),
            ColumnKind::Bool | ColumnKind::Text => None,
        })
    }

    /// The same, computed from these.
    pub const fn from(mut self, from: &'static str) -> Self {
        self.from = from;
        self
    }

    /// What is stated of it besides name and type, in the order of the columns of the table schema: by their keys
    /// in the metadata of a field. Empty is what does not apply.
    pub(super) fn facts(&self) -> [(&'static str, Cow<'_, str>); 9] {
        let bounds = self.bounds().map_or_else(String::new, |bounds| bounds.to_string());
        [
            ("unit", self.unit.into()),
            ("doc", self.doc.trim().into()),
            ("rfc", self.rfc.into()),
            ("kind", self.quantity.into()),
            ("basis", self.basis.into()),
            ("range", bounds.into()),
            ("from", self.from.into()),
            ("quality", self.quality.as_deref().unwrap_or("").into()),
            ("quality_reason", self.quality_reason.as_deref().unwrap_or("").into()),
        ]
    }

    pub(super) fn field(&self) -> Field {
        let stated = self.facts().into_iter().filter(|(_, value)| !value.is_empty());
        let metadata: BTreeMap<_, _> =
            stated.map(|(key, value)| (key.to_owned(), value.into_owned())).collect();
        // All columns may be NULL: what is not known is not zero.
        Field::new(self.name, self.kind.data_type(), true).with_metadata(metadata)
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
        // Beyond 2^63 it is shown as negative: outside all bounds but those of a cookie.
        value.map_or(Self::Null, |v| Self::Int(v as i64))
    }

    pub fn text(value: Option<&'a str>) -> Self {
        value.map_or(Self::Null, |v| Self::Text(Cow::Borrowed(v)))
    }
}

impl Cell<'_> {
    /// Whether it is a number outside the bounds.
    fn is_outside(&self, bounds: Option<Bounds>) -> bool {
        match (self, bounds) {
            (Self::Int(value), Some(Bounds::Int(range))) => !range.has(*value),
            (Self::Float(value), Some(Bounds::Float(least, most))) => {
                !(least..=most).contains(value)
            }
            (_, _) => false,
        }
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
            // Bounds are those of the type at most.
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
    name: &'static str,
    /// The variables among its columns.
    vars: Vec<Var>,
    schema: SchemaRef,
    columns: Vec<Column>,
    bounds: Vec<Option<Bounds>>,
    /// Values that could not be, by column: NULL in the table.
    discarded: Vec<u64>,
    rows: usize,
}

impl TableBuilder {
    pub fn new(spec: &TableSpec) -> Self {
        let columns = &spec.columns;
        Self {
            name: spec.name,
            vars: columns.iter().filter_map(|c| Var::by_name(c.name)).collect(),
            schema: schema(columns),
            columns: columns.iter().map(|c| Column::new(c.kind)).collect(),
            bounds: columns.iter().map(ColumnSpec::bounds).collect(),
            discarded: vec![0; columns.len()],
            rows: 0,
        }
    }

    /// Name of the table.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The variables among its columns, in their order.
    #[cfg(test)]
    pub fn vars(&self) -> &[Var] {
        &self.vars
    }

    /// Adds a row of leading cells and a cell for each variable, which are the columns after these.
    pub fn push_values<'a>(
        &mut self,
        lead: impl IntoIterator<Item = Cell<'a>>,
        value: impl Fn(Var) -> Cell<'a>,
    ) {
        let vars = std::mem::take(&mut self.vars);
        self.push(lead.into_iter().chain(vars.iter().map(|&var| value(var))));
        self.vars = vars;
    }

    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row: a cell for each column. One that cannot be is counted, and stays empty.
    pub fn push<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        let mut filled = 0;
        for (column, mut cell) in self.columns.iter_mut().zip(cells) {
            if cell.is_outside(self.bounds[filled]) {
                self.discarded[filled] += 1;
                cell = Cell::Null;
            }
            column.push(&cell);
            filled += 1;
        }
        assert_eq!(filled, self.columns.len(), "a cell for each column");
        self.rows += 1;
    }

    /// Columns with values that could not be, and how many these were.
    pub fn discarded(&self) -> impl Iterator<Item = (&str, u64)> {
        let names = self.schema.fields().iter().map(|field| field.name().as_str());
        names.zip(self.discarded.iter().copied()).filter(|(_, n)| *n > 0)
    }

    /// The collected rows; the builder is empty afterwards.
    pub fn take(&mut self) -> RecordBatch {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(Column::take).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("columns are built by the schema, all of them by each row")
    }
}
