// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One table of a recording as a stream.

use std::io::Write;

use arrow::array::RecordBatch;

use super::ExportError;
use crate::log::Recording;
use crate::output::sink::{Origin, Plain, PlainWriter, SinkError};
use crate::output::tables::{Batches, Qualities, specs};
use crate::replay::{self, Findings, ReplayOptions};

/// The names of all tables.
pub fn names() -> Vec<&'static str> {
    specs(&Qualities::default()).into_iter().map(|spec| spec.name).collect()
}

/// Replays a recording and writes the table of this name.
///
/// # Errors
/// [`ExportError`].
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    name: &str,
    format: Plain,
    out: impl Write,
) -> Result<Findings, ExportError> {
    let specs = specs(&Qualities::of(recording.manifest()));
    let Some(number) = specs.iter().position(|spec| spec.name == name) else {
        let tables: Vec<_> = specs.iter().map(|spec| spec.name).collect();
        return Err(ExportError::NoTable { name: name.to_owned(), tables: tables.join(", ") });
    };
    let writer = PlainWriter::new(format, &specs[number], &Origin::of(recording.manifest()), out)?;
    let (one, findings) =
        replay::replay_into(recording, options, One { number, writer, failed: None })?;
    if let Some(e) = one.failed {
        return Err(e.into());
    }
    one.writer.finish()?.flush()?;
    Ok(findings)
}

struct One<W: Write> {
    number: usize,
    writer: PlainWriter<W>,
    /// The reader has gone, or the disk is full: the rest has no place to go.
    failed: Option<arrow::error::ArrowError>,
}

impl<W: Write> Batches for One<W> {
    type Error = SinkError;

    fn batch(&mut self, table: usize, batch: RecordBatch) -> Result<(), SinkError> {
        if table == self.number && self.failed.is_none() {
            self.failed = self.writer.write(&batch).err();
        }
        Ok(())
    }
}
