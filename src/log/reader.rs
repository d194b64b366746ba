//! Reading a recording.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{MessageHeader, root_as_message};

use super::batch::{HookBatch, HookNames};
use super::frame::{End, FrameAt, decompress, u32_at, walk};
use super::index::ends_with_seek_table;
use super::ledger::{self, RawRow};
use super::packets::{self, PacketRow};
use super::report::VerifyReport;
use super::rows;
use super::sockets::{self, SocketRow};
use super::stream::Stream;
use super::verify;
use super::{LedgerRow, LogError, Manifest};
use crate::wire::{Lifecycle, Snapshot};

/// A recording, open for reading.
#[derive(Clone, Debug)]
pub struct Recording {
    dir: PathBuf,
    manifest: Manifest,
    /// Bytes read by this and its clones; nobody's result depends on it.
    read: Arc<AtomicU64>,
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
        Ok(Self { dir: dir.to_owned(), manifest: Manifest::read(dir)?, read: Arc::default() })
    }

    /// What was recorded, where and how.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Counts the bytes of frames as they are read, whoever reads them: for a bar.
    pub fn bytes_read(&self) -> Arc<AtomicU64> {
        self.read.clone()
    }

    /// Bytes of all segments.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn bytes(&self) -> Result<u64, LogError> {
        let mut bytes = 0;
        for stream in Stream::ALL {
            for number in self.segments(stream)? {
                let path = self.dir.join(stream.file_name(number));
                let fault = |e| LogError::io("read", &path, e);
                bytes += fs::metadata(&path).map_err(fault)?.len();
            }
        }
        Ok(bytes)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hook records of all segments, frame by frame in the order of the files. Frames are read
    /// by so many threads; what comes out does not depend on their number. After an error nothing
    /// more comes. A segment that is cut ends with its last whole frame, without an error.
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

    /// The ledger. Errors and cuts as for [`Self::hooks`]; rows of unknown kinds are left out.
    pub fn ledger(&self) -> impl Iterator<Item = Result<LedgerRow, LogError>> + use<> {
        self.rows(Stream::Ledger, ledger::decode).filter_map(|row| match row {
            Ok(RawRow::Row(row)) => Some(Ok(row)),
            Ok(RawRow::DroppedRows(_) | RawRow::SnapshotsDrained(_) | RawRow::Unknown) => None,
            Err(e) => Some(Err(e)),
        })
    }

    /// The ledger with the rows that only its account needs.
    pub(crate) fn raw_ledger(&self) -> impl Iterator<Item = Result<RawRow, LogError>> + use<> {
        self.rows(Stream::Ledger, ledger::decode)
    }

    /// Number of the first segment of hook records that is there.
    pub(crate) fn first_segment(&self) -> Result<u32, LogError> {
        Ok(self.segments(Stream::Hooks)?.first().copied().unwrap_or(0))
    }

    /// The snapshots of sockets, in the order of the files: nearly that of their time. Errors and
    /// cuts as for [`Self::hooks`]. Rows of a hook or reason that this build does not know are left
    /// out.
    pub fn sockets(&self) -> impl Iterator<Item = Result<Snapshot, LogError>> + use<> {
        self.rows(Stream::Sockets, sockets::decode).filter_map(|row| match row {
            Ok(SocketRow::Snapshot(row)) => Some(Ok(row)),
            Ok(SocketRow::Marker | SocketRow::Unknown) => None,
            Err(e) => Some(Err(e)),
        })
    }

    /// Records that were in segments which a bound of the recording's size removed.
    ///
    /// # Errors
    /// As [`Self::ledger`], and if the directory cannot be read.
    pub fn removed_records(&self) -> Result<u64, LogError> {
        let present = self.segments(Stream::Hooks)?;
        let mut removed = 0;
        for row in self.rows(Stream::Ledger, ledger::decode) {
            if let RawRow::DroppedRows(rows) = row?
                // A crash between the entry and the removal leaves the segment in place.
                && present.binary_search(&rows.segment).is_err()
            {
                removed += rows.rows;
            }
        }
        Ok(removed)
    }

    /// Segments that were not closed: all streams' last ones, if the recorder did not end by
    /// itself. Where they end, one looks for what is missing.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn truncations(&self) -> Result<Vec<Truncation>, LogError> {
        let mut found = Vec::new();
        for stream in Stream::ALL {
            for segment in self.open_stream(stream)? {
                found.extend(segment.truncation());
            }
        }
        Ok(found)
    }

    /// Tests every frame and every sequence number.
    ///
    /// # Errors
    /// If a file cannot be read. Damage is no error but a finding of the report.
    pub fn verify(&self) -> Result<VerifyReport, LogError> {
        verify::verify(self)
    }

    /// The numbers of a stream's segments, in ascending order.
    pub(super) fn segments(&self, stream: Stream) -> Result<Vec<u32>, LogError> {
        let fault = |e| LogError::io("read", &self.dir, e);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name();
            numbers.extend(name.to_str().and_then(|name| stream.segment(name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A segment whose frames are counted as they are read.
    pub(super) fn open_segment(&self, path: PathBuf) -> Result<Arc<SegmentMap>, LogError> {
        Ok(Arc::new(SegmentMap { read: self.read.clone(), ..SegmentMap::open(path)? }))
    }

    fn open_stream(&self, stream: Stream) -> Result<Vec<Arc<SegmentMap>>, LogError> {
        let open = |number| self.open_segment(self.dir.join(stream.file_name(number)));
        self.segments(stream)?.into_iter().map(open).collect()
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
            match frames.batch(job.frame)? {
                Some(batch) => {
                    decode(&batch).map_err(|reason| frames.map.corrupt(job.frame, reason))
                }
                None => Ok(Vec::new()),
            }
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

/// Where the frames of one segment are.
#[derive(Debug)]
pub(super) struct SegmentMap {
    pub path: PathBuf,
    pub frames: Vec<FrameAt>,
    pub end: End,
    pub bytes: u64,
    /// Whether the file ends as a closed one does.
    pub closed: bool,
    /// Bytes of frames that were read.
    read: Arc<AtomicU64>,
}

impl SegmentMap {
    pub fn open(path: PathBuf) -> Result<Self, LogError> {
        let scan = || {
            let mut file = File::open(&path)?;
            let bytes = file.metadata()?.len();
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(bytes.saturating_sub(16)))?;
            file.read_to_end(&mut tail)?;
            let (frames, end) = walk(file)?;
            Ok((frames, end, bytes, ends_with_seek_table(&tail)))
        };
        let (frames, end, bytes, closed) = scan().map_err(|e| LogError::io("read", &path, e))?;
        Ok(Self { path, frames, end, bytes, closed, read: Arc::default() })
    }

    /// End of the last whole frame.
    pub fn whole(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.offset + f.len)
    }

    pub fn corrupt(&self, frame: usize, reason: String) -> LogError {
        let offset = self.frames.get(frame).map_or_else(|| self.whole(), |f| f.offset);
        LogError::Corrupt { path: self.path.clone(), frame, offset, reason }
    }

    /// What stands after the last whole frame, if that is damage and no cut.
    pub fn fault(&self) -> Option<String> {
        match &self.end {
            End::Whole => None,
            // A closed file has its end, so a frame that reaches beyond it was not cut.
            End::Cut { .. } if self.closed => Some("a frame reaches beyond the file".into()),
            End::Cut { .. } => None,
            End::NotAFrame { reason, .. } => Some(reason.clone()),
        }
    }

    fn truncation(&self) -> Option<Truncation> {
        if self.closed {
            return None;
        }
        let offset = self.whole();
        Some(Truncation { path: self.path.clone(), offset, leftover: self.bytes - offset })
    }
}

/// One frame to read; the one after the last of a segment stands for the fault there.
#[derive(Clone, Copy, Debug)]
struct Job {
    segment: usize,
    frame: usize,
}

/// All frames after the first of each segment.
fn jobs(segments: &[Arc<SegmentMap>]) -> Vec<Job> {
    let of = |(segment, map): (usize, &Arc<SegmentMap>)| {
        let frames = map.frames.iter().enumerate().skip(1);
        let frames = frames.filter(|(_, f)| f.content_len.is_some()).map(|(i, _)| i);
        let fault = map.fault().map(|_| map.frames.len());
        frames.chain(fault).map(move |frame| Job { segment, frame }).collect::<Vec<_>>()
    };
    segments.iter().enumerate().flat_map(of).collect()
}

/// Reads frames of one segment in any order.
pub(super) struct Frames {
    pub map: Arc<SegmentMap>,
    file: File,
    zstd: zstd::bulk::Decompressor<'static>,
    decoder: StreamDecoder,
    /// Names in the dictionaries of a segment of hook records, made when first needed.
    names: Option<Arc<HookNames>>,
    /// The empty batch of the first frame.
    first: Option<RecordBatch>,
    /// The compressed frame last read; kept for its allocation and for its CRC.
    pub compressed: Vec<u8>,
}

impl Frames {
    pub fn open(map: Arc<SegmentMap>) -> Result<Self, LogError> {
        let open = || Ok((File::open(&map.path)?, zstd::bulk::Decompressor::new()?));
        let (file, zstd) = open().map_err(|e| LogError::io("read", &map.path, e))?;
        Ok(Self {
            map,
            file,
            zstd,
            decoder: StreamDecoder::new(),
            names: None,
            first: None,
            compressed: Vec::new(),
        })
    }

    /// Reads a frame's compressed bytes.
    pub fn load(&mut self, frame: usize) -> Result<(), LogError> {
        let FrameAt { offset, len, .. } = self.map.frames[frame];
        self.compressed.resize(len as usize, 0);
        let mut read = || {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut self.compressed)
        };
        read().map_err(|e| LogError::io("read", &self.map.path, e))?;
        self.map.read.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn content(&mut self, frame: usize) -> Result<Vec<u8>, LogError> {
        if frame >= self.map.frames.len() {
            let reason = self.map.fault().unwrap_or_default();
            return Err(self.map.corrupt(frame, reason));
        }
        self.load(frame)?;
        decompress(&mut self.zstd, &self.compressed)
            .map_err(|reason| self.map.corrupt(frame, reason))
    }

    /// The batch of a frame; `None` for the end of the stream.
    pub fn batch(&mut self, frame: usize) -> Result<Option<RecordBatch>, LogError> {
        self.prime()?;
        if frame == 0 {
            return Ok(self.first.clone());
        }
        let content = self.content(frame)?;
        self.decode(Buffer::from_vec(content)).map_err(|reason| self.map.corrupt(frame, reason))
    }

    /// Takes in schema and dictionaries.
    fn prime(&mut self) -> Result<(), LogError> {
        if self.first.is_some() {
            return Ok(());
        }
        let mut content = self.content(0)?;
        // Arrow's decoder gives a batch without a body (no rows, no lists) only when it sees a byte
        // more: the first one of the next message.
        content.push(0xff);
        let mut content = Buffer::from_vec(content);
        self.decoder = StreamDecoder::new();
        let corrupt = |reason| self.map.corrupt(0, reason);
        let first = self.decoder.decode(&mut content).map_err(|e| corrupt(e.to_string()))?;
        if first.is_some() && content.len() != 1 {
            return Err(corrupt("the first frame has more than one batch".into()));
        }
        let missing = || corrupt("the first frame has no batch".into());
        self.first = Some(first.ok_or_else(missing)?);
        Ok(())
    }

    fn decode(&mut self, mut content: Buffer) -> Result<Option<RecordBatch>, String> {
        if is_end(&content) {
            return Ok(None);
        }
        // Dictionaries are only in the first frame; one here would mean that frames cannot be read
        // each for itself.
        if message_kind(&content) != Some(MessageHeader::RecordBatch) {
            return Err("the frame does not begin with a record batch".into());
        }
        let batch = self.decoder.decode(&mut content).map_err(|e| e.to_string());
        match batch {
            Ok(Some(batch)) if content.is_empty() => Ok(Some(batch)),
            other => {
                // The decoder is now in the middle of something: begin again with the next frame.
                self.first = None;
                Err(other.err().unwrap_or_else(|| "the frame is not just one batch".into()))
            }
        }
    }

    /// A frame of hook records.
    fn hooks(&mut self, frame: usize) -> Result<Option<HookBatch>, LogError> {
        let Some(batch) = self.batch(frame)? else { return Ok(None) };
        let corrupt = |reason| self.map.corrupt(frame, reason);
        let names = match &self.names {
            Some(names) => names.clone(),
            None => Arc::new(HookNames::new(&batch).map_err(corrupt)?),
        };
        let hooks = HookBatch::new(&batch, names.clone()).map_err(corrupt)?;
        self.names = Some(names);
        Ok(Some(hooks))
    }
}

/// Whether this is Arrow's end-of-stream marker.
fn is_end(content: &[u8]) -> bool {
    *content == [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
}

/// The kind of an encapsulated Arrow message.
fn message_kind(content: &[u8]) -> Option<MessageHeader> {
    let len = (content.len() >= 8).then(|| u32_at(content, 4))? as usize;
    let metadata = content.get(8..)?.get(..len)?;
    Some(root_as_message(metadata).ok()?.header_type())
}

/// The open segment, changed if need be.
fn at_segment<'a>(
    cursor: &'a mut Option<Frames>,
    segment: &Arc<SegmentMap>,
) -> Result<&'a mut Frames, LogError> {
    let same = cursor.as_ref().is_some_and(|frames| Arc::ptr_eq(&frames.map, segment));
    if !same {
        *cursor = None;
    }
    match cursor {
        Some(frames) => Ok(frames),
        none => Ok(none.insert(Frames::open(segment.clone())?)),
    }
}

/// Decoded batches waiting per thread: enough that none idles, few enough to stay small.
const AHEAD: usize = 2;

/// A frame's batch; the end of a stream has none, but takes its turn.
type Decoded = Result<Option<HookBatch>, LogError>;

/// Frames of hook records, read by several threads.
///
/// Thread i of n reads frames i, i + n, ...: the order comes back by asking the threads in turn, so
/// no frame waits in a queue that could grow, and nothing needs sorting.
struct Parallel {
    lanes: Vec<Lane>,
    next: usize,
}

enum Lane {
    /// Reads when asked: for one thread, and for a failure to begin with.
    Inline(Box<dyn Iterator<Item = Decoded> + Send>),
    Thread(Receiver<Decoded>, Option<JoinHandle<()>>),
}

impl Parallel {
    fn failed(error: LogError) -> Self {
        let lane = Lane::Inline(Box::new(std::iter::once(Err(error))));
        Self { lanes: vec![lane], next: 0 }
    }

    fn new(segments: Vec<Arc<SegmentMap>>, threads: NonZeroUsize) -> Self {
        let all = jobs(&segments);
        let threads = threads.get().min(all.len().max(1));
        let lane = |i: usize| {
            let mine: Vec<Job> = all.iter().copied().skip(i).step_by(threads).collect();
            let segments = segments.clone();
            let mut cursor = None;
            let read = mine.into_iter().map(move |job| {
                let frames = at_segment(&mut cursor, &segments[job.segment]);
                frames.and_then(|frames| frames.hooks(job.frame))
            });
            if threads == 1 {
                return Lane::Inline(Box::new(read));
            }
            let (send, receive) = sync_channel(AHEAD);
            let thread = thread::spawn(move || {
                // The other side hangs up when it has enough, or at the first error.
                for batch in read {
                    if send.send(batch).is_err() {
                        return;
                    }
                }
            });
            Lane::Thread(receive, Some(thread))
        };
        Self { lanes: (0..threads).map(lane).collect(), next: 0 }
    }
}

impl Lane {
    /// The next frame of this lane.
    fn next(&mut self) -> Option<Decoded> {
        match self {
            Self::Inline(read) => read.next(),
            Self::Thread(receive, thread) => receive.recv().ok().or_else(|| {
                // Hung up: at its end, or by a panic, which must not look like an end.
                let ended = thread.take().map_or(Ok(()), JoinHandle::join);
                ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                None
            }),
        }
    }
}

impl Iterator for Parallel {
    type Item = Result<HookBatch, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // No lanes: at the end, or after an error, which hangs up on all threads.
            let lane = self.next;
            let decoded = self.lanes.get_mut(lane)?.next();
            self.next = (lane + 1) % self.lanes.len();
            match decoded {
                Some(Ok(Some(batch))) => return Some(Ok(batch)),
                Some(Ok(None)) => {}
                Some(Err(e)) => {
                    self.lanes.clear();
                    return Some(Err(e));
                }
                None => self.lanes.clear(),
            }
        }
    }
}
