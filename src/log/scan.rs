// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! All facts of a recording's files, frame by frame: the basis of [`super::verify`] and
//! [`super::survey`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt16Array, UInt64Array};

use super::batch::{HookBatch, HookNames, unknown_rows};
use super::capture_stats::{self, DroppedRows, Names, RawCaptureStat};
use super::check::{Checked, Marks, Piece, check};
use super::ranges::Ranges;
use super::reader::Recording;
use super::report::{FileReport, Finding};
use super::sockets::SocketRow;
use super::stream::{Stream, column, hook_by_name};
use super::{CaptureStat, LogError, rows};
use crate::schema::Hook;
use crate::wire::{Event, NO_CPU};

/// Frames per CPU and stream of which time and number are kept, to find the last that is proven;
/// frames are written once a second or fuller, so these reach back further than any flush.
const RECENT: usize = 1024;

/// The facts of one stream about one CPU.
#[derive(Debug, Default)]
struct CpuSequence {
    numbers: Ranges,
    /// Largest time and number of the last frames.
    recent: VecDeque<(u64, u64)>,
    /// Whether the frame being read has an entry yet.
    in_frame: bool,
}

impl CpuSequence {
    fn row(&mut self, ts: u64, seq: u64) {
        self.numbers.insert(seq, ts);
        match self.recent.back_mut() {
            Some(last) if self.in_frame => *last = (last.0.max(ts), last.1.max(seq)),
            Some(_) | None => {
                if self.recent.len() == RECENT {
                    self.recent.pop_front();
                }
                self.recent.push_back((ts, seq));
                self.in_frame = true;
            }
        }
    }
}

/// One segment of a stream.
#[derive(Debug)]
pub struct SegmentScan {
    /// Number in the name of the file, which need not be there.
    pub number: u32,
    /// The same, if the file is there.
    pub file: Option<u32>,
    /// The number that it should have.
    pub place: u32,
    pub pieces: Vec<Piece>,
    /// Nothing is missing at its end.
    pub ended: bool,
    /// The recording and the number that the segment itself names.
    pub names: Option<(String, u32)>,
    /// Time of the last marker.
    pub drained_ns: u64,
    cpus: BTreeMap<u16, CpuSequence>,
    /// Numbers that stood in a frame before, by CPU: their frame is not read.
    twice: BTreeMap<u16, u64>,
    /// Frames that are not to be read.
    pub damaged: BTreeSet<usize>,
}

impl SegmentScan {
    pub fn new(number: u32) -> Self {
        Self {
            number,
            file: Some(number),
            place: number,
            pieces: Vec::new(),
            ended: false,
            names: None,
            drained_ns: 0,
            cpus: BTreeMap::new(),
            twice: BTreeMap::new(),
            damaged: BTreeSet::new(),
        }
    }

    /// Takes in the numbers and marks of a batch.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Marks, String> {
        let ts: &UInt64Array = column(batch, "ts_ns")?;
        let cpu: &UInt16Array = column(batch, "cpu")?;
        let seq: &UInt64Array = column(batch, "seq")?;
        let hook: Names<'_, Hook> = Names::new(batch, "hook", hook_by_name)?;
        let mut marks = Marks::default();
        let rows = || ts.values().iter().zip(cpu.values()).zip(seq.values());
        let mut numbers: BTreeMap<u16, Ranges> = BTreeMap::new();
        for (i, ((ts, cpu), seq)) in rows().enumerate() {
            if *cpu != NO_CPU {
                numbers.entry(*cpu).or_default().insert(*seq, *ts);
                marks.record(*ts);
            } else if hook.get(i).is_some_and(Hook::is_mark) {
                marks.add(*ts);
            }
        }
        self.must_be_new(&numbers)?;
        self.cpus.values_mut().for_each(|c| c.in_frame = false);
        for ((ts, cpu), seq) in rows().filter(|((_, cpu), _)| **cpu != NO_CPU) {
            self.cpus.entry(*cpu).or_default().row(*ts, *seq);
        }
        self.drained_ns = self.drained_ns.max(marks.last.unwrap_or(0));
        Ok(marks)
    }

    /// No number is given out twice: a frame with one that was there is a copy, or of something else.
    fn must_be_new(&mut self, numbers: &BTreeMap<u16, Ranges>) -> Result<(), String> {
        let mut again = 0;
        for (cpu, new) in numbers {
            let seen = self.cpus.get(cpu).map(|seen| &seen.numbers);
            let mut count = new.duplicates;
            if let Some(seen) = seen.filter(|seen| new.meets(seen)) {
                count += Ranges::union([seen, new]).duplicates - seen.duplicates - new.duplicates;
            }
            if count > 0 {
                let sum = self.twice.entry(*cpu).or_default();
                *sum = sum.saturating_add(count);
                again += count;
            }
        }
        match again {
            0 => Ok(()),
            n => Err(format!("{n} of its sequence numbers occur more than once")),
        }
    }

    pub fn first_mark(&self) -> Option<u64> {
        self.pieces.iter().find_map(|piece| match piece {
            Piece::Read(marks) => marks.first,
            Piece::Hole(_) => None,
        })
    }

    /// Numbers of a CPU in it.
    pub fn numbers(&self) -> impl Iterator<Item = (u16, &Ranges)> {
        self.cpus.iter().map(|(cpu, seen)| (*cpu, &seen.numbers))
    }
}

