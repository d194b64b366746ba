// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From the rings into the log, by the clock: no event ever wakes the recorder.

mod counters;
mod sink;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, thread, time::Duration};

use rustc_hash::FxHashSet;

use self::{
    counters::{Counters, HOOKS, Periods, Unnoticed, read_counters},
    sink::{Identities, Sink},
};
use super::{
    CaptureError,
    cgroup::Paths,
    clock,
    progress::Counted,
    provenance::Sighting,
    shared::OfCpus,
    skips::{Skip, Skips},
    top::Top,
    transport::{Buffers, Places, Reader, readers},
};
use crate::{
    engine::keyframe::KeyFrames,
    log::{
        CaptureStat, CpuTotals, Lack, Lacking, Manifest, RecordingWriter, Ring, Totals,
        WriterOptions,
    },
    schema::Hook,
    wire::{Snapshot, is_snapshot},
};

/// Drains the rings and keeps count of what is lost.
pub(super) struct Drain<'obj> {
    /// One object for each ring, or one that never falls silent would keep the others waiting.
    readers: Vec<Reader<'obj>>,
    sink: Rc<RefCell<Sink>>,
    places: Places,
    /// By kind of ring.
    ring_sizes: [u64; Ring::ALL.len()],
    before: Vec<Counters>,
    skips: Skips,
    ends: Unnoticed,
    skipped: u64,
    periods: Periods,
    /// When capture statistics were last written.
    counted_ns: u64,
    /// Highest fill of each ring since then.
    highest: Vec<u64>,
    drained_ns: u64,
    /// Records logged when the last mark was written.
    marked: u64,
    /// Snapshots that the recorder itself has read.
    polled: u64,
    late: u64,
}

/// How late a round may be before it is noted in the ledger: the default rings hold this much of a flood
/// (docs/benchmarks.md).
const LATE_NS: u64 = 100_000_000;

/// Time between two rounds while counts are read.
const ROUND_NS: u64 = 10_000_000;

/// How long a program may go on after its hook was detached: it may have been preempted between
/// taking a sequence number and handing over the record.
const STRAGGLERS: Duration = Duration::from_secs(1);

impl<'obj> Drain<'obj> {
    pub(super) fn new(
        writer: RecordingWriter,
        buffers: &Buffers,
        skips: Skips,
        since_ns: u64,
    ) -> Result<Self, CaptureError> {
        let cpus = buffers.cpus();
        let places = Places::new(cpus);
        let sink = Rc::new(RefCell::new(Sink {
            writer,
            ops: Vec::with_capacity(128),
            paths: Paths::new(),
            error: None,
            logged: vec![0; cpus],
            of_rings: [0; Ring::ALL.len()],
            connections: 0,
            open: 0,
            packets: 0,
            dropped_packets: 0,
            malformed: BTreeMap::new(),
            namespaces: FxHashSet::default(),
            new_namespaces: Vec::new(),
            occupied: BTreeMap::new(),
            frames: None,
            top: None,
            identities: None,
            begun: None,
            fill: vec![0; places.count()],
        }));
        let readers = readers(buffers, || {
            let sink = Rc::clone(&sink);
            move |place, bytes: &[u8], octets| {
                let mut sink = sink.borrow_mut();
                sink.fill[place] += octets;
                let taken = match places.at(place).0 {
                    Ring::Packets => sink.take_packet(bytes),
                    // Perf buffers have none of their own for snapshots.
                    Ring::Hooks | Ring::Lifecycle | Ring::Sockets if is_snapshot(bytes) => {
                        sink.take_snapshot(bytes)
                    }
                    Ring::Hooks | Ring::Lifecycle | Ring::Sockets => sink.take(bytes),
                };
                match taken {
                    Ok(()) => 0,
                    Err(e) => {
                        sink.error = Some(e);
                        -libc::ECANCELED
                    }
                }
            }
        })?;
        let now = clock::monotonic_ns();
        Ok(Self {
            readers,
            sink,
            places,
            ring_sizes: buffers.bytes(),
            before: vec![
                Counters {
                    lost: vec![0; HOOKS],
                    malformed: vec![0; HOOKS],
                    ..Counters::default()
                };
                cpus
            ],
            skips,
            ends: Unnoticed::default(),
            skipped: 0,
            periods: Periods { since_ns },
            counted_ns: now,
            highest: vec![0; places.count()],
            drained_ns: now,
            marked: u64::MAX,
            polled: 0,
            late: 0,
        })
    }

