// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A part of a recording: by time, by connection.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};

use super::carry::carried;
use super::rounds::{self, Marked, Take};
use super::select::Selection;
use super::{
    NoTime, PerCpu, TransformError, TransformReport, clock_at, clocks, create, derived_uuid,
    end_ns, finish, lacking, totals_there,
};
use crate::log::{
    CaptureStat, ClockSample, CpuTotals, Derivation, Manifest, RawCaptureStat, Recording,
    RecordingWriter, Totals,
};
use crate::recordings::import::Prefix;
use crate::replay;
use crate::schema::Why;
use crate::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot};

/// A time as people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutTime {
    /// Nanoseconds since the recording began.
    Since(u64),
    /// Wall-clock time, nanoseconds since the Unix epoch.
    Wall(u64),
}

/// The part that is kept: records from one time on and before another, of the connections that match.
/// Values of one condition (numbers, addresses, ports) are ORed, different ones are ANDed.
#[derive(Clone, Debug, Default)]
pub struct CutOptions {
    /// The first time; the beginning if absent.
    pub from: Option<CutTime>,
    /// The first time that is not kept; none if absent.
    pub to: Option<CutTime>,
    /// Numbers of connections, as in the tables.
    pub connections: Vec<u64>,
    /// Addresses, either side.
    pub addresses: Vec<Prefix>,
    /// Ports, either side.
    pub ports: Vec<u16>,
}

/// From one time on and before another, CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug)]
struct Range {
    from_ns: Option<u64>,
    to_ns: Option<u64>,
}

impl Range {
    fn has(&self, ts_ns: u64) -> bool {
        self.from_ns.is_none_or(|from| ts_ns >= from) && self.to_ns.is_none_or(|to| ts_ns < to)
    }

    /// Whether an interval, ends included, overlaps it.
    fn meets(&self, since_ns: u64, until_ns: u64) -> bool {
        self.from_ns.is_none_or(|from| until_ns >= from)
            && self.to_ns.is_none_or(|to| since_ns < to)
    }
}

/// Makes a recording in `dir` of a part of another.
///
/// # Errors
/// [`TransformError`]; if the part cannot be, nothing is written.
pub fn cut(
    recording: &Recording,
    dir: &Path,
    options: &CutOptions,
) -> Result<TransformReport, TransformError> {
    let samples = clocks(recording)?;
    let mut range = range(recording, &samples, options)?;
    let frame = recording.key_frame()?;
    if let Some(frame) = &frame {
        // There is nothing before.
        range.from_ns = range.from_ns.filter(|from| *from > frame.from_ns);
        if range.to_ns.is_some_and(|to| to <= frame.from_ns) {
            return refuse(&samples, frame.from_ns, end_ns(recording)?, NoTime::Removed);
        }
    }
    let selection =
        Selection::new(recording, &options.connections, &options.addresses, &options.ports)?;
    let mut manifest = recording.manifest().clone();
    // Here it stands in one piece.
    manifest.options.divided_ledger = false;
    let is_whole = range.from_ns.is_none() && range.to_ns.is_none() && selection.is_all();
    if !is_whole {
        describe(&mut manifest, range, options);
        if let Some(from) = range.from_ns {
            manifest.started = clock_at(&samples, from);
        }
        if let Some(to) = range.to_ns {
            manifest.ended = Some(clock_at(&samples, to));
        }
    }
    // Records that --max-size removed were before its second mark.
    let (totals, absent) = totals_there(recording)?;
    manifest.totals = totals;
    let removed = match &frame {
        Some(_) => range.from_ns.is_none(),
        None => replay::removed(recording)?.iter().any(|r| range.meets(r.since_ns, r.until_ns)),
    };
    let first = if removed { recording.first_segment()? } else { 0 };
    let writer = create(dir, &manifest, first)?;
    if let Some(mut frame) = frame.filter(|_| removed) {
        frame.lifecycles.retain(|row| selection.has(&row.header));
        frame.hooks.retain(|record| selection.has(&record.header));
        writer.begin_with(&frame)?;
    }
    let mut cutter = Cutter {
        writer,
        range,
        selection,
        left_out: PerCpu::default(),
        records_left_out: PerCpu::default(),
        malformed: BTreeMap::new(),
        absent,
        lost: Vec::new(),
        connections: 0,
        dropped_packets: 0,
        marks_left_out: false,
    };
    cutter.ledger(recording, &samples, removed, is_whole)?;
    for row in lacking(recording, end_ns(recording)?)? {
        cutter.lacking(&row)?;
    }
    if let Some(from_ns) = range.from_ns {
        cutter.begin(recording, from_ns)?;
    }
    rounds::read(recording, &mut cutter)?;
    if let (Some(to), true) = (range.to_ns, cutter.marks_left_out) {
        // The recording goes on to here.
        cutter.writer.drained(to)?;
    }
    let end_ns = match range.to_ns {
        Some(to) => to,
        None => end_ns(recording)?,
    };
    if !is_whole {
        manifest.totals = manifest.totals.as_ref().map(|totals| cutter.totals(totals, &manifest));
    }
    let mut left_out = if is_whole { PerCpu::default() } else { cutter.left_out };
    cutter.absent.iter().for_each(|(cpu, n)| left_out.add(cpu, n));
    finish(cutter.writer, manifest, &left_out, end_ns)
}

