// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The texts of Web10G's userland: `web10g-logger` (here), `web10g-readvars` and `web10g-deltavars`
//! ([`vars`]).
//!
//! The variables are those that Web10G KIS 0.13 exports, in its units and in the order of its userland
//! ([`layout`]), since some readers go by the column. What is not known is an empty cell; of what there is
//! none yet, the kernel's word for that stands there (2^32 - 1 for a minimum). Values are what they should
//! be: neither the faults of that kernel are copied, nor the four names that its userland confuses.

mod layout;
pub mod vars;

use std::io::{self, Write};

use super::ExportError;
use crate::engine::estats::{ConnectionRows, Ended, Polled, Row, Sample};
use crate::engine::rows::Output;
use crate::engine::time::timeline::Timeline;
use crate::log::Recording;
use crate::replay::{self, Findings, ReplayOptions};
use crate::schema::reference::{How, Relation, Signal};
use crate::schema::{Reference, Type, Var};

/// Names that its userland spells otherwise than RFC 4898's authors.
const SPELLED: [(Var, &str); 2] = [
    (Var::SndLimTransStartup, "SndLimTransStartUp"),
    (Var::SndLimTimeStartup, "SndLimTimeStartUp"),
];

/// Writes a line for each row of the series: `options` have the distance of the rows.
///
/// # Errors
/// [`ExportError`].
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    out: &mut impl Write,
) -> Result<Findings, ExportError> {
    let timeline = replay::clocks(recording)?;
    let columns: Vec<_> = layout::TABLES
        .iter()
        .flat_map(|(_, vars)| vars.iter().map(|(var, _)| Column::of(*var)))
        .collect();
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    writeln!(out, "Time, CID, SrcIp, SrcPort, DstIp, DstPort,{}", names.join(", "))?;
    let lines = Lines { columns, timeline: &timeline, out, line: String::new() };
    let run = replay::run::<_, ExportError>(recording, &timeline, options, lines)?;
    Ok(Findings::of(recording.manifest(), &timeline, &run))
}

/// A variable as it stands there.
struct Column {
    var: Var,
    name: &'static str,
    unit: Unit,
}

/// The form of our value there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Same,
    /// This many low bits.
    Low(u32),
    /// Microseconds here, whole milliseconds there.
    Milliseconds,
    /// The same of a sum whose whole is this one: what it keeps are 32 bits.
    MillisecondsOf(Var),
}

impl Column {
    fn of(var: Var) -> Self {
        let spelled = SPELLED.iter().find(|(v, _)| *v == var);
        let name = spelled.map_or(var.name(), |(_, name)| *name);
        Self { var, name, unit: unit(var.def().reference) }
    }

    fn value(&self, row: &Row) -> Option<i128> {
        const NO_MINIMUM: u64 = 0xffff_ffff;
        let value = row.raw(self.var)?;
        Some(match self.unit {
            Unit::Same if self.var.def().ty == Type::I32 => i128::from(value as i32),
            Unit::Same => i128::from(value),
            Unit::Low(bits) => i128::from(value) & ((1 << bits) - 1),
            Unit::Milliseconds if value == NO_MINIMUM => i128::from(value),
            Unit::Milliseconds => i128::from(value / 1000),
            Unit::MillisecondsOf(sum) => i128::from(row.get(sum)? / 1000) & i128::from(NO_MINIMUM),
        })
    }
}

/// The unit of a value of the reference, faults and bounds apart.
fn unit(reference: Reference) -> Unit {
    let by = |relation: Relation| match relation.how {
        How::FlooredToMs => Unit::Milliseconds,
        How::SumOfFloors { sum, .. } if relation.bits == 32 => Unit::MillisecondsOf(sum),
        How::SumOfFloors { .. } => Unit::Milliseconds,
        How::Same if relation.bits < 64 => Unit::Low(relation.bits),
        How::SumOfTerms { unit: 1_000, .. } | How::SumOverSignals(Signal::RoundTrip) => {
            Unit::Milliseconds
        }
        How::Same
        | How::Is(_)
        | How::Between { .. }
        | How::Within { .. }
        | How::SameOr(_)
        | How::SumOfTerms { .. }
        | How::SumOverSignals(Signal::Window)
        | How::NotBeforeReceived(_)
        | How::BeforeReading(_)
        | How::All(_)
        | How::MicrosecondsAsJiffies => Unit::Same,
    };
    match reference {
        Reference::Is(relation)
        | Reference::Bounded { relation, .. }
        | Reference::Fault { relation, .. } => by(relation),
        Reference::NotComparable(_) => Unit::Same,
        Reference::Cases(cases) => {
            let units = cases.iter().map(|case| unit(case.then));
            units.into_iter().find(|u| *u != Unit::Same).unwrap_or(Unit::Same)
        }
    }
}

struct Lines<'a, W> {
    columns: Vec<Column>,
    timeline: &'a Timeline,
    out: &'a mut W,
    line: String,
}

impl<W: Write> ConnectionRows for Lines<'_, W> {
    type Error = io::Error;

    fn ended(&mut self, _: &Ended<'_>) -> io::Result<()> {
        // Its last sample is of the same instant.
        Ok(())
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        use std::fmt::Write as _;
        let Some((local, remote)) = sample.identity.addresses() else { return Ok(()) };
        let Some(l) = sample.identity.lifecycle() else { return Ok(()) };
        let us = self.timeline.wall_us(sample.ts_ns).unwrap_or(0);
        let (seconds, micros) = (us / 1_000_000, us % 1_000_000);
        let line = &mut self.line;
        line.clear();
        let lead = write!(
            line,
            "{seconds}.{micros:06},{},{local},{},{remote},{}",
            sample.conn_id, l.local_port, l.remote_port
        );
        lead.map_err(io::Error::other)?;
        for column in &self.columns {
            line.push(',');
            if let Some(value) = column.value(sample.row) {
                write!(line, "{value}").map_err(io::Error::other)?;
            }
        }
        line.push('\n');
        self.out.write_all(line.as_bytes())
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for Lines<'_, W> {}
