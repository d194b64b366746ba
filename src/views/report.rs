// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One HTML file with everything: the connections as a table, their figures, and plots that one can
//! zoom. No network, no framework; uPlot and the page's own code go with it.
//!
//! A report replays the recording twice, in memory, and needs no tables: first to know all
//! connections, their beginnings and ends; then, with a row per record, the largest of them. Series
//! at 100 ms would hide what a window does within a round trip, and a Parquet file with a row per
//! record is larger than the log. What does not fit into the width of a screen is reduced as it comes
//! ([`track`]), so memory does not grow with the recording.

mod histogram;
mod overview;
mod page;
mod track;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::rows::Output;
use crate::log::Recording;
use crate::replay::{self, ReplayError, ReplayOptions};
use crate::views::summary::Line;

pub use overview::{Connection, Overview, overview};
pub use page::{View, page};

use track::Track;

/// How much a report shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// So many connections have plots: those with the most octets.
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
    /// Distribution of the RTT samples.
    pub rtt: histogram::Distribution,
}

#[derive(Debug)]
struct Plots {
    tracks: BTreeMap<u64, Track>,
}

impl ConnectionRows for Plots {
    type Error = ReplayError;

    fn ended(&mut self, _: &Ended<'_>) -> Result<(), ReplayError> {
        Ok(())
    }

    fn wants(&self, conn_id: u64) -> bool {
        self.tracks.contains_key(&conn_id)
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), ReplayError> {
        if let Some(track) = self.tracks.get_mut(&sample.conn_id) {
            track.push(sample);
        }
        Ok(())
    }

    fn polled(&mut self, _: &Polled<'_>) -> Result<(), ReplayError> {
        Ok(())
    }
}

impl Output for Plots {}

/// The connections with the most octets, at most so many.
pub fn largest(overview: &Overview, top: usize) -> Vec<u64> {
    let octets = |line: &Line| {
        std::cmp::Reverse(line.octets_acked.unwrap_or(0) + line.octets_received.unwrap_or(0))
    };
    let mut lines: Vec<&Line> = overview.connections.iter().map(|c| &c.line).collect();
    lines.sort_by_key(|line| (octets(line), line.conn_id));
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
) -> Result<Run, ReplayError> {
    let tracks = overview
        .connections
        .iter()
        .filter(|c| chosen.contains(&c.conn_id()))
        .map(|c| (c.conn_id(), Track::new(c.begin_ns, c.end_ns, extent.stretches)))
        .collect();
    let timeline = replay::clocks(recording)?;
    let options = ReplayOptions { interval: Interval::Event, ..ReplayOptions::default() };
    let plots = Plots { tracks };
    let done = replay::run::<_, ReplayError>(recording, &timeline, &options, plots)?.output;
    let plots = done.tracks.into_iter().map(|(id, track)| (id, track.finish())).collect();
    Ok(Run { label, overview, plots })
}