fn describe(manifest: &mut Manifest, range: Range, options: &CutOptions) {
    let mut connections = options.connections.clone();
    connections.sort_unstable();
    connections.dedup();
    let step = Derivation {
        by: "cut".to_owned(),
        of: vec![manifest.recording.clone()],
        from_ns: range.from_ns,
        to_ns: range.to_ns,
        connections,
        addresses: options.addresses.iter().map(Prefix::to_string).collect(),
        ports: options.ports.clone(),
    };
    manifest.recording = uuid(&step);
    manifest.derived.push(step);
}

/// The UUID of what a step makes: the same for the same step.
pub(super) fn uuid(step: &Derivation) -> String {
    let of = step.of.join(" ");
    let what = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        step.from_ns, step.to_ns, step.connections, step.addresses, step.ports
    );
    derived_uuid(&[&step.by, &of, &what])
}

/// The times in monotonic time, absent where nothing lies beyond them.
fn range(
    recording: &Recording,
    samples: &[ClockSample],
    options: &CutOptions,
) -> Result<Range, TransformError> {
    let started = recording.manifest().started;
    let end = end_ns(recording)?;
    let monotonic = |moment: CutTime| match moment {
        CutTime::Since(ns) => started.monotonic_ns.saturating_add(ns),
        CutTime::Wall(ns) => {
            let after = samples.partition_point(|s| s.realtime_ns <= ns);
            let sample = samples[after.saturating_sub(1)];
            let at = i128::from(ns) - i128::from(sample.realtime_ns);
            u64::try_from(i128::from(sample.monotonic_ns) + at).unwrap_or(0)
        }
    };
    let from_ns = options.from.map(monotonic).filter(|from| *from > started.monotonic_ns);
    let to_ns = options.to.map(monotonic).filter(|to| *to <= end);
    if from_ns.is_some_and(|from| from > end) {
        return refuse(samples, started.monotonic_ns, end, NoTime::AfterEnd);
    }
    if to_ns.is_some_and(|to| to <= from_ns.unwrap_or(started.monotonic_ns)) {
        return refuse(samples, started.monotonic_ns, end, NoTime::Empty);
    }
    Ok(Range { from_ns, to_ns })
}

/// Refuses a part of a recording that begins and ends at these times.
fn refuse<T>(
    samples: &[ClockSample],
    begin_ns: u64,
    end_ns: u64,
    part: NoTime,
) -> Result<T, TransformError> {
    let began = DateTime::from_timestamp_nanos(clock_at(samples, begin_ns).realtime_ns as i64);
    let lasts_s = end_ns.saturating_sub(begin_ns) as f64 / 1e9;
    let began = began.to_rfc3339_opts(SecondsFormat::Millis, true);
    Err(TransformError::NoSuchTime { part, began, lasts_s })
}