    /// Size of the buffer, or of each, of lifecycle records.
    pub(super) fn lifecycle_bytes(&self) -> u64 {
        self.ring_sizes[Ring::Lifecycle as usize]
    }

    /// One round: everything that is in the rings now, then a marker.
    pub(super) fn round(&mut self) -> Result<(), CaptureError> {
        let begun = clock::monotonic_ns();
        let late = begun - self.drained_ns;
        let bytes = self.ring_sizes.into_iter().max().unwrap_or(0);
        for reader in &self.readers {
            let result = reader.read(bytes);
            if let Some(e) = self.sink.borrow_mut().error.take() {
                return Err(e);
            }
            result?;
        }
        let mut sink = self.sink.borrow_mut();
        for (i, fill) in sink.fill.iter_mut().enumerate() {
            let size = self.ring_sizes[self.places.at(i).0 as usize];
            self.highest[i] = self.highest[i].max(std::mem::take(fill).min(size));
        }
        if late > LATE_NS {
            self.late += 1;
            sink.writer.capture_stat(&CaptureStat::LateDrain { ts_ns: begun, late_ns: late })?;
        }
        // One more after the rings fell silent, then none until something comes: an idle host
        // costs no disk. A key frame waits for the mark after its time.
        let logged = sink.logged.iter().sum();
        let Sink { writer, frames, .. } = &mut *sink;
        let is_wanted = writer.wanted_key_frame().is_some();
        if logged != self.marked || late > LATE_NS || is_wanted {
            writer.drained(begun)?;
            if let Some(frames) = frames {
                frames.reached(begun, writer)?;
            }
        }
        self.marked = logged;
        if let Some(top) = &mut sink.top {
            top.drained(begun);
        }
        self.drained_ns = clock::monotonic_ns();
        sink.writer.tick(self.drained_ns)?;
        Ok(())
    }

