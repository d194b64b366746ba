//! The integrity of one segment: its frames, and the end that a closed one has.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};

use super::LogError;
use super::builder::Span;
use super::frame::{End, content_checksum};
use super::index::{IndexEntry, SeekEntry, decode_index, encode_seek_table};
use super::reader::{Frames, SegmentMap};
use super::report::{FileReport, Finding};
use super::stream::column;

/// Tests every frame of the segment at `path`, and gives every batch to `visit`, which says what
/// is wrong with one. Goes on after a damaged frame.
///
/// # Errors
/// If the file cannot be read.
pub fn check(
    map: Arc<SegmentMap>,
    file: &str,
    visit: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
) -> Result<(FileReport, Vec<Finding>), LogError> {
    let mut check = Check {
        file,
        report: FileReport {
            file: file.to_owned(),
            bytes: map.bytes,
            closed: map.closed,
            ..FileReport::default()
        },
        findings: Vec::new(),
        index: None,
        seen: Vec::new(),
        seek: Vec::new(),
        tail: Vec::new(),
    };
    let mut frames = Frames::open(map.clone())?;
    for frame in 0..map.frames.len() {
        check.frame(&mut frames, frame, visit)?;
    }
    check.end(&map);
    Ok((check.report, check.findings))
}

struct Check<'a> {
    file: &'a str,
    report: FileReport,
    findings: Vec<Finding>,
    /// What the file's index says, where it has one.
    index: Option<Vec<IndexEntry>>,
    /// What the index must say.
    seen: Vec<IndexEntry>,
    /// What the seek table must say: all frames before it.
    seek: Vec<SeekEntry>,
    /// The last frame, if it is a skippable one.
    tail: Vec<u8>,
}

impl Check<'_> {
    fn corrupt(&mut self, map: &SegmentMap, frame: usize, reason: String) {
        let offset = map.frames.get(frame).map_or_else(|| map.whole(), |f| f.offset);
        let file = self.file.to_owned();
        self.findings.push(Finding::Corrupt { file, frame: frame as u64, offset, reason });
    }

    fn index_fault(&mut self, reason: &str) {
        self.findings
            .push(Finding::Index { file: self.file.to_owned(), reason: reason.to_owned() });
    }

    fn frame(
        &mut self,
        frames: &mut Frames,
        frame: usize,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<(), String>,
    ) -> Result<(), LogError> {
        let map = frames.map.clone();
        let Some(content_len) = map.frames[frame].content_len else {
            frames.load(frame)?;
            self.skippable(&map, frame, &frames.compressed);
            return Ok(());
        };
        self.report.frames += 1;
        let batch = match frames.batch(frame) {
            Ok(batch) => batch,
            Err(LogError::Corrupt { frame: at, reason, .. }) => {
                // Without the first frame none can be read: said once, at the first.
                if at == frame {
                    self.corrupt(&map, frame, reason);
                }
                None
            }
            Err(other) => return Err(other),
        };
        let (mut span, mut rows) = (Span::EMPTY, 0);
        if let Some(batch) = batch {
            rows = batch.num_rows();
            self.report.rows += rows as u64;
            let times: Result<&UInt64Array, String> = column(&batch, "ts_ns");
            let visited = times.and_then(|times| {
                times.values().iter().for_each(|ts| span.include(*ts));
                visit(&batch)
            });
            if let Err(reason) = visited {
                self.corrupt(&map, frame, reason);
            }
        }
        // Decoding a later frame may have loaded the first one in between.
        frames.load(frame)?;
        let bytes = &frames.compressed;
        self.seen.push(IndexEntry::new(span, rows, bytes));
        self.seek.push(SeekEntry {
            len: bytes.len() as u32,
            content_len: content_len as u32,
            checksum: content_checksum(bytes),
        });
        Ok(())
    }

    fn skippable(&mut self, map: &SegmentMap, frame: usize, bytes: &[u8]) {
        match decode_index(bytes) {
            Some(Ok(entries)) if self.index.is_none() => self.index = Some(entries),
            Some(Ok(_)) => self.corrupt(map, frame, "a second index".into()),
            Some(Err(reason)) => self.corrupt(map, frame, reason),
            None => {}
        }
        if frame + 1 == map.frames.len() {
            bytes.clone_into(&mut self.tail);
        } else {
            self.seek.push(SeekEntry::skippable(bytes.len()));
        }
    }

    fn end(&mut self, map: &SegmentMap) {
        if let Some(reason) = map.fault() {
            return self.corrupt(map, map.frames.len(), reason);
        }
        if !map.closed {
            let leftover = if let End::Cut { leftover } = map.end { leftover } else { 0 };
            let (file, offset) = (self.file.to_owned(), map.whole());
            return self.findings.push(Finding::Truncated { file, offset, leftover });
        }
        if self.tail != encode_seek_table(&self.seek) {
            self.index_fault("the seek table does not agree with the frames");
        }
        let Some(index) = self.index.take() else {
            return self.index_fault("the index is missing");
        };
        if index.len() != self.seen.len() {
            return self.index_fault("the index has another number of frames than the file");
        }
        let pairs = index.iter().zip(&self.seen).enumerate();
        let wrong = pairs.filter(|(_, (said, seen))| said != seen);
        let faults: Vec<String> = wrong
            .map(|(i, (said, seen))| {
                let what = if said.crc == seen.crc {
                    "times or rows in the index are not the frame's"
                } else {
                    "the bytes are not those that were written (CRC-32)"
                };
                format!("zstd frame {i}: {what}")
            })
            .collect();
        faults.iter().for_each(|reason| self.index_fault(reason));
    }
}
