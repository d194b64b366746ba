//! Whether a recording is whole: every frame, and every sequence number of every CPU.
//!
//! A CPU numbers its records over all rings, and those it had to drop too, so the numbers in
//! hooks, connections and packets together, the losses, and what --max-size removed must make up all that
//! were given out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow::array::{RecordBatch, UInt16Array, UInt64Array};

use super::check::check;
use super::ledger::{self, DroppedRows, RawRow};
use super::ranges::Ranges;
use super::reader::Recording;
use super::report::{CpuReport, Finding, RANGES, VerifyReport};
use super::sockets::SocketRow;
use super::stream::{Stream, column};
use super::{LedgerRow, LogError, rows};
use crate::wire::NO_CPU;

/// A task can be preempted between reading the clock and handing over its record: a record may be
/// this much older than a marker that comes before it.
const SLACK_NS: u64 = 100_000_000;

/// Frames per CPU and stream of which time and number are kept, to find the last that is proven;
/// frames are written once a second or fuller, so these reach back further than any flush.
const RECENT: usize = 1024;

/// What one stream says about one CPU.
#[derive(Default)]
struct Seen {
    numbers: Ranges,
    /// Largest time and number of the last frames.
    recent: VecDeque<(u64, u64)>,
    /// Whether the frame being read has an entry yet.
    in_frame: bool,
}

/// What one stream says about all CPUs.
#[derive(Default)]
struct StreamSeen {
    cpus: Vec<Seen>,
    /// Time of the last marker.
    drained_ns: u64,
}

impl StreamSeen {
    fn batch(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let ts: &UInt64Array = column(batch, "ts_ns")?;
        let cpu: &UInt16Array = column(batch, "cpu")?;
        let seq: &UInt64Array = column(batch, "seq")?;
        self.cpus.iter_mut().for_each(|c| c.in_frame = false);
        for ((ts, cpu), seq) in ts.values().iter().zip(cpu.values()).zip(seq.values()) {
            if *cpu == NO_CPU {
                self.drained_ns = self.drained_ns.max(*ts);
                continue;
            }
            let cpu = usize::from(*cpu);
            if cpu >= self.cpus.len() {
                self.cpus.resize_with(cpu + 1, Seen::default);
            }
            self.cpus[cpu].row(*ts, *seq);
        }
        Ok(())
    }

    fn numbers(&self, cpu: u16) -> Ranges {
        self.cpus.get(usize::from(cpu)).map(|c| c.numbers.clone()).unwrap_or_default()
    }

    /// One more than the largest number among frames that ended before `cut_ns`.
    fn proven(&self, cpu: u16, cut_ns: u64) -> u64 {
        let recent = self.cpus.get(usize::from(cpu)).into_iter().flat_map(|c| &c.recent);
        let before = recent.filter(|(ts, _)| *ts < cut_ns).map(|(_, seq)| seq.saturating_add(1));
        before.max().unwrap_or(0)
    }
}

