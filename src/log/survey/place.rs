//! Whether each segment is where it belongs, and which are absent.

use std::collections::BTreeSet;

use super::super::check::{Hole, Piece};
use super::super::reader::Recording;
use super::super::report::Finding;
use super::super::scan::{Scan, SegmentScan, StreamScan};
use super::super::stream::Stream;
use super::super::{LogError, Manifest};

/// Puts the segments of each stream into the order in which they were written, sets those aside that
/// are not of this recording or hold what others hold, and puts a hole where one is absent.
///
/// # Errors
/// If the directory cannot be read.
pub fn place(recording: &Recording, scan: &mut Scan) -> Result<Vec<Finding>, LogError> {
    let manifest = recording.manifest();
    let mut findings = Vec::new();
    let expected = expected(recording, scan)?;
    let all = scan.streams.iter().flat_map(|s| &s.segments).chain(&scan.ledger_segment);
    let is_own = |s: &SegmentScan| s.names.as_ref().is_some_and(|n| n.0 == manifest.recording);
    // Somebody may have given the recording another UUID: then no segment has it.
    let is_named = all.clone().any(is_own);
    let removed = scan.ledger.removed.clone();
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
        let several = stream.segments.len() > 1;
        sort(stream, &mut misplaced);
        if several {
            set_aside(stream, manifest, &mut misplaced);
        }
        for number in expected_of(name, &expected, manifest, stream) {
            let is_there = stream.segments.iter().any(|s| s.place == number);
            if is_there || (!is_single(name) && removed.contains(&number)) {
                continue;
            }
            findings.push(Finding::MissingSegment { file: name.file_name(number) });
            let at = stream.segments.iter().position(|s| s.place > number);
            stream.segments.insert(at.unwrap_or(stream.segments.len()), absent(number));
        }
    }
    if scan.ledger_segment.is_none() {
        findings.push(Finding::MissingSegment { file: Stream::Ledger.file_name(0) });
    }
    Ok(findings)
}

/// Streams of one segment each.
const fn is_single(stream: Stream) -> bool {
    matches!(stream, Stream::Connections | Stream::Ledger)
}

fn absent(number: u32) -> SegmentScan {
    let mut segment = SegmentScan::new(number);
    (segment.file, segment.ended) = (None, true);
    segment.pieces.push(Piece::Hole(Hole::default()));
    segment
}

/// Numbers of the segments that hooks, sockets and packets have in common.
fn expected(recording: &Recording, scan: &Scan) -> Result<BTreeSet<u32>, LogError> {
    let mut last = 0;
    for stream in [Stream::Hooks, Stream::Sockets, Stream::Packets] {
        last = last.max(recording.segments(stream)?.last().copied().unwrap_or(0));
    }
    let listed = recording.manifest().segments.iter().map(|s| s.number);
    last = listed.chain(scan.ledger.removed.iter().copied()).fold(last, u32::max);
    // A number that is not believed costs no memory: nobody writes that many segments.
    Ok((0..=last.min(1 << 20)).collect())
}

fn expected_of(
    stream: Stream,
    common: &BTreeSet<u32>,
    manifest: &Manifest,
    scan: &StreamScan,
) -> Vec<u32> {
    let is_listed = manifest.segments.iter().any(|s| s.stream == stream.name());
    let exists = match stream {
        Stream::Connections | Stream::Ledger => return vec![0],
        Stream::Hooks => true,
        // Recorders before there were snapshots made no such stream.
        Stream::Sockets => manifest.options.socket_ring_bytes > 0,
        Stream::Packets => manifest.has_packets(),
    };
    if !is_listed && manifest.segments.is_empty() && !exists && scan.segments.is_empty() {
        return Vec::new();
    }
    if !manifest.segments.is_empty() {
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
        let totals = totals.and_then(|t| t.iter().find(|t| t.cpu == cpu));
        totals.map_or(u64::MAX, |t| t.emitted)
    };
    let mut kept: Vec<SegmentScan> = Vec::new();
    for segment in std::mem::take(&mut stream.segments) {
        let is_copy = kept
            .iter()
            .any(|k| (k.names.is_some() && k.place == segment.place) || k.shares_numbers(&segment));
        let is_beyond = segment.ends().any(|(cpu, end)| end > emitted(cpu));
        if is_copy {
            misplaced(&segment, "holds records that another segment holds");
        } else if is_beyond {
            misplaced(&segment, "holds records that this recording never made");
        } else {
            kept.push(segment);
        }
    }
    stream.segments = kept;
}
