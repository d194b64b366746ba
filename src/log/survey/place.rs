// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether each segment is where it belongs, and which are absent.

use std::collections::{BTreeMap, BTreeSet};

use super::super::check::{Hole, Piece};
use super::super::keyframe;
use super::super::ranges::Ranges;
use super::super::reader::Recording;
use super::super::report::Finding;
use super::super::scan::{CaptureStatsScan, Scan, SegmentScan, StreamScan};
use super::super::stream::Stream;
use super::super::{LogError, Manifest};
use super::SLACK_NS;

/// Puts the segments of each stream into the order in which they were written, sets those aside that
/// are not of this recording or hold what others hold, and puts a hole where one is absent.
///
/// # Errors
/// If the directory cannot be read.
pub fn place(recording: &Recording, scan: &mut Scan) -> Result<Vec<Finding>, LogError> {
    let manifest = recording.manifest();
    let mut findings = Vec::new();
    let expected = expected(recording, scan)?;
    let all = scan.streams.iter().flat_map(|s| &s.segments).chain(&scan.ledger);
    let is_own = |s: &SegmentScan| s.names.as_ref().is_some_and(|n| n.0 == manifest.recording);
    // The UUID in the manifest may have been edited: then no segment has it.
    let is_named = all.clone().any(is_own);
    let removed = scan.stats.removed.clone();
    for stream in &mut scan.streams {
        let name = stream.stream;
        let mut misplaced = |segment: &SegmentScan, reason: &str| {
            let file = name.file_name(segment.number);
            findings.push(Finding::Misplaced { file, reason: reason.to_owned() });
        };
        if is_named {
            stream.segments.retain(|s| {
                let other = s.names.is_some() && !is_own(s);
                if other {
                    misplaced(s, "is of another recording");
                }
                !other
            });
        }
        sort(stream, &mut misplaced);
        set_aside(stream, manifest, &mut misplaced);
        let is_removed = |number: &u32| !is_single(name, manifest) && removed.contains(*number);
        let there: BTreeSet<u32> = stream.segments.iter().map(|s| s.place).collect();
        let of_stream = expected_of(name, &expected, manifest, stream);
        let absent = of_stream.into_iter().filter(|n| !there.contains(n) && !is_removed(n));
        for (first, last) in runs(absent, &there) {
            findings.push(missing(name, first, last));
            let at = stream.segments.partition_point(|s| s.place < first);
            stream.segments.insert(at, gap(first));
        }
        if let Some((number, _)) = disorder(stream) {
            let file = name.file_name(number);
            let reason = "has frames that are not in the order in which they were written";
            findings.push(Finding::Misplaced { file, reason: reason.to_owned() });
        }
    }
    findings.extend(ledger(recording, scan, is_named, &expected));
    Ok(findings)
}