    /// Network namespaces that had their first connection since the call before.
    pub(super) fn new_namespaces(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.sink.borrow_mut().new_namespaces)
    }

    /// Network namespaces with open connections, as far as the rings were read: the owner of one.
    pub(super) fn occupied_namespaces(&self) -> BTreeMap<u32, u32> {
        let sink = self.sink.borrow();
        sink.occupied.iter().map(|(netns, (_, pid))| (*netns, *pid)).collect()
    }

    /// Replaces the manifest by one with more content.
    pub(super) fn update(&mut self, manifest: &Manifest) -> Result<(), CaptureError> {
        Ok(self.sink.borrow_mut().writer.update(manifest)?)
    }

    /// Other bounds from now on.
    pub(super) fn set_bounds(&mut self, log: WriterOptions) {
        self.sink.borrow_mut().writer.set_bounds(log);
    }

    /// From now on each segment begins with a key frame, and may be removed once the next has its own.
    pub(super) fn set_key_frames(&mut self) {
        self.sink.borrow_mut().frames = Some(KeyFrames::default());
    }

    /// From now on packets are accounted for this.
    pub(super) fn set_top(&mut self, top: Top) {
        self.sink.borrow_mut().top = Some(top);
    }

    /// Runs `work` on the accounting of packets (`--top`), if there is one.
    pub(super) fn with_top<T>(&mut self, work: impl FnOnce(&mut Top) -> T) -> Option<T> {
        self.sink.borrow_mut().top.as_mut().map(work)
    }

    /// Reads what is left after the hooks were detached, until every number given out is either
    /// logged or counted as lost.
    pub(super) fn settle(&mut self, counters: &OfCpus) -> Result<(), CaptureError> {
        let begun = clock::monotonic_ns();
        loop {
            self.round()?;
            let now = read_counters(counters)?;
            let sink = self.sink.borrow();
            let even = now.iter().zip(&sink.logged).enumerate().all(|(cpu, (c, logged))| {
                // Totals that do not add up after all that is for `verify` to find.
                c.emitted <= logged + sink.malformed_on(cpu) + c.lost.iter().sum::<u64>()
            });
            drop(sink);
            if even || clock::monotonic_ns() - begun >= STRAGGLERS.as_nanos() as u64 {
                self.write_stats(counters)?;
                return self.leave_out();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Logs the numbers that went to records of malformed packets.
    fn leave_out(&mut self) -> Result<(), CaptureError> {
        let (ts_ns, mut sink) = (self.counted_ns, self.sink.borrow_mut());
        for cpu in 0..sink.logged.len() {
            let count = sink.malformed_on(cpu);
            if count > 0 {
                sink.writer.capture_stat(&CaptureStat::LeftOut {
                    ts_ns,
                    cpu: cpu as u16,
                    count,
                })?;
            }
        }
        Ok(())
    }

    /// The hooks are about to be detached, and make no more records.
    ///
    /// # Errors
    /// If two ways of counting were to be compared, and differ.
    pub(super) fn hooks_end(&mut self) -> Result<(), CaptureError> {
        let differ = |e: std::io::Error| CaptureError::bpf("count kprobes both ways", e.into());
        self.skips.end().map_err(differ)
    }

    /// The hooks are about to be detached: releases the readers of their rings.
    pub(super) fn let_go(&mut self) {
        self.skips.let_go();
    }

    /// Writes what was counted since the last time.
    pub(super) fn write_stats(&mut self, counters: &OfCpus) -> Result<(), CaptureError> {
        let begun_ns = clock::monotonic_ns();
        let (skips, mut now) = self.counted(counters)?;
        let (since_ns, ts_ns) = self.periods.next(begun_ns, clock::monotonic_ns());
        let mut sink = self.sink.borrow_mut();
        for (&(cpu, hook), count) in &sink.malformed {
            if let Some(counters) = now.get_mut(usize::from(cpu)) {
                counters.malformed[hook] += count;
            }
        }
        for (cpu, (old, new)) in self.before.iter().zip(&now).enumerate() {
            let cpu = cpu as u16;
            for hook in Hook::ALL {
                let code = *hook as usize;
                let count = new.malformed[code] - old.malformed[code];
                if count > 0 {
                    sink.writer.capture_stat(&CaptureStat::Malformed {
                        ts_ns,
                        cpu,
                        hook: *hook,
                        count,
                    })?;
                }
                let lost = new.lost[code] - old.lost[code];
                if lost > 0 {
                    sink.writer.capture_stat(&CaptureStat::Loss {
                        ts_ns,
                        cpu,
                        hook: *hook,
                        lost,
                        since_ns,
                    })?;
                }
            }
            if new.map_failures > old.map_failures {
                let count = new.map_failures - old.map_failures;
                sink.writer.capture_stat(&CaptureStat::MapFailure { ts_ns, cpu, count })?;
            }
            let lacking = Lack::ALL.iter().zip(old.lacking.iter().zip(new.lacking));
            for (what, (old, new)) in lacking.filter(|(_, (old, new))| new > old) {
                let (what, count) = (*what, new - old);
                sink.writer.capture_stat(&CaptureStat::Lacking { ts_ns, cpu, what, count })?;
            }
            let both = [Hook::InterfaceIn, Hook::InterfaceOut].into_iter().zip(old.not_ip);
            for ((hook, old), new) in both.zip(new.not_ip).filter(|((_, old), new)| new > old) {
                let count = new - old;
                sink.writer.capture_stat(&CaptureStat::NotIp { ts_ns, cpu, hook, count })?;
            }
            if new.emitted > old.emitted {
                sink.writer.capture_stat(&CaptureStat::Emitted {
                    ts_ns,
                    cpu,
                    emitted: new.emitted,
                })?;
            }
        }
        let unended = |counters: &[Counters], hook: Hook| -> u64 {
            counters.iter().filter_map(|c| c.unended.get(hook as usize)).sum()
        };
        let beyond: Vec<_> = Hook::ALL
            .iter()
            .filter_map(|&hook| {
                let counted = skips.iter().filter(|s| s.has_ends && s.hook == hook);
                let counted = counted.map(|s| s.count).sum();
                let noticed = unended(&now, hook) - unended(&self.before, hook);
                let count = self.ends.beyond(hook, counted, noticed);
                (count > 0).then_some(Skip { hook, count, has_ends: true })
            })
            .collect();
        for Skip { hook, count, .. } in skips.into_iter().chain(beyond) {
            self.skipped += count;
            sink.writer.capture_stat(&CaptureStat::Skipped { ts_ns, hook, count, since_ns })?;
        }
        for (i, bytes) in self.highest.iter_mut().enumerate() {
            let (ring, cpu) = self.places.at(i);
            let bytes = std::mem::take(bytes);
            if bytes > 0 {
                let size = self.ring_sizes[ring as usize];
                sink.writer.capture_stat(&CaptureStat::RingFill {
                    ts_ns,
                    cpu,
                    ring,
                    bytes,
                    size,
                })?;
            }
        }
        sink.writer.capture_stat(&CaptureStat::Clock(ts_ns, clock::sample()))?;
        self.counted_ns = ts_ns;
        self.before = now;
        Ok(())
    }

    /// Reads the rings if the last round is so long ago that they could fill: for work that takes long.
    pub(super) fn round_if_due(&mut self) -> Result<(), CaptureError> {
        if clock::monotonic_ns() - self.drained_ns >= ROUND_NS { self.round() } else { Ok(()) }
    }

    /// The skips since the count before, and the counters. Between the two, rings are read.
    fn counted(&mut self, counters: &OfCpus) -> Result<(Vec<Skip>, Vec<Counters>), CaptureError> {
        // First, so that no end is noticed here that is not counted yet ([`Unnoticed`]).
        let now = read_counters(counters)?;
        let mut skips = std::mem::take(&mut self.skips);
        let mut drained = Ok(());
        let mut between = || {
            if drained.is_ok() {
                drained = self.round_if_due();
            }
        };
        let passed_over = skips.since_before(&mut between);
        self.skips = skips;
        drained?;
        Ok((passed_over, now))
    }

    /// Begins to keep what [`Self::identify`] needs: before the first connection is drained.
    pub(super) fn keep_identities(&mut self) {
        self.sink.borrow_mut().identities = Some(Identities::default());
    }

    /// Begins to keep what [`Self::begun_and_open`] counts: before the first connection is drained.
    pub(super) fn keep_begun(&mut self) {
        self.sink.borrow_mut().begun = Some(FxHashSet::default());
    }

    /// Connections that began while recording and, as far as the rings were read, are open.
    pub(super) fn begun_and_open(&self) -> u64 {
        self.sink.borrow().begun.as_ref().map_or(0, |begun| begun.len() as u64)
    }

    /// Connections that the filters left out, as far as they are counted.
    pub(super) fn refused(&self) -> u64 {
        self.before.iter().map(|c| c.refused).sum()
    }

    /// Gives a socket that was read over netlink the identity of the connection that the hooks
    /// record; false if they record none with these ends.
    pub(super) fn identify(&self, s: &mut Snapshot) -> bool {
        let ends = (s.netns, s.family, s.local_addr, s.remote_addr, s.local_port, s.remote_port);
        let sink = self.sink.borrow();
        let found = sink.identities.as_ref().and_then(|known| known.by_ends.get(&ends));
        if let Some(&(cookie, generation)) = found {
            (s.header.cookie, s.header.generation) = (cookie, generation);
        }
        found.is_some()
    }

    /// Adds a snapshot that the recorder itself has read, and numbers it.
    pub(super) fn polled(&mut self, mut snapshot: Snapshot) -> Result<(), CaptureError> {
        snapshot.header.seq = self.polled;
        self.polled += 1;
        Ok(self.sink.borrow_mut().writer.snapshot(snapshot)?)
    }

    /// Adds a row to the ledger.
    pub(super) fn note(&mut self, row: &CaptureStat) -> Result<(), CaptureError> {
        Ok(self.sink.borrow_mut().writer.capture_stat(row)?)
    }

    /// Records logged so far, connections seen, connections open, bytes written, records lost,
    /// hook activations skipped, packets logged, malformed packets.
    pub(super) fn counts(&self) -> [u64; 8] {
        let sink = self.sink.borrow();
        let lost = self.before.iter().flat_map(|c| &c.lost).sum();
        let logged = sink.logged.iter().sum();
        let bytes = sink.writer.bytes_written();
        let malformed = self.before.iter().flat_map(|c| &c.malformed).sum();
        [logged, sink.connections, sink.open, bytes, lost, self.skipped, sink.packets, malformed]
    }

    /// What else is counted.
    pub(super) fn counted_so_far(&self) -> Counted {
        let sink = self.sink.borrow();
        let hooks = Hook::ALL.iter().filter(|hook| !matches!(hook, Hook::Drain | Hook::Capture));
        let lost = |hook: Hook| self.before.iter().map(|c| c.lost[hook as usize]).sum();
        Counted {
            records: sink.of_rings,
            lost: hooks.map(|hook| (*hook, lost(*hook))).collect(),
            late_drains: self.late,
            dropped_packets: sink.dropped_packets,
        }
    }

    /// The totals of the whole recording; call [`Self::write_stats`] after the last round first.
    pub(super) fn totals(&self, duration_ns: u64) -> Totals {
        let sink = self.sink.borrow();
        let per_cpu = self.before.iter().zip(&sink.logged).enumerate().map(|(cpu, (c, logged))| {
            let lost = Hook::ALL.iter().map(|h| (h, c.lost[*h as usize])).filter(|(_, n)| *n > 0);
            CpuTotals {
                cpu: cpu as u16,
                emitted: c.emitted,
                logged: *logged,
                lost_by_hook: lost.map(|(h, n)| (h.name().to_owned(), n)).collect(),
                left_out: sink.malformed_on(cpu),
            }
        });
        let mut malformed = BTreeMap::<String, u64>::new();
        for hook in Hook::ALL {
            let count: u64 = self.before.iter().map(|c| c.malformed[*hook as usize]).sum();
            if count > 0 {
                malformed.insert(hook.name().to_owned(), count);
            }
        }
        let lacking = |what: Lack| self.before.iter().map(|c| c.lacking[what as usize]).sum();
        Totals {
            duration_ns,
            lacking: Some(Lacking {
                not_followed: lacking(Lack::NotFollowed),
                lost_begins: lacking(Lack::Begins),
                lost_ends: lacking(Lack::Ends),
                dropped_operations: lacking(Lack::Operations),
            }),
            per_cpu: per_cpu.collect(),
            map_failures: self.before.iter().map(|c| c.map_failures).sum(),
            bytes: sink.writer.bytes_written(),
            connections: sink.connections,
            dropped_packets: sink.dropped_packets,
            malformed,
        }
    }

    /// Gives the writer back, to be finished.
    pub(super) fn into_writer(self) -> RecordingWriter {
        drop(self.readers);
        let sink = Rc::into_inner(self.sink).expect("the callbacks went with the rings");
        sink.into_inner().writer
    }
}
