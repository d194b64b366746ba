// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What the writer keeps of each stream and segment.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;

use super::BATCH_AGE_NS;
use crate::log::builder::TimeSpan;
use crate::log::segment::Segment;
use crate::log::stream::Stream;
use crate::log::{LogError, SegmentEntry};
use crate::wire::NO_CPU;

/// Rows of each CPU, by CPU number.
#[derive(Clone, Debug, Default)]
pub struct PerCpu(Vec<u64>);

impl PerCpu {
    pub fn count(&mut self, cpu: u16) {
        if cpu == NO_CPU {
            return;
        }
        let cpu = usize::from(cpu);
        if cpu >= self.0.len() {
            self.0.resize(cpu + 1, 0);
        }
        self.0[cpu] += 1;
    }

    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().enumerate().filter(|(_, n)| **n > 0).map(|(cpu, n)| (cpu as u16, *n))
    }
}

/// Key frames, where segments are removed.
#[derive(Debug, Default)]
pub struct KeyFrames {
    /// Segments that have begun and lack theirs, with their times.
    pub wanted: Vec<(u32, u64)>,
    /// Segments that have theirs.
    pub written: BTreeSet<u32>,
    /// Sizes in bytes, by segment.
    pub bytes: BTreeMap<u32, u64>,
    /// The size of the last, without the ledger's part.
    pub last_bytes: u64,
}

/// Segments of one number that are closed and may be removed.
#[derive(Debug)]
pub struct Closed {
    pub number: u32,
    pub bytes: u64,
    /// Nothing in them is newer.
    pub until_ns: u64,
    pub rows: PerCpu,
    /// Their entries for the manifest, one per stream that has a segment.
    pub entries: Vec<(Stream, SegmentEntry)>,
}

/// Marks in the stream of snapshots.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// Every record made before this time has been added.
    pub drained_ns: u64,
    /// The last such time that is in the files.
    pub marked_ns: u64,
    pub count: u64,
}

/// A stream's open segment and the batch on its way there.
#[derive(Debug)]
pub struct Pending<B> {
    pub builder: B,
    /// When its first row came.
    pub since_ns: Option<u64>,
    pub segment: Segment,
}

impl<B: Default> Pending<B> {
    pub fn new(segment: Segment) -> Self {
        Self { builder: B::default(), since_ns: None, segment }
    }

    pub fn is_old(&self, now_ns: u64) -> bool {
        self.since_ns.is_some_and(|since| now_ns.saturating_sub(since) >= BATCH_AGE_NS)
    }

    /// Writes the batch, if there is one.
    pub fn flush(
        &mut self,
        stream: Stream,
        take: impl FnOnce(&mut B) -> Result<(RecordBatch, TimeSpan), ArrowError>,
    ) -> Result<(), LogError> {
        if self.since_ns.take().is_none() {
            return Ok(());
        }
        let (batch, span) = take(&mut self.builder)
            .map_err(|source| LogError::Encode { path: stream.name().into(), source })?;
        self.segment.append(&batch, span)
    }
}