/// The ledger, unless it is another recording's: then nothing in it is believed. Puts a hole where a part is absent.
fn ledger(
    recording: &Recording,
    scan: &mut Scan,
    is_named: bool,
    expected: &BTreeSet<u32>,
) -> Vec<Finding> {
    let manifest = recording.manifest();
    let is_divided = !is_single(Stream::Ledger, manifest);
    let Some(first) = scan.ledger.first().map(|segment| segment.number) else {
        return vec![Finding::MissingSegment { file: Stream::Ledger.file_name(0) }];
    };
    let of = |names: &(String, u32)| is_named && names.0 != manifest.recording;
    let other = scan.ledger.iter().find(|s| s.names.as_ref().is_some_and(of));
    let is_elsewhere = |s: &&SegmentScan| s.names.as_ref().is_some_and(|n| n.1 != s.number);
    let elsewhere = scan.ledger.iter().find(is_elsewhere);
    let fault = match (other, elsewhere) {
        (Some(s), _) => Some((s.number, "is of another recording".to_owned())),
        _ if !is_divided && (first != 0 || scan.ledger.len() > 1) => {
            Some((first, "is not the only one, and there is one ledger".to_owned()))
        }
        (None, Some(s)) if is_divided => {
            Some((s.number, "holds another segment of its stream".to_owned()))
        }
        (None, _) => contradiction(manifest, scan).map(|reason| (first, reason)),
    };
    if let Some((number, reason)) = fault {
        (scan.ledger, scan.lacks_carried) = (Vec::new(), false);
        scan.stats = CaptureStatsScan::default();
        return vec![Finding::Misplaced { file: Stream::Ledger.file_name(number), reason }];
    }
    if !is_divided {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let there: BTreeSet<u32> = scan.ledger.iter().map(|s| s.number).collect();
    // What the oldest that is there carries stands for those before it, which may be removed already. But a recording that was
    // closed has them all.
    let listed = manifest.segments.iter().filter(|s| s.stream == Stream::Ledger.name());
    let all: BTreeSet<u32> =
        expected.range(first..).copied().chain(listed.map(|s| s.number)).collect();
    for (from, to) in runs(all.into_iter().filter(|n| !there.contains(n)), &there) {
        findings.push(missing(Stream::Ledger, from, to));
        let at = scan.ledger.partition_point(|s| s.number < from);
        scan.ledger.insert(at, gap(from));
    }
    if scan.lacks_carried {
        let file = keyframe::file_name(Stream::Ledger, first);
        let reason = "is absent or damaged".to_owned();
        findings.push(Finding::Index { file, reason });
        scan.ledger.insert(0, gap(first));
    }
    findings
}

/// A contradiction between the ledger and these totals of the recording.
fn contradiction(manifest: &Manifest, scan: &Scan) -> Option<String> {
    let totals = manifest.totals.as_ref()?;
    let of = |cpu: u16| totals.per_cpu.iter().find(|t| t.cpu == cpu);
    let ledger = &scan.stats;
    for (cpu, (_, emitted)) in &ledger.emitted {
        let given_out = of(*cpu).map_or(0, |t| t.emitted);
        if *emitted > given_out {
            return Some(format!(
                "has {emitted} numbers given out on CPU {cpu}, and the manifest {given_out}"
            ));
        }
    }
    for ((cpu, hook), lost) in &ledger.lost {
        let total = of(*cpu).and_then(|t| t.lost_by_hook.get(*hook)).copied().unwrap_or(0);
        if *lost > total {
            return Some(format!(
                "has {lost} lost on CPU {cpu} at {hook}, and the manifest {total}"
            ));
        }
    }
    for (cpu, left_out) in &ledger.left_out {
        let total = of(*cpu).map_or(0, |t| t.left_out);
        if *left_out > total {
            return Some(format!("has {left_out} left out on CPU {cpu}, and the manifest {total}"));
        }
    }
    // A recording made from others has the clocks of all of them.
    let is_made = !manifest.derived.is_empty() || manifest.import.is_some();
    let begin = manifest.started.monotonic_ns;
    let end = begin.saturating_add(totals.duration_ns);
    let is_outside = ledger.clocks.is_some_and(|(first, last)| {
        first < begin.saturating_sub(SLACK_NS) || last > end.saturating_add(SLACK_NS)
    });
    (!is_made && totals.duration_ns > 0 && is_outside)
        .then(|| "has clock samples from outside the time of the recording".to_owned())
}

/// A segment and the time from which on frames of its stream are not in their order: marks that go
/// back, or a frame of which all was made long before a mark that stands before it.
///
/// A single record that comes late is not disorder: its program was interrupted for longer than the
/// slack between reading the clock and handing the record over, as on a virtual CPU that does not get
/// its time. Replay marks its connection.
pub fn disorder(stream: &StreamScan) -> Option<(u32, u64)> {
    // Late packets and snapshots are put in order when they are read.
    let is_ordered = matches!(stream.stream, Stream::Hooks | Stream::Connections);
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut found: Option<(u32, u64)> = None;
    for segment in &stream.segments {
        for piece in &segment.pieces {
            let Piece::Read(marks) = piece else { continue };
            let last = seen.last().copied().unwrap_or(0);
            let back = marks.least.filter(|least| *least < last);
            // Records before a mark were made after the mark before it.
            let since = back.map(|least| seen.range(..least).next_back().copied().unwrap_or(0));
            let newest = marks.latest.max(marks.last);
            let is_late = is_ordered && newest.is_some_and(|ns| ns < last.saturating_sub(SLACK_NS));
            let late = marks.earliest.filter(|_| is_late);
            for since_ns in since.into_iter().chain(late) {
                let since_ns = since_ns.saturating_sub(SLACK_NS);
                found =
                    Some(found.map_or((segment.number, since_ns), |(n, t)| (n, t.min(since_ns))));
            }
            seen.extend(marks.last);
        }
    }
    found
}

/// Ascending numbers as runs without one of `there` between them: first and last.
fn runs(numbers: impl Iterator<Item = u32>, there: &BTreeSet<u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some((_, last)) if there.range(*last..n).next().is_none() => *last = n,
            Some(_) | None => runs.push((n, n)),
        }
    }
    runs
}

fn missing(stream: Stream, first: u32, last: u32) -> Finding {
    let file = stream.file_name(first);
    if first == last {
        return Finding::MissingSegment { file };
    }
    Finding::MissingSegments { file, last: stream.file_name(last) }
}

/// Streams of one segment each.
pub const fn is_single(stream: Stream, manifest: &Manifest) -> bool {
    match stream {
        Stream::Ledger => !manifest.options.divided_ledger,
        Stream::Connections => !manifest.options.key_frames,
        Stream::Hooks | Stream::Packets | Stream::Sockets => false,
    }
}

fn gap(number: u32) -> SegmentScan {
    let mut segment = SegmentScan::new(number);
    (segment.file, segment.ended) = (None, true);
    segment.pieces.push(Piece::Hole(Hole::default()));
    segment
}

