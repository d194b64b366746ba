// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording as a trace for Perfetto: a track of each connection under that of its process, with the states
//! of TCP; below it what the sender waited for, recoveries, losses and other events, windows, RTT and
//! throughput as counters.
//!
//! Protocol Buffers are the native form of such traces ([`proto`]); the form of Chrome's JSON is several times
//! as large, and has no units of counters. Time is CLOCK_MONOTONIC, with the ledger's samples of the wall
//! clock.

mod connection;
mod proto;
mod trace;
mod waits;

use std::io::{self, Write};

use rustc_hash::{FxHashMap, FxHashSet};

use super::ExportError;
use crate::engine::estats::{ConnectionRows, Ended, Interval, Polled, Sample};
use crate::engine::identity::Identity;
use crate::engine::rows::Output;
use crate::log::{CaptureStat, Recording};
use crate::replay::{self, Findings, ReplayOptions};
use crate::util::visible::visible;

use connection::Connection;
use trace::{Kind, Writer};

/// Widths of the throughput's steps where the series has a row per record.
const STEP_NS: u64 = 100_000_000;
/// The first octet of a track's number is its kind.
const OF_PROCESS: u64 = 1 << 56;
const OF_CONNECTION: u64 = 2 << 56;
/// Tracks of one connection.
const PER_CONNECTION: u64 = 16;

/// Writes the trace. `options` have the width of the throughput's steps.
///
/// # Errors
/// [`ExportError`].
pub fn write(
    recording: &Recording,
    options: &ReplayOptions,
    out: impl Write,
) -> Result<Findings, ExportError> {
    let manifest = recording.manifest();
    let timeline = replay::clocks(recording)?;
    let step_ns = match options.interval {
        Interval::Every(ns) => ns.get(),
        Interval::Event => STEP_NS,
    };
    let mut writer = Writer::new(out);
    let host = &manifest.host;
    writer.system(["Linux", &host.kernel_version, &host.kernel_release, &host.machine])?;
    writer.clocks(manifest.started.monotonic_ns, manifest.started.realtime_ns)?;
    for row in recording.capture_stats() {
        if let CaptureStat::Clock(_, sample) = row? {
            writer.clocks(sample.monotonic_ns, sample.realtime_ns)?;
        }
    }
    let stream = Stream {
        writer,
        owners: owners(recording)?,
        processes: FxHashSet::default(),
        connections: FxHashMap::default(),
        step_ns,
    };
    let options = ReplayOptions { interval: Interval::Event, ..options.clone() };
    let run = replay::run::<_, ExportError>(recording, &timeline, &options, stream)?;
    let findings = Findings::of(manifest, &timeline, &run);
    run.output.writer.finish()?;
    Ok(findings)
}

/// Process id and name.
type Process = (u32, String);

/// The owner of each connection, by cookie and generation: who accepts one is known after it began, and a
/// track cannot change its parent.
fn owners(recording: &Recording) -> Result<FxHashMap<(u64, u16), Process>, ExportError> {
    let mut owners = FxHashMap::default();
    let carried = recording.key_frame()?.map_or_else(Vec::new, |frame| frame.lifecycles);
    for record in carried.into_iter().map(Ok).chain(recording.lifecycles()) {
        let record = record?;
        if record.pid != 0 {
            let key = (record.header.cookie, record.header.generation);
            owners.insert(key, (record.pid, visible(&record.comm).into_owned()));
        }
    }
    Ok(owners)
}

struct Stream<W> {
    writer: Writer<W>,
    owners: FxHashMap<(u64, u16), Process>,
    /// Those that have a track.
    processes: FxHashSet<u32>,
    connections: FxHashMap<u64, Connection>,
    step_ns: u64,
}

impl<W: Write> Stream<W> {
    /// The track of a connection's process, which is there from its first connection on; 0 stands for all
    /// of which the process is not known.
    fn process(&mut self, identity: &Identity) -> io::Result<u64> {
        let record = identity.lifecycle();
        let key = record.map(|l| (l.header.cookie, l.header.generation));
        let owner = key.and_then(|key| self.owners.get(&key));
        let pid = owner.map_or(0, |(pid, _)| *pid);
        let track = OF_PROCESS | u64::from(pid);
        if self.processes.insert(pid) {
            match owner {
                Some((pid, comm)) => {
                    self.writer.track(track, None, comm, Kind::Process(*pid, comm), 0)?;
                }
                None => {
                    let name = "connections without a known process";
                    self.writer.track(track, None, name, Kind::Slices, 1)?;
                }
            }
        }
        Ok(track)
    }
}

impl<W: Write> ConnectionRows for Stream<W> {
    type Error = io::Error;

    fn sampled(&mut self, sample: &Sample<'_>) -> io::Result<()> {
        if !self.connections.contains_key(&sample.conn_id) {
            let parent = self.process(sample.identity)?;
            let track = OF_CONNECTION | (sample.conn_id * PER_CONNECTION);
            let connection =
                Connection::begin(track, parent, self.step_ns, sample, &mut self.writer)?;
            self.connections.insert(sample.conn_id, connection);
        }
        match self.connections.get_mut(&sample.conn_id) {
            Some(connection) => connection.sampled(sample, &mut self.writer),
            None => Ok(()),
        }
    }

    fn ended(&mut self, ended: &Ended<'_>) -> io::Result<()> {
        match self.connections.remove(&ended.conn_id) {
            Some(connection) => connection.end(ended, &mut self.writer),
            None => Ok(()),
        }
    }

    fn polled(&mut self, _: &Polled<'_>) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Output for Stream<W> {}
