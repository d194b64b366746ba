// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `web10g-readvars`, which reads a connection once, and `web10g-deltavars`, which reads it again and again
//! and shows of counters what came since the reading before.
//!
//! Neither names the connection. Values that are not known are left out, as the userland leaves out
//! those that its mask hides.

use std::io::{self, Write};

use super::{Column, layout};
use crate::engine::estats::{ConnectionRows, Ended, Polled, Row, Sample};
use crate::engine::rows::Output;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, Findings, ReplayOptions};
use crate::schema::{Type, Var};
use crate::views::export::ExportError;

/// The formats of `deltavars`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deltas {
    /// Headings, and a line for each variable.
    Text,
    /// A line per reading (`-s`): the cells have a comma behind each.
    Csv,
}

/// Writes the last reading of a connection, or of each in the order of their ends.
///
/// # Errors
/// [`ExportError`], among them [`ExportError::NoConnection`].
pub fn read(
    recording: &Recording,
    options: &ReplayOptions,
    conn_id: Option<u64>,
    out: &mut impl Write,
) -> Result<Findings, ExportError> {
    let timeline = replay::clocks(recording)?;
    let readings = Readings { tables: tables(), conn_id, timeline: &timeline, out, found: false };
    let run = replay::run::<_, ExportError>(recording, &timeline, options, readings)?;
    found(conn_id, run.output.found)?;
    Ok(Findings::of(recording.manifest(), &timeline, &run))
}

/// Writes the readings of a connection at the interval of `options`. Without its number the recording
/// must have one connection only.
///
/// # Errors
/// [`ExportError`], among them [`ExportError::NoConnection`] and [`ExportError::Connections`].
pub fn deltas(
    recording: &Recording,
    options: &ReplayOptions,
    conn_id: Option<u64>,
    deltas: Deltas,
    out: &mut impl Write,
) -> Result<Findings, ExportError> {
    let timeline = replay::clocks(recording)?;
    let conn_id = match conn_id {
        Some(conn_id) => conn_id,
        None => {
            let run = replay::run::<_, ExportError>(recording, &timeline, options, Nothing)?;
            match run.counts.connections {
                1 => 1,
                connections => return Err(ExportError::Connections { connections }),
            }
        }
    };
    let readings = Differences {
        tables: tables(),
        conn_id,
        deltas,
        timeline: &timeline,
        out,
        before: [None; Var::COUNT],
        begun: false,
    };
    let run = replay::run::<_, ExportError>(recording, &timeline, options, readings)?;
    found(Some(conn_id), run.output.begun)?;
    Ok(Findings::of(recording.manifest(), &timeline, &run))
}

fn found(conn_id: Option<u64>, found: bool) -> Result<(), ExportError> {
    match conn_id {
        Some(conn_id) if !found => Err(ExportError::NoConnection { conn_id }),
        Some(_) | None => Ok(()),
    }
}

type Table = (&'static str, Vec<(Column, bool)>);

fn tables() -> Vec<Table> {
    let columns = |vars: &[layout::Entry]| vars.iter().map(|&(v, d)| (Column::of(v), d)).collect();
    layout::TABLES.iter().map(|&(name, vars)| (name, columns(vars))).collect()
}

/// Seconds and microseconds of the wall clock.
fn time(timeline: &Timeline, ts_ns: u64) -> (u64, u64) {
    let us = timeline.wall_us(ts_ns).unwrap_or(0);
    (us / 1_000_000, us % 1_000_000)
}

struct Readings<'a, W> {
    tables: Vec<Table>,
    conn_id: Option<u64>,
    timeline: &'a Timeline,
    out: &'a mut W,
    found: bool,
}

