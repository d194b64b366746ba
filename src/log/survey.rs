// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What is missing from a recording, before it is read.
//!
//! A recording that lists its segments is proved by their bytes. Any other, and one whose bytes are
//! not those, is read frame by frame: frames that cannot be read, files that end too early, segments
//! that are absent or in another's place are holes in their streams, and numbers of a CPU that are
//! neither there nor explained are missing wherever they were. When a hole was filled follows from the
//! marks around it: everything made before a mark, but for the slack, stands before it, and nothing
//! behind a hole's second mark can have been meant for it.

mod losses;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::capture_stats::Ring;
use super::crc::crc32_on;
use super::keyframe;
use super::manifest::SegmentEntry;
use super::reader::Recording;
use super::report::Finding;
use super::scan::{self, SegmentScan, scan};
use super::source::Files;
use super::stream::Stream;
use super::{CaptureStat, LogError, Manifest};

pub use place::place;

/// A task can be preempted between reading the clock and handing over its record: a record may be
/// this much older than a marker that comes before it.
pub const SLACK_NS: u64 = 100_000_000;

/// Records that were made and are not in the files, and that the recorder did not count as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The ring they came through, which determines their kind.
    pub ring: Ring,
    /// They were made from this time on, CLOCK_MONOTONIC.
    pub since_ns: u64,
    /// Until this one; the largest if to the end.
    pub until_ns: u64,
    /// How many; 1 if the number is not known.
    pub records: u64,
}

/// Why a recording has no end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfinished {
    /// The recorder was killed, or is still at work.
    Recorder,
    /// The import was.
    Import,
    /// `cut`, `merge` or `anonymize` was.
    Made(String),
    /// It was made of one that has none.
    Original,
}

/// What [`Recording::survey`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The directory, as it was named.
    dir: PathBuf,
    /// What is wrong with the files.
    pub findings: Vec<Finding>,
    /// Why the recording has no end, if it has none.
    pub unfinished: Option<Unfinished>,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// How many records are, if that is known.
    pub records: Option<u64>,
    /// Records that were missing from what it was made of, and stand in its ledger as that.
    pub carried: u64,
    /// Connections whose beginning is not there, if that is known.
    pub connections: Option<u64>,
    /// Losses that the totals have and the ledger has not.
    pub(crate) restored: Vec<CaptureStat>,
    /// Logged records that are missing, by CPU.
    pub(crate) missing_on: BTreeMap<u16, u64>,
    /// The segments to be read of each stream, in this order.
    order: Vec<(Stream, Vec<u32>)>,
    /// Frames that are not to be read, by segment.
    damaged: BTreeMap<(Stream, u32), BTreeSet<usize>>,
    /// A fingerprint of the manifest and all segments: another recording, or a changed one, has a
    /// different one.
    pub fingerprint: String,
}

impl Survey {
    /// Whether nothing is missing or wrong.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
            && self.missing.is_empty()
            && self.unfinished.is_none()
            && self.carried == 0
    }

    pub(super) fn damaged(&self, stream: Stream, number: u32) -> BTreeSet<usize> {
        self.damaged.get(&(stream, number)).cloned().unwrap_or_default()
    }

    pub(super) fn order(&self, stream: Stream) -> &[u32] {
        self.order.iter().find(|(of, _)| *of == stream).map_or(&[], |(_, numbers)| numbers)
    }
}

