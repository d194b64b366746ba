// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A replay whose tables stay in memory.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::{ReplayError, ReplayOptions, replay_into};
use crate::log::Recording;
use crate::output::sink::SinkError;
use crate::output::tables::{Batches, Qualities, specs};

/// Batches by the number of their table.
struct InMemory(Vec<Vec<RecordBatch>>);

impl Batches for InMemory {
    type Error = SinkError;

    fn batch(&mut self, table: usize, batch: RecordBatch) -> Result<(), SinkError> {
        self.0[table].push(batch);
        Ok(())
    }
}

/// Replays a recording and gives the record batches of each table by its name. The series takes the most
/// memory: [`ReplayOptions::interval`] determines its number of rows. Options of files have no effect
/// here.
///
/// # Errors
/// [`ReplayError`].
pub fn replay_in_memory(
    recording: &Recording,
    options: &ReplayOptions,
) -> Result<BTreeMap<&'static str, Vec<RecordBatch>>, ReplayError> {
    let specs = specs(&Qualities::of(recording.manifest()));
    let (batches, _) = replay_into(recording, options, InMemory(vec![Vec::new(); specs.len()]))?;
    Ok(specs.iter().map(|spec| spec.name).zip(batches.0).collect())
}
