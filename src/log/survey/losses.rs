// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From holes in streams and numbers that nothing explains to what is missing, and when.

use std::collections::BTreeMap;

use super::super::check::{Hole, Piece};
use super::super::ranges::{Gap, Ranges};
use super::super::reader::Recording;
use super::super::report::Finding;
use super::super::scan::{Scan, SegmentScan, StreamScan};
use super::super::stream::{Stream, hook_by_name};
use super::super::{CaptureStat, CpuTotals, LogError};
use super::place::disorder;
use super::{Missing, Ring, SLACK_NS, Survey};

/// A stretch of time in which something is missing.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    since_ns: u64,
    until_ns: u64,
    rows: Option<u64>,
}

impl Stretch {
    const ALL: Self = Self { since_ns: 0, until_ns: u64::MAX, rows: None };

    const fn meets(&self, gap: &Gap) -> bool {
        gap.since_ns <= self.until_ns && self.since_ns <= gap.until_ns
    }
}

pub fn find(recording: &Recording, scan: &Scan, survey: &mut Survey) -> Result<(), LogError> {
    let is_closed = recording.manifest().totals.is_some();
    let mut holes: Vec<(Ring, Stretch)> = Vec::new();
    for stream in &scan.streams {
        let Some(ring) = ring(stream.stream) else { continue };
        let is_there = stream.segments.iter().any(|s| s.file.is_some());
        // A stream that never existed cannot lack anything.
        let has_tail = !is_closed && (is_there || !stream.segments.is_empty());
        let drained = (stream.stream == Stream::Sockets).then_some(scan.stats.snapshots_drained_ns);
        let out_of_order = disorder(stream).map(|(_, since_ns)| Stretch {
            since_ns,
            until_ns: u64::MAX,
            rows: None,
        });
        let stretches = stretches(stream, has_tail, drained).into_iter().chain(out_of_order);
        holes.extend(stretches.map(|hole| (ring, hole)));
    }
    let ledger = ledger_stretches(&scan.ledger, is_closed);
    let contradicts = contradicts(recording, scan, survey)?;
    let unexplained = unexplained(recording, scan, &holes, survey)?;
    for (ring, hole) in &holes {
        let records = hole.rows.unwrap_or_else(|| unexplained.within(hole)).max(1);
        let (since_ns, until_ns) = (hole.since_ns, hole.until_ns);
        survey.missing.push(Missing { ring: *ring, since_ns, until_ns, records });
    }
    let has_packets = recording.manifest().has_packets()
        || scan.stream(Stream::Packets).is_some_and(|s| !s.segments.is_empty());
    let rings: Vec<Ring> = [Ring::Hooks, Ring::Sockets]
        .into_iter()
        .chain(has_packets.then_some(Ring::Packets))
        .collect();
    let any = |stretch: Stretch, records: u64| {
        let (since_ns, until_ns) = (stretch.since_ns, stretch.until_ns);
        rings.iter().map(move |&ring| Missing { ring, since_ns, until_ns, records })
    };
    // The kind of records that are in no hole is not known.
    for gap in merged(&unexplained.elsewhere) {
        let since_ns = gap.since_ns.saturating_sub(SLACK_NS);
        let until_ns = gap.until_ns.saturating_add(SLACK_NS);
        let records = gap.end - gap.start;
        survey.missing.extend(any(Stretch { since_ns, until_ns, rows: None }, records));
    }
    // The missing part of the ledger may have had losses, and programs that the kernel did not run.
    for hole in &ledger {
        survey.missing.extend(any(*hole, hole.rows.unwrap_or(1)));
    }
    // Records that cannot be of this recording may be any of those that are there.
    if contradicts {
        survey.missing.extend(any(Stretch::ALL, 1));
    }
    restore(recording, scan, &ledger, survey);
    survey.records = if is_closed && ledger.is_empty() && !contradicts {
        let known: u64 = holes.iter().filter_map(|(_, h)| h.rows).fold(0, u64::saturating_add);
        let sum = survey.missing_on.values().fold(0, |sum: u64, n| sum.saturating_add(*n));
        Some(sum.max(known).max(unexplained.count)).filter(|n| *n > 0)
    } else {
        None
    };
    // Lifecycle records of whole connections may be among these.
    let is_of_connections = |m: &&Missing| m.ring != Ring::Sockets;
    survey.connections = if survey.missing.iter().any(|m| is_of_connections(&m)) {
        let manifest = recording.manifest();
        // Those that were removed are not counted apart.
        let is_known = !manifest.options.key_frames || scan.stats.removed.is_empty();
        let totals = manifest.totals.as_ref().filter(|t| t.connections > 0 && is_known);
        totals.map(|t| t.connections.saturating_sub(scan.begun))
    } else {
        Some(0)
    };
    Ok(())
}

