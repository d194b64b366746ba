// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Writing a recording.

mod parts;
mod segments;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::parts::{Closed, KeyFrames, Marks, Pending, PerCpu};
use super::builder::HookBuilder;
use super::capture_stats::{CaptureStatsBuilder, RawCaptureStat};
use super::keyframe::{self, KeyFrame};
use super::packets::{PacketBuilder, PacketRow};
use super::rows::{LifecycleBuilder, marker};
use super::segment::Segment;
use super::sockets::SocketBuilder;
use super::stream::Stream;
use super::{CaptureStat, LogError, Manifest};
use crate::schema::Hook;
use crate::util::private;
use crate::wire::{Header, Lifecycle, NO_CPU, Operation, Packet, Snapshot};

/// How the recording is divided and bounded. A bound removes the oldest segments. The ledger stays whole unless the manifest has it
/// divided, and lifecycle records do unless the manifest has key frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// Segments of hook records, snapshots and packets end when they have this many bytes together
    /// (at most a quarter of `max_bytes`, so that removing one removes a small part).
    pub rotate_bytes: u64,
    /// Or when it is this old, in ns.
    pub rotate_ns: u64,
    /// Bound of the recording's size.
    pub max_bytes: Option<u64>,
    /// Bound of its time: segments all of which is older are removed.
    pub keep_ns: Option<u64>,
    /// zstd compression level.
    pub level: i32,
}

impl WriterOptions {
    /// Whether old segments are removed.
    pub const fn is_bounded(&self) -> bool {
        self.max_bytes.is_some() || self.keep_ns.is_some()
    }

    /// The same, where what was recorded is kept for a time. A segment then lasts a tenth of it, or as long as `rotate_ns` says, if
    /// that was asked for, up to a quarter; but a second at least, since batches are written once a second.
    #[must_use]
    pub fn keeping(self, keep_ns: u64, is_asked_for: bool) -> Self {
        let most_ns = if is_asked_for { keep_ns / 4 } else { keep_ns / 10 };
        let rotate_ns = self.rotate_ns.min(most_ns.max(BATCH_AGE_NS));
        Self { rotate_ns, keep_ns: Some(keep_ns), ..self }
    }
}

impl Default for WriterOptions {
    fn default() -> Self {
        // Level 1: higher ones cost the recorder time and gain little on these columns.
        Self {
            rotate_bytes: 256 << 20,
            rotate_ns: 600_000_000_000,
            max_bytes: None,
            keep_ns: None,
            level: 1,
        }
    }
}

/// A batch is written when it has this many operations or rows: large enough to compress well (a
/// frame of some 200 kB), small enough to stay in the cache of whoever reads it.
pub(super) const BATCH: usize = 65_536;
/// Or when it is this old: what a crash may cost.
const BATCH_AGE_NS: u64 = 1_000_000_000;
/// Or, for packets and lifecycle records, this many bytes of payload or text.
pub(super) const PAYLOAD: usize = 4 << 20;
/// A batch of snapshots is written when it has this many rows, each of some 500 bytes.
const SNAPSHOTS: usize = 8192;

/// Writes a recording. It reads no clock: "now" is the latest time given to [`Self::tick`] or
/// [`Self::drained`]. Dropping it without [`Self::finish`] leaves an unclosed recording, as a
/// crash would, without the rows since the last flush.
#[derive(Debug)]
pub struct RecordingWriter {
    dir: PathBuf,
    /// UUID of the recording, which each segment names.
    recording: String,
    options: WriterOptions,
    now_ns: u64,
    hooks: Pending<HookBuilder>,
    connections: Pending<LifecycleBuilder>,
    ledger: Pending<CaptureStatsBuilder>,
    /// The packets, if the recording has any, or from the first one on.
    packets: Option<Pending<PacketBuilder>>,
    sockets: Pending<SocketBuilder>,
    marks: Marks,
    /// Number of the open segments of hook records, snapshots and packets, which cover the same
    /// time.
    segment_number: u32,
    /// When they began; unknown until a time is.
    segment_since_ns: Option<u64>,
    segment_rows: PerCpu,
    closed: VecDeque<Closed>,
    closed_bytes: u64,
    /// Lifecycle records are in segments too.
    divides_connections: bool,
    /// The ledger is.
    divides_ledger: bool,
    /// None where no segment is removed, or segments are removed without.
    key_frames: Option<KeyFrames>,
    /// The time of the latest record.
    latest_ns: u64,
    logged: PerCpu,
    rows: u64,
    markers: u64,
}

