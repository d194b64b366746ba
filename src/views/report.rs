// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One HTML file with everything: the connections as a table, their figures, and plots that one can
//! zoom. No network, no framework; uPlot and the page's own code go with it.
//!
//! A report replays the recording twice, in memory, and needs no tables: first to know all
//! connections, their beginnings and ends; then, with a row per record, the largest of them. Series
//! at 100 ms would hide what a window does within a round trip, and a Parquet file with a row per
//! record is larger than the log. What does not fit into the width of a screen is reduced as it comes
//! ([`track`]), so memory does not grow with the recording.

mod blocks;
mod histogram;
mod overview;
mod page;
mod single;
mod totals;
mod track;

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::packets::segment::Segment;
use crate::engine::rows::{Output, PacketSeen};
use crate::log::{LogError, Recording};
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::views::summary::Line;

pub use overview::{Connection, Overview, overview};
pub use page::{Extra, View, page};
pub use single::{SCRIPT, STYLE, file_name, script, single, style};

use track::Track;

/// How much a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of connections with plots, in the order of the table.
    pub top: usize,
    /// Each plot is made of so many stretches of equal length, two points each.
    pub stretches: u64,
}

impl Default for Extent {
    fn default() -> Self {
        // Two or four stretches to a pixel of a wide screen, and some 100 kB a connection.
        Self { top: 20, stretches: 4000 }
    }
}

/// A recording with the data of its plots.
#[derive(Debug)]
pub struct Run {
    /// What a person calls it.
    pub label: String,
    /// All connections.
    pub overview: Overview,
    /// Data of the plots by number of the connection.
    pub plots: BTreeMap<u64, PlotData>,
}

/// What the page draws of a connection; see [`track`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlotData {
    /// Length of a stretch, in microseconds.
    pub stretch_us: f64,
    /// Records that it is made of.
    pub records: u64,
    /// Times of the points, in microseconds since the beginning, as differences.
    pub t: Vec<i64>,
    /// Values by name, as differences to the last that was not null.
    pub series: BTreeMap<&'static str, Vec<Option<i64>>>,
    /// By limit: thousandths of each stretch, as differences.
    pub limits: BTreeMap<&'static str, Vec<i64>>,
    /// (microseconds, how many, octet of the stream) of retransmissions.
    pub retransmissions: Vec<(i64, u64, Option<i64>)>,
    /// (microseconds, how many) of timeouts.
    pub timeouts: Vec<(i64, u64)>,
    /// (microseconds, how many) of segments with a congestion mark's echo.
    pub marks: Vec<(i64, u64)>,
    /// (from, to, how many) of stays in recovery, microseconds.
    pub recoveries: Vec<(i64, i64, u64)>,
    /// As retransmissions: duplicate ACKs received.
    pub duplicates: Vec<(i64, u64, Option<i64>)>,
    /// As retransmissions: segments received with a SACK option.
    pub sacks: Vec<(i64, u64, Option<i64>)>,
    /// What SACK reported, where there are packets: microseconds, first octet, octet behind the last.
    pub sack_blocks: Vec<blocks::Block>,
    /// What was sent again, where there are packets.
    pub sent_again: Vec<blocks::Block>,
    /// Snapshots of the socket.
    pub polls: u64,
    /// Distribution of the RTT samples.
    pub rtt: histogram::Distribution,
}

/// What can go wrong when plots are made.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Replay failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The caller could not take a plot.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<LogError> for PlotError {
    fn from(error: LogError) -> Self {
        Self::Replay(error.into())
    }
}

struct Plots<F> {
    /// Of those that are plotted: when they begin and end.
    lives: BTreeMap<u64, (u64, u64)>,
    stretches: u64,
    /// Of those that live.
    tracks: BTreeMap<u64, Track>,
    take: F,
}

impl<F> Plots<F> {
    fn track(&mut self, conn_id: u64) -> Option<&mut Track> {
        let &(begin_ns, end_ns) = self.lives.get(&conn_id)?;
        let stretches = self.stretches;
        let track = self.tracks.entry(conn_id);
        Some(track.or_insert_with(|| Track::new(begin_ns, end_ns, stretches)))
    }
}

impl<F: FnMut(u64, PlotData) -> io::Result<()>> ConnectionRows for Plots<F> {
    type Error = io::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> io::Result<()> {
        if self.track(ended.conn_id).is_some()
            && let Some(track) = self.tracks.remove(&ended.conn_id)
        {
            (self.take)(ended.conn_id, track.end(ended))?;
        }
        Ok(())
    }