/// One sentence for the person who reads the recording; of a whole one nothing.
impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        // The missing end is reported in other words.
        let is_end = |finding: &&Finding| {
            !matches!(finding, Finding::NotClosed)
                && (self.unfinished.is_none() || !matches!(finding, Finding::Truncated { .. }))
        };
        let findings: Vec<_> = self.findings.iter().filter(is_end).collect();
        match &self.unfinished {
            None if findings.is_empty() && self.missing.is_empty() => {
                return write!(
                    f,
                    "{dir} was made from an incomplete recording; rows that may lack records are marked \
                     lossy"
                );
            }
            None => write!(f, "{dir} is not whole")?,
            Some(Unfinished::Recorder) => {
                write!(f, "{dir} was not closed: the recorder was killed, or is still at work")?;
            }
            Some(Unfinished::Import) => {
                write!(f, "{dir} is unfinished: the import was interrupted")?;
            }
            Some(Unfinished::Made(by)) => {
                write!(f, "{dir} is unfinished: {by} was interrupted")?;
            }
            Some(Unfinished::Original) => {
                write!(f, "{dir} was made from a recording that was not closed")?;
            }
        }
        if let [first, rest @ ..] = &findings[..] {
            write!(f, ": {first}")?;
            match rest.len() {
                0 => {}
                1 => f.write_str(", and one finding more")?,
                n => write!(f, ", and {n} findings more")?,
            }
        }
        if self.missing.is_empty() {
            let found =
                if findings.is_empty() { "no record is missing" } else { "all records are read" };
            return write!(f, "; {found}");
        }
        match self.records {
            Some(1) => f.write_str("; 1 record is missing")?,
            Some(n) => write!(f, "; {n} records are missing")?,
            None => f.write_str("; how many records are missing is not known")?,
        }
        f.write_str(", rows they may belong to are marked lossy")?;
        match self.connections {
            Some(0) => Ok(()),
            Some(n) => write!(f, ", and {n} connections have no row, or one without its beginning"),
            None => f.write_str(", and whole connections may have no row"),
        }
    }
}

/// A file of the recording as it is.
struct Found {
    stream: Stream,
    number: u32,
    bytes: u64,
    crc32: u32,
}

/// Surveys a recording.
///
/// # Errors
/// If a file cannot be read.
pub fn survey(recording: &Recording) -> Result<Survey, LogError> {
    let manifest = recording.manifest();
    let found = files(recording)?;
    let fingerprint = fingerprint(recording.files(), &found)?;
    let dir = recording.dir().to_owned();
    let key_frame = missing_key_frame(recording)?;
    if let Some(carried) = proof(recording, &found)? {
        let order = Stream::ALL.map(|stream| {
            let of = found.iter().filter(|f| f.stream == stream);
            (stream, of.map(|f| f.number).collect())
        });
        let (order, findings) = (order.into(), key_frame.into_iter().collect());
        return Ok(Survey { dir, findings, order, fingerprint, carried, ..Survey::default() });
    }
    let mut scan = scan(recording)?;
    let placed = place(recording, &mut scan)?;
    let mut findings = std::mem::take(&mut scan.findings);
    findings.extend(placed);
    findings.extend(key_frame);
    compare(manifest, &found, &mut findings);
    let mut order: Vec<_> = scan
        .streams
        .iter()
        .map(|s| (s.stream, s.segments.iter().filter_map(|s| s.file).collect()))
        .collect();
    order.push((Stream::Ledger, scan.ledger.iter().filter_map(|s| s.file).collect()));
    let of = |stream, segments: &[SegmentScan]| {
        let damaged = segments.iter().map(|s| ((stream, s.number), s.damaged.clone()));
        damaged.filter(|(_, frames)| !frames.is_empty()).collect::<Vec<_>>()
    };
    let all = scan.streams.iter().flat_map(|s| of(s.stream, &s.segments));
    let damaged = all.chain(of(Stream::Ledger, &scan.ledger)).collect();
    let mut survey = Survey { dir, findings, order, damaged, fingerprint, ..Survey::default() };
    survey.unfinished = unfinished(manifest);
    survey.carried = scan.stats.missing;
    losses::find(recording, &scan, &mut survey)?;
    Ok(survey)
}

/// Whether the ledger has segments as removed that are not there any more. One that is still there was not removed yet when
/// the recorder was killed.
///
/// # Errors
/// If a file cannot be read.
pub fn lacks_segments(recording: &Recording) -> Result<bool, LogError> {
    let present = recording.segments(Stream::Hooks)?.into_iter().collect();
    Ok(scan::stats(recording)?.is_some_and(|stats| stats.removed.gone(0, &present) > 0))
}