/// Whether a CPU has more records than it made, or one number twice: what is too much is not known.
fn contradicts(recording: &Recording, scan: &Scan, survey: &mut Survey) -> Result<bool, LogError> {
    let present = recording.segments(Stream::Hooks)?;
    let totals = recording.manifest().totals.as_ref();
    let before = survey.findings.len();
    for cpu in scan.cpus() {
        let numbers = Ranges::union(scan.streams.iter().flat_map(|s| s.numbers(cpu)));
        if numbers.duplicates > 0 {
            let count = numbers.duplicates;
            survey.findings.push(Finding::Duplicates { cpu, count });
        }
        let Some(totals) = totals else { continue };
        let there = numbers.count();
        let removed = scan.stats.removed_rows(cpu, &present);
        let reason = match totals.per_cpu.iter().find(|t| t.cpu == cpu) {
            None if there == 0 => continue,
            None => format!("{there} records, but no totals in the manifest"),
            Some(t) if numbers.end() > t.emitted => {
                let (last, emitted) = (numbers.end() - 1, t.emitted);
                format!("number {last} is logged, but only {emitted} were given out")
            }
            Some(t) if there.saturating_add(removed) > t.logged => {
                let too_many = there.saturating_add(removed) - t.logged;
                format!("{too_many} of {} logged records are too many in the files", t.logged)
            }
            Some(_) => continue,
        };
        survey.findings.push(Finding::SequenceNumbers { cpu, reason });
    }
    Ok(survey.findings.len() > before)
}

const fn ring(stream: Stream) -> Option<Ring> {
    match stream {
        Stream::Hooks => Some(Ring::Hooks),
        Stream::Connections => Some(Ring::Lifecycle),
        Stream::Packets => Some(Ring::Packets),
        Stream::Sockets => Some(Ring::Sockets),
        Stream::Ledger => None,
    }
}

/// The pieces of segments one after the other, with a hole where one has no end.
fn pieces<'a>(segments: impl Iterator<Item = &'a SegmentScan>, has_tail: bool) -> Vec<Piece> {
    let mut all = Vec::new();
    for segment in segments {
        all.extend(&segment.pieces);
        if !segment.ended {
            all.push(Piece::Hole(Hole::default()));
        }
    }
    if has_tail && !matches!(all.last(), Some(Piece::Hole(_))) {
        all.push(Piece::Hole(Hole::default()));
    }
    all
}

/// For each piece the time of the nth later mark behind it.
fn marks_behind(pieces: &[Piece], nth: usize) -> Vec<u64> {
    let mut behind = vec![u64::MAX; pieces.len()];
    let mut next: Vec<u64> = Vec::new();
    for (piece, at) in pieces.iter().zip(&mut behind).rev() {
        *at = next.get(nth - 1).copied().unwrap_or(u64::MAX);
        if let Piece::Read(marks) = piece {
            let own = [marks.first, marks.second, marks.last].into_iter().flatten();
            let mut later: Vec<u64> = Vec::new();
            for mark in own.chain(next.iter().copied()) {
                if later.len() < nth && later.last().is_none_or(|last| mark > *last) {
                    later.push(mark);
                }
            }
            next = later;
        }
    }
    behind
}

