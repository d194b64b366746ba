// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Captures made by others become recordings with packets only.
//!
//! [`container`] reads the file, [`link`] makes digests of its frames, [`ends`] finds the recorded end,
//! [`copies`] packets that the capture has twice, [`checksum`] packets damaged on the way, and
//! [`places`] interfaces that belong together. The file is read twice: the first reading finds all this
//! and the times, so that every row has the direction of its packet. Nothing is matched or counted per
//! connection here: that is replay's work ([`crate::engine::packets`]), as with any recording.

mod checksum;
mod container;
mod copies;
mod ends;
mod link;
mod places;
mod source;

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

use crate::engine::time::SLACK_NS;
use crate::log::{
    CaptureStat, ClockSample, CpuTotals, HookStatus, Import, LogError, Manifest, RecordOptions,
    RecordingWriter, Totals, VariableStatus, WriterOptions,
};
use crate::schema::{Hook, Quality, Var};
use crate::wire::{Direction, Packet};

pub use ends::Prefix;
pub use link::names::link_type as link_type_name;

use checksum::Checksums;
use container::Capture;
use copies::{Copies, Likeness};
use ends::RecordedEnd;
use link::Look;
use source::CaptureFile;

/// How a capture is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The recorded end; empty to find out.
    pub local: Vec<Prefix>,
    /// Bytes of payload to keep of each packet.
    pub payload: usize,
    /// Take the packets inside of tunnels that do not encrypt (GRE, IP in IP, VXLAN, Geneve).
    pub inner: bool,
    /// Counts the packets as they are read, twice each: for a bar.
    pub read: Arc<AtomicU64>,
}

/// Why a capture could not be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The capture.
        path: PathBuf,
        /// The error of the system or of the decompressor.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "{path} is not a capture: it begins with {}; pcap and pcapng files are read, plain, in gzip \
         or in zstd", if .begins.is_empty() { "nothing" } else { .begins }
    )]
    NotACapture {
        /// The file.
        path: PathBuf,
        /// Its first bytes in hexadecimal.
        begins: String,
    },
    /// The recording cannot be written.
    #[error(transparent)]
    Log(LogError),
}

impl From<LogError> for ImportError {
    fn from(e: LogError) -> Self {
        Self::Log(e.of_made())
    }
}

/// The results of an import.
#[derive(Clone, Debug)]
pub struct ImportReport {
    /// As it stands in the manifest.
    pub import: Import,
    /// Packets that have rows.
    pub imported: u64,
    /// Packets among these whose time is before that of the previous packet, by more than the slack of
    /// replay: the clock was set back, or files were joined.
    pub out_of_order: u64,
    /// Packets of which the recorded end is known: one end of them, and one alone, is in it.
    pub of_recorded_end: u64,
    /// Segments of TCP that are in the capture twice, and are counted twice, as nothing proves that
    /// they were sent once.
    pub unproven_copies: u64,
    /// Whether tunnels were looked into ([`ImportOptions::inner`]).
    pub looked_inside: bool,
}

/// Time between markers; replay holds back records of this time.
const MARK_NS: u64 = 1_000_000_000;