/// The key frame that should stand for the segments that were removed.
///
/// # Errors
/// If a file cannot be read.
pub fn missing_key_frame(recording: &Recording) -> Result<Option<Finding>, LogError> {
    if !recording.manifest().options.key_frames || recording.key_frame()?.is_some() {
        return Ok(None);
    }
    let file = keyframe::file_name(Stream::Hooks, recording.first_segment()?);
    let reason = "is absent or damaged, or its part with the connections is".to_owned();
    Ok(lacks_segments(recording)?.then_some(Finding::Index { file, reason }))
}

fn unfinished(manifest: &Manifest) -> Option<Unfinished> {
    if manifest.totals.is_some() {
        return None;
    }
    Some(match (manifest.derived.last(), &manifest.import) {
        // The list of segments is written at the end.
        _ if !manifest.segments.is_empty() => Unfinished::Original,
        (Some(step), _) => Unfinished::Made(step.by.clone()),
        (None, Some(_)) => Unfinished::Import,
        (None, None) => Unfinished::Recorder,
    })
}

/// All segments with the CRC-32 of their bytes.
fn files(recording: &Recording) -> Result<Vec<Found>, LogError> {
    let mut found = Vec::new();
    let mut chunk = vec![0; 1 << 18];
    for stream in Stream::ALL {
        for number in recording.segments(stream)? {
            let name = stream.file_name(number);
            let (bytes, crc32) = crc_of(recording.files(), &name, &mut chunk)?;
            found.push(Found { stream, number, bytes, crc32 });
        }
    }
    Ok(found)
}

