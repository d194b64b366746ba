// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The frames of one segment, found and read.
//!
//! Nothing here trusts a file: lengths are bounded before anything is allocated, each frame is proved
//! by its checksum, and its Arrow message is tested before Arrow reads it. What fails is an error of
//! that frame alone.

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::{MessageHeader, root_as_message};

use super::LogError;
use super::batch::{HookBatch, HookNames};
use super::frame::{
    End, FrameAt, MAX_CONTENT, MAX_FRAME, What, content_len, decompress, is_skippable, u32_at, walk,
};
use super::index::{decode_seek_table, ends_with_seek_table, seek_table_len};
use super::source::{Bytes, Files};

/// Most the content of the first frame may be: schema and names. Ours have less than 100 kB.
const MAX_FIRST: u64 = 1 << 20;
/// Most the content of a frame of hook records may be: several wait for their turn. Ours have less than 3 MB.
const MAX_HOOKS: u64 = 8 << 20;
/// Most values that a column of a frame may have, those of lists included.
const MAX_VALUES: i64 = 500_000;

/// Where the frames of one segment are.
#[derive(Debug)]
pub struct SegmentMap {
    files: Files,
    name: String,
    /// How errors name it.
    pub path: PathBuf,
    pub frames: Vec<FrameAt>,
    pub end: End,
    pub bytes: u64,
    /// Whether the file ends as a closed one does.
    pub closed: bool,
    /// Whether the frames are those of its seek table.
    pub listed: bool,
    /// Frames that are not to be read, as the survey found.
    pub damaged: BTreeSet<usize>,
    /// Bytes of frames that were read.
    read: Arc<AtomicU64>,
}

impl SegmentMap {
    /// Finds the frames: by the seek table where it is whole, or else one after the other.
    pub fn open(files: &Files, name: String, read: Arc<AtomicU64>) -> Result<Self, LogError> {
        let path = files.path(&name);
        let mut file = files.open(&name)?;
        let scan = || {
            let bytes = file.seek(SeekFrom::End(0))?;
            let mut tail = Vec::new();
            file.seek(SeekFrom::Start(bytes.saturating_sub(16)))?;
            (&mut file).take(16).read_to_end(&mut tail)?;
            let closed = ends_with_seek_table(&tail);
            if let Some(frames) = by_seek_table(&mut file, bytes, &tail)? {
                return Ok((frames, End::Whole, bytes, closed, true));
            }
            let (mut frames, mut end) = walk(file)?;
            if let (End::Cut { leftover }, true) = (&end, closed) {
                // A closed file has its end, so a frame that reaches beyond it was not cut.
                let (offset, what) =
                    (bytes - leftover, What::Broken("a frame reaches beyond the file"));
                frames.push(FrameAt { offset, len: *leftover, what });
                end = End::Whole;
            }
            Ok((frames, end, bytes, closed, false))
        };
        let (frames, end, bytes, closed, listed) =
            scan().map_err(|e| LogError::io("read", &path, e))?;
        let (files, damaged) = (files.clone(), BTreeSet::new());
        Ok(Self { files, name, path, frames, end, bytes, closed, listed, damaged, read })
    }

    /// End of the last whole frame.
    pub fn whole(&self) -> u64 {
        self.frames.last().map_or(0, FrameAt::end)
    }

    pub fn corrupt(&self, frame: usize, reason: String) -> LogError {
        let offset = self.frames.get(frame).map_or_else(|| self.whole(), |f| f.offset);
        LogError::Corrupt { path: self.path.clone(), frame, offset, reason }
    }
}