/// When what is missing from a stream was made.
fn stretches(stream: &StreamScan, has_tail: bool, drained_ns: Option<u64>) -> Vec<Stretch> {
    let pieces = pieces(stream.segments.iter(), has_tail);
    // A round begins with the time of its mark and reads on; the next mark is after its end. The mark
    // at the end of a batch of snapshots is that of the round before.
    let behind = marks_behind(&pieces, if stream.stream == Stream::Sockets { 3 } else { 2 });
    let mut marked_ns = 0;
    let mut found: Vec<Stretch> = Vec::new();
    let last = pieces.len().wrapping_sub(1);
    for (i, (piece, until_ns)) in pieces.iter().zip(behind).enumerate() {
        match piece {
            Piece::Read(marks) => marked_ns = marked_ns.max(marks.last.unwrap_or(0)),
            Piece::Hole(hole) => {
                if let (Some(drained), true) = (drained_ns, i == last) {
                    marked_ns = marked_ns.max(drained);
                }
                let mut stretch = Stretch {
                    since_ns: marked_ns.saturating_sub(SLACK_NS),
                    until_ns,
                    rows: hole.rows,
                };
                if let Some((first, last)) = hole.span {
                    stretch.since_ns = stretch.since_ns.max(first);
                    stretch.until_ns = stretch.until_ns.min(last).max(stretch.since_ns);
                }
                push(&mut found, stretch);
            }
        }
    }
    found
}

/// One stretch for all holes of the same time.
fn push(found: &mut Vec<Stretch>, stretch: Stretch) {
    match found.last_mut() {
        Some(last) if (last.since_ns, last.until_ns) == (stretch.since_ns, stretch.until_ns) => {
            last.rows = last.rows.zip(stretch.rows).map(|(a, b)| a.saturating_add(b));
        }
        Some(_) | None => found.push(stretch),
    }
}

/// The same of the ledger, where each count ends with a clock sample. Counts overlap by the time in
/// which counters are read: the count after a sample begins before this sample, and after the sample
/// before it. So a hole begins at the last sample but one before it, and not at the last sample.
fn ledger_stretches(ledger: &[SegmentScan], is_closed: bool) -> Vec<Stretch> {
    if ledger.is_empty() {
        return vec![Stretch::ALL];
    }
    let pieces = pieces(ledger.iter(), !is_closed);
    let behind = marks_behind(&pieces, 1);
    let (mut last_ns, mut before_last_ns) = (0, 0);
    let mut found = Vec::new();
    for (piece, until_ns) in pieces.iter().zip(behind) {
        match piece {
            Piece::Read(marks) => {
                for clock_ns in [marks.before_last, marks.last].into_iter().flatten() {
                    if clock_ns > last_ns {
                        (before_last_ns, last_ns) = (last_ns, clock_ns);
                    }
                }
            }
            Piece::Hole(hole) => {
                let stretch = Stretch { since_ns: before_last_ns, until_ns, rows: hole.rows };
                push(&mut found, stretch);
            }
        }
    }
    found
}

/// Numbers that are neither there nor explained.
#[derive(Debug, Default)]
struct Unexplained {
    count: u64,
    /// Gaps of CPUs of which some are unexplained.
    gaps: Vec<Gap>,
    /// Those that meet no hole, of CPUs where holes cannot be all of it.
    elsewhere: Vec<Gap>,
}

impl Unexplained {
    /// At most this many in a hole.
    fn within(&self, hole: &Stretch) -> u64 {
        let of = self.gaps.iter().filter(|gap| hole.meets(gap));
        of.fold(0, |sum: u64, gap| sum.saturating_add(gap.end - gap.start)).min(self.count)
    }
}

