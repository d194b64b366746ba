// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Reading a recording.

use std::io::{Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;

use super::batch::HookBatch;
use super::capture_stats::{self, RawCaptureStat};
use super::frames::{Frames, SegmentMap, at_segment};
use super::keyframe::{self, KeyFrame};
use super::packets::{self, PacketRow};
use super::parallel::{Parallel, jobs};
use super::report::VerifyReport;
use super::rows;
use super::sockets::{self, SocketRow};
use super::source::{Directory, Files, Source};
use super::stream::{RECORDING, Stream};
use super::survey::{self, Survey};
use super::verify;
use super::{CaptureStat, LogError, Manifest};
use crate::wire::{Lifecycle, Snapshot};

/// A recording, open for reading.
#[derive(Clone, Debug)]
pub struct Recording {
    files: Files,
    manifest: Manifest,
    /// Bytes read by this and its clones; no result depends on it.
    read: Arc<AtomicU64>,
    survey: Arc<OnceLock<Survey>>,
}

/// Where a segment that was not closed ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The segment.
    pub path: PathBuf,
    /// End of its last whole frame.
    pub offset: u64,
    /// Bytes after it, which cannot be read; 0 if it ends with a frame.
    pub leftover: u64,
}

impl Recording {
    /// Opens the recording in `dir`.
    ///
    /// # Errors
    /// [`LogError::NotARecording`], [`LogError::UnknownVersion`], [`LogError::Manifest`], or I/O.
    pub fn open(dir: &Path) -> Result<Self, LogError> {
        Self::from_source(dir, Directory::new(dir))
    }

