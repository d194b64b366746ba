// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! One file of a stream, being written.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::ipc::writer::StreamEncoder;

use super::LogError;
use super::builder::TimeSpan;
use super::crc::crc32_on;
use super::frame::{Compressor, content_checksum};
use super::index::{IndexEntry, SeekEntry, encode_index, encode_seek_table};
use super::keyframe::FROM_NS;
use super::manifest::SegmentEntry;
use super::stream::{Stream, identified};
use crate::util::private;

/// Writes batches as frames, each with one write, and the end of a closed file.
pub struct Segment {
    path: PathBuf,
    file: File,
    encoder: StreamEncoder,
    compressor: Compressor,
    /// The batch as an Arrow message; kept for its allocation.
    content: Vec<u8>,
    /// The same, compressed.
    frame: Vec<u8>,
    index: Vec<IndexEntry>,
    seek: Vec<SeekEntry>,
    /// As the manifest will have it.
    entry: SegmentEntry,
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path)
            .field("bytes", &self.entry.bytes)
            .finish()
    }
}

impl Segment {
    /// Creates the file with its first frame: schema, dictionaries and an empty batch, so that it
    /// explains itself from its first bytes and any later frame can be read after this one alone.
    ///
    /// The schema names the recording and the segment: one in another's place is recognised.
    pub fn create(
        dir: &Path,
        recording: &str,
        stream: Stream,
        number: u32,
        level: i32,
    ) -> Result<Self, LogError> {
        let name = stream.file_name(number);
        Self::create_named(dir, &name, recording, (stream, number), level, None)
    }

    /// The same under another name, with the time of a key frame.
    pub fn create_named(
        dir: &Path,
        name: &str,
        recording: &str,
        (stream, number): (Stream, u32),
        level: i32,
        from_ns: Option<u64>,
    ) -> Result<Self, LogError> {
        let path = dir.join(name);
        let encode = |source| LogError::Encode { path: path.clone(), source };
        let mut schema = identified(stream, recording, number);
        if let Some(from_ns) = from_ns {
            schema.metadata.insert(FROM_NS.to_owned(), from_ns.to_string());
        }
        let encoder = StreamEncoder::try_new(&schema).map_err(encode)?;
        let empty = stream.empty().map_err(encode)?;
        let file = private::create_new(&path).map_err(|e| LogError::io("create", &path, e))?;
        let compressor =
            Compressor::new(level).map_err(|e| LogError::io("compress for", &path, e))?;
        let mut segment = Self {
            path,
            file,
            encoder,
            compressor,
            content: Vec::new(),
            frame: Vec::new(),
            index: Vec::new(),
            seek: Vec::new(),
            entry: SegmentEntry {
                stream: stream.name().to_owned(),
                number,
                ..SegmentEntry::default()
            },
        };
        segment.append(&empty, TimeSpan::EMPTY)?;
        Ok(segment)
    }

    /// Bytes written so far.
    pub const fn bytes(&self) -> u64 {
        self.entry.bytes
    }

    /// Frames with rows written so far.
    pub fn batches(&self) -> usize {
        self.index.len() - 1
    }

    /// Writes a batch as one frame.
    pub fn append(&mut self, batch: &RecordBatch, span: TimeSpan) -> Result<(), LogError> {
        let messages = self
            .encoder
            .encode(batch)
            .map_err(|source| LogError::Encode { path: self.path.clone(), source })?;
        self.write_frame(&messages, span, batch.num_rows())
    }

    /// Ends the stream, writes index and seek table, and makes it all durable. Returns the segment's
    /// entry for the manifest.
    pub fn finish(mut self) -> Result<SegmentEntry, LogError> {
        // The encoder is used up by its end; a fresh one of no use takes its place.
        let spent = StreamEncoder::try_new(&arrow::datatypes::Schema::empty());
        let end = spent
            .and_then(|spent| std::mem::replace(&mut self.encoder, spent).finish())
            .map_err(|source| LogError::Encode { path: self.path.clone(), source })?;
        self.write_frame(&end, TimeSpan::EMPTY, 0)?;
        let index = encode_index(&self.index);
        self.seek.push(SeekEntry::skippable(index.len()));
        let table = encode_seek_table(&self.seek);
        self.frame.clear();
        self.frame.extend_from_slice(&index);
        self.frame.extend_from_slice(&table);
        self.write()?;
        self.file.sync_all().map_err(|e| LogError::io("sync", &self.path, e))?;
        Ok(self.entry)
    }

    fn write_frame(
        &mut self,
        messages: &[Buffer],
        span: TimeSpan,
        rows: usize,
    ) -> Result<(), LogError> {
        self.content.clear();
        messages.iter().for_each(|m| self.content.extend_from_slice(m));
        self.compressor
            .compress(&self.content, &mut self.frame)
            .map_err(|e| LogError::io("compress for", &self.path, e))?;
        self.write()?;
        self.entry.rows += rows as u64;
        self.index.push(IndexEntry::new(span, rows, &self.frame));
        self.seek.push(SeekEntry {
            len: self.frame.len() as u32,
            content_len: self.content.len() as u32,
            checksum: content_checksum(&self.frame),
        });
        Ok(())
    }

    /// One write(2) of all of `frame`, unbuffered: what is written survives the process.
    fn write(&mut self) -> Result<(), LogError> {
        if let Err(e) = self.file.write_all(&self.frame) {
            // Half a frame would hide whatever came after it, should the disk have room again.
            // If this fails too, readers still stop at the last whole frame.
            let _ = self.file.set_len(self.entry.bytes);
            let _ = self.file.seek(SeekFrom::Start(self.entry.bytes));
            return Err(LogError::io("write", &self.path, e));
        }
        self.entry.bytes += self.frame.len() as u64;
        self.entry.crc32 = crc32_on(self.entry.crc32, &self.frame);
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_whole_frames() {
        let dir = tempfile::tempdir().unwrap();
        let mut segment = Segment::create(dir.path(), "", Stream::Ledger, 0, 1).unwrap();
        let batch = Stream::Ledger.empty().unwrap();
        segment.append(&batch, TimeSpan::EMPTY).unwrap();
        let before = segment.bytes();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut segment.file, full);
        let error = segment.append(&batch, TimeSpan::EMPTY).unwrap_err();
        assert!(matches!(error, LogError::DiskFull { .. }), "{error:?}");
        assert_eq!((segment.bytes(), segment.batches()), (before, 1));
        assert_eq!(file.metadata().unwrap().len(), before);
        // With room again, it goes on after the last whole frame.
        segment.file = file;
        segment.append(&batch, TimeSpan::EMPTY).unwrap();
        let entry = segment.finish().unwrap();
        let path = dir.path().join("ledger-000000.arrows.zst");
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(entry.bytes, bytes.len() as u64);
        assert_eq!(entry.crc32, super::super::crc::crc32(&bytes));
        let source = super::super::source::Directory::new(dir.path());
        let files = super::super::source::Files::new(std::sync::Arc::new(source), "".into());
        let name = Stream::Ledger.file_name(0);
        let map = super::super::frames::SegmentMap::open(&files, name, Default::default()).unwrap();
        let broken = |f: &super::super::frame::FrameAt| {
            matches!(f.what, super::super::frame::What::Broken(_))
        };
        assert!(map.closed && !map.frames.iter().any(broken));
    }
}