fn unexplained(
    recording: &Recording,
    scan: &Scan,
    holes: &[(Ring, Stretch)],
    survey: &mut Survey,
) -> Result<Unexplained, LogError> {
    let present = recording.segments(Stream::Hooks)?;
    let totals = recording.manifest().totals.as_ref();
    let per_cpu: BTreeMap<u16, &CpuTotals> =
        totals.iter().flat_map(|t| &t.per_cpu).map(|t| (t.cpu, t)).collect();
    let mut cpus = scan.cpus();
    cpus.extend(per_cpu.keys());
    let mut out = Unexplained::default();
    for cpu in cpus {
        let numbers = scan.numbers(cpu);
        let removed = scan.stats.removed_rows(cpu, &present);
        let left_out = scan.stats.left_out.get(&cpu).copied().unwrap_or(0);
        let (emitted, lost, left_out, logged) = match per_cpu.get(&cpu) {
            Some(t) => (t.emitted, t.lost(), t.left_out, t.logged),
            None => {
                let emitted = scan.stats.emitted.get(&cpu).map_or(0, |(_, emitted)| *emitted);
                (emitted.max(numbers.end()), scan.stats.lost_on(cpu), left_out, 0)
            }
        };
        let there = numbers.count().saturating_add(removed);
        let explained = there.saturating_add(lost).saturating_add(left_out);
        let of_logged = logged.saturating_sub(there);
        let count = emitted.saturating_sub(explained).max(of_logged);
        if count == 0 {
            continue;
        }
        if totals.is_some() {
            survey.missing_on.insert(cpu, of_logged);
            if emitted != logged.saturating_add(lost).saturating_add(left_out) {
                let reason = format!("{emitted} emitted is not {logged} logged + {lost} lost");
                survey.findings.push(Finding::SequenceNumbers { cpu, reason });
            } else if holes.is_empty() && survey.findings.is_empty() {
                let reason =
                    format!("{count} of {logged} logged records are missing from the files");
                survey.findings.push(Finding::SequenceNumbers { cpu, reason });
            }
        }
        let gaps: Vec<Gap> = numbers.missing_below(emitted).collect();
        let (in_holes, elsewhere): (Vec<Gap>, Vec<Gap>) =
            gaps.iter().partition(|gap| holes.iter().any(|(_, hole)| hole.meets(gap)));
        let held = in_holes.iter().fold(0, |sum: u64, gap| sum.saturating_add(gap.end - gap.start));
        if held < count {
            out.elsewhere.extend(elsewhere);
        }
        out.gaps.extend(gaps);
        out.count = out.count.saturating_add(count);
    }
    Ok(out)
}

/// Gaps of the same time as one.
fn merged(gaps: &[Gap]) -> Vec<Gap> {
    let mut sorted = gaps.to_vec();
    sorted.sort_by_key(|gap| gap.since_ns);
    let mut out: Vec<Gap> = Vec::new();
    for gap in sorted {
        let n = gap.end - gap.start;
        match out.last_mut() {
            Some(last) if gap.since_ns <= last.until_ns.saturating_add(2 * SLACK_NS) => {
                last.until_ns = last.until_ns.max(gap.until_ns);
                // Only the number of them counts from here on.
                last.end = last.end.saturating_add(n);
            }
            Some(_) | None => out.push(gap),
        }
    }
    out
}

/// Losses that the totals have and the ledger has not: in a hole of the ledger, or any time.
fn restore(recording: &Recording, scan: &Scan, ledger: &[Stretch], survey: &mut Survey) {
    let manifest = recording.manifest();
    for totals in manifest.totals.iter().flat_map(|t| &t.per_cpu) {
        for (name, lost) in &totals.lost_by_hook {
            let Some(hook) = hook_by_name(name) else { continue };
            let said = scan.stats.lost.get(&(totals.cpu, hook.name())).copied().unwrap_or(0);
            let absent = lost.saturating_sub(said);
            if absent == 0 {
                continue;
            }
            let span = ledger.iter().copied().reduce(|a, b| Stretch {
                since_ns: a.since_ns.min(b.since_ns),
                until_ns: a.until_ns.max(b.until_ns),
                rows: None,
            });
            let span = span.unwrap_or(Stretch::ALL);
            let (cpu, since_ns, ts_ns) = (totals.cpu, span.since_ns, span.until_ns);
            survey.restored.push(CaptureStat::Loss { ts_ns, cpu, hook, lost: absent, since_ns });
            if ledger.is_empty() && survey.findings.is_empty() {
                let reason = format!("{lost} lost in the manifest, {said} in the ledger");
                survey.findings.push(Finding::SequenceNumbers { cpu, reason });
            }
        }
    }
}