fn by_seek_table(
    file: &mut dyn Bytes,
    bytes: u64,
    tail: &[u8],
) -> std::io::Result<Option<Vec<FrameAt>>> {
    let Some(len) = seek_table_len(tail).filter(|len| *len <= MAX_FRAME.max(bytes / 2)) else {
        return Ok(None);
    };
    let mut table = vec![0; len as usize];
    file.seek(SeekFrom::Start(bytes - len))?;
    file.read_exact(&mut table)?;
    let Some(entries) = decode_seek_table(&table, bytes - len) else { return Ok(None) };
    let mut offset = 0;
    let mut frames = Vec::with_capacity(entries.len() + 1);
    for entry in &entries {
        // Which it is stands in the frame; the table proves only where it begins.
        let mut magic = [0; 4];
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut magic)?;
        let what = if is_skippable(u32::from_le_bytes(magic)) {
            What::Skippable
        } else {
            What::Content(u64::from(entry.content_len))
        };
        let at = FrameAt { offset, len: u64::from(entry.len), what };
        offset = at.end();
        frames.push(at);
    }
    frames.push(FrameAt { offset, len, what: What::Skippable });
    Ok(Some(frames))
}

/// Reads frames of one segment in any order.
pub struct Frames {
    pub map: Arc<SegmentMap>,
    file: Box<dyn Bytes>,
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
        let file = map.files.open(&map.name)?;
        let zstd = zstd::bulk::Decompressor::new();
        let zstd = zstd.map_err(|e| LogError::io("read", &map.path, e))?;
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

    /// Reads a frame's compressed bytes; of one larger than any frame none.
    pub fn load(&mut self, frame: usize) -> Result<(), LogError> {
        let at @ FrameAt { offset, len, .. } = self.map.frames[frame];
        self.compressed.clear();
        if len > at.most() {
            return Ok(());
        }
        self.compressed.resize(len as usize, 0);
        let mut read = || {
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut self.compressed)
        };
        read().map_err(|e| LogError::io("read", &self.map.path, e))?;
        self.map.read.fetch_add(len, Ordering::Relaxed);
        Ok(())
    }

    fn content(&mut self, frame: usize, most: u64) -> Result<Vec<u8>, LogError> {
        let corrupt = |reason: &str| self.map.corrupt(frame, reason.to_owned());
        match self.map.frames.get(frame).map(|f| f.what) {
            // What the frame itself says counts: the seek table may say less.
            Some(What::Content(_)) => {}
            Some(What::Broken(reason)) => return Err(corrupt(reason)),
            Some(What::Skippable) | None => return Err(corrupt("no frame begins here")),
        }
        self.load(frame)?;
        if content_len(&self.compressed).is_some_and(|len| len > most) {
            return Err(self
                .map
                .corrupt(frame, "its content is larger than any of its kind".into()));
        }
        decompress(&mut self.zstd, &self.compressed)
            .map_err(|reason| self.map.corrupt(frame, reason))
    }

    /// The batch of a frame; `None` for the end of the stream.
    pub fn batch(&mut self, frame: usize) -> Result<Option<RecordBatch>, LogError> {
        self.batch_of(frame, MAX_CONTENT)
    }

    fn batch_of(&mut self, frame: usize, most: u64) -> Result<Option<RecordBatch>, LogError> {
        self.prime()?;
        if frame == 0 {
            return Ok(self.first.clone());
        }
        let content = self.content(frame, most)?;
        self.decode(Buffer::from_vec(content)).map_err(|reason| self.map.corrupt(frame, reason))
    }

    /// The metadata of the segment's schema.
    pub fn metadata(&mut self, key: &str) -> Result<Option<String>, LogError> {
        self.prime()?;
        Ok(self.first.as_ref().and_then(|batch| batch.schema().metadata().get(key).cloned()))
    }

    /// Takes in schema and dictionaries.
    fn prime(&mut self) -> Result<(), LogError> {
        if self.first.is_some() {
            return Ok(());
        }
        let mut content = self.content(0, MAX_FIRST)?;
        let corrupt = |reason| self.map.corrupt(0, reason);
        test_messages(&content).map_err(corrupt)?;
        // Arrow's decoder gives a batch without a body (no rows, no lists) only when it sees a byte
        // more: the first one of the next message.
        content.push(0xff);
        let mut content = Buffer::from_vec(content);
        self.decoder = StreamDecoder::new();
        let decoder = &mut self.decoder;
        let first = fenced(|| decoder.decode(&mut content).map_err(|e| e.to_string()));
        let first = first.map_err(corrupt)?;
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
        let is_batch = |kind| kind == MessageHeader::RecordBatch;
        if test_messages(&content)?.first().copied().is_none_or(|kind| !is_batch(kind)) {
            return Err("the frame does not begin with a record batch".into());
        }
        let decoder = &mut self.decoder;
        let batch = fenced(|| decoder.decode(&mut content).map_err(|e| e.to_string()));
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
    pub fn hooks(&mut self, frame: usize) -> Result<Option<HookBatch>, LogError> {
        let Some(batch) = self.batch_of(frame, MAX_HOOKS)? else { return Ok(None) };
        let names = self.names.clone();
        let read = fenced(|| {
            let names = match names {
                Some(names) => names,
                None => Arc::new(HookNames::new(&batch)?),
            };
            Ok((HookBatch::new(&batch, names.clone())?, names))
        });
        let (hooks, names) = read.map_err(|reason| self.map.corrupt(frame, reason))?;
        self.names = Some(names);
        Ok(Some(hooks))
    }

    /// The rows of a frame.
    pub fn rows<T>(
        &mut self,
        frame: usize,
        decode: fn(&RecordBatch) -> Result<Vec<T>, String>,
    ) -> Result<Vec<T>, LogError> {
        let Some(batch) = self.batch(frame)? else { return Ok(Vec::new()) };
        fenced(|| decode(&batch)).map_err(|reason| self.map.corrupt(frame, reason))
    }
}

