// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The log as a flat table: a row per operation, in the order in which replay applies them.

use std::convert::Infallible;
use std::io::Write;
use std::num::NonZeroU64;

use super::ExportError;
use crate::engine::estats::{ConnectionRows, Ended, Engine, Interval, Polled, RuleOptions, Sample};
use crate::engine::keyframe::{Knows, merge_since};
use crate::engine::packets::Tracker;
use crate::engine::time::order::Consumer;
use crate::engine::time::packets::Ordered;
use crate::log::Recording;
use crate::output::sink::{Origin, Plain, PlainWriter};
use crate::output::tables::operations::{Operations, spec};
use crate::replay::{self, ReplayOptions};
use crate::schema::Var;
use crate::wire::{Header, Lifecycle, Operation};

/// Writes all operations; gives their number. Those of a capture are what replay makes of its packets.
///
/// # Errors
/// [`ExportError`].
pub fn write(recording: &Recording, format: Plain, out: impl Write) -> Result<u64, ExportError> {
    let timeline = replay::clocks(recording)?;
    let plan = replay::plan(recording.manifest(), RuleOptions::default());
    let every = Interval::Every(NonZeroU64::MAX);
    let mut flat = Flat {
        engine: Engine::new(&plan, &timeline, every, Nothing),
        rows: Operations::new(&recording.manifest().recording, &timeline),
        writer: PlainWriter::new(format, &spec(), &Origin::of(recording.manifest()), out)?,
        count: 0,
    };
    if recording.manifest().is_of_packets() {
        let mut tracker = Tracker::default();
        for row in Ordered::new(recording.packets()) {
            let (packet, late) = row?;
            tracker.packet(&mut flat, &packet, late)?;
        }
        tracker.finish(&mut flat)?;
    } else {
        let hooks = recording.hooks(ReplayOptions::default().threads);
        let hooks = hooks.map(|batch| batch.map_err(ExportError::from));
        let lifecycles = recording.lifecycles().map(|row| row.map_err(ExportError::from));
        merge_since(recording.key_frame()?.as_ref(), hooks, lifecycles, &mut flat)?;
    }
    flat.give(true)?;
    flat.writer.finish()?.flush()?;
    Ok(flat.count)
}

/// The engine only numbers the connections here.
struct Nothing;

impl ConnectionRows for Nothing {
    type Error = Infallible;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Flat<'a, W: Write> {
    engine: Engine<'a, Nothing>,
    rows: Operations<'a>,
    writer: PlainWriter<W>,
    count: u64,
}

impl<W: Write> Flat<'_, W> {
    fn give(&mut self, at_end: bool) -> Result<(), ExportError> {
        if let Some(batch) = self.rows.take(at_end) {
            self.writer.write(&batch)?;
        }
        Ok(())
    }
}

impl<W: Write> Knows for Flat<'_, W> {
    fn knows(&self, header: &Header) -> bool {
        self.engine.conn_id(header).is_some()
    }
}

impl<W: Write> Consumer for Flat<'_, W> {
    type Error = ExportError;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), ExportError> {
        let Ok(()) = self.engine.hook(header, std::iter::empty(), late);
        let conn_id = self.engine.conn_id(header);
        for operation in ops {
            self.rows.push(conn_id, header, &operation);
            self.count += 1;
            self.give(false)?;
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), ExportError> {
        let Ok(()) = self.engine.lifecycle(record, late);
        Ok(())
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.engine.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.engine.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.engine.reached(ts_ns);
    }
}
