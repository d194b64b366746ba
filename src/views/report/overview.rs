// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! All connections of a recording, and what is to be said of the recording itself.

use chrono::{DateTime, SecondsFormat};

use super::totals::Totals;
use crate::engine::audit::AuditCounts;
use crate::engine::estats::{ConnectionRows, Ended, Polled, Row, Sample, Slot};
use crate::engine::rows::Output;
use crate::log::{Manifest, Recording};
use crate::output::tables::FigureSource;
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::views::summary::Line;
use crate::wire::Header;

/// A connection with what the plots of it need to know before they are made.
#[derive(Clone, Debug)]
pub struct Connection {
    /// As in the summary.
    pub line: Line,
    /// CLOCK_MONOTONIC of its beginning.
    pub begin_ns: u64,
    /// CLOCK_MONOTONIC of its end.
    pub end_ns: u64,
    /// Final values.
    pub row: Row,
}

impl Connection {
    /// Its number.
    pub const fn conn_id(&self) -> u64 {
        self.line.conn_id as u64
    }
}

/// A recording, replayed for its final values.
#[derive(Clone, Debug)]
pub struct Overview {
    /// In order of their numbers.
    pub connections: Vec<Connection>,
    /// (name, value) of what is to be known of the recording.
    pub facts: Vec<(String, String)>,
    /// CLOCK_MONOTONIC of the recording's beginning.
    pub started_ns: u64,
    /// Records lost.
    pub lost: u64,
    /// Octets of all connections together.
    pub totals: Totals,
}

impl Overview {
    /// The connection of this number.
    pub fn connection(&self, conn_id: u64) -> Option<&Connection> {
        let at = self.connections.binary_search_by_key(&conn_id, Connection::conn_id).ok()?;
        self.connections.get(at)
    }
}

struct Collector {
    started_ns: u64,
    totals: Totals,
    figures: FigureSource,
    connections: Vec<Connection>,
}

impl ConnectionRows for Collector {
    type Error = ReplayError;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), ReplayError> {
        let figures = self.figures.of_ended(ended);
        self.connections.push(Connection {
            line: Line::of(ended, figures),
            begin_ns: ended.begin_ns,
            end_ns: ended.end_ns,
            row: ended.row.clone(),
        });
        Ok(())
    }

    fn wants(&self, _: u64) -> bool {
        false
    }

    fn sampled(&mut self, _: &Sample<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn applied(&mut self, conn_id: u64, header: &Header, slot: &Slot) {
        self.totals.applied(conn_id, header.ts_ns.saturating_sub(self.started_ns), slot);
    }
}

impl Output for Collector {}

/// Replays a recording for the final values of its connections.
///
/// # Errors
/// Those of replaying.
pub fn overview(recording: &Recording, options: &ReplayOptions) -> Result<Overview, ReplayError> {
    let manifest = recording.manifest();
    let timeline = replay::clocks(recording)?;
    let started_ns = manifest.started.monotonic_ns;
    let collector = Collector {
        started_ns,
        totals: Totals::default(),
        figures: FigureSource::of(manifest),
        connections: Vec::new(),
    };
    let done = replay::conduct::<_, ReplayError>(recording, &timeline, options, None, collector)?;
    let Collector { totals, mut connections, .. } = done.run.output;
    connections.sort_unstable_by_key(|c| c.line.conn_id);
    let lost = timeline.lost().max(replay::lost_by_totals(manifest));
    let facts = facts(manifest, connections.len(), lost, done.audit);
    Ok(Overview { connections, facts, started_ns, lost, totals })
}

fn facts(m: &Manifest, connections: usize, lost: u64, audit: AuditCounts) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut say = |name: &str, value: String| {
        if !value.trim().is_empty() {
            facts.push((name.to_owned(), value));
        }
    };
    if let Some(import) = &m.import {
        say("capture", format!("{} ({})", import.file, import.format));
        say("recorded end", format!("{} (by {})", import.local.join(", "), import.local_by));
    } else {
        say("host", format!("{}, {} CPUs, {}", m.host.hostname, m.host.cpus, m.host.machine));
        say("kernel", format!("{} {}", m.host.kernel_release, m.host.kernel_version));
        let command = m.command.as_ref().map(|words| words.join(" "));
        let status = m.exit_status.map_or_else(String::new, |n| format!(" (exit status {n})"));
        say("command", command.map_or_else(|| "none".to_owned(), |c| c + &status));
    }
    say("begun", wall(m.started.realtime_ns));
    if let Some(totals) = &m.totals {
        say("duration", format!("{:.3} s", totals.duration_ns as f64 / 1e9));
    } else {
        say("closed", "no: what came in its last second may be missing".to_owned());
    }
    say("connections", connections.to_string());
    say(
        "records lost",
        match lost {
            0 => "none".to_owned(),
            n => format!("{n}: connections that lived while it happened are marked lossy"),
        },
    );
    let counts = audit.to_string();
    say("audit", counts.strip_prefix("audit: ").unwrap_or(&counts).to_owned());
    say("hook set", m.hook_set.clone());
    let hooks = m.hooks.iter().filter(|h| h.attached).map(|h| h.point.as_str());
    say("hooks", hooks.collect::<Vec<_>>().join(", "));
    for hook in m.hooks.iter().filter(|h| !h.attached) {
        let reason = hook.reason.as_deref().unwrap_or("no reason given");
        say("missing hook", format!("{} ({}): {reason}", hook.hook, hook.point));
    }
    let count = |quality: &str| m.variables.iter().filter(|v| v.quality == quality).count();
    let qualities = ["exact", "sampled", "approximate", "constant", "missing"];
    say("variables", qualities.map(|quality| format!("{} {quality}", count(quality))).join(", "));
    for it in &m.not_seen {
        say("not seen", it.what.clone());
    }
    let sysctls = m.recorded_sysctls();
    let sysctls = sysctls.iter().map(|(name, value)| format!("{name} = {value}"));
    say("sysctls", sysctls.collect::<Vec<_>>().join("\n"));
    say("qdiscs", m.recorded_qdiscs().join("\n"));
    say("recording", format!("{}, by estats {}", m.recording, m.tool_version));
    facts
}

fn wall(realtime_ns: u64) -> String {
    let (seconds, rest) = (realtime_ns / 1_000_000_000, realtime_ns % 1_000_000_000);
    DateTime::from_timestamp(seconds as i64, rest as u32)
        .map_or_else(String::new, |t| t.to_rfc3339_opts(SecondsFormat::Millis, true))
}