/// One stream.
#[derive(Debug)]
pub struct StreamScan {
    pub stream: Stream,
    /// In the order in which they are read; at first that of their numbers.
    pub segments: Vec<SegmentScan>,
}

impl StreamScan {
    /// CPUs that have records.
    pub fn cpus(&self) -> impl Iterator<Item = u16> {
        self.segments.iter().flat_map(|s| s.cpus.keys().chain(s.twice.keys())).copied()
    }

    pub fn numbers(&self, cpu: u16) -> impl Iterator<Item = &Ranges> {
        self.segments.iter().filter_map(move |s| s.cpus.get(&cpu)).map(|seen| &seen.numbers)
    }

    /// Numbers of a CPU that stood in a frame before.
    fn twice(&self, cpu: u16) -> u64 {
        let of = self.segments.iter().filter_map(|s| s.twice.get(&cpu));
        of.fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Time of the last marker.
    pub fn drained_ns(&self) -> u64 {
        self.segments.iter().map(|s| s.drained_ns).max().unwrap_or(0)
    }

    /// One more than the largest number among frames that ended before `cut_ns`.
    pub fn proven(&self, cpu: u16, cut_ns: u64) -> u64 {
        let cpus = self.segments.iter().filter_map(|s| s.cpus.get(&cpu));
        let recent = cpus.flat_map(|c| &c.recent);
        let before = recent.filter(|(ts, _)| *ts < cut_ns).map(|(_, seq)| seq.saturating_add(1));
        before.max().unwrap_or(0)
    }
}

/// Segments that the ledger has as removed.
#[derive(Clone, Debug, Default)]
pub struct Removed {
    /// All before this one.
    before: u32,
    numbers: BTreeSet<u32>,
}

impl Removed {
    fn add(&mut self, segment: u32, before: bool) {
        if before {
            self.before = self.before.max(segment.saturating_add(1));
        }
        self.numbers.insert(segment);
    }

    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    pub fn contains(&self, segment: u32) -> bool {
        segment < self.before || self.numbers.contains(&segment)
    }

    pub fn last(&self) -> Option<u32> {
        self.numbers.last().copied()
    }

