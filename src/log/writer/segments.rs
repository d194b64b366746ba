// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! When the writer begins segments, and which it removes.

use std::fs;

use super::parts::Closed;
use super::{HookBuilder, LifecycleBuilder, PacketBuilder, RecordingWriter};
use crate::log::capture_stats::{CaptureStatsBuilder, DroppedRows};
use crate::log::keyframe;
use crate::log::segment::Segment;
use crate::log::stream::Stream;
use crate::log::{CaptureStat, LogError};

/// After this many segments that are kept, new ones become twice as long, and so on: the manifest has a line for each file of each,
/// and stays below the bounds of its readers. A year of segments of a second comes to 15,000.
const MANY: usize = 1_000;

impl RecordingWriter {
    /// How much longer than usual a segment lasts by now.
    fn stretched(&self, usual: u64) -> u64 {
        usual.saturating_mul(1 << (self.closed.len() / MANY).min(40))
    }

    /// Bytes of the open segments that are divided.
    fn open_bytes(&self) -> u64 {
        let connections =
            if self.divides_connections { self.connections.segment.bytes() } else { 0 };
        let ledger = if self.divides_ledger { self.ledger.segment.bytes() } else { 0 };
        self.hooks.segment.bytes()
            + self.sockets.segment.bytes()
            + self.packets.as_ref().map_or(0, |p| p.segment.bytes())
            + connections
            + ledger
    }

    pub(super) fn rotate_if_full(&mut self) -> Result<(), LogError> {
        let quarter = self.options.max_bytes.map_or(u64::MAX, |max| max / 4);
        // No segment smaller than its key frame: with many connections and a small bound these would be most of the disk.
        let usual = self.stretched(self.options.rotate_bytes);
        let full = usual.min(quarter).max(self.key_frame_bytes());
        if self.open_bytes() >= full && self.wanted_key_frame().is_none() {
            self.rotate()?;
        }
        Ok(())
    }

    fn key_frame_bytes(&self) -> u64 {
        self.key_frames.as_ref().map_or(0, |frames| frames.last_bytes)
    }

