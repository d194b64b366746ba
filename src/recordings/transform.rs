// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings made from recordings: a part of one ([`cut`]), several as one ([`merge`]), one without
//! names and addresses ([`anonymize`]).
//!
//! All read the streams in step ([`rounds`]) and write them with the recorder's own writer, record by
//! record: memory does not grow with the recording. Records keep their times and numbers, so their
//! order is that of the original, and what is not there any more stands in the totals as left out.
//! The UUID of what comes out follows from what went in, so doing it twice gives the same tables.

pub mod anonymize;
pub mod cut;
pub mod merge;

mod carry;
mod cryptopan;
mod names;
mod rounds;
mod scrub;
mod select;

use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::log::WriterOptions;
use crate::log::{
    CaptureStat, ClockSample, LogError, Manifest, RawCaptureStat, Recording, RecordingWriter,
    Totals,
};

/// Why no recording could be made of another.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// Reading or writing failed.
    #[error(transparent)]
    Log(LogError),
    /// There are records that would be lost on the way.
    #[error(
        "{} has records or operations that this version does not know and would leave out",
        .0.display()
    )]
    Newer(PathBuf),
    /// The part that was asked for has no time in the recording.
    #[error("{part}: the recording begins at {began} and lasts {lasts_s:.3} s")]
    NoSuchTime {
        /// The fault of the part.
        part: NoTime,
        /// When the recording begins: wall-clock time, RFC 3339.
        began: String,
        /// How long the recording is, seconds.
        lasts_s: f64,
    },
    /// Captures whose recorded ends or interfaces differ; the directories.
    #[error("{0} are captures of other ends or interfaces")]
    OtherEnds(String),
    /// The request is impossible, with the reason.
    #[error("{0}")]
    Refused(String),
}

/// Why a part of a recording has no time in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTime {
    /// It begins after the recording's end.
    AfterEnd,
    /// It does not end after its beginning.
    Empty,
    /// A bound of the recording's size removed what was before its end.
    Removed,
}

impl std::fmt::Display for NoTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::AfterEnd => "the part begins after the end",
            Self::Removed => "the part ends before the beginning of what is left",
            Self::Empty => "nothing lies between the part's beginning and its end",
        })
    }
}

impl From<LogError> for TransformError {
    fn from(e: LogError) -> Self {
        Self::Log(e.of_made())
    }
}

fn refused<T>(what: impl Into<String>) -> Result<T, TransformError> {
    Err(TransformError::Refused(what.into()))
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct TransformReport {
    /// UUID of the recording that was made.
    pub recording: String,
    /// Records in it.
    pub records: u64,
    /// Records of the original, lost ones among them, that are not in it.
    pub left_out: u64,
    /// Bytes of its streams.
    pub bytes: u64,
    /// Whether what it was made from was closed; if not, it is not either.
    pub closed: bool,
}

/// Numbers by CPU.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PerCpu(Vec<u64>);

impl PerCpu {
    fn add(&mut self, cpu: u16, n: u64) {
        if cpu == crate::wire::NO_CPU {
            return;
        }
        let cpu = usize::from(cpu);
        if cpu >= self.0.len() {
            self.0.resize(cpu + 1, 0);
        }
        self.0[cpu] = self.0[cpu].saturating_add(n);
    }

    fn get(&self, cpu: u16) -> u64 {
        self.0.get(usize::from(cpu)).copied().unwrap_or(0)
    }

    fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        self.0.iter().enumerate().filter(|(_, n)| **n > 0).map(|(cpu, n)| (cpu as u16, *n))
    }

    fn sum(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::saturating_add)
    }
}

/// The three clocks at a monotonic time, by the latest sample that is not after it, as replay does for
/// wall-clock time.
fn clock_at(samples: &[ClockSample], monotonic_ns: u64) -> ClockSample {
    let after = samples.partition_point(|s| s.monotonic_ns <= monotonic_ns);
    let Some(s) = samples.get(after.saturating_sub(1)) else {
        return ClockSample { monotonic_ns, ..ClockSample::default() };
    };
    let shifted = |ns: u64| {
        let ns = i128::from(ns) + i128::from(monotonic_ns) - i128::from(s.monotonic_ns);
        u64::try_from(ns).unwrap_or(0)
    };
    ClockSample { monotonic_ns, realtime_ns: shifted(s.realtime_ns), tai_ns: shifted(s.tai_ns) }
}

