// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The integrity of one segment: its frames, and the end that a closed one has.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};

use super::LogError;
use super::builder::TimeSpan;
use super::frame::{self, End, What, content_checksum};
use super::frames::{Frames, SegmentMap, fenced};
use super::index::{IndexEntry, SeekEntry, decode_index, decode_seek_table};
use super::report::{FileReport, Finding};
use super::stream::{RECORDING, SEGMENT, column};

/// Times of marks in a frame: everything made before one, but for a slack, stands before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    pub first: Option<u64>,
    /// The first that is later than `first`.
    pub second: Option<u64>,
    pub last: Option<u64>,
    /// The largest that came before `last` and is earlier.
    pub before_last: Option<u64>,
    /// The smallest, which is not the first where marks go back.
    pub least: Option<u64>,
    /// The smallest time of a record.
    pub earliest: Option<u64>,
    /// The largest time of a record.
    pub latest: Option<u64>,
}

impl Marks {
    pub fn add(&mut self, ts_ns: u64) {
        let first = *self.first.get_or_insert(ts_ns);
        if ts_ns > first {
            self.second.get_or_insert(ts_ns);
        }
        if self.last.is_none_or(|last| ts_ns > last) {
            self.before_last = self.last.replace(ts_ns);
        }
        self.least = Some(self.least.map_or(ts_ns, |least| least.min(ts_ns)));
    }

    /// A record of this time stands among them.
    pub fn record(&mut self, ts_ns: u64) {
        self.earliest = Some(self.earliest.map_or(ts_ns, |earliest| earliest.min(ts_ns)));
        self.latest = self.latest.max(Some(ts_ns));
    }
}

/// Rows that are not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hole {
    /// How many, where that is known.
    pub rows: Option<u64>,
    /// The first and last of their times, where these are known.
    pub span: Option<(u64, u64)>,
}

/// A stretch of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A frame that was read.
    Read(Marks),
    /// One that could not be, or bytes that are none.
    Hole(Hole),
}

/// The facts of a segment.
#[derive(Debug)]
pub struct Checked {
    pub report: FileReport,
    pub findings: Vec<Finding>,
    pub pieces: Vec<Piece>,
    /// Frames that hold a part of the content and are not to be read.
    pub damaged: BTreeSet<usize>,
    /// Whether all of its frames are known, if not whole: nothing is missing at its end.
    pub ended: bool,
    /// The recording and the number that it names; old ones name none.
    pub names: Option<(String, u32)>,
}

/// Checks every frame of a segment, and gives every batch to `visit`, which returns the batch's fault or
/// its marks. Continues after a damaged frame.
///
/// # Errors
/// If the file cannot be read.
pub fn check(
    map: Arc<SegmentMap>,
    file: &str,
    visit: &mut dyn FnMut(&RecordBatch) -> Result<Marks, String>,
) -> Result<Checked, LogError> {
    let mut check = Check {
        file,
        report: FileReport {
            file: file.to_owned(),
            bytes: map.bytes,
            closed: map.closed,
            ..FileReport::default()
        },
        findings: Vec::new(),
        pieces: Vec::new(),
        damaged: BTreeSet::new(),
        saw_end: false,
        index: None,
        seen: Vec::new(),
        seek: Vec::new(),
        tail: Vec::new(),
    };
    let mut frames = Frames::open(map.clone())?;
    for frame in 0..map.frames.len() {
        check.frame(&mut frames, frame, visit)?;
    }
    let mut named = |key| frames.metadata(key).ok().flatten();
    let names = named(RECORDING).zip(named(SEGMENT).and_then(|n| n.parse().ok()));
    check.end(&map);
    Ok(Checked {
        ended: check.saw_end || map.listed,
        report: check.report,
        findings: check.findings,
        pieces: check.pieces,
        damaged: check.damaged,
        names,
    })
}

/// In place of a frame's number: the one at hand.
const THIS: usize = usize::MAX;