    pub(super) fn rotate_if_old(&mut self) -> Result<(), LogError> {
        let since_ns = *self.segment_since_ns.get_or_insert(self.now_ns);
        let age_ns = self.now_ns.saturating_sub(since_ns);
        let keep_ns = self.options.keep_ns;
        // As with a bound of the size, key frames are not most of the disk, unless segments became longer than a quarter of the time.
        let is_small = self.open_bytes() < self.key_frame_bytes();
        let is_young = age_ns < self.stretched(self.options.rotate_ns)
            || keep_ns.is_some_and(|keep| is_small && age_ns < keep / 4);
        // A key frame asks for a mark: an idle recorder would begin one segment after the other. It has to, where a time is kept.
        let is_idle = self.key_frames.is_some()
            && keep_ns.is_none()
            && self.segment_rows.iter().next().is_none();
        let has_rows = self.hooks.segment.batches() > 0
            || self.sockets.segment.batches() > 0
            || (self.divides_connections && self.connections.segment.batches() > 0)
            || (self.divides_ledger && self.ledger.segment.batches() > 0)
            || self.packets.as_ref().is_some_and(|p| p.segment.batches() > 0);
        if !is_young && !is_idle && has_rows && self.wanted_key_frame().is_none() {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        // Rows still in the builders would be counted to the segments that end.
        self.flush_sockets()?;
        self.hooks.flush(Stream::Hooks, HookBuilder::take)?;
        if let Some(packets) = &mut self.packets {
            packets.flush(Stream::Packets, PacketBuilder::take)?;
        }
        if self.divides_connections {
            self.connections.flush(Stream::Connections, LifecycleBuilder::take)?;
        }
        if self.divides_ledger {
            self.ledger.flush(Stream::Ledger, CaptureStatsBuilder::take)?;
        }
        let next = self.segment_number + 1;
        let create =
            |is_divided: bool, stream| is_divided.then(|| self.segment(stream, next)).transpose();
        let hooks = create(true, Stream::Hooks)?;
        let sockets = create(true, Stream::Sockets)?;
        let connections = create(self.divides_connections, Stream::Connections)?;
        let packets = create(self.packets.is_some(), Stream::Packets)?;
        let ledger = create(self.divides_ledger, Stream::Ledger)?;
        let open = [
            (Stream::Hooks, Some(&mut self.hooks.segment), hooks),
            (Stream::Sockets, Some(&mut self.sockets.segment), sockets),
            (Stream::Connections, Some(&mut self.connections.segment), connections),
            (Stream::Packets, self.packets.as_mut().map(|p| &mut p.segment), packets),
            (Stream::Ledger, Some(&mut self.ledger.segment), ledger),
        ];
        let ended = open.into_iter().filter_map(|(stream, open, next)| {
            open.zip(next).map(|(open, next)| (stream, std::mem::replace(open, next)))
        });
        let finish = |(stream, segment): (_, Segment)| Ok((stream, segment.finish()?));
        let entries = ended.map(finish).collect::<Result<Vec<_>, LogError>>()?;
        let bytes = entries.iter().map(|(_, entry)| entry.bytes).sum();
        self.closed_bytes += bytes;
        self.closed.push_back(Closed {
            number: std::mem::replace(&mut self.segment_number, next),
            bytes,
            // Where a size ended it, in the middle of reading the rings, it has records after the last tick.
            until_ns: self.now_ns.max(self.latest_ns),
            rows: std::mem::take(&mut self.segment_rows),
            entries,
        });
        self.segment_since_ns = Some(self.now_ns);
        if let Some(frames) = &mut self.key_frames {
            // All that the segments before have is older.
            frames.wanted.push((next, self.latest_ns.saturating_add(1)));
            if let Some(rows) = self.ledger.builder.carried() {
                let level = self.options.level;
                let bytes = keyframe::write_ledger(&self.dir, &self.recording, next, level, rows)?;
                frames.bytes.insert(next, bytes);
            }
        }
        Ok(())
    }

    /// Whether the oldest segment is to be removed.
    fn is_over(&self) -> bool {
        let too_large = self.options.max_bytes.is_some_and(|max| self.bytes_written() > max);
        let is_old = |keep: u64| {
            let until_ns = self.closed.front().map_or(u64::MAX, |closed| closed.until_ns);
            self.now_ns.saturating_sub(keep) > until_ns
        };
        too_large || self.options.keep_ns.is_some_and(is_old)
    }

    pub(super) fn bound(&mut self) -> Result<(), LogError> {
        while self.is_over() {
            let next = self.closed.get(1).map_or(self.segment_number, |closed| closed.number);
            if self.key_frames.as_ref().is_some_and(|f| !f.written.contains(&next)) {
                return Ok(());
            }
            let Some(oldest) = self.closed.pop_front() else { return Ok(()) };
            let (ts_ns, segment) = (self.now_ns, oldest.number);
            self.capture_stat(&CaptureStat::Dropped { ts_ns, segment, before: false })?;
            for (cpu, rows) in oldest.rows.iter() {
                let row = DroppedRows { ts_ns, segment, cpu, rows };
                self.ledger.builder.push_dropped(&row);
            }
            // First on record, then gone: a crash between the two leaves a segment too many.
            self.ledger.since_ns.get_or_insert(ts_ns);
            self.ledger.flush(Stream::Ledger, CaptureStatsBuilder::take)?;
            // Readers take the rows for removed once the file of hook records is not there: it is the last. After a crash
            // between two of them the others are missing, and nothing counts as removed that is there.
            let is_hooks = |stream: &Stream| *stream == Stream::Hooks;
            let mut streams: Vec<Stream> =
                oldest.entries.iter().map(|(stream, _)| *stream).collect();
            streams.sort_by_key(is_hooks);
            for stream in streams {
                let path = self.dir.join(stream.file_name(segment));
                fs::remove_file(&path).map_err(|e| LogError::io("remove", &path, e))?;
            }
            if let Some(frames) = &mut self.key_frames {
                keyframe::remove(&self.dir, segment)?;
                frames.written.remove(&segment);
                frames.bytes.remove(&segment);
            }
            self.closed_bytes -= oldest.bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Manifest, WriterOptions};
    use crate::testing;

    #[test]
    fn segments_become_longer_when_there_are_very_many() {
        const SECOND: u64 = 1_000_000_000;
        let dir = tempfile::tempdir().expect("a directory");
        let options = WriterOptions { rotate_ns: SECOND, ..WriterOptions::default() };
        let manifest = Manifest { recording: "r".into(), ..Manifest::default() };
        let run = dir.path().join("run");
        let mut writer = RecordingWriter::create(&run, &manifest, options).expect("created");
        for second in 1..=MANY as u64 + 200 {
            let record = testing::hook(crate::schema::Hook::Egress, second * SECOND, 1, &[]);
            writer.hook(&record.header, &record.ops).expect("written");
            writer.tick(second * SECOND + SECOND / 2).expect("written");
            writer.tick((second + 1) * SECOND).expect("written");
        }
        let kept = writer.closed.len();
        assert!((MANY + 90..MANY + 110).contains(&kept), "{kept}");
    }
}