/// All clock samples of a recording, by monotonic time.
fn clocks(recording: &Recording) -> Result<Vec<ClockSample>, LogError> {
    let mut samples = vec![recording.manifest().started];
    for row in recording.capture_stats() {
        if let CaptureStat::Clock(_, sample) = row? {
            samples.push(sample);
        }
    }
    samples.sort_by_key(|s| s.monotonic_ns);
    Ok(samples)
}

/// The UUID of what is made of a recording with these options.
fn derived_uuid(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes: [u8; 16] = hash.finalize()[..16].try_into().expect("a digest has 32 bytes");
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// Rows of the ledger for what the original lacks, and so its copy too.
fn lacking(recording: &Recording, end_ns: u64) -> Result<Vec<CaptureStat>, LogError> {
    let survey = recording.survey()?;
    let missing = survey.missing.iter().map(|m| CaptureStat::Missing {
        ts_ns: m.until_ns,
        ring: m.ring,
        count: m.records,
        since_ns: m.since_ns,
    });
    // The end of what was any time is the end.
    let restored = survey.restored.iter().map(|row| {
        // A survey restores losses only.
        let CaptureStat::Loss { ts_ns, cpu, hook, lost, since_ns } = *row else {
            return row.clone();
        };
        CaptureStat::Loss { ts_ns: ts_ns.min(end_ns), cpu, hook, lost, since_ns }
    });
    Ok(missing.chain(restored).collect())
}

/// The totals of a recording as far as its files go: numbers that are missing from them are not in a
/// copy, and stand there as left out.
fn totals_there(recording: &Recording) -> Result<(Option<Totals>, PerCpu), LogError> {
    let survey = recording.survey()?;
    let mut totals = recording.manifest().totals.clone();
    let mut absent = PerCpu::default();
    for cpu in totals.iter_mut().flat_map(|t| &mut t.per_cpu) {
        let missing = survey.missing_on.get(&cpu.cpu).copied().unwrap_or(0).min(cpu.logged);
        cpu.logged -= missing;
        cpu.left_out = cpu.left_out.saturating_add(missing);
        absent.add(cpu.cpu, missing);
    }
    Ok((totals, absent))
}

/// Ends a recording: what was left out into the ledger, and the totals into the manifest.
fn finish(
    mut writer: RecordingWriter,
    mut manifest: Manifest,
    left_out: &PerCpu,
    end_ns: u64,
) -> Result<TransformReport, TransformError> {
    for (cpu, count) in left_out.iter() {
        writer.capture_stat(&CaptureStat::LeftOut { ts_ns: end_ns, cpu, count })?;
    }
    let records = writer.logged().map(|(_, n)| n).sum();
    let bytes = writer.bytes_written();
    if let Some(totals) = &mut manifest.totals {
        totals.bytes = bytes;
    }
    let report = TransformReport {
        recording: manifest.recording.clone(),
        records,
        left_out: left_out.sum(),
        bytes,
        closed: manifest.totals.is_some(),
    };
    writer.finish(&manifest)?;
    Ok(report)
}

/// Creates the recording, with the segments that `--max-size` removed from the original still
/// removed.
fn create(
    dir: &Path,
    manifest: &Manifest,
    first_segment: u32,
) -> Result<RecordingWriter, TransformError> {
    let begun = Manifest { totals: None, ended: None, ..manifest.clone() };
    Ok(RecordingWriter::create_from(dir, &begun, WriterOptions::default(), first_segment)?)
}

/// Puts a mark into a copy of a stream.
fn mark(
    writer: &mut RecordingWriter,
    stream: rounds::Marked,
    ts_ns: u64,
) -> Result<(), TransformError> {
    match stream {
        rounds::Marked::Lifecycles => writer.drained_lifecycles(ts_ns)?,
        rounds::Marked::Packets => writer.drained_packets(ts_ns)?,
        rounds::Marked::Hooks => {
            writer.drained_hooks(ts_ns)?;
            // Batches are written by the recording's own time.
            writer.tick(ts_ns)?;
        }
    }
    Ok(())
}

/// The end of a recording: its last clock sample, or the last mark of one that was not closed.
fn end_ns(recording: &Recording) -> Result<u64, LogError> {
    let manifest = recording.manifest();
    let mut end = manifest.ended.map_or(manifest.started.monotonic_ns, |e| e.monotonic_ns);
    for row in recording.lifecycles() {
        end = end.max(row?.header.ts_ns);
    }
    for row in recording.raw_capture_stats() {
        if let RawCaptureStat::Row(CaptureStat::Clock(ts_ns, _)) = row? {
            end = end.max(ts_ns);
        }
    }
    Ok(end)
}