impl Seen {
    fn row(&mut self, ts: u64, seq: u64) {
        self.numbers.insert(seq);
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

/// What the ledger says.
#[derive(Default)]
struct Ledger {
    /// Records lost, by CPU.
    lost: BTreeMap<u16, u64>,
    /// Records left out when the recording was made from another, by CPU.
    left_out: BTreeMap<u16, u64>,
    /// The last time and count of numbers given out, by CPU.
    emitted: BTreeMap<u16, (u64, u64)>,
    /// Segments removed by --max-size.
    removed: BTreeSet<u32>,
    removed_rows: Vec<DroppedRows>,
    snapshots_drained_ns: u64,
}

impl Ledger {
    fn row(&mut self, row: RawRow) {
        match row {
            RawRow::Row(LedgerRow::Loss { cpu, lost, .. }) => {
                let sum = self.lost.entry(cpu).or_default();
                *sum = sum.saturating_add(lost);
            }
            RawRow::Row(LedgerRow::Emitted { ts_ns, cpu, emitted }) => {
                let last = self.emitted.entry(cpu).or_default();
                *last = (*last).max((ts_ns, emitted));
            }
            RawRow::Row(LedgerRow::Dropped { segment, .. }) => {
                self.removed.insert(segment);
            }
            RawRow::Row(LedgerRow::LeftOut { cpu, count, .. }) => {
                let sum = self.left_out.entry(cpu).or_default();
                *sum = sum.saturating_add(count);
            }
            RawRow::DroppedRows(rows) => self.removed_rows.push(rows),
            RawRow::SnapshotsDrained(ts_ns) => {
                self.snapshots_drained_ns = self.snapshots_drained_ns.max(ts_ns);
            }
            RawRow::Row(
                LedgerRow::Clock(..)
                | LedgerRow::RingFill { .. }
                | LedgerRow::MapFailure { .. }
                | LedgerRow::Lacking { .. }
                | LedgerRow::LateDrain { .. }
                | LedgerRow::Skipped { .. }
                | LedgerRow::LatePoll { .. }
                | LedgerRow::SlowPoll { .. }
                | LedgerRow::NotIp { .. },
            )
            | RawRow::Unknown => {}
        }
    }

    /// Rows of a CPU in segments that are really gone.
    fn removed_rows(&self, cpu: u16, present: &[u32]) -> u64 {
        let gone = |r: &&DroppedRows| r.cpu == cpu && present.binary_search(&r.segment).is_err();
        self.removed_rows.iter().filter(gone).map(|r| r.rows).sum()
    }
}

/// Verifies a recording.
///
/// # Errors
/// If a file cannot be read.
pub fn verify(recording: &Recording) -> Result<VerifyReport, LogError> {
    let mut report = VerifyReport::new(recording.manifest());
    let mut unknown = 0;
    let mut ledger = Ledger::default();
    segments(recording, Stream::Ledger, &mut report, &mut |batch| {
        for row in ledger::decode(batch)? {
            unknown += u64::from(row == RawRow::Unknown);
            ledger.row(row);
        }
        Ok(())
    })?;
    let mut connections = StreamSeen::default();
    segments(recording, Stream::Connections, &mut report, &mut |batch| {
        unknown += rows::decode(batch)?.iter().filter(|row| row.is_none()).count() as u64;
        connections.batch(batch)
    })?;
    let mut hooks = StreamSeen::default();
    segments(recording, Stream::Hooks, &mut report, &mut |batch| {
        unknown += super::batch::unknown_rows(batch)?;
        hooks.batch(batch)
    })?;
    let mut packets = StreamSeen::default();
    segments(recording, Stream::Packets, &mut report, &mut |batch| {
        unknown += super::packets::decode(batch)?.iter().filter(|row| row.is_none()).count() as u64;
        packets.batch(batch)
    })?;
    let mut sockets = StreamSeen::default();
    segments(recording, Stream::Sockets, &mut report, &mut |batch| {
        let rows = super::sockets::decode(batch)?;
        unknown += rows.iter().filter(|row| **row == SocketRow::Unknown).count() as u64;
        sockets.batch(batch)
    })?;
    report.unknown = unknown;

    let present = recording.segments(Stream::Hooks)?;
    let has_sockets = !recording.segments(Stream::Sockets)?.is_empty();
    missing_segments(recording, &present, &ledger, &mut report)?;
    Account { recording, hooks, connections, packets, sockets, has_sockets, ledger, present }
        .settle(&mut report);
    Ok(report)
}

fn segments(
    recording: &Recording,
    stream: Stream,
    report: &mut VerifyReport,
    visit: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(), LogError> {
    for number in recording.segments(stream)? {
        let name = stream.file_name(number);
        let (file, findings) =
            check(recording.open_segment(recording.dir().join(&name))?, &name, visit)?;
        report.files.push(file);
        report.findings.extend(findings);
    }
    Ok(())
}

fn missing_segments(
    recording: &Recording,
    present: &[u32],
    ledger: &Ledger,
    report: &mut VerifyReport,
) -> Result<(), LogError> {
    let mut missing = |stream: Stream, number| {
        report.findings.push(Finding::MissingSegment { file: stream.file_name(number) });
    };
    // Only the last can be the open one, so all before it were there, and at least the first.
    let mut gaps = |stream: Stream, present: &[u32]| {
        for number in 0..=present.last().copied().unwrap_or(0) {
            if present.binary_search(&number).is_err() && !ledger.removed.contains(&number) {
                missing(stream, number);
            }
        }
    };
    gaps(Stream::Hooks, present);
    let sockets = recording.segments(Stream::Sockets)?;
    // Recorders before there were snapshots made no such stream.
    if !sockets.is_empty() {
        gaps(Stream::Sockets, &sockets);
    }
    let packets = recording.segments(Stream::Packets)?;
    if recording.manifest().has_packets() || !packets.is_empty() {
        gaps(Stream::Packets, &packets);
    }
    for stream in [Stream::Connections, Stream::Ledger] {
        if recording.segments(stream)?.is_empty() {
            missing(stream, 0);
        }
    }
    Ok(())
}

struct Account<'a> {
    recording: &'a Recording,
    hooks: StreamSeen,
    connections: StreamSeen,
    packets: StreamSeen,
    sockets: StreamSeen,
    has_sockets: bool,
    ledger: Ledger,
    present: Vec<u32>,
}

impl Account<'_> {
    fn settle(&self, report: &mut VerifyReport) {
        let manifest = self.recording.manifest();
        let seen = |s: &StreamSeen| (0..s.cpus.len() as u16).collect::<Vec<_>>();
        let mut cpus: BTreeSet<u16> = self.ledger.emitted.keys().copied().collect();
        cpus.extend(self.ledger.lost.keys());
        cpus.extend(self.ledger.left_out.keys());
        cpus.extend(seen(&self.hooks));
        cpus.extend(seen(&self.connections));
        cpus.extend(seen(&self.packets));
        cpus.extend(seen(&self.sockets));
        let totals = manifest.totals.iter().flat_map(|t| &t.per_cpu);
        cpus.extend(totals.map(|t| t.cpu));
        for cpu in cpus {
            let numbers = self.hooks.numbers(cpu).union(&self.connections.numbers(cpu));
            let numbers = numbers.union(&self.packets.numbers(cpu));
            let numbers = numbers.union(&self.sockets.numbers(cpu));
            let mut line = CpuReport {
                cpu,
                logged: numbers.count(),
                lost: self.ledger.lost.get(&cpu).copied().unwrap_or(0),
                removed: self.ledger.removed_rows(cpu, &self.present),
                left_out: self.ledger.left_out.get(&cpu).copied().unwrap_or(0),
                ..CpuReport::default()
            };
            let reasons = if report.closed {
                self.closed(&mut line, &numbers)
            } else {
                self.unclosed(&mut line, &numbers)
            };
            if line.emitted.unwrap_or(0) == 0 && line.logged == 0 && reasons.is_empty() {
                // A CPU below the largest one seen, but without records.
                continue;
            }
            if numbers.duplicates > 0 {
                let count = numbers.duplicates;
                report.findings.push(Finding::Duplicates { cpu, count });
            }
            let reasons = reasons.into_iter();
            report.findings.extend(reasons.map(|reason| Finding::Account { cpu, reason }));
            report.cpus.push(line);
        }
        if !report.closed {
            report.notes.push(
                "the recording was not closed, so its last second is unproven: what was on its \
                 way when it ended is neither logged nor counted as lost"
                    .into(),
            );
        }
    }

    /// Against the totals of the manifest.
    fn closed(&self, line: &mut CpuReport, numbers: &Ranges) -> Vec<String> {
        let mut totals = self.recording.manifest().totals.iter().flat_map(|t| &t.per_cpu);
        let Some(totals) = totals.find(|t| t.cpu == line.cpu) else {
            if line.logged == 0 && line.lost == 0 {
                return Vec::new();
            }
            return vec![format!("{} records, but no totals in the manifest", line.logged)];
        };
        let (emitted, logged, lost) = (totals.emitted, totals.logged, totals.lost());
        let mut reasons = Vec::new();
        let left_out = totals.left_out;
        if emitted != logged.saturating_add(lost).saturating_add(left_out) {
            let and = if left_out > 0 { format!(" + {left_out} left out") } else { String::new() };
            reasons.push(format!("{emitted} emitted is not {logged} logged + {lost} lost{and}"));
        }
        let there = line.logged + line.removed;
        if logged != there {
            let difference = logged.abs_diff(there);
            let word = if there < logged { "missing from" } else { "too many in" };
            reasons.push(format!("{difference} of {logged} logged records are {word} the files"));
        }
        if lost != line.lost {
            let said = line.lost;
            reasons.push(format!("{lost} lost in the manifest, {said} in the ledger"));
        }
        if left_out != line.left_out {
            let said = line.left_out;
            reasons.push(format!("{left_out} left out in the manifest, {said} in the ledger"));
        }
        if numbers.end() > emitted {
            let last = numbers.end() - 1;
            reasons.push(format!("number {last} is logged, but only {emitted} were given out"));
        }
        line.emitted = Some(emitted);
        line.proven = emitted;
        fill_missing(line, numbers);
        reasons
    }

    /// Against the ledger's last word, as far as everything of that time has been written.
    fn unclosed(&self, line: &mut CpuReport, numbers: &Ranges) -> Vec<String> {
        let Some((ts_ns, emitted)) = self.ledger.emitted.get(&line.cpu).copied() else {
            return Vec::new();
        };
        line.emitted = Some(emitted);
        let mut drained = self.hooks.drained_ns.min(self.connections.drained_ns);
        if !self.packets.cpus.is_empty() {
            drained = drained.min(self.packets.drained_ns);
        }
        // Recorders before there were snapshots made no such stream.
        if self.has_sockets {
            drained = drained.min(self.sockets.drained_ns.max(self.ledger.snapshots_drained_ns));
        }
        let cut = drained.min(ts_ns).saturating_sub(SLACK_NS);
        let streams = [&self.hooks, &self.connections, &self.packets, &self.sockets];
        line.proven =
            streams.map(|stream| stream.proven(line.cpu, cut)).into_iter().max().unwrap_or(0);
        fill_missing(line, numbers);
        let explained = line.lost.saturating_add(line.removed).saturating_add(line.left_out);
        let mut reasons = Vec::new();
        if line.missing > explained {
            let unexplained = line.missing - explained;
            reasons.push(format!("{unexplained} records are neither logged nor counted as lost"));
        }
        let absent: u64 = numbers.missing_below(emitted).map(|(a, b)| b - a).sum();
        if line.lost.saturating_add(line.left_out) > absent {
            let lost = line.lost + line.left_out;
            reasons.push(format!(
                "{lost} counted as lost or left out, but only {absent} numbers are missing"
            ));
        }
        reasons
    }
}

fn fill_missing(line: &mut CpuReport, numbers: &Ranges) {
    for (start, end) in numbers.missing_below(line.proven) {
        line.missing += end - start;
        line.missing_ranges_total += 1;
        if line.missing_ranges.len() < RANGES {
            line.missing_ranges.push((start, end - 1));
        }
    }
}