/// Catches a panic of a library that reads a frame with a right checksum and a wrong content, as only a
/// forged file has. What can be checked before is checked ([`test_messages`]). If Arrow panics on the
/// rest, the frame is lost and not the recording.
pub fn fenced<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its batch cannot be read".to_owned()))
}

/// Whether this is Arrow's end-of-stream marker.
fn is_end(content: &[u8]) -> bool {
    *content == [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]
}

/// The kinds of the Arrow messages of a frame, each tested for what Arrow's reader takes for
/// granted: that bodies and buffers lie inside, and that nothing is compressed a second time.
fn test_messages(content: &[u8]) -> Result<Vec<MessageHeader>, String> {
    let fault = |what: &str| format!("its Arrow message is damaged: {what}");
    let mut kinds = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        if rest.len() < 8 || u32_at(rest, 0) != u32::MAX {
            return Err(fault("it does not begin as one"));
        }
        let len = u32_at(rest, 4) as usize;
        let metadata = rest[8..].get(..len).ok_or_else(|| fault("its length"))?;
        let message = root_as_message(metadata).map_err(|e| fault(&e.to_string()))?;
        let body = usize::try_from(message.bodyLength()).ok();
        let body = body.filter(|body| *body <= rest.len() - 8 - len);
        let body = body.ok_or_else(|| fault("the length of its body"))?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
            }
            _ => None,
        };
        if let Some(batch) = batch {
            if batch.compression().is_some() {
                return Err(fault("it is compressed"));
            }
            let inside = |offset: i64, len: i64| {
                let end = offset.checked_add(len).and_then(|end| usize::try_from(end).ok());
                offset >= 0 && len >= 0 && end.is_some_and(|end| end <= body)
            };
            let mut buffers = batch.buffers().into_iter().flatten();
            if !buffers.all(|b| inside(b.offset(), b.length())) {
                return Err(fault("a buffer lies outside"));
            }
            let rows = |n: i64| (0..=MAX_VALUES).contains(&n);
            let mut nodes = batch.nodes().into_iter().flatten();
            if !rows(batch.length()) || !nodes.all(|n| rows(n.length()) && rows(n.null_count())) {
                return Err(fault("its number of rows"));
            }
        }
        kinds.push(message.header_type());
        rest = &rest[8 + len + body..];
    }
    Ok(kinds)
}

/// The open segment, changed if need be.
pub fn at_segment<'a>(
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