struct Cutter {
    writer: RecordingWriter,
    range: Range,
    selection: Selection,
    /// Numbers left out: of records, of losses, and of what --max-size removed.
    left_out: PerCpu,
    /// The logged ones among these.
    records_left_out: PerCpu,
    /// Malformed packets of the range, by hook.
    malformed: BTreeMap<String, u64>,
    /// Numbers of records that the original lacks.
    absent: PerCpu,
    /// Losses left out: CPU, hook, number.
    lost: Vec<(u16, &'static str, u64)>,
    /// Connections that begin, or were open at the beginning.
    connections: u64,
    /// Packets that the kernel dropped.
    dropped_packets: u64,
    marks_left_out: bool,
}

impl Cutter {
    /// Copies the ledger, as far as it is about the time that is kept.
    fn ledger(
        &mut self,
        recording: &Recording,
        samples: &[ClockSample],
        removed: bool,
        whole: bool,
    ) -> Result<(), TransformError> {
        let range = self.range;
        // The clock that was in force at the beginning.
        let from_ns = range.from_ns.unwrap_or(0);
        let clock_ns = samples.iter().rev().map(|s| s.monotonic_ns).find(|ns| *ns <= from_ns);
        for row in recording.raw_capture_stats() {
            let raw = row?;
            let row = match &raw {
                RawCaptureStat::DroppedRows(rows) => {
                    if removed {
                        self.writer.raw_capture_stat(&raw)?;
                    } else {
                        self.left_out.add(rows.cpu, rows.rows);
                        self.records_left_out.add(rows.cpu, rows.rows);
                    }
                    continue;
                }
                RawCaptureStat::SnapshotsDrained(_) => continue,
                RawCaptureStat::Unknown => {
                    return Err(TransformError::Newer(recording.dir().to_owned()));
                }
                RawCaptureStat::Row(row) => row,
            };
            let keep = match *row {
                CaptureStat::Clock(ts_ns, _) => range.has(ts_ns) || Some(ts_ns) == clock_ns,
                CaptureStat::Loss { ts_ns, cpu, hook, lost, since_ns } => {
                    let keep = range.meets(since_ns, ts_ns);
                    if !keep {
                        self.left_out.add(cpu, lost);
                        self.lost.push((cpu, hook.name(), lost));
                    }
                    keep
                }
                CaptureStat::Skipped { ts_ns, since_ns, .. }
                | CaptureStat::Missing { ts_ns, since_ns, .. }
                | CaptureStat::SlowPoll { ts_ns, since_ns } => range.meets(since_ns, ts_ns),
                CaptureStat::Dropped { .. } => removed,
                // Written again at the end, with the records left out by this cut.
                CaptureStat::LeftOut { cpu, count, .. } if !whole => {
                    self.left_out.add(cpu, count);
                    false
                }
                CaptureStat::LeftOut { .. } => true,
                CaptureStat::Malformed { ts_ns, hook, count, .. } => {
                    let keep = range.has(ts_ns);
                    if keep {
                        let sum = self.malformed.entry(hook.name().to_owned()).or_default();
                        *sum = sum.saturating_add(count);
                    }
                    keep
                }
                CaptureStat::Emitted { ts_ns, .. }
                | CaptureStat::RingFill { ts_ns, .. }
                | CaptureStat::MapFailure { ts_ns, .. }
                | CaptureStat::Lacking { ts_ns, .. }
                | CaptureStat::LateDrain { ts_ns, .. }
                | CaptureStat::NotIp { ts_ns, .. }
                | CaptureStat::LatePoll { ts_ns, .. } => range.has(ts_ns),
            };
            if keep {
                self.writer.raw_capture_stat(&raw)?;
            }
        }
        Ok(())
    }