    /// Opens a recording whose files come from elsewhere. `name` stands for the directory: errors call the
    /// recording so, and it is where tables go by default.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_source(
        name: impl Into<PathBuf>,
        source: impl Source + 'static,
    ) -> Result<Self, LogError> {
        let files = Files::new(Arc::new(source), name.into());
        let manifest = Manifest::read(&files)?;
        let (read, survey) = (Arc::default(), Arc::default());
        Ok(Self { files, manifest, read, survey })
    }

    /// What was recorded, where and how.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What is missing from it: looked for once, before anything is read.
    ///
    /// # Errors
    /// If a file cannot be read. Damage is not an error: it is in the survey.
    pub fn survey(&self) -> Result<&Survey, LogError> {
        if let Some(survey) = self.survey.get() {
            return Ok(survey);
        }
        let found = survey::survey(self)?;
        Ok(self.survey.get_or_init(|| found))
    }

    /// Counts the bytes of frames as they are read, whoever reads them: for a bar.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        self.read.clone()
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn bytes(&self) -> Result<u64, LogError> {
        let mut bytes = 0;
        for stream in Stream::ALL {
            for number in self.segments(stream)? {
                let name = stream.file_name(number);
                let fault = |e| LogError::io("read", &self.files.path(&name), e);
                bytes += self.files.open(&name)?.seek(SeekFrom::End(0)).map_err(fault)?;
            }
        }
        Ok(bytes)
    }

    /// The directory, or the name that was given to another source.
    pub fn dir(&self) -> &Path {
        self.files.name()
    }

    /// The files, for what reads more than frames of them.
    pub(super) const fn files(&self) -> &Files {
        &self.files
    }

    /// The hook records of all segments, frame by frame in the order of the files. Frames are read by
    /// `threads` threads; the result does not depend on their number. After an error nothing more comes.
    /// A frame that [`Self::survey`] found damaged gives nothing, without an error; any other that
    /// cannot be read is one.
    pub fn hooks(
        &self,
        threads: NonZeroUsize,
    ) -> impl Iterator<Item = Result<HookBatch, LogError>> + use<> {
        let segments = match self.open_stream(Stream::Hooks) {
            Ok(segments) => segments,
            Err(e) => return Parallel::failed(e),
        };
        Parallel::new(segments, threads)
    }

    /// The lifecycle records, with the drain markers among them. Errors and cuts as for
    /// [`Self::hooks`]. Records of an event or hook that this build does not know are left out.
    pub fn lifecycles(&self) -> impl Iterator<Item = Result<Lifecycle, LogError>> + use<> {
        self.rows(Stream::Connections, rows::decode).filter_map(Result::transpose)
    }

    /// The packets, with the drain markers among them; none where none were recorded. Errors and
    /// cuts as for [`Self::hooks`]. Rows with names that this build does not know are left out.
    pub fn packets(&self) -> impl Iterator<Item = Result<PacketRow, LogError>> + use<> {
        self.rows(Stream::Packets, packets::decode).filter_map(Result::transpose)
    }

    /// What the recorder counted of itself (the stream `ledger`). Errors and cuts as for [`Self::hooks`]; rows of unknown kinds are left out.
    pub fn capture_stats(&self) -> impl Iterator<Item = Result<CaptureStat, LogError>> + use<> {
        self.raw_capture_stats().filter_map(|row| match row {
            Ok(RawCaptureStat::Row(row)) => Some(Ok(row)),
            Ok(
                RawCaptureStat::DroppedRows(_)
                | RawCaptureStat::SnapshotsDrained(_)
                | RawCaptureStat::Unknown,
            ) => None,
            Err(e) => Some(Err(e)),
        })
    }

    /// The same with the rows that only the count of sequence numbers needs.
    pub(crate) fn raw_capture_stats(
        &self,
    ) -> impl Iterator<Item = Result<RawCaptureStat, LogError>> + use<> {
        let carried = match self.survey() {
            // None of it is believed.
            Ok(survey) if survey.order(Stream::Ledger).is_empty() => Ok(None),
            Ok(_) => self.carried_stats(),
            // The rows have the error.
            Err(_) => Ok(None),
        };
        let (carried, error) = match carried {
            Ok(rows) => (rows.unwrap_or_default(), None),
            Err(e) => (Vec::new(), Some(Err(e))),
        };
        let rows = self.rows(Stream::Ledger, capture_stats::decode);
        error.into_iter().chain(carried.into_iter().map(Ok)).chain(rows)
    }

    /// What the removed segments of the ledger come to: no rows if none was removed, `None` if it is not there or damaged.
    pub(super) fn carried_stats(&self) -> Result<Option<Vec<RawCaptureStat>>, LogError> {
        let first = self.segments(Stream::Ledger)?.first().copied().unwrap_or(0);
        if first == 0 || !self.manifest.options.divided_ledger {
            return Ok(Some(Vec::new()));
        }
        let recording = self.named_by(Stream::Ledger, first)?;
        Ok(recording.and_then(|of| keyframe::read_ledger(&self.files, &of, first)))
    }

    /// The recording that a segment names. The manifest is text that people may edit.
    fn named_by(&self, stream: Stream, number: u32) -> Result<Option<String>, LogError> {
        let segment = self.open_segment(stream.file_name(number))?;
        let name = Frames::open(segment).and_then(|mut frames| frames.metadata(RECORDING));
        Ok(name.ok().flatten())
    }

    /// Number of the first segment of hook records that is there.
    pub(crate) fn first_segment(&self) -> Result<u32, LogError> {
        Ok(self.segments(Stream::Hooks)?.first().copied().unwrap_or(0))
    }

    /// The snapshots of sockets, in the order of the files: nearly that of their time. Errors and
    /// cuts as for [`Self::hooks`]. Rows of a hook or reason that this build does not know are left
    /// out.
    pub fn sockets(&self) -> impl Iterator<Item = Result<Snapshot, LogError>> + use<> {
        self.socket_rows().filter_map(|row| match row {
            Ok(SocketRow::Snapshot(row)) => Some(Ok(row)),
            Ok(SocketRow::Marker(_) | SocketRow::Unknown) => None,
            Err(e) => Some(Err(e)),
        })
    }

    /// The same with the marks, which say up to when all have come.
    pub(crate) fn socket_rows(&self) -> impl Iterator<Item = Result<SocketRow, LogError>> + use<> {
        self.rows(Stream::Sockets, sockets::decode)
    }

    /// Records that were in segments which a bound of the recording's size removed.
    ///
    /// # Errors
    /// As [`Self::capture_stats`], and if the directory cannot be read.
    pub fn removed_records(&self) -> Result<u64, LogError> {
        let present = self.segments(Stream::Hooks)?;
        let mut removed = 0;
        for row in self.raw_capture_stats() {
            if let RawCaptureStat::DroppedRows(rows) = row?
                // A crash between the entry and the removal leaves the segment in place.
                && present.binary_search(&rows.segment).is_err()
            {
                removed = u64::saturating_add(removed, rows.rows);
            }
        }
        Ok(removed)
    }

    /// What was known at the beginning of the oldest segment that is left, where a bound of the recording's size removed
    /// older ones; `None` if none was removed, or if the recorder wrote no key frame, or it is damaged.
    ///
    /// # Errors
    /// If the ledger or the directory cannot be read.
    pub fn key_frame(&self) -> Result<Option<KeyFrame>, LogError> {
        if !survey::lacks_segments(self)? {
            return Ok(None);
        }
        let number = self.first_segment()?;
        let recording = self.named_by(Stream::Hooks, number)?;
        Ok(recording.and_then(|of| keyframe::read(&self.files, &of, number)))
    }

    /// Segments that were not closed: all streams' last ones, if the recorder did not end by
    /// itself. Where they end, one looks for what is missing.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn truncations(&self) -> Result<Vec<Truncation>, LogError> {
        let mut found = Vec::new();
        for stream in Stream::ALL {
            for number in self.segments(stream)? {
                let segment = self.open_segment(stream.file_name(number))?;
                if !segment.closed {
                    let (path, offset) = (segment.path.clone(), segment.whole());
                    let leftover = segment.bytes - offset;
                    found.push(Truncation { path, offset, leftover });
                }
            }
        }
        Ok(found)
    }

    /// Tests every frame and every sequence number.
    ///
    /// # Errors
    /// If a file cannot be read. Damage is not an error: it is a finding of the report.
    pub fn verify(&self) -> Result<VerifyReport, LogError> {
        verify::verify(self)
    }

    /// The numbers of a stream's segments, in ascending order.
    pub(super) fn segments(&self, stream: Stream) -> Result<Vec<u32>, LogError> {
        let names = self.files.names()?;
        let mut numbers: Vec<_> = names.iter().filter_map(|name| stream.segment(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment whose frames are counted as they are read.
    pub(super) fn open_segment(&self, name: String) -> Result<Arc<SegmentMap>, LogError> {
        Ok(Arc::new(SegmentMap::open(&self.files, name, self.read.clone())?))
    }

    /// The segments of a stream, in the order in which they are to be read.
    fn open_stream(&self, stream: Stream) -> Result<Vec<Arc<SegmentMap>>, LogError> {
        let survey = self.survey()?;
        let open = |number: &u32| {
            let name = stream.file_name(*number);
            let mut map = SegmentMap::open(&self.files, name, self.read.clone())?;
            map.damaged = survey.damaged(stream, *number);
            Ok(Arc::new(map))
        };
        survey.order(stream).iter().map(open).collect()
    }

    fn rows<T: 'static>(
        &self,
        stream: Stream,
        decode: fn(&RecordBatch) -> Result<Vec<T>, String>,
    ) -> impl Iterator<Item = Result<T, LogError>> + use<T> {
        let (segments, failed) = match self.open_stream(stream) {
            Ok(segments) => (segments, None),
            Err(e) => (Vec::new(), Some(Err(e))),
        };
        let mut cursor = None;
        let frames = jobs(&segments).into_iter().map(move |job| {
            let frames = at_segment(&mut cursor, &segments[job.segment])?;
            frames.rows(job.frame, decode)
        });
        failed
            .into_iter()
            .chain(frames)
            .flat_map(|rows| {
                let (rows, error) = match rows {
                    Ok(rows) => (rows, None),
                    Err(e) => (Vec::new(), Some(Err(e))),
                };
                rows.into_iter().map(Ok).chain(error)
            })
            .scan(false, |ended, row| {
                if *ended {
                    return None;
                }
                *ended = row.is_err();
                Some(row)
            })
    }
}
