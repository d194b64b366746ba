// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The ledger's columns -> rows.

use arrow::array::{
    Array, ArrowPrimitiveType, DictionaryArray, Int8Array, PrimitiveArray, RecordBatch,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::Int8Type;

use super::{CaptureStat, DroppedRows, KINDS, Lack, RawCaptureStat, Ring};
use crate::log::manifest::ClockSample;
use crate::log::stream::{Stream, bounded, column, hook_by_name, mapping};

/// Columns -> rows.
pub(in crate::log) fn decode(batch: &RecordBatch) -> Result<Vec<RawCaptureStat>, String> {
    bounded(batch, Stream::Ledger)?;
    let ts: &UInt64Array = column(batch, "ts_ns")?;
    let kind = Names::new(batch, "kind", |n| KINDS.iter().find(|k| **k == n).copied())?;
    let hook = Names::new(batch, "hook", hook_by_name)?;
    let ring = Names::new(batch, "ring", |n| Ring::ALL.iter().find(|r| r.name() == n).copied())?;
    let cpu: &UInt16Array = column(batch, "cpu")?;
    let segment: &UInt32Array = column(batch, "segment")?;
    let u64s = |name: &'static str| column::<UInt64Array>(batch, name).map(|c| (name, c));
    let (since, count, bytes, size) =
        (u64s("since_ns")?, u64s("count")?, u64s("bytes")?, u64s("size")?);
    let (mono, real, tai) = (u64s("monotonic_ns")?, u64s("realtime_ns")?, u64s("tai_ns")?);
    let late = u64s("late_ns")?;
    let row = |i: usize| -> Result<RawCaptureStat, String> {
        let ts_ns = ts.value(i);
        let cpu = || cell(("cpu", cpu), i);
        let segment = || cell(("segment", segment), i);
        let Some(kind) = kind.get(i) else { return Ok(RawCaptureStat::Unknown) };
        if let Some(&what) = Lack::ALL.iter().find(|what| what.name() == kind) {
            let count = cell(count, i)?;
            return Ok(RawCaptureStat::Row(CaptureStat::Lacking {
                ts_ns,
                cpu: cpu()?,
                what,
                count,
            }));
        }
        let row = match kind {
            "clock" => CaptureStat::Clock(
                ts_ns,
                ClockSample {
                    monotonic_ns: cell(mono, i)?,
                    realtime_ns: cell(real, i)?,
                    tai_ns: cell(tai, i)?,
                },
            ),
            "loss" => {
                let Some(hook) = hook.get(i) else { return Ok(RawCaptureStat::Unknown) };
                let (lost, since_ns) = (cell(count, i)?, cell(since, i)?);
                CaptureStat::Loss { ts_ns, cpu: cpu()?, hook, lost, since_ns }
            }
            "skipped" => {
                let Some(hook) = hook.get(i) else { return Ok(RawCaptureStat::Unknown) };
                let (count, since_ns) = (cell(count, i)?, cell(since, i)?);
                CaptureStat::Skipped { ts_ns, hook, count, since_ns }
            }
            "not_ip" => {
                let Some(hook) = hook.get(i) else { return Ok(RawCaptureStat::Unknown) };
                CaptureStat::NotIp { ts_ns, cpu: cpu()?, hook, count: cell(count, i)? }
            }
            "malformed" => {
                let Some(hook) = hook.get(i) else { return Ok(RawCaptureStat::Unknown) };
                CaptureStat::Malformed { ts_ns, cpu: cpu()?, hook, count: cell(count, i)? }
            }
            "emitted" => CaptureStat::Emitted { ts_ns, cpu: cpu()?, emitted: cell(count, i)? },
            "ring_fill" => {
                let Some(ring) = ring.get(i) else { return Ok(RawCaptureStat::Unknown) };
                let (bytes, size) = (cell(bytes, i)?, cell(size, i)?);
                CaptureStat::RingFill { ts_ns, cpu: cpu()?, ring, bytes, size }
            }
            "map_failure" => CaptureStat::MapFailure { ts_ns, cpu: cpu()?, count: cell(count, i)? },
            "late_drain" => CaptureStat::LateDrain { ts_ns, late_ns: cell(late, i)? },
            "late_poll" => {
                let (late_ns, missed) = (cell(late, i)?, cell(count, i)?);
                CaptureStat::LatePoll { ts_ns, late_ns, missed }
            }
            "slow_poll" => CaptureStat::SlowPoll { ts_ns, since_ns: cell(since, i)? },
            "dropped" => {
                let before = !count.1.is_null(i);
                CaptureStat::Dropped { ts_ns, segment: segment()?, before }
            }
            "left_out" => CaptureStat::LeftOut { ts_ns, cpu: cpu()?, count: cell(count, i)? },
            "missing" => {
                let Some(ring) = ring.get(i) else { return Ok(RawCaptureStat::Unknown) };
                let (count, since_ns) = (cell(count, i)?, cell(since, i)?);
                CaptureStat::Missing { ts_ns, ring, count, since_ns }
            }
            "snapshots_drained" => return Ok(RawCaptureStat::SnapshotsDrained(ts_ns)),
            "dropped_cpu" => {
                return Ok(RawCaptureStat::DroppedRows(DroppedRows {
                    ts_ns,
                    segment: segment()?,
                    cpu: cpu()?,
                    rows: cell(count, i)?,
                }));
            }
            other => unreachable!("{other} is not in KINDS"),
        };
        Ok(RawCaptureStat::Row(row))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A cell that its row's kind needs.
fn cell<T: ArrowPrimitiveType>(
    (name, column): (&str, &PrimitiveArray<T>),
    i: usize,
) -> Result<T::Native, String> {
    if column.is_null(i) {
        return Err(format!("row {i} has no {name}, which its kind needs"));
    }
    Ok(column.value(i))
}

/// A dictionary column, read as this build's own names.
pub(in crate::log) struct Names<'a, T> {
    keys: &'a Int8Array,
    names: Vec<Option<T>>,
}

impl<'a, T: Copy> Names<'a, T> {
    pub fn new(
        batch: &'a RecordBatch,
        name: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, String> {
        let column: &DictionaryArray<Int8Type> = column(batch, name)?;
        Ok(Self { keys: column.keys(), names: mapping(column, known)? })
    }

    /// `None` where there is none, or one unknown to this build.
    pub fn get(&self, i: usize) -> Option<T> {
        if self.keys.is_null(i) {
            return None;
        }
        self.names.get(usize::try_from(self.keys.value(i)).ok()?).copied().flatten()
    }
}