/// Numbers of the segments that hooks, sockets and packets have in common.
fn expected(recording: &Recording, scan: &Scan) -> Result<BTreeSet<u32>, LogError> {
    let mut last = 0;
    let divided = Stream::ALL.into_iter().filter(|s| !is_single(*s, recording.manifest()));
    for stream in divided {
        last = last.max(recording.segments(stream)?.last().copied().unwrap_or(0));
    }
    let listed = recording.manifest().segments.iter().map(|s| s.number);
    last = listed.chain(scan.stats.removed.last()).fold(last, u32::max);
    // An implausible number must not cost memory: so many segments are never there at once. The newest are expected,
    // because the oldest are those that a bound removes.
    Ok((last.saturating_sub(1 << 20)..=last).collect())
}

fn expected_of(
    stream: Stream,
    common: &BTreeSet<u32>,
    manifest: &Manifest,
    scan: &StreamScan,
) -> BTreeSet<u32> {
    if is_single(stream, manifest) {
        return BTreeSet::from([0]);
    }
    let is_listed = manifest.segments.iter().any(|s| s.stream == stream.name());
    let exists = match stream {
        Stream::Hooks | Stream::Connections | Stream::Ledger => true,
        // Recorders before there were snapshots made no such stream.
        Stream::Sockets => manifest.options.socket_ring_bytes > 0,
        Stream::Packets => manifest.has_packets(),
    };
    if !is_listed && manifest.segments.is_empty() && !exists && scan.segments.is_empty() {
        return BTreeSet::new();
    }
    if !manifest.segments.is_empty() && !exists {
        let listed = manifest.segments.iter().filter(|s| s.stream == stream.name());
        return listed.map(|s| s.number).collect();
    }
    // Packets may come late in a recording that was to have none.
    let first = if exists { 0 } else { scan.segments.iter().map(|s| s.number).min().unwrap_or(0) };
    common.range(first..).copied().collect()
}

/// By the number that a segment names, or else, among those that name none, by its first mark.
fn sort(stream: &mut StreamScan, misplaced: &mut dyn FnMut(&SegmentScan, &str)) {
    let segments = &mut stream.segments;
    for segment in segments.iter_mut() {
        if let Some((_, number)) = segment.names {
            segment.place = number;
            if number != segment.number {
                misplaced(segment, &format!("holds segment {number} of its stream"));
            }
        }
    }
    if segments.iter().all(|s| s.names.is_none()) {
        let marks: Vec<_> = segments.iter().filter_map(SegmentScan::first_mark).collect();
        if marks.is_sorted() {
            return;
        }
        let places: Vec<_> = segments.iter().map(|s| s.place).collect();
        let mut last = 0;
        segments.sort_by_cached_key(|s| {
            last = s.first_mark().unwrap_or(last);
            last
        });
        for (segment, place) in segments.iter_mut().zip(places) {
            segment.place = place;
            if place != segment.number {
                misplaced(segment, &format!("is in the place of another: it comes at {place}"));
            }
        }
        return;
    }
    // The one in its own place before a copy of it.
    segments.sort_by_key(|s| (s.place, s.place != s.number));
}

/// Leaves out copies of others, and what cannot be of this recording.
fn set_aside(
    stream: &mut StreamScan,
    manifest: &Manifest,
    misplaced: &mut dyn FnMut(&SegmentScan, &str),
) {
    let totals = manifest.totals.as_ref().map(|t| &t.per_cpu);
    let emitted = |cpu: u16| {
        let Some(totals) = totals else { return u64::MAX };
        let totals = totals.iter().find(|t| t.cpu == cpu);
        // One without totals is read, with all marked.
        totals.map_or(u64::MAX, |t| t.emitted)
    };
    let mut kept: Vec<SegmentScan> = Vec::new();
    let mut places = BTreeSet::new();
    let mut seen: BTreeMap<u16, Ranges> = BTreeMap::new();
    for segment in std::mem::take(&mut stream.segments) {
        let meets =
            |(cpu, numbers): (u16, &Ranges)| seen.get(&cpu).is_some_and(|seen| numbers.meets(seen));
        let is_copy = (segment.names.is_some() && places.contains(&segment.place))
            || segment.numbers().any(meets);
        let is_beyond = segment.numbers().any(|(cpu, n)| n.end() > emitted(cpu));
        if is_copy {
            misplaced(&segment, "holds records that another segment holds");
        } else if is_beyond {
            misplaced(&segment, "holds records that this recording never made");
        } else {
            if segment.names.is_some() {
                places.insert(segment.place);
            }
            for (cpu, numbers) in segment.numbers() {
                let seen = seen.entry(cpu).or_default();
                *seen = Ranges::union([&*seen, numbers]);
            }
            kept.push(segment);
        }
    }
    stream.segments = kept;
}