    /// How many from this one on are not among those that are there.
    pub fn gone(&self, first: u32, there: &BTreeSet<u32>) -> u64 {
        let (before, first) = (self.before.max(first), u64::from(first));
        let present = there.range(..before).filter(|n| u64::from(**n) >= first).count() as u64;
        let single = self.numbers.range(before..).filter(|n| !there.contains(n)).count() as u64;
        u64::from(before) - first - present + single
    }
}

/// The facts of the ledger.
#[derive(Debug, Default)]
pub struct CaptureStatsScan {
    /// Records lost, by CPU and hook.
    pub lost: BTreeMap<(u16, &'static str), u64>,
    /// Records left out when the recording was made from another, by CPU.
    pub left_out: BTreeMap<u16, u64>,
    /// The last time and count of numbers given out, by CPU.
    pub emitted: BTreeMap<u16, (u64, u64)>,
    /// Segments removed by --max-size or --keep.
    pub removed: Removed,
    removed_rows: Vec<DroppedRows>,
    pub snapshots_drained_ns: u64,
    /// Times of the first and the last clock sample.
    pub clocks: Option<(u64, u64)>,
    /// Records that were missing from what the recording was made of.
    pub missing: u64,
}

impl CaptureStatsScan {
    pub fn row(&mut self, row: &RawCaptureStat) {
        match row {
            RawCaptureStat::Row(CaptureStat::Loss { cpu, lost, hook, .. }) => {
                let sum = self.lost.entry((*cpu, hook.name())).or_default();
                *sum = sum.saturating_add(*lost);
            }
            RawCaptureStat::Row(CaptureStat::Emitted { ts_ns, cpu, emitted }) => {
                let last = self.emitted.entry(*cpu).or_default();
                *last = (*last).max((*ts_ns, *emitted));
            }
            RawCaptureStat::Row(CaptureStat::Dropped { segment, before, .. }) => {
                self.removed.add(*segment, *before);
            }
            RawCaptureStat::Row(CaptureStat::LeftOut { cpu, count, .. }) => {
                let sum = self.left_out.entry(*cpu).or_default();
                *sum = sum.saturating_add(*count);
            }
            RawCaptureStat::Row(CaptureStat::Missing { count, .. }) => {
                self.missing = self.missing.saturating_add(*count);
            }
            RawCaptureStat::DroppedRows(rows) => self.removed_rows.push(*rows),
            RawCaptureStat::SnapshotsDrained(ts_ns) => {
                self.snapshots_drained_ns = self.snapshots_drained_ns.max(*ts_ns);
            }
            RawCaptureStat::Row(CaptureStat::Clock(ts_ns, _)) => {
                let (first, last) = self.clocks.unwrap_or((*ts_ns, *ts_ns));
                self.clocks = Some((first.min(*ts_ns), last.max(*ts_ns)));
            }
            RawCaptureStat::Row(
                CaptureStat::RingFill { .. }
                | CaptureStat::MapFailure { .. }
                | CaptureStat::LateDrain { .. }
                | CaptureStat::Skipped { .. }
                | CaptureStat::LatePoll { .. }
                | CaptureStat::SlowPoll { .. }
                | CaptureStat::NotIp { .. }
                | CaptureStat::Malformed { .. }
                | CaptureStat::Lacking { .. },
            )
            | RawCaptureStat::Unknown => {}
        }
    }