struct Check<'a> {
    file: &'a str,
    report: FileReport,
    findings: Vec<Finding>,
    /// One for each frame that holds a part of the content.
    pieces: Vec<Piece>,
    damaged: BTreeSet<usize>,
    saw_end: bool,
    /// The file's index, if it has one.
    index: Option<Vec<IndexEntry>>,
    /// The entries that the index must have; none for frames that could not be read.
    seen: Vec<Option<IndexEntry>>,
    /// The entries that the seek table must have for all frames before it, and whether these could be
    /// read.
    seek: Vec<(SeekEntry, bool)>,
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
        at: usize,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<Marks, String>,
    ) -> Result<(), LogError> {
        let map = frames.map.clone();
        let content_len = match map.frames[at].what {
            What::Content(len) => len,
            What::Broken(reason) => {
                self.corrupt(&map, at, reason.to_owned());
                self.pieces.push(Piece::Hole(Hole::default()));
                self.damaged.insert(at);
                self.seen.push(None);
                return Ok(());
            }
            What::Skippable => {
                frames.load(at)?;
                self.skippable(&map, at, &frames.compressed);
                return Ok(());
            }
        };
        let read = match frames.batch(at) {
            Ok(batch) => self.batch(batch, visit),
            Err(LogError::Corrupt { frame, reason, .. }) => Err((frame, reason)),
            Err(other) => return Err(other),
        };
        // Decoding a later frame may have loaded the first one in between.
        frames.load(at)?;
        let bytes = &frames.compressed;
        if bytes.len() >= 4 {
            let entry = SeekEntry {
                len: bytes.len() as u32,
                content_len: frame::content_len(bytes).unwrap_or(content_len) as u32,
                checksum: content_checksum(bytes),
            };
            self.seek.push((entry, read.is_ok()));
        }
        match read {
            Ok((span, rows, marks)) => {
                self.report.frames += 1;
                self.report.rows += rows as u64;
                self.seen.push(Some(IndexEntry::new(span, rows, bytes)));
                self.pieces.push(Piece::Read(marks));
            }
            Err((frame, reason)) => {
                // Without the first frame none can be read: reported once, at the first.
                if frame == at || frame == THIS {
                    self.corrupt(&map, at, reason);
                }
                self.seen.push(None);
                self.damaged.insert(at);
                self.pieces.push(Piece::Hole(Hole::default()));
            }
        }
        Ok(())
    }

    /// Span, rows and marks of a batch; the end of the stream has none.
    #[allow(clippy::type_complexity, reason = "three facts of one batch, or where and why not")]
    fn batch(
        &mut self,
        batch: Option<RecordBatch>,
        visit: &mut dyn FnMut(&RecordBatch) -> Result<Marks, String>,
    ) -> Result<(TimeSpan, usize, Marks), (usize, String)> {
        let mut span = TimeSpan::EMPTY;
        let Some(batch) = batch else {
            self.saw_end = true;
            return Ok((span, 0, Marks::default()));
        };
        let marks = fenced(|| {
            let times: &UInt64Array = column(&batch, "ts_ns")?;
            times.values().iter().for_each(|ts| span.include(*ts));
            visit(&batch)
        });
        // It is this frame that is wrong.
        let marks = marks.map_err(|reason| (THIS, reason))?;
        Ok((span, batch.num_rows(), marks))
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
            self.seek.push((SeekEntry::skippable(bytes.len()), true));
        }
    }

    fn end(&mut self, map: &SegmentMap) {
        self.fill_holes();
        if !map.closed {
            let leftover = if let End::Cut { leftover } = map.end { leftover } else { 0 };
            let (file, offset) = (self.file.to_owned(), map.whole());
            return self.findings.push(Finding::Truncated { file, offset, leftover });
        }
        if !self.agrees(decode_seek_table(&self.tail, map.bytes - self.tail.len() as u64)) {
            self.index_fault("the seek table does not agree with the frames");
        }
        let Some(index) = self.index.take() else {
            return self.index_fault("the index is missing");
        };
        if index.len() != self.seen.len() {
            return self.index_fault("the index has another number of frames than the file");
        }
        let pairs = index.iter().zip(&self.seen).enumerate();
        let wrong = pairs.filter_map(|(i, (said, seen))| Some((i, said, seen.as_ref()?)));
        let faults: Vec<String> = wrong
            .filter(|(_, said, seen)| said != seen)
            .map(|(i, said, seen)| {
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

    /// Whether the seek table agrees with the frames. For frames that could not be read only their
    /// places are compared.
    fn agrees(&self, table: Option<Vec<SeekEntry>>) -> bool {
        let Some(table) = table.filter(|table| table.len() == self.seek.len()) else {
            return false;
        };
        let same = |(said, (seen, is_read)): (&SeekEntry, &(SeekEntry, bool))| {
            if *is_read { said == seen } else { said.len == seen.len }
        };
        table.iter().zip(&self.seek).all(same)
    }

    /// Fills in frames that could not be read from the index.
    fn fill_holes(&mut self) {
        let Some(index) = self.index.as_ref().filter(|index| index.len() == self.pieces.len())
        else {
            return;
        };
        for (piece, entry) in self.pieces.iter_mut().zip(index) {
            if let Piece::Hole(hole) = piece {
                hole.rows = Some(u64::from(entry.rows));
                hole.span = Some((entry.first_ns, entry.last_ns));
            }
        }
        self.pieces.retain(|piece| !matches!(piece, Piece::Hole(Hole { rows: Some(0), .. })));
    }
}