/// Makes a recording in `dir` of the capture at `path`.
///
/// # Errors
/// [`ImportError`]; nothing is written if the file is not a capture.
pub fn import(
    path: &Path,
    dir: &Path,
    options: &ImportOptions,
) -> Result<ImportReport, ImportError> {
    let source = CaptureFile::open(path)
        .map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    let look = Look { payload: options.payload, inner: options.inner };
    // Copies have all the same bytes.
    let all = Look { payload: usize::MAX, ..look };
    let (mut survey, mut first_ns, mut last_ns) = (CaptureSurvey::default(), u64::MAX, 0);
    let capture = container::read(&source, &mut |frame| {
        options.read.fetch_add(1, Ordering::Relaxed);
        if let Ok(found) = link::digest(frame, all) {
            let packet = found.packet;
            survey.see(&packet);
            survey.checksums.see(&packet, found.fits);
            first_ns = first_ns.min(packet.ts_ns);
            last_ns = last_ns.max(packet.ts_ns);
        }
        Ok(())
    })?;
    let first_ns = first_ns.min(last_ns);
    let ends = survey.ends.ends(&options.local);
    let places = survey.places.places(&capture.interfaces, &survey.copies);
    let (copies, checksums) = (survey.copies.copies(), survey.checksums);
    let manifest = Manifest {
        recording: identity(&source, options)?,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        hook_set: Manifest::OF_PACKETS.to_owned(),
        hooks: vec![HookStatus {
            hook: Hook::Capture.name().to_owned(),
            point: capture.format.clone(),
            attached: true,
            reason: None,
        }],
        variables: variables(),
        options: RecordOptions { all: true, ..RecordOptions::default() },
        started: clock(first_ns),
        ..Manifest::default()
    };
    let import = described(path, &capture, &ends, places);
    let manifest = Manifest { import: Some(import.clone()), ..manifest };
    let writer = RecordingWriter::create(dir, &manifest, WriterOptions::default())?;
    Importer { writer, ends, copies, checksums, manifest, import, first_ns, last_ns, look }
        .run(&source, &options.read)
}

/// The results of the first reading.
#[derive(Debug, Default)]
struct CaptureSurvey {
    ends: ends::EndSurvey,
    copies: copies::CopySurvey,
    places: places::PlaceSurvey,
    checksums: Checksums,
}

impl CaptureSurvey {
    fn see(&mut self, packet: &Packet) {
        self.ends.see(packet);
        self.copies.see(packet);
        self.places.see(packet);
    }
}

struct Importer {
    writer: RecordingWriter,
    ends: RecordedEnd,
    copies: Copies,
    checksums: Checksums,
    manifest: Manifest,
    import: Import,
    first_ns: u64,
    last_ns: u64,
    look: Look,
}

/// Why copies have no rows.
const COPY: &str = "duplicates made by the capture";

impl Importer {
    fn run(mut self, source: &CaptureFile, read: &AtomicU64) -> Result<ImportReport, ImportError> {
        let (first_ns, last_ns, look) = (self.first_ns, self.last_ns, self.look);
        self.writer.capture_stat(&CaptureStat::Clock(first_ns, clock(first_ns)))?;
        let (mut seq, mut out_of_order, mut of_recorded_end) = (0, 0, 0);
        let (mut reached, mut marked) = (first_ns, first_ns);
        let (writer, ends, copies) = (&mut self.writer, &self.ends, &mut self.copies);
        let (import, checksums) = (&mut self.import, &self.checksums);
        let capture = container::read(source, &mut |frame| {
            read.fetch_add(1, Ordering::Relaxed);
            let found = link::digest(frame, Look { payload: usize::MAX, ..look });
            let found = found.and_then(|found| match copies.see(&found.packet) {
                Some(Likeness::Same) => Err(COPY.to_owned()),
                other => Ok((found, other.is_some())),
            });
            let (link::Digest { mut packet, within, tunnel, fits }, is_copy) = match found {
                Ok(found) => found,
                Err(reason) => {
                    *import.left_out.entry(reason).or_default() += 1;
                    return Ok(());
                }
            };
            for name in within {
                *import.within.entry(name.to_owned()).or_default() += 1;
            }
            if let Some(name) = tunnel {
                *import.tunnels.entry(name).or_default() += 1;
            }
            packet.wrong_checksum = checksums.wrong(&packet, fits);
            packet.is_copy = is_copy;
            packet.keep_payload(look.payload);
            packet.seq = seq;
            packet.direction = ends.direction(&packet);
            if ends.local.is_empty() && copies.is_bridged(&packet) {
                packet.direction = Direction::Unknown;
            }
            seq += 1;
            of_recorded_end += u64::from(packet.direction != Direction::Unknown);
            out_of_order += u64::from(packet.ts_ns < marked.saturating_sub(SLACK_NS));
            reached = reached.max(packet.ts_ns);
            writer.packet(packet)?;
            if reached - marked >= MARK_NS {
                writer.drained(reached)?;
                marked = reached;
            }
            Ok(())
        })?;
        let dropped = capture.dropped().unwrap_or(0);
        let hook = Hook::Capture;
        if dropped > 0 {
            let (ts_ns, since_ns) = (last_ns, first_ns);
            let loss = CaptureStat::Loss { ts_ns, cpu: 0, hook, lost: dropped, since_ns };
            self.writer.capture_stat(&loss)?;
        }
        // Lost records use up their numbers, here behind all others: where they were is not known.
        let emitted = seq.saturating_add(dropped);
        self.writer.capture_stat(&CaptureStat::Emitted { ts_ns: last_ns, cpu: 0, emitted })?;
        self.writer.capture_stat(&CaptureStat::Clock(last_ns, clock(last_ns)))?;
        self.writer.drained(last_ns)?;
        let lost_by_hook = [(hook.name().to_owned(), dropped)];
        let import = self.import;
        self.manifest.import = Some(import.clone());
        self.manifest.ended = Some(clock(last_ns));
        self.manifest.totals = Some(Totals {
            duration_ns: last_ns - first_ns,
            per_cpu: vec![CpuTotals {
                cpu: 0,
                emitted,
                logged: seq,
                lost_by_hook: lost_by_hook.into_iter().filter(|(_, n)| *n > 0).collect(),
                ..CpuTotals::default()
            }],
            bytes: self.writer.bytes_written(),
            ..Totals::default()
        });
        self.writer.finish(&self.manifest)?;
        let (looked_inside, unproven_copies) = (look.inner, self.copies.unproven());
        Ok(ImportReport {
            import,
            imported: seq,
            out_of_order,
            of_recorded_end,
            unproven_copies,
            looked_inside,
        })
    }
}

