// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Hook records -> columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ListArray, PrimitiveArray, RecordBatch, StructArray, UInt16Array, UInt64Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Int8Type, Int16Type};
use arrow::error::ArrowError;

use super::stream::{HOOK_NAMES, OPERATION, OPERATION_ITEM, OPS, Stream, VARIABLES, dictionary};
use crate::wire::{Header, Operation};

/// First and last (smallest and largest) time in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan {
    pub first_ns: u64,
    pub last_ns: u64,
}

impl TimeSpan {
    /// An empty span; [`TimeSpan::include`] makes it one.
    pub const EMPTY: Self = Self { first_ns: u64::MAX, last_ns: 0 };

    pub fn include(&mut self, ts_ns: u64) {
        self.first_ns = self.first_ns.min(ts_ns);
        self.last_ns = self.last_ns.max(ts_ns);
    }
}

/// The columns that every record begins with.
#[derive(Debug, Default)]
pub struct HeaderColumns {
    ts_ns: Vec<u64>,
    cpu: Vec<u16>,
    seq: Vec<u64>,
    cookie: Vec<u64>,
    generation: Vec<u16>,
    hook: Vec<i8>,
}

impl HeaderColumns {
    pub fn push(&mut self, header: &Header) {
        self.ts_ns.push(header.ts_ns);
        self.cpu.push(header.cpu);
        self.seq.push(header.seq);
        self.cookie.push(header.cookie);
        self.generation.push(header.generation);
        self.hook.push(header.hook as i8 - 1);
    }

    pub fn len(&self) -> usize {
        self.ts_ns.len()
    }

    pub fn take(&mut self) -> Result<Vec<ArrayRef>, ArrowError> {
        Ok(vec![
            Arc::new(UInt64Array::from(refill(&mut self.ts_ns))),
            Arc::new(UInt16Array::from(refill(&mut self.cpu))),
            Arc::new(UInt64Array::from(refill(&mut self.seq))),
            Arc::new(UInt64Array::from(refill(&mut self.cookie))),
            Arc::new(UInt16Array::from(refill(&mut self.generation))),
            dictionary::<Int8Type>(PrimitiveArray::from(refill(&mut self.hook)), &HOOK_NAMES)?,
        ])
    }
}

/// Takes the values out and leaves room for as many again: the next batch will be of that size,
/// and one allocation per batch and column is all there is.
fn refill<T>(column: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(column.len());
    std::mem::replace(column, room)
}

/// Collects hook records until they are worth a frame.
#[derive(Debug)]
pub struct HookBuilder {
    header: HeaderColumns,
    /// End of each record's operations in the three columns below; Arrow's list offsets.
    offsets: Vec<i32>,
    variable: Vec<i16>,
    op: Vec<i8>,
    value: Vec<u64>,
    span: TimeSpan,
}

impl Default for HookBuilder {
    fn default() -> Self {
        Self {
            header: HeaderColumns::default(),
            offsets: vec![0],
            variable: Vec::new(),
            op: Vec::new(),
            value: Vec::new(),
            span: TimeSpan::EMPTY,
        }
    }
}

impl HookBuilder {
    pub fn push(&mut self, header: &Header, ops: &[Operation]) {
        self.span.include(header.ts_ns);
        self.header.push(header);
        for op in ops {
            self.variable.push(op.var.index() as i16);
            self.op.push(op.op as i8 - 1);
            self.value.push(op.value);
        }
        // A batch is written long before it has 2^31 operations.
        self.offsets.push(self.value.len() as i32);
    }

    pub fn rows(&self) -> usize {
        self.header.len()
    }

    pub fn operations(&self) -> usize {
        self.value.len()
    }

    pub fn take(&mut self) -> Result<(RecordBatch, TimeSpan), ArrowError> {
        let mut columns = self.header.take()?;
        let offsets = refill(&mut self.offsets);
        self.offsets.push(0);
        let operations = StructArray::try_new(
            OPERATION.clone(),
            vec![
                dictionary::<Int16Type>(
                    PrimitiveArray::from(refill(&mut self.variable)),
                    &VARIABLES,
                )?,
                dictionary::<Int8Type>(PrimitiveArray::from(refill(&mut self.op)), &OPS)?,
                Arc::new(UInt64Array::from(refill(&mut self.value))),
            ],
            None,
        )?;
        columns.push(Arc::new(ListArray::try_new(
            OPERATION_ITEM.clone(),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            Arc::new(operations),
            None,
        )?));
        let batch = RecordBatch::try_new(Stream::Hooks.schema(), columns)?;
        Ok((batch, std::mem::replace(&mut self.span, TimeSpan::EMPTY)))
    }
}

/// An empty list column whose elements still carry their dictionaries.
pub fn empty_ops(item: &FieldRef, column: fn(&Field) -> ArrayRef) -> ArrayRef {
    let DataType::Struct(fields) = item.data_type() else {
        unreachable!("the only list is the list of operations");
    };
    let columns = fields.iter().map(|f| column(f)).collect();
    let values = StructArray::new(fields.clone(), columns, None);
    assert!(values.is_empty(), "the columns of an empty batch are empty");
    Arc::new(ListArray::new(item.clone(), OffsetBuffer::new_empty(), Arc::new(values), None))
}
