// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What happened to connections, one line each: opened and closed, retransmissions, timeouts, recoveries, zero
//! windows.

mod line;
mod watch;

use std::io::{self, Write};

use rustc_hash::FxHashMap;

use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::rows::Output;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::output::tables::FigureSource;
use crate::replay::{self, Findings, ReplayOptions};

use super::ExportError;
use line::{Line, Lines};
use watch::Watched;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A connection was opened: its SYN was sent or received.
    Opened,
    /// A connection whose beginning was not seen: most were open when the recording began.
    Found,
    /// It was closed.
    Closed,
    /// It was still open when the recording ended.
    StillOpen,
    /// Segments were retransmitted.
    Retransmission,
    /// The retransmission timer expired.
    Timeout,
    /// Recovery of lost segments began.
    RecoveryBegin,
    /// It ended.
    RecoveryEnd,
    /// The peer advertised a window of zero.
    ZeroWindowReceived,
    /// This end advertised a window of zero.
    ZeroWindowSent,
}

impl EventKind {
    /// All, in the order of a connection's life.
    pub const ALL: [Self; 10] = [
        Self::Opened,
        Self::Found,
        Self::Closed,
        Self::StillOpen,
        Self::Retransmission,
        Self::Timeout,
        Self::RecoveryBegin,
        Self::RecoveryEnd,
        Self::ZeroWindowReceived,
        Self::ZeroWindowSent,
    ];

    /// The name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Found => "found",
            Self::Closed => "closed",
            Self::StillOpen => "still_open",
            Self::Retransmission => "retransmission",
            Self::Timeout => "timeout",
            Self::RecoveryBegin => "recovery_begin",
            Self::RecoveryEnd => "recovery_end",
            Self::ZeroWindowReceived => "zero_window_received",
            Self::ZeroWindowSent => "zero_window_sent",
        }
    }
}

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFormat {
    /// For people.
    Text,
    /// A JSON object per line; a field that is not known is absent.
    Jsonl,
    /// With a header; a field that is not known is empty.
    Csv,
}

/// Which events are written.
#[derive(Clone, Debug)]
pub struct EventSelection {
    /// Events of these kinds.
    pub kinds: Vec<EventKind>,
    /// Of these connections; none: of all.
    pub connections: Vec<u64>,
}

impl EventSelection {
    fn has_connection(&self, conn_id: u64) -> bool {
        self.connections.is_empty() || self.connections.contains(&conn_id)
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCounts {
    /// Events.
    pub events: u64,
    /// Connections that were looked at, whether they had an event or not.
    pub connections: u64,
}

/// Writes the events of a recording. Lines come as a replay finds them: those of one connection
/// in the order of their times. A connection's last line may stand behind later ones of others, because
/// replay waits for records of its end.
///
/// # Errors
/// [`ExportError`]; [`ExportError::NoConnection`] comes at the end, when all connections are known.
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    format: EventFormat,
    selection: &EventSelection,
    out: impl Write,
) -> Result<(EventCounts, Findings), ExportError> {
    let clock = replay::clocks(recording)?;
    let options = ReplayOptions { interval: Interval::Event, ..options.clone() };
    let events = Events {
        lines: Lines::new(format, out)?,
        clock: &clock,
        selection,
        figures: FigureSource::of(recording.manifest()),
        watched: FxHashMap::default(),
        missing: selection.connections.clone(),
        counts: EventCounts { events: 0, connections: 0 },
    };
    let run = replay::run::<_, ExportError>(recording, &clock, &options, events)?;
    let findings = Findings::of(recording.manifest(), &clock, &run);
    let Events { lines, missing, counts, .. } = run.output;
    lines.finish()?;
    match missing[..] {
        [] => Ok((counts, findings)),
        [conn_id, ..] => Err(ExportError::NoConnection { conn_id }),
    }
}

struct Events<'a, W> {
    lines: Lines<W>,
    clock: &'a Timeline,
    selection: &'a EventSelection,
    figures: FigureSource,
    /// By connection.
    watched: FxHashMap<u64, Watched>,
    /// Connections of the selection that have not come yet.
    missing: Vec<u64>,
    counts: EventCounts,
}

impl<W: Write> Events<'_, W> {
    fn write(&mut self, line: &Line<'_>) -> io::Result<()> {
        if !self.selection.kinds.contains(&line.kind) {
            return Ok(());
        }
        self.counts.events += 1;
        self.lines.write(line, self.clock.wall_us(line.ts_ns))
    }
}

impl<W: Write> ConnectionRows for Events<'_, W> {
    type Error = io::Error;

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        if !self.watched.contains_key(&sample.conn_id) {
            self.write(&watch::begun(
                sample.conn_id,
                sample.identity,
                sample.begin_ns,
                sample.begun_before,
            ))?;
            self.watched.insert(sample.conn_id, Watched::of(sample));
        }
        let Some(watched) = self.watched.get_mut(&sample.conn_id) else { return Ok(()) };
        for line in watched.sampled(sample) {
            self.write(&line)?;
        }
        Ok(())
    }

    fn wants(&self, conn_id: u64) -> bool {
        self.selection.has_connection(conn_id)
    }

    fn ended(&mut self, ended: &Ended<'_>) -> io::Result<()> {
        if !self.selection.has_connection(ended.conn_id) {
            return Ok(());
        }
        self.counts.connections += 1;
        self.missing.retain(|conn_id| *conn_id != ended.conn_id);
        // A connection may end before it has any value.
        if self.watched.remove(&ended.conn_id).is_none() {
            self.write(&watch::begun(
                ended.conn_id,
                ended.identity,
                ended.begin_ns,
                ended.begun_before,
            ))?;
        }
        let figures = self.figures.of_ended(ended);
        self.write(&watch::ended(ended, &figures))
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for Events<'_, W> {}
