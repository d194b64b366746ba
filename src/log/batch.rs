// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Columns of hook records, read as records.

use std::sync::Arc;

use arrow::array::{
    Array, DictionaryArray, ListArray, RecordBatch, StructArray, UInt16Array, UInt64Array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{Int8Type, Int16Type};

use super::stream::{Stream, bounded, column, hook_by_name, mapping};
use crate::schema::{Hook, Op, Var};
use crate::wire::{Header, Operation};

/// The meaning of a segment's dictionary keys in this build.
#[derive(Debug)]
pub struct HookNames {
    hooks: Vec<Option<Hook>>,
    variables: Vec<Option<Var>>,
    ops: Vec<Option<Op>>,
}

impl HookNames {
    /// From any batch of the segment; all share the dictionaries of the first frame.
    pub fn new(batch: &RecordBatch) -> Result<Self, String> {
        let columns = Columns::new(batch)?;
        Ok(Self {
            hooks: mapping(columns.hook, hook_by_name)?,
            variables: mapping(columns.variable, Var::by_name)?,
            ops: mapping(columns.op, |n| Op::ALL.iter().copied().find(|o| o.name() == n))?,
        })
    }

    fn all_operations_known(&self) -> bool {
        self.variables.iter().all(Option::is_some) && self.ops.iter().all(Option::is_some)
    }

    fn hook(&self, key: i8) -> Option<Hook> {
        self.hooks.get(usize::try_from(key).ok()?).copied().flatten()
    }

    fn operation(&self, variable: i16, op: i8, value: u64) -> Option<Operation> {
        let var = self.variables.get(usize::try_from(variable).ok()?).copied().flatten()?;
        let op = self.ops.get(usize::try_from(op).ok()?).copied().flatten()?;
        Some(Operation { var, op, value })
    }
}

/// The columns by their types.
struct Columns<'a> {
    hook: &'a DictionaryArray<Int8Type>,
    ops: &'a ListArray,
    variable: &'a DictionaryArray<Int16Type>,
    op: &'a DictionaryArray<Int8Type>,
    value: &'a UInt64Array,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, String> {
        let ops: &ListArray = column(batch, "ops")?;
        let items: &StructArray =
            ops.values().as_any().downcast_ref().ok_or("ops are not a list of structs")?;
        fn part<'a, T: 'static>(items: &'a StructArray, name: &str) -> Result<&'a T, String> {
            items
                .column_by_name(name)
                .and_then(|c| c.as_any().downcast_ref())
                .ok_or_else(|| format!("ops have no {name}, or of an unexpected type"))
        }
        Ok(Self {
            hook: column(batch, "hook")?,
            ops,
            variable: part(items, "variable")?,
            op: part(items, "op")?,
            value: part(items, "value")?,
        })
    }
}

/// The hook records of one frame, in the order in which they were read from the rings.
#[derive(Clone, Debug)]
pub struct HookBatch {
    names: Arc<HookNames>,
    ts_ns: ScalarBuffer<u64>,
    cpu: ScalarBuffer<u16>,
    seq: ScalarBuffer<u64>,
    cookie: ScalarBuffer<u64>,
    generation: ScalarBuffer<u16>,
    hook: ScalarBuffer<i8>,
    offsets: OffsetBuffer<i32>,
    variable: ScalarBuffer<i16>,
    op: ScalarBuffer<i8>,
    value: ScalarBuffer<u64>,
    /// The rows whose hook is known, where that is not all of them.
    known: Option<Vec<u32>>,
    unknown_ops: u64,
}

impl HookBatch {
    pub(super) fn new(batch: &RecordBatch, names: Arc<HookNames>) -> Result<Self, String> {
        bounded(batch, Stream::Hooks)?;
        let columns = Columns::new(batch)?;
        let u64s = |name| column::<UInt64Array>(batch, name).map(|c| c.values().clone());
        let u16s = |name| column::<UInt16Array>(batch, name).map(|c| c.values().clone());
        let mut out = Self {
            ts_ns: u64s("ts_ns")?,
            cpu: u16s("cpu")?,
            seq: u64s("seq")?,
            cookie: u64s("cookie")?,
            generation: u16s("generation")?,
            hook: columns.hook.keys().values().clone(),
            offsets: columns.ops.offsets().clone(),
            variable: columns.variable.keys().values().clone(),
            op: columns.op.keys().values().clone(),
            value: columns.value.values().clone(),
            names,
            known: None,
            unknown_ops: 0,
        };
        out.set_unknown_aside();
        Ok(out)
    }

    fn set_unknown_aside(&mut self) {
        let is_known = |row: &u32| self.names.hook(self.hook[*row as usize]).is_some();
        let rows = 0..self.ts_ns.len() as u32;
        if !rows.clone().all(|row| is_known(&row)) {
            self.known = Some(rows.filter(is_known).collect());
        }
        if self.known.is_some() || !self.names.all_operations_known() {
            let known: usize = (0..self.len()).map(|i| self.ops(i).count()).sum();
            let all = self.offsets[self.offsets.len() - 1] - self.offsets[0];
            self.unknown_ops = all as u64 - known as u64;
        }
    }