    fn wants(&self, conn_id: u64) -> bool {
        self.lives.contains_key(&conn_id)
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        if let Some(track) = self.track(sample.conn_id) {
            track.push(sample);
        }
        Ok(())
    }

    fn polled(&mut self, polled: &Polled<'_>) -> io::Result<()> {
        if let Some((conn_id, _)) = polled.connection
            && let Some(track) = self.track(conn_id)
        {
            track.polled(polled.snapshot);
        }
        Ok(())
    }
}

impl<F: FnMut(u64, PlotData) -> io::Result<()>> Output for Plots<F> {
    fn packet(&mut self, seen: &PacketSeen<'_>) -> io::Result<()> {
        // The first end of a flow that is a connection is the recorded one.
        if let Some(owner) = &seen.flow.owner
            && let Some(track) = self.tracks.get_mut(&owner.conn_id)
            && let Some(segment) = Segment::of(seen.packet)
        {
            track.packet(&segment, !seen.forward);
        }
        Ok(())
    }
}

/// More than this does not fit into the first window (ten segments): below it nothing limits a sender but
/// the handshake and the application.
const FIRST_WINDOW: i64 = 14_600;

/// Whether it sent so much that it is worth to ask what limited it.
pub fn is_sender(line: &Line) -> bool {
    line.octets_acked.or(line.octets_sent).is_some_and(|octets| octets > FIRST_WINDOW)
}

/// How worth a look a connection is; the smaller, the more. Senders come first, those with the most data
/// acknowledged before the others; then all others, among them pure receivers and control connections, by
/// what they carried in both directions.
fn rank(line: &Line) -> (bool, std::cmp::Reverse<i64>, i64) {
    let (acked, received) = (line.octets_acked.or(line.octets_sent), line.octets_received);
    let acked = acked.unwrap_or(0);
    let is_sender = is_sender(line);
    let octets = if is_sender { acked } else { acked.saturating_add(received.unwrap_or(0)) };
    (!is_sender, std::cmp::Reverse(octets), line.conn_id)
}

/// The connections most worth a look, at most so many: senders by their data first.
pub fn largest(overview: &Overview, top: usize) -> Vec<u64> {
    let mut lines: Vec<&Line> = overview.connections.iter().map(|c| &c.line).collect();
    lines.sort_by_key(|line| rank(line));
    lines.iter().take(top).map(|line| line.conn_id as u64).collect()
}

/// Replays the recording once more for the plots of these connections.
///
/// # Errors
/// Those of replaying.
pub fn plot(
    recording: &Recording,
    overview: Overview,
    label: String,
    chosen: &[u64],
    extent: Extent,
) -> Result<Run, PlotError> {
    let mut plots = BTreeMap::new();
    plot_each(recording, &overview, chosen, extent.stretches, |conn_id, data| {
        plots.insert(conn_id, data);
        Ok(())
    })?;
    Ok(Run { label, overview, plots })
}

/// The same, with the data of each connection given out as soon as it is over.
///
/// # Errors
/// Those of replaying, and of `take`.
pub fn plot_each(
    recording: &Recording,
    overview: &Overview,
    chosen: &[u64],
    stretches: u64,
    take: impl FnMut(u64, PlotData) -> io::Result<()>,
) -> Result<(), PlotError> {
    let chosen: std::collections::BTreeSet<u64> = chosen.iter().copied().collect();
    let lives = overview
        .connections
        .iter()
        .filter(|c| chosen.contains(&c.conn_id()))
        .map(|c| (c.conn_id(), (c.begin_ns, c.end_ns)))
        .collect();
    let timeline = replay::clocks(recording)?;
    let options = ReplayOptions { interval: Interval::Event, ..ReplayOptions::default() };
    let plots = Plots { lives, stretches, tracks: BTreeMap::new(), take };
    replay::run::<_, PlotError>(recording, &timeline, &options, plots)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_come_before_receivers_and_control_connections() {
        let line = |conn_id, acked, received| Line {
            conn_id,
            octets_acked: Some(acked),
            octets_received: Some(received),
            ..Line::default()
        };
        let mut lines = [
            line(1, 300, 200),
            line(2, 0, 9_000_000),
            line(3, 5_000_000, 0),
            line(4, 37, 8_000_000),
            line(5, 8_000_000, 37),
            Line { conn_id: 6, octets_sent: Some(6_000_000), ..Line::default() },
            Line { conn_id: 7, ..Line::default() },
        ];
        lines.sort_by_key(rank);
        assert_eq!(lines.map(|line| line.conn_id), [5, 6, 3, 2, 4, 1, 7]);
    }
}