    /// Adds a row of what the original lacks, if it is of the time that is kept, or the beginning was
    /// not seen.
    fn lacking(&mut self, row: &CaptureStat) -> Result<(), TransformError> {
        let (CaptureStat::Missing { ts_ns, since_ns, .. }
        | CaptureStat::Loss { ts_ns, since_ns, .. }) = *row
        else {
            return Ok(());
        };
        if self.range.meets(since_ns, ts_ns) {
            self.writer.capture_stat(row)?;
        } else if let CaptureStat::Loss { cpu, hook, lost, .. } = *row {
            self.left_out.add(cpu, lost);
            self.lost.push((cpu, hook.name(), lost));
        }
        Ok(())
    }

    /// Writes the connections that were open at the beginning.
    fn begin(&mut self, recording: &Recording, from_ns: u64) -> Result<(), TransformError> {
        let carried = carried(recording, &self.selection, from_ns)?;
        for row in &carried.lifecycles {
            self.connections += u64::from(row.event == Event::Baseline);
            self.writer.lifecycle(row)?;
        }
        for record in &carried.hooks {
            self.writer.hook(&record.header, &record.ops)?;
        }
        Ok(())
    }

    fn leave_out(&mut self, cpu: u16) {
        self.left_out.add(cpu, 1);
        self.records_left_out.add(cpu, 1);
    }

    fn totals(&self, of: &Totals, manifest: &Manifest) -> Totals {
        let per_cpu = of.per_cpu.iter().map(|cpu| {
            let mut lost_by_hook = cpu.lost_by_hook.clone();
            for (_, hook, lost) in self.lost.iter().filter(|(on, ..)| *on == cpu.cpu) {
                if let Some(n) = lost_by_hook.get_mut(*hook) {
                    *n = n.saturating_sub(*lost);
                }
            }
            lost_by_hook.retain(|_, n| *n > 0);
            CpuTotals {
                cpu: cpu.cpu,
                emitted: cpu.emitted,
                logged: cpu.logged.saturating_sub(self.records_left_out.get(cpu.cpu)),
                lost_by_hook,
                // The other gaps of the original.
                left_out: self.left_out.get(cpu.cpu).saturating_add(self.absent.get(cpu.cpu)),
            }
        });
        let ended = manifest.ended.map_or(manifest.started.monotonic_ns, |e| e.monotonic_ns);
        Totals {
            duration_ns: ended.saturating_sub(manifest.started.monotonic_ns),
            per_cpu: per_cpu.collect(),
            map_failures: of.map_failures,
            lacking: None,
            bytes: 0,
            connections: self.connections,
            dropped_packets: self.dropped_packets,
            malformed: self.malformed.clone(),
        }
    }
}

impl Take for Cutter {
    fn hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), TransformError> {
        if self.range.has(header.ts_ns) && self.selection.has(header) {
            return Ok(self.writer.hook(header, ops)?);
        }
        self.leave_out(header.cpu);
        Ok(())
    }

    fn lifecycle(&mut self, row: Lifecycle) -> Result<(), TransformError> {
        if self.range.has(row.header.ts_ns) && self.selection.has(&row.header) {
            self.connections += u64::from(matches!(row.event, Event::Open | Event::Baseline));
            return Ok(self.writer.lifecycle(&row)?);
        }
        self.leave_out(row.header.cpu);
        Ok(())
    }

    fn packet(&mut self, packet: Packet) -> Result<(), TransformError> {
        if self.range.has(packet.ts_ns) && self.selection.has_packet(&packet) {
            return Ok(self.writer.packet(packet)?);
        }
        self.leave_out(packet.cpu);
        Ok(())
    }

    fn snapshot(&mut self, row: Snapshot) -> Result<(), TransformError> {
        if self.range.has(row.header.ts_ns) && self.selection.has_snapshot(&row) {
            self.dropped_packets += u64::from(row.why == Why::Drop);
            return Ok(self.writer.snapshot(row)?);
        }
        self.leave_out(row.header.cpu);
        Ok(())
    }

    fn mark(&mut self, stream: Marked, ts_ns: u64) -> Result<(), TransformError> {
        if !self.range.has(ts_ns) {
            self.marks_left_out |= self.range.to_ns.is_some_and(|to| ts_ns >= to);
            return Ok(());
        }
        super::mark(&mut self.writer, stream, ts_ns)
    }
}