fn crc_of(files: &Files, name: &str, chunk: &mut [u8]) -> Result<(u64, u32), LogError> {
    let mut file = files.open(name)?;
    let (mut bytes, mut crc) = (0, 0);
    loop {
        match file.read(chunk) {
            Ok(0) => return Ok((bytes, crc)),
            Ok(n) => {
                bytes += n as u64;
                crc = crc32_on(crc, &chunk[..n]);
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(LogError::io("read", &files.path(name), e)),
        }
    }
}

fn fingerprint(files: &Files, found: &[Found]) -> Result<String, LogError> {
    let name = super::manifest::FILE_NAME;
    let mut manifest = Vec::new();
    let fault = |e| LogError::io("read", &files.path(name), e);
    files.open(name)?.read_to_end(&mut manifest).map_err(fault)?;
    let mut hash = Sha256::new();
    hash.update((manifest.len() as u64).to_le_bytes());
    hash.update(&manifest);
    for file in found {
        hash.update(file.stream.file_name(file.number));
        hash.update(file.bytes.to_le_bytes());
        hash.update(file.crc32.to_le_bytes());
    }
    // Rows of a bounded recording depend on these too.
    let mut names = files.names()?;
    names.retain(|name| keyframe::is_one(name));
    names.sort_unstable();
    let mut chunk = vec![0; 1 << 16];
    for name in names {
        let (bytes, crc32) = crc_of(files, &name, &mut chunk)?;
        hash.update(name);
        hash.update(bytes.to_le_bytes());
        hash.update(crc32.to_le_bytes());
    }
    let hex = hash.finalize().iter().fold(String::new(), |text, b| text + &format!("{b:02x}"));
    Ok(format!("sha256:{hex}"))
}

/// Whether the files are those that were written when the recording was closed, all of them, with a
/// count that adds up: then the reader has what the writer counted. Gives the records that were
/// missing from what it was made of.
fn proof(recording: &Recording, found: &[Found]) -> Result<Option<u64>, LogError> {
    let manifest = recording.manifest();
    let Some(totals) = &manifest.totals else { return Ok(None) };
    let adds_up = totals.per_cpu.iter().all(|cpu| {
        let sum = cpu.logged.checked_add(cpu.lost()).and_then(|n| n.checked_add(cpu.left_out));
        sum == Some(cpu.emitted)
    });
    let list = listed(manifest);
    let is_listed = |f: &Found| {
        let entry = list.get(&(f.stream.name(), f.number));
        entry.is_some_and(|s| (s.bytes, s.crc32) == (f.bytes, f.crc32))
    };
    let is_all = list.len() == manifest.segments.len() && found.len() == list.len();
    if !adds_up || !is_all || !found.iter().all(is_listed) {
        return Ok(None);
    }
    let Some(stats) = scan::stats(recording)? else { return Ok(None) };
    // A list that lacks a segment was not written by the recorder.
    let numbers = |stream: Stream| {
        let of = found.iter().filter(move |f| f.stream == stream);
        of.map(|f| f.number).collect::<BTreeSet<u32>>()
    };
    let last = found.iter().map(|f| f.number).chain(stats.removed.last()).max();
    let last = last.unwrap_or(0);
    let has_all = |stream: Stream, first: u32| {
        let there = numbers(stream);
        let gone = stats.removed.gone(first, &there);
        let expected = u64::from(last) + 1 - u64::from(first.min(last));
        there.range(first..).count() as u64 + gone >= expected
    };
    let packets = numbers(Stream::Packets);
    let first_packets = if manifest.has_packets() { Some(0) } else { packets.first().copied() };
    let has_streams = Stream::ALL
        .iter()
        .filter(|stream| place::is_single(**stream, manifest))
        .all(|single| numbers(*single) == BTreeSet::from([0]))
        && (place::is_single(Stream::Connections, manifest) || has_all(Stream::Connections, 0))
        && (place::is_single(Stream::Ledger, manifest) || has_all(Stream::Ledger, 0))
        && has_all(Stream::Hooks, 0)
        && (manifest.options.socket_ring_bytes == 0 || has_all(Stream::Sockets, 0))
        && first_packets.is_none_or(|first| has_all(Stream::Packets, first));
    // Marks are rows beside.
    let of_records = manifest.segments.iter().filter(|s| s.stream != Stream::Ledger.name());
    let rows = of_records.fold(0, |sum: u64, s| sum.saturating_add(s.rows));
    let present: Vec<u32> = numbers(Stream::Hooks).into_iter().collect();
    let removed = |cpu: u16| stats.removed_rows(cpu, &present);
    let logged = totals
        .per_cpu
        .iter()
        .fold(0, |sum: u64, cpu| sum.saturating_add(cpu.logged.saturating_sub(removed(cpu.cpu))));
    let has_totals = rows == 0 || !totals.per_cpu.is_empty();
    Ok((has_streams && rows >= logged && has_totals).then_some(stats.missing))
}

/// The list of segments by stream and number.
fn listed(manifest: &Manifest) -> BTreeMap<(&str, u32), &SegmentEntry> {
    manifest.segments.iter().map(|s| ((s.stream.as_str(), s.number), s)).collect()
}

/// Adds files whose bytes have changed since they were written, if no other finding has them.
///
/// # Errors
/// If a file cannot be read.
pub fn changed(recording: &Recording, findings: &mut Vec<Finding>) -> Result<(), LogError> {
    compare(recording.manifest(), &files(recording)?, findings);
    Ok(())
}

fn compare(manifest: &Manifest, found: &[Found], findings: &mut Vec<Finding>) {
    let list = listed(manifest);
    let known: BTreeSet<String> =
        findings.iter().filter_map(|finding| finding.file().cloned()).collect();
    for f in found {
        let entry = list.get(&(f.stream.name(), f.number));
        let file = f.stream.file_name(f.number);
        let is_known = known.contains(&file);
        if entry.is_some_and(|s| (s.bytes, s.crc32) != (f.bytes, f.crc32)) && !is_known {
            let reason = "its bytes are not those that the manifest lists".to_owned();
            findings.push(Finding::Index { file, reason });
        }
    }
}
