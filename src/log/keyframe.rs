// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Key frames: what was known of each open connection when a segment began, in files beside the segment.
//!
//! A bounded recording removes its oldest segments. The key frame of the oldest that is left stands for all that
//! was removed. It is in files of its own, so that readers that do not know it read the segments as before, and its
//! rows are no records of the recording: they have no numbers of a CPU. A third file has what the ledger of the segments
//! before comes to.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::LogError;
use super::builder::HookBuilder;
use super::capture_stats::{self, CaptureStatsBuilder, RawCaptureStat};
use super::frames::{Frames, SegmentMap};
use super::rows::{self, LifecycleBuilder};
use super::segment::Segment;
use super::source::Files;
use super::stream::Stream;
use super::writer::BATCH;
use crate::schema::Hook;
use crate::wire::{Event, Header, HookRecord, Lifecycle, NO_CPU};

/// The connections that were open at a time, with what was known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFrame {
    /// The time, CLOCK_MONOTONIC in ns. Every record of the segments before is older, and what those of the segment
    /// and the segments behind it have that is older is in the key frame.
    pub from_ns: u64,
    /// A `baseline` of each open connection, and an `over` of each that has ended and whose socket is still there.
    pub lifecycles: Vec<Lifecycle>,
    /// The last values of the open connections.
    pub hooks: Vec<HookRecord>,
}

/// Key of the schema's metadata with [`KeyFrame::from_ns`].
pub(super) const FROM_NS: &str = "estats.from_ns";

const STREAMS: [Stream; 2] = [Stream::Connections, Stream::Hooks];
const FILES: [Stream; 3] = [Stream::Connections, Stream::Hooks, Stream::Ledger];

/// What a file may have: more connections than a host has, and all their variables. A larger one was not written by us.
const MAX_CONNECTIONS: usize = 1 << 20;
const MAX_OPERATIONS: usize = MAX_CONNECTIONS * 64;

/// The name of one of its files.
pub(super) fn file_name(stream: Stream, number: u32) -> String {
    format!("keyframe-{}", stream.file_name(number))
}

/// Whether a file of this name belongs to a key frame.
pub(super) fn is_one(name: &str) -> bool {
    let of = name.strip_prefix("keyframe-");
    of.is_some_and(|of| FILES.iter().any(|stream| stream.segment(of).is_some()))
}

/// Writes the key frame of a segment. Returns its size in bytes.
pub(super) fn write(
    dir: &Path,
    recording: &str,
    number: u32,
    level: i32,
    frame: &KeyFrame,
) -> Result<u64, LogError> {
    let create = |stream| {
        let name = file_name(stream, number);
        Segment::create_named(dir, &name, recording, (stream, number), level, Some(frame.from_ns))
    };
    let fault =
        |stream: Stream| move |source| LogError::Encode { path: stream.name().into(), source };
    let mut segment = create(Stream::Connections)?;
    let mut builder = LifecycleBuilder::default();
    for (i, row) in frame.lifecycles.iter().enumerate() {
        builder.push(row.clone());
        if builder.is_full() || i + 1 == frame.lifecycles.len() {
            let (batch, span) = builder.take().map_err(fault(Stream::Connections))?;
            segment.append(&batch, span)?;
        }
    }
    let mut bytes = segment.finish()?.bytes;
    let mut segment = create(Stream::Hooks)?;
    let mut builder = HookBuilder::default();
    for (i, record) in frame.hooks.iter().enumerate() {
        builder.push(&record.header, &record.ops);
        if builder.operations() >= BATCH || i + 1 == frame.hooks.len() {
            let (batch, span) = builder.take().map_err(fault(Stream::Hooks))?;
            segment.append(&batch, span)?;
        }
    }
    bytes += segment.finish()?.bytes;
    Ok(bytes)
}

/// Writes what the ledger of the segments before comes to. Returns its size in bytes.
pub(super) fn write_ledger(
    dir: &Path,
    recording: &str,
    number: u32,
    level: i32,
    mut rows: CaptureStatsBuilder,
) -> Result<u64, LogError> {
    let (stream, name) = (Stream::Ledger, file_name(Stream::Ledger, number));
    let mut segment = Segment::create_named(dir, &name, recording, (stream, number), level, None)?;
    let fault = |source| LogError::Encode { path: stream.name().into(), source };
    let (batch, span) = rows.take().map_err(fault)?;
    segment.append(&batch, span)?;
    Ok(segment.finish()?.bytes)
}