    /// Records lost on a CPU.
    pub fn lost_on(&self, cpu: u16) -> u64 {
        let of = self.lost.iter().filter(|((on, _), _)| *on == cpu);
        of.fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// Rows of a CPU in segments that are really gone.
    pub fn removed_rows(&self, cpu: u16, present: &[u32]) -> u64 {
        let gone = |r: &&DroppedRows| r.cpu == cpu && present.binary_search(&r.segment).is_err();
        let rows = self.removed_rows.iter().filter(gone).map(|r| r.rows);
        rows.fold(0, u64::saturating_add)
    }
}

/// All files of a recording.
#[derive(Debug)]
pub struct Scan {
    pub files: Vec<FileReport>,
    pub findings: Vec<Finding>,
    /// Rows with names that this build does not know.
    pub unknown: u64,
    /// Hooks, connections, packets and sockets.
    pub streams: [StreamScan; 4],
    pub stats: CaptureStatsScan,
    /// Its segments, whose marks are clock samples: each ends a count.
    pub ledger: Vec<SegmentScan>,
    /// What the removed segments of the ledger come to should be there, and is not.
    pub lacks_carried: bool,
    /// Lifecycle records that begin a connection.
    pub begun: u64,
}

/// Reads every file.
///
/// # Errors
/// If one cannot be read.
pub fn scan(recording: &Recording) -> Result<Scan, LogError> {
    let mut scan = Scan {
        files: Vec::new(),
        findings: Vec::new(),
        unknown: 0,
        streams: [Stream::Hooks, Stream::Connections, Stream::Packets, Stream::Sockets]
            .map(|stream| StreamScan { stream, segments: Vec::new() }),
        stats: CaptureStatsScan::default(),
        ledger: Vec::new(),
        lacks_carried: false,
        begun: 0,
    };
    let (mut unknown, mut stats) = (0, CaptureStatsScan::default());
    match recording.carried_stats()? {
        Some(rows) => rows.iter().for_each(|row| stats.row(row)),
        None => scan.lacks_carried = true,
    }
    for number in recording.segments(Stream::Ledger)? {
        let mut segment = SegmentScan::new(number);
        let checked = segment_of(recording, Stream::Ledger, number, &mut |batch| {
            let mut marks = Marks::default();
            for row in capture_stats::decode(batch)? {
                unknown += u64::from(row == RawCaptureStat::Unknown);
                if let RawCaptureStat::Row(CaptureStat::Clock(ts_ns, _)) = &row {
                    marks.add(*ts_ns);
                }
                stats.row(&row);
            }
            Ok(marks)
        })?;
        scan.take(&mut segment, checked);
        scan.ledger.push(segment);
    }
    let mut begun = 0;
    for i in 0..scan.streams.len() {
        let stream = scan.streams[i].stream;
        for number in recording.segments(stream)? {
            let mut segment = SegmentScan::new(number);
            let checked = segment_of(recording, stream, number, &mut |batch| {
                unknown += match stream {
                    Stream::Hooks => {
                        HookBatch::new(batch, Arc::new(HookNames::new(batch)?))?;
                        unknown_rows(batch)?
                    }
                    Stream::Connections => {
                        let rows = rows::decode(batch)?;
                        let begins = |e| matches!(e, Event::Open | Event::Baseline);
                        begun += rows.iter().flatten().filter(|r| begins(r.event)).count() as u64;
                        rows.iter().filter(|row| row.is_none()).count() as u64
                    }
                    Stream::Packets => {
                        let rows = super::packets::decode(batch)?;
                        rows.iter().filter(|row| row.is_none()).count() as u64
                    }
                    Stream::Sockets => {
                        let rows = super::sockets::decode(batch)?;
                        rows.iter().filter(|row| **row == SocketRow::Unknown).count() as u64
                    }
                    Stream::Ledger => 0,
                };
                segment.batch(batch)
            })?;
            scan.take(&mut segment, checked);
            scan.streams[i].segments.push(segment);
        }
    }
    (scan.unknown, scan.stats, scan.begun) = (unknown, stats, begun);
    Ok(scan)
}

/// Reads the ledger alone; none if not all of it can be read.
///
/// # Errors
/// If a file cannot be read.
pub fn stats(recording: &Recording) -> Result<Option<CaptureStatsScan>, LogError> {
    let mut scan = CaptureStatsScan::default();
    let Some(carried) = recording.carried_stats()? else { return Ok(None) };
    carried.iter().for_each(|row| scan.row(row));
    for number in recording.segments(Stream::Ledger)? {
        let checked = segment_of(recording, Stream::Ledger, number, &mut |batch| {
            capture_stats::decode(batch)?.iter().for_each(|row| scan.row(row));
            Ok(Marks::default())
        })?;
        if !checked.findings.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(scan))
}

fn segment_of(
    recording: &Recording,
    stream: Stream,
    number: u32,
    visit: &mut dyn FnMut(&RecordBatch) -> Result<Marks, String>,
) -> Result<Checked, LogError> {
    let name = stream.file_name(number);
    check(recording.open_segment(name.clone())?, &name, visit)
}

impl Scan {
    fn take(&mut self, segment: &mut SegmentScan, checked: Checked) {
        self.files.push(checked.report);
        self.findings.extend(checked.findings);
        segment.pieces = checked.pieces;
        segment.damaged = checked.damaged;
        segment.ended = checked.ended;
        segment.names = checked.names;
    }

    /// The stream of that name.
    pub fn stream(&self, stream: Stream) -> Option<&StreamScan> {
        self.streams.iter().find(|s| s.stream == stream)
    }

    /// All CPUs that the files name.
    pub fn cpus(&self) -> BTreeSet<u16> {
        let mut cpus: BTreeSet<u16> = self.stats.emitted.keys().copied().collect();
        cpus.extend(self.stats.lost.keys().map(|(cpu, _)| cpu));
        cpus.extend(self.stats.left_out.keys());
        self.streams.iter().for_each(|s| cpus.extend(s.cpus()));
        cpus
    }

    /// The numbers of a CPU over all streams.
    pub fn numbers(&self, cpu: u16) -> Ranges {
        let mut numbers = Ranges::union(self.streams.iter().flat_map(|s| s.numbers(cpu)));
        let twice = self.streams.iter().fold(0_u64, |sum, s| sum.saturating_add(s.twice(cpu)));
        numbers.duplicates = numbers.duplicates.saturating_add(twice);
        numbers
    }
}