impl RecordingWriter {
    /// Makes the directory with the manifest and the first segments.
    ///
    /// # Errors
    /// [`LogError::OutputExists`] if there is something in the directory, or I/O.
    pub fn create(
        dir: &Path,
        manifest: &Manifest,
        options: WriterOptions,
    ) -> Result<Self, LogError> {
        Self::create_from(dir, manifest, options, 0)
    }

    /// The same, where the segments before `first` stand in the ledger as removed.
    pub(crate) fn create_from(
        dir: &Path,
        manifest: &Manifest,
        options: WriterOptions,
        first: u32,
    ) -> Result<Self, LogError> {
        private::create_dir(dir).map_err(|e| {
            if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) {
                LogError::OutputExists(dir.to_owned())
            } else {
                LogError::io("create", dir, e)
            }
        })?;
        let mut entries = fs::read_dir(dir).map_err(|e| LogError::io("read", dir, e))?;
        if entries.next().is_some() {
            return Err(LogError::OutputExists(dir.to_owned()));
        }
        // One that was made from another's has segments of its own.
        Manifest { segments: Vec::new(), ..manifest.clone() }.write(dir)?;
        let recording = &manifest.recording;
        let create =
            |stream, number| Segment::create(dir, recording, stream, number, options.level);
        let key_frames = manifest.options.key_frames;
        let divides_ledger = manifest.options.divided_ledger;
        let mut ledger: Pending<CaptureStatsBuilder> =
            Pending::new(create(Stream::Ledger, if divides_ledger { first } else { 0 })?);
        if divides_ledger {
            ledger.builder.carry();
        }
        Ok(Self {
            dir: dir.to_owned(),
            recording: recording.clone(),
            hooks: Pending::new(create(Stream::Hooks, first)?),
            connections: Pending::new(create(
                Stream::Connections,
                if key_frames { first } else { 0 },
            )?),
            ledger,
            packets: if manifest.has_packets() {
                Some(Pending::new(create(Stream::Packets, first)?))
            } else {
                None
            },
            sockets: Pending::new(create(Stream::Sockets, first)?),
            marks: Marks::default(),
            options,
            now_ns: manifest.started.monotonic_ns,
            segment_number: first,
            segment_since_ns: None,
            segment_rows: PerCpu::default(),
            closed: VecDeque::new(),
            closed_bytes: 0,
            divides_connections: key_frames,
            divides_ledger,
            key_frames: (key_frames && options.is_bounded()).then(KeyFrames::default),
            latest_ns: 0,
            logged: PerCpu::default(),
            rows: 0,
            markers: 0,
        })
    }

    /// Other bounds from now on: how large and old segments become, and what is removed. Only a recording that has had bounds
    /// from its beginning has what its readers need when segments are removed.
    pub fn set_bounds(&mut self, options: WriterOptions) {
        self.options = WriterOptions { level: self.options.level, ..options };
    }

    /// Writes the key frame of the first segment: of a recording that is made of one whose beginning was removed.
    ///
    /// # Errors
    /// If it could not be written.
    pub(crate) fn begin_with(&self, frame: &KeyFrame) -> Result<(), LogError> {
        let (number, level) = (self.segment_number, self.options.level);
        keyframe::write(&self.dir, &self.recording, number, level, frame)?;
        Ok(())
    }

    /// The oldest segment that wants its key frame, and the time of that.
    pub fn wanted_key_frame(&self) -> Option<(u32, u64)> {
        self.key_frames.as_ref()?.wanted.first().copied()
    }

    /// Writes the key frame of [`Self::wanted_key_frame`].
    ///
    /// # Errors
    /// If it could not be written.
    pub fn key_frame(&mut self, frame: &KeyFrame) -> Result<(), LogError> {
        let Some(frames) = &mut self.key_frames else { return Ok(()) };
        let Some(&(number, _)) = frames.wanted.first() else { return Ok(()) };
        let bytes = keyframe::write(&self.dir, &self.recording, number, self.options.level, frame)?;
        frames.wanted.remove(0);
        *frames.bytes.entry(number).or_default() += bytes;
        frames.written.insert(number);
        frames.last_bytes = bytes;
        Ok(())
    }

    /// Adds a hook record.
    ///
    /// # Errors
    /// If a batch became full and could not be written; its records are gone.
    pub fn hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), LogError> {
        self.rows += 1;
        self.latest_ns = self.latest_ns.max(header.ts_ns);
        self.logged.count(header.cpu);
        self.push_hook(header, ops)
    }

    fn push_hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), LogError> {
        self.segment_rows.count(header.cpu);
        self.hooks.builder.push(header, ops);
        self.hooks.since_ns.get_or_insert(self.now_ns);
        if self.hooks.builder.operations() >= BATCH || self.hooks.builder.rows() >= BATCH {
            self.flush_hooks()?;
        }
        Ok(())
    }

    /// Adds a lifecycle record.
    ///
    /// # Errors
    /// As [`Self::hook`].
    pub fn lifecycle(&mut self, row: &Lifecycle) -> Result<(), LogError> {
        self.rows += 1;
        self.latest_ns = self.latest_ns.max(row.header.ts_ns);
        self.logged.count(row.header.cpu);
        self.push_lifecycle(row.clone())
    }

    fn push_lifecycle(&mut self, row: Lifecycle) -> Result<(), LogError> {
        if self.divides_connections {
            self.segment_rows.count(row.header.cpu);
        }
        self.connections.builder.push(row);
        self.connections.since_ns.get_or_insert(self.now_ns);
        if self.connections.builder.is_full() {
            self.flush_connections()?;
        }
        Ok(())
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// As [`Self::hook`].
    pub fn packet(&mut self, packet: Packet) -> Result<(), LogError> {
        self.rows += 1;
        self.latest_ns = self.latest_ns.max(packet.ts_ns);
        self.logged.count(packet.cpu);
        self.segment_rows.count(packet.cpu);
        if self.packets.is_none() {
            let segment = self.segment(Stream::Packets, self.segment_number)?;
            self.packets = Some(Pending::new(segment));
        }
        self.push_packet(PacketRow::Packet(packet))
    }

    fn push_packet(&mut self, row: PacketRow) -> Result<(), LogError> {
        let Some(packets) = &mut self.packets else { return Ok(()) };
        packets.builder.push(row);
        packets.since_ns.get_or_insert(self.now_ns);
        if packets.builder.rows() >= BATCH || packets.builder.payload_bytes() >= PAYLOAD {
            self.flush_packets()?;
        }
        Ok(())
    }

    fn segment(&self, stream: Stream, number: u32) -> Result<Segment, LogError> {
        Segment::create(&self.dir, &self.recording, stream, number, self.options.level)
    }

    /// Adds a snapshot.
    ///
    /// # Errors
    /// As [`Self::hook`].
    pub fn snapshot(&mut self, row: Snapshot) -> Result<(), LogError> {
        self.rows += 1;
        self.latest_ns = self.latest_ns.max(row.header.ts_ns);
        self.logged.count(row.header.cpu);
        self.segment_rows.count(row.header.cpu);
        self.sockets.builder.push(row);
        self.sockets.since_ns.get_or_insert(self.now_ns);
        if self.sockets.builder.rows() >= SNAPSHOTS {
            self.flush_sockets()?;
        }
        Ok(())
    }

    /// Writes the batch of snapshots, if there is one, with a mark at its end: which rows of other
    /// streams are proven to be all there depends on it.
    fn flush_sockets(&mut self) -> Result<(), LogError> {
        if self.sockets.since_ns.is_none() {
            return Ok(());
        }
        let header = Header {
            ts_ns: self.marks.drained_ns,
            seq: self.marks.count,
            cookie: 0,
            generation: 0,
            cpu: NO_CPU,
            hook: Hook::Drain,
        };
        self.marks.count += 1;
        self.marks.marked_ns = self.marks.drained_ns;
        self.sockets.builder.push_marker(&header);
        self.sockets.flush(Stream::Sockets, SocketBuilder::take)
    }

    /// Adds a row to the ledger.
    ///
    /// # Errors
    /// As [`Self::hook`].
    pub fn capture_stat(&mut self, row: &CaptureStat) -> Result<(), LogError> {
        self.ledger.builder.push(row);
        self.ledger.since_ns.get_or_insert(self.now_ns);
        if self.ledger.builder.rows() >= BATCH {
            self.flush_ledger()?;
        }
        Ok(())
    }

    /// Adds a row to the ledger as another recording has it.
    pub(crate) fn raw_capture_stat(&mut self, row: &RawCaptureStat) -> Result<(), LogError> {
        match row {
            RawCaptureStat::Row(row) => return self.capture_stat(row),
            RawCaptureStat::DroppedRows(row) => self.ledger.builder.push_dropped(row),
            // The writer marks for itself.
            RawCaptureStat::SnapshotsDrained(_) | RawCaptureStat::Unknown => return Ok(()),
        }
        self.ledger.since_ns.get_or_insert(self.now_ns);
        Ok(())
    }

    /// Marks that every record made before `ts_ns` (but for a slack of 100 ms) has been added.
    ///
    /// # Errors
    /// As [`Self::hook`].
    pub fn drained(&mut self, ts_ns: u64) -> Result<(), LogError> {
        self.drained_lifecycles(ts_ns)?;
        self.drained_packets(ts_ns)?;
        self.drained_hooks(ts_ns)
    }

    fn drain(&mut self, ts_ns: u64) -> Header {
        self.now_ns = self.now_ns.max(ts_ns);
        let (cookie, generation, cpu, hook) = (0, 0, NO_CPU, Hook::Drain);
        Header { ts_ns, seq: self.markers, cookie, generation, cpu, hook }
    }

    /// The mark of [`Self::drained`] in the hook records alone: a recording that was cut short may
    /// have it in one stream and not in the others.
    pub(crate) fn drained_hooks(&mut self, ts_ns: u64) -> Result<(), LogError> {
        let header = self.drain(ts_ns);
        self.markers += 1;
        self.marks.drained_ns = self.marks.drained_ns.max(ts_ns);
        self.push_hook(&header, &[])
    }

    /// The same in the lifecycle records.
    pub(crate) fn drained_lifecycles(&mut self, ts_ns: u64) -> Result<(), LogError> {
        let header = self.drain(ts_ns);
        self.push_lifecycle(marker(header))
    }

    /// The same in the packets, if there has been one.
    pub(crate) fn drained_packets(&mut self, ts_ns: u64) -> Result<(), LogError> {
        self.drain(ts_ns);
        self.push_packet(PacketRow::Drained(ts_ns))
    }

    /// Writes batches older than a second, begins a new segment where one is due, and removes the
    /// oldest where there are too many bytes.
    ///
    /// # Errors
    /// If something could not be written or removed.
    pub fn tick(&mut self, now_ns: u64) -> Result<(), LogError> {
        self.now_ns = self.now_ns.max(now_ns);
        if self.hooks.is_old(self.now_ns) {
            self.flush_hooks()?;
        }
        if self.connections.is_old(self.now_ns) {
            self.flush_connections()?;
        }
        if self.packets.as_ref().is_some_and(|p| p.is_old(self.now_ns)) {
            self.flush_packets()?;
        }
        if self.sockets.is_old(self.now_ns) {
            self.flush_sockets()?;
            self.rotate_if_full()?;
        }
        if self.ledger.is_old(self.now_ns) {
            // Where no snapshots come, their stream has no marks: a frame for a mark alone would
            // be larger than all else that an idle host writes.
            if self.sockets.since_ns.is_none() && self.marks.drained_ns > self.marks.marked_ns {
                self.marks.marked_ns = self.marks.drained_ns;
                self.ledger.builder.push_snapshots_drained(self.marks.marked_ns);
            }
            self.flush_ledger()?;
        }
        self.rotate_if_old()?;
        self.bound()
    }

    /// Bytes of all streams now on disk, without the manifest.
    pub fn bytes_written(&self) -> u64 {
        self.closed_bytes
            + self.hooks.segment.bytes()
            + self.connections.segment.bytes()
            + self.ledger.segment.bytes()
            + self.packets.as_ref().map_or(0, |p| p.segment.bytes())
            + self.sockets.segment.bytes()
            + self.key_frames.as_ref().map_or(0, |frames| frames.bytes.values().sum())
    }

    /// Records added: hook activations, lifecycle records, packets and snapshots, without markers.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Records added, by CPU; for the totals of the manifest.
    pub fn logged(&self) -> impl Iterator<Item = (u16, u64)> {
        self.logged.iter()
    }

    /// Replaces the manifest by one with more content.
    ///
    /// # Errors
    /// If it could not be written.
    pub fn update(&self, manifest: &Manifest) -> Result<(), LogError> {
        manifest.write(&self.dir)
    }

    /// Writes what is left, ends all streams, and replaces the manifest by the final one.
    ///
    /// # Errors
    /// If something could not be written; the recording then stays unclosed.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), LogError> {
        self.flush_sockets()?;
        self.hooks.flush(Stream::Hooks, HookBuilder::take)?;
        self.connections.flush(Stream::Connections, LifecycleBuilder::take)?;
        self.ledger.flush(Stream::Ledger, CaptureStatsBuilder::take)?;
        let mut segments: Vec<_> =
            self.closed.into_iter().flat_map(|c| c.entries).map(|(_, entry)| entry).collect();
        segments.push(self.hooks.segment.finish()?);
        segments.push(self.sockets.segment.finish()?);
        if let Some(mut packets) = self.packets.take() {
            packets.flush(Stream::Packets, PacketBuilder::take)?;
            segments.push(packets.segment.finish()?);
        }
        segments.push(self.connections.segment.finish()?);
        segments.push(self.ledger.segment.finish()?);
        Manifest { segments, ..manifest.clone() }.write(&self.dir)
    }

    fn flush_hooks(&mut self) -> Result<(), LogError> {
        self.hooks.flush(Stream::Hooks, HookBuilder::take)?;
        self.rotate_if_full()
    }

    fn flush_connections(&mut self) -> Result<(), LogError> {
        self.connections.flush(Stream::Connections, LifecycleBuilder::take)?;
        if self.divides_connections { self.rotate_if_full() } else { Ok(()) }
    }

    fn flush_ledger(&mut self) -> Result<(), LogError> {
        self.ledger.flush(Stream::Ledger, CaptureStatsBuilder::take)?;
        if self.divides_ledger { self.rotate_if_full() } else { Ok(()) }
    }

    fn flush_packets(&mut self) -> Result<(), LogError> {
        let Some(packets) = &mut self.packets else { return Ok(()) };
        packets.flush(Stream::Packets, PacketBuilder::take)?;
        self.rotate_if_full()
    }
}