/// What the ledger of the segments before this one comes to; `None` if it is not there, or not whole.
pub(super) fn read_ledger(
    files: &Files,
    recording: &str,
    number: u32,
) -> Option<Vec<RawCaptureStat>> {
    let mut frames = open(files, recording, Stream::Ledger, number)?;
    let mut rows = Vec::new();
    for i in content(&frames) {
        rows.extend(frames.rows(i, capture_stats::decode).ok()?);
        if rows.len() > MAX_CONNECTIONS {
            return None;
        }
    }
    Some(rows)
}

/// A file of the key frame of a segment of this recording.
fn open(files: &Files, recording: &str, stream: Stream, number: u32) -> Option<Frames> {
    let map = SegmentMap::open(files, file_name(stream, number), Arc::default()).ok()?;
    if !map.closed || !map.listed {
        return None;
    }
    let mut frames = Frames::open(Arc::new(map)).ok()?;
    let mut meta = |key| frames.metadata(key).ok().flatten();
    let is_its_own = meta(super::stream::RECORDING)? == recording
        && meta(super::stream::SEGMENT)? == number.to_string();
    is_its_own.then_some(frames)
}

/// Its frames with rows: the first has none, the last is the end of the stream.
fn content(frames: &Frames) -> std::ops::Range<usize> {
    1..frames.map.frames.iter().filter(|f| f.is_content()).count()
}

/// Removes the key frame of a segment, as far as it is there.
pub(super) fn remove(dir: &Path, number: u32) -> Result<(), LogError> {
    for stream in FILES {
        let path = dir.join(file_name(stream, number));
        match fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(LogError::io("remove", &path, e));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The key frame of a segment of this recording; `None` if it is not there, or not whole.
pub(super) fn read(files: &Files, recording: &str, number: u32) -> Option<KeyFrame> {
    let mut frame = KeyFrame::default();
    let mut operations = 0;
    let mut times = Vec::new();
    for stream in STREAMS {
        let mut frames = open(files, recording, stream, number)?;
        times.push(frames.metadata(FROM_NS).ok().flatten()?.parse::<u64>().ok()?);
        for i in content(&frames) {
            if stream == Stream::Connections {
                let rows = frames.rows(i, rows::decode).ok()?;
                frame.lifecycles.extend(rows.into_iter().collect::<Option<Vec<_>>>()?);
                if frame.lifecycles.len() > MAX_CONNECTIONS {
                    return None;
                }
            } else if let Some(batch) = frames.hooks(i).ok()? {
                if batch.unknown_ops() > 0 || batch.unknown_records() > 0 {
                    return None;
                }
                operations += (0..batch.len()).map(|row| batch.ops(row).count()).sum::<usize>();
                if operations > MAX_OPERATIONS || frame.hooks.len() > MAX_CONNECTIONS {
                    return None;
                }
                frame.hooks.extend((0..batch.len()).map(|row| HookRecord {
                    header: batch.header(row),
                    ops: batch.ops(row).collect(),
                }));
            }
        }
    }
    frame.from_ns = times[0];
    let is_one = times.iter().all(|time| *time == times[0]);
    let is_own = |h: &Header| {
        (h.cpu, h.hook) == (NO_CPU, Hook::Baseline) && h.ts_ns < frame.from_ns && h.cookie != 0
    };
    let is_row =
        |row: &Lifecycle| is_own(&row.header) && matches!(row.event, Event::Baseline | Event::Over);
    let is_right = is_one
        && frame.lifecycles.iter().all(is_row)
        && frame.hooks.iter().all(|record| is_own(&record.header));
    is_right.then_some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::source::Directory;
    use crate::testing;

    /// A path of a cgroup in a cgroup in a cgroup takes more than all other values of a connection.
    #[test]
    fn connections_with_long_texts_come_back() {
        const RECORDING: &str = "6e0c2a4e-9d51-4d6c-8a37-0f4f0f6f5a10";
        let dir = tempfile::tempdir().expect("a directory");
        let row = |n: u64| {
            let row = testing::lifecycle(Event::Baseline, 10, n);
            let header = Header { cpu: NO_CPU, hook: Hook::Baseline, ..row.header };
            Lifecycle { header, cgroup_path: format!("/{n:04000}"), ..row }
        };
        let lifecycles = (1..=10_000).map(row).collect();
        let frame = KeyFrame { from_ns: 20, lifecycles, hooks: Vec::new() };
        write(dir.path(), RECORDING, 3, 1, &frame).expect("written");
        let files = Files::new(Arc::new(Directory::new(dir.path())), dir.path().into());
        assert_eq!(read(&files, RECORDING, 3).as_ref(), Some(&frame));
    }
}