    fn row(&self, i: usize) -> usize {
        self.known.as_ref().map_or(i, |known| known[i] as usize)
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.known.as_ref().map_or(self.ts_ns.len(), Vec::len)
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The header of record `i`.
    ///
    /// # Panics
    /// If there is no record `i`.
    pub fn header(&self, i: usize) -> Header {
        let row = self.row(i);
        Header {
            ts_ns: self.ts_ns[row],
            seq: self.seq[row],
            cookie: self.cookie[row],
            generation: self.generation[row],
            cpu: self.cpu[row],
            hook: self.names.hook(self.hook[row]).expect("rows of unknown hooks are set aside"),
        }
    }

    /// The operations of record `i`, in their order.
    ///
    /// # Panics
    /// If there is no record `i`.
    pub fn ops(&self, i: usize) -> impl Iterator<Item = Operation> {
        let row = self.row(i);
        let ops = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        let (variable, op) = (&self.variable[ops.clone()], &self.op[ops.clone()]);
        let values = &self.value[ops];
        variable
            .iter()
            .zip(op)
            .zip(values)
            .filter_map(|((variable, op), value)| self.names.operation(*variable, *op, *value))
    }

    /// Operations on variables, with operators or from hooks that this build has no name for: kept
    /// out, and counted here.
    pub fn unknown_ops(&self) -> u64 {
        self.unknown_ops
    }

    /// Records of hooks that this build has no name for.
    pub fn unknown_records(&self) -> u64 {
        (self.ts_ns.len() - self.len()) as u64
    }
}

/// Records of unknown hooks, and others with unknown operations, in a batch.
pub(super) fn unknown_rows(batch: &RecordBatch) -> Result<u64, String> {
    let names = Arc::new(HookNames::new(batch)?);
    if names.all_operations_known() && names.hooks.iter().all(Option::is_some) {
        return Ok(0);
    }
    let hooks = HookBatch::new(batch, names)?;
    let width = |i| (hooks.offsets[hooks.row(i) + 1] - hooks.offsets[hooks.row(i)]) as usize;
    let partly = (0..hooks.len()).filter(|i| hooks.ops(*i).count() < width(*i)).count();
    Ok(hooks.unknown_records() + partly as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;

    use arrow::array::{ArrayRef, PrimitiveArray, StringArray};
    use arrow::ipc::writer::StreamEncoder;

    use super::super::frame::Compressor;
    use super::super::stream::{OPERATION, OPERATION_ITEM, Stream};
    use super::super::{Manifest, Recording};
    use super::*;

    /// As a newer recorder might write it: another order of the names, and some unknown here.
    fn newer(rows: bool) -> RecordBatch {
        fn names<const N: usize>(names: [&str; N]) -> ArrayRef {
            Arc::new(StringArray::from_iter_values(names))
        }
        fn some<T>(rows: bool, values: Vec<T>) -> Vec<T> {
            if rows { values } else { Vec::new() }
        }
        let hook = DictionaryArray::<Int8Type>::new(
            PrimitiveArray::from(some(rows, vec![1, 0, 1])),
            names(["a_hook_of_tomorrow", "egress"]),
        );
        let variable = DictionaryArray::<Int16Type>::new(
            PrimitiveArray::from(some(rows, vec![0, 1, 1, 1, 1])),
            names(["AVariableOfTomorrow", "SegsOut"]),
        );
        let op = DictionaryArray::<Int8Type>::new(
            PrimitiveArray::from(some(rows, vec![0, 0, 0, 0, 1])),
            names(["set", "xor"]),
        );
        let value = UInt64Array::from(some(rows, vec![10, 11, 12, 13, 14]));
        let values = StructArray::new(
            OPERATION.clone(),
            vec![Arc::new(variable), Arc::new(op), Arc::new(value)],
            None,
        );
        let lengths = some(rows, vec![2, 1, 2]);
        let ops = ListArray::new(
            OPERATION_ITEM.clone(),
            OffsetBuffer::from_lengths(lengths),
            Arc::new(values),
            None,
        );
        let u64s = || Arc::new(UInt64Array::from(some(rows, vec![0, 1, 2])));
        let u16s = || Arc::new(UInt16Array::from(some(rows, vec![0, 0, 0])));
        let header: [ArrayRef; 5] = [u64s(), u16s(), u64s(), u64s(), u16s()];
        let columns = header.into_iter().chain([Arc::new(hook) as _, Arc::new(ops) as _]);
        RecordBatch::try_new(Stream::Hooks.schema(), columns.collect()).unwrap()
    }

    #[test]
    fn names_of_a_newer_recorder_are_counted_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        Manifest { format_version: 1, ..Manifest::default() }.write(dir.path()).unwrap();
        let mut encoder = StreamEncoder::try_new(&Stream::Hooks.schema()).unwrap();
        let mut zstd = Compressor::new(1).unwrap();
        let (mut file, mut frame) = (Vec::new(), Vec::new());
        for rows in [false, true] {
            let content: Vec<u8> = encoder
                .encode(&newer(rows))
                .unwrap()
                .iter()
                .flat_map(|b| b.as_slice().to_vec())
                .collect();
            zstd.compress(&content, &mut frame).unwrap();
            file.extend_from_slice(&frame);
        }
        fs::write(dir.path().join(Stream::Hooks.file_name(0)), file).unwrap();

        let recording = Recording::open(dir.path()).unwrap();
        let batches: Vec<_> = recording.hooks(NonZeroUsize::MIN).map(Result::unwrap).collect();
        let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
        let records: Vec<_> = (0..batch.len())
            .map(|i| (batch.header(i).seq, batch.header(i).hook, batch.ops(i).collect::<Vec<_>>()))
            .collect();
        let set = |value| vec![Operation { var: Var::SegsOut, op: Op::Set, value }];
        assert_eq!(records, [(0, Hook::Egress, set(11)), (2, Hook::Egress, set(13))]);
        // The variable, the operator, and the one operation of the hook.
        assert_eq!((batch.unknown_ops(), batch.unknown_records()), (3, 1));
        let report = recording.verify().unwrap();
        assert_eq!((report.unknown, report.cpus[0].logged), (3, 3), "{report}");
    }
}