impl<W: Write> ConnectionRows for Readings<'_, W> {
    type Error = io::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> io::Result<()> {
        if self.conn_id.is_some_and(|conn_id| conn_id != ended.conn_id) {
            return Ok(());
        }
        self.found = true;
        let (sec, usec) = time(self.timeline, ended.end_ns);
        writeln!(self.out, "Timestamp sec: {sec}, usec: {usec}")?;
        for (name, columns) in &self.tables {
            write!(self.out, "\n\n{name} Table\n\n")?;
            for (column, _) in columns {
                if let Some(value) = column.value(ended.row) {
                    writeln!(self.out, "{}={value}", column.name)?;
                }
            }
        }
        Ok(())
    }

    fn wants(&self, _: u64) -> bool {
        false
    }

    fn sampled(&mut self, _: &Sample<'_>) -> io::Result<()> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for Readings<'_, W> {}

struct Differences<'a, W> {
    tables: Vec<Table>,
    conn_id: u64,
    deltas: Deltas,
    timeline: &'a Timeline,
    out: &'a mut W,
    /// Values of the reading before, by variable.
    before: [Option<i128>; Var::COUNT],
    begun: bool,
}

impl<W: Write> Differences<'_, W> {
    /// The shown value of a variable. The first reading is compared with zeros, as there.
    fn shown(&mut self, column: &Column, difference: bool, row: &Row) -> Option<i128> {
        let value = column.value(row);
        let before = std::mem::replace(&mut self.before[column.var.index()], value);
        if !difference {
            return value;
        }
        let before = if self.begun { before? } else { 0 };
        let bits = if column.var.def().ty == Type::U64 { 64 } else { 32 };
        Some((value? - before) & ((1 << bits) - 1))
    }

    fn text(&mut self, ts_ns: u64, row: &Row) -> io::Result<()> {
        let (sec, usec) = time(self.timeline, ts_ns);
        writeln!(self.out, "Timestamp sec: {sec}, usec: {usec}")?;
        let tables = std::mem::take(&mut self.tables);
        for (name, columns) in &tables {
            // A variable that is in none of the MIB's tables has no heading here.
            if *name != "Extras" {
                write!(self.out, "\n\n {name} Table\n\n")?;
            }
            for (column, difference) in columns {
                if let Some(value) = self.shown(column, *difference, row) {
                    writeln!(self.out, "{:<20}= {value}", column.name)?;
                }
            }
        }
        self.tables = tables;
        write!(self.out, "\n\n")
    }

    fn csv(&mut self, ts_ns: u64, row: &Row) -> io::Result<()> {
        let tables = std::mem::take(&mut self.tables);
        let columns = || tables.iter().flat_map(|(_, columns)| columns);
        if !self.begun {
            write!(self.out, "sec,usec,")?;
            for (column, _) in columns() {
                write!(self.out, "{},", column.name)?;
            }
            writeln!(self.out)?;
        }
        let (sec, usec) = time(self.timeline, ts_ns);
        write!(self.out, "{sec},{usec},")?;
        for (column, difference) in columns() {
            if let Some(value) = self.shown(column, *difference, row) {
                write!(self.out, "{value}")?;
            }
            write!(self.out, ",")?;
        }
        self.tables = tables;
        writeln!(self.out)
    }
}

impl<W: Write> ConnectionRows for Differences<'_, W> {
    type Error = io::Error;

    fn ended(&mut self, _: &Ended<'_>) -> io::Result<()> {
        // Its last sample is of the same instant.
        Ok(())
    }

    fn wants(&self, conn_id: u64) -> bool {
        conn_id == self.conn_id
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        match self.deltas {
            Deltas::Text => self.text(sample.ts_ns, sample.row)?,
            Deltas::Csv => self.csv(sample.ts_ns, sample.row)?,
        }
        self.begun = true;
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for Differences<'_, W> {}

/// Only counts the connections.
struct Nothing;

impl ConnectionRows for Nothing {
    type Error = io::Error;

    fn ended(&mut self, _: &Ended<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wants(&self, _: u64) -> bool {
        false
    }

    fn sampled(&mut self, _: &Sample<'_>) -> io::Result<()> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl Output for Nothing {}