/// A capture has one clock, the wall's, and it serves as the recording's: any other monotonic time would
/// be invented. TAI is unknown: it is as in a kernel whose offset was never set.
const fn clock(ns: u64) -> ClockSample {
    ClockSample { monotonic_ns: ns, realtime_ns: ns, tai_ns: ns }
}

fn described(path: &Path, capture: &Capture, ends: &RecordedEnd, places: Vec<Vec<u32>>) -> Import {
    Import {
        file: path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
        format: capture.format.clone(),
        interfaces: capture.interfaces.clone(),
        packets: capture.frames,
        dropped: capture.dropped(),
        places,
        truncated: capture.truncated.clone(),
        local: ends.local.iter().map(Prefix::to_string).collect(),
        local_by: ends.by.to_owned(),
        ..Import::default()
    }
}

/// The same capture with the same options is the same recording, so its UUID comes from both.
fn identity(source: &CaptureFile, options: &ImportOptions) -> Result<String, ImportError> {
    let mut hash = Sha256::new();
    let mut read = || {
        let (mut file, mut chunk) = (source.read()?, vec![0; 1 << 16]);
        loop {
            match file.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(n) => hash.update(&chunk[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    };
    read().map_err(|e| ImportError::Read { path: source.path().to_owned(), source: e })?;
    hash.update(format!("{:?} {} {}", options.local, options.payload, options.inner));
    let bytes: [u8; 16] = hash.finalize()[..16].try_into().expect("a digest has 32 bytes");
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
}

/// How well packets give each variable.
fn variables() -> Vec<VariableStatus> {
    let status = |var: &Var| {
        let (quality, reason) = match var.def().packets {
            Some(from) => (from.quality, from.how),
            None => (Quality::Missing, "packets do not show it"),
        };
        VariableStatus {
            name: var.name().to_owned(),
            quality: quality.name().to_owned(),
            reason: (quality != Quality::Exact).then(|| reason.to_owned()),
        }
    };
    Var::ALL.iter().map(status).collect()
}
