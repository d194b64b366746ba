// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From the rings into the log, by the clock: no event ever wakes the recorder.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, thread, time::Duration};

use libbpf_rs::{MapCore, MapFlags};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    CaptureError,
    cgroup::Paths,
    clock,
    provenance::Sighting,
    skips::{Skip, Skips},
    top::Top,
    transport::{Buffers, Places, Reader, readers},
};
use crate::{
    log::{CpuTotals, Lack, Lacking, LedgerRow, Manifest, RecordingWriter, Ring, Totals},
    schema::{Event, Hook},
    wire::{
        Decoded, Lifecycle, Operation, Record, Snapshot, decode, decode_packet, decode_snapshot,
        is_snapshot,
    },
};

/// A socket by what inet_diag says of it: namespace, family, addresses, ports.
type Ends = (u32, u16, [u8; 16], [u8; 16], u16, u16);
/// A connection by what the hooks say: cookie and generation.
type Identity = (u64, u16);

/// Which socket is which recorded connection: its cookie need not be the kernel's.
#[derive(Default)]
struct Identities {
    by_ends: FxHashMap<Ends, Identity>,
    ends: FxHashMap<Identity, Ends>,
}

impl Identities {
    fn opened(&mut self, row: &Lifecycle) {
        let ends = (
            row.netns,
            row.family,
            row.local_addr,
            row.remote_addr,
            row.local_port,
            row.remote_port,
        );
        let identity = (row.header.cookie, row.header.generation);
        self.by_ends.insert(ends, identity);
        self.ends.insert(identity, ends);
    }

    fn closed(&mut self, row: &Lifecycle) {
        let identity = (row.header.cookie, row.header.generation);
        if let Some(ends) = self.ends.remove(&identity)
            // The ends may be another's by now.
            && self.by_ends.get(&ends) == Some(&identity)
        {
            self.by_ends.remove(&ends);
        }
    }
}

/// Where drained records go; shared by the callbacks of all rings.
struct Sink {
    writer: RecordingWriter,
    ops: Vec<Operation>,
    paths: Paths,
    error: Option<CaptureError>,
    /// Records logged, by CPU.
    logged: Vec<u64>,
    connections: u64,
    open: u64,
    packets: u64,
    /// Records of packets that turned out to be malformed when they were read, by CPU and hook's
    /// code: they have numbers, and no rows.
    malformed: BTreeMap<(u16, usize), u64>,
    /// Network namespaces of connections so far, and those of them that are new.
    namespaces: FxHashSet<u32>,
    new_namespaces: Vec<Sighting>,
    /// Connections open by namespace, and the owner of one of them.
    occupied: BTreeMap<u32, (u64, u32)>,
    /// Kept only for `--top`.
    top: Option<Top>,
    /// Kept only for polls over netlink.
    identities: Option<Identities>,
    /// Connections that began while recording and are open; kept only with a command.
    begun: Option<FxHashSet<Identity>>,
    /// Bytes that the rings held when they were read, by their places.
    fill: Vec<u64>,
}

impl Sink {
    fn take(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let header = match decode(bytes, &mut self.ops)? {
            Record::Hook(header) => {
                self.writer.hook(&header, &self.ops)?;
                header
            }
            Record::Lifecycle(mut row) => {
                if let Some(begun) = &mut self.begun {
                    let identity = (row.header.cookie, row.header.generation);
                    match row.event {
                        Event::Open => drop(begun.insert(identity)),
                        Event::Close | Event::End => drop(begun.remove(&identity)),
                        Event::Baseline | Event::Drain | Event::Over => {}
                    }
                }
                match row.event {
                    Event::Open | Event::Baseline => {
                        // At its end the owner may be gone and its cgroup with it.
                        row.cgroup_path = self.paths.path(row.cgroup_id, row.pid);
                        self.connections += 1;
                        self.open += 1;
                        self.occupied.entry(row.netns).or_insert((0, row.pid)).0 += 1;
                        if self.namespaces.insert(row.netns) {
                            self.new_namespaces.push(Sighting { netns: row.netns, pid: row.pid });
                        }
                        self.identities.iter_mut().for_each(|known| known.opened(&row));
                    }
                    Event::Close | Event::End => {
                        self.open = self.open.saturating_sub(1);
                        self.leave(row.netns);
                        self.identities.iter_mut().for_each(|known| known.closed(&row));
                    }
                    Event::Drain | Event::Over => {}
                }
                self.writer.lifecycle(&row)?;
                row.header
            }
        };
        self.count(header.cpu);
        Ok(())
    }

    /// One connection less in this namespace.
    fn leave(&mut self, netns: u32) {
        if let Some((open, _)) = self.occupied.get_mut(&netns) {
            *open -= 1;
            if *open == 0 {
                self.occupied.remove(&netns);
            }
        }
    }

    fn take_snapshot(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let snapshot = decode_snapshot(bytes)?;
        let cpu = snapshot.header.cpu;
        self.writer.snapshot(snapshot)?;
        self.count(cpu);
        Ok(())
    }

    fn take_packet(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let packet = match decode_packet(bytes)? {
            Decoded::Packet(packet) => packet,
            Decoded::Malformed { cpu, hook } => {
                *self.malformed.entry((cpu, hook as usize)).or_default() += 1;
                return Ok(());
            }
        };
        let cpu = packet.cpu;
        if let Some(top) = &mut self.top {
            top.packet(&packet);
        }
        self.writer.packet(packet)?;
        self.packets += 1;
        self.count(cpu);
        Ok(())
    }

    /// Records of a CPU that were of malformed packets.
    fn malformed_on(&self, cpu: usize) -> u64 {
        let cpu = cpu as u16;
        self.malformed.range((cpu, 0)..=(cpu, usize::MAX)).map(|(_, n)| n).sum()
    }

    fn count(&mut self, cpu: u16) {
        if let Some(n) = self.logged.get_mut(usize::from(cpu)) {
            *n += 1;
        }
    }
}

/// Counters by the code of a hook; that of 0 is unused.
const HOOKS: usize = Hook::ALL.len() + 1;
/// Counters of `struct cpu_counters` between those of hooks.
const OTHERS: usize = 7;

/// One CPU's counters in the kernel, struct cpu_counters of bpf/records.h.
#[derive(Clone, Debug, Default)]
struct Counters {
    emitted: u64,
    /// By hook code; 0 is unused.
    lost: Vec<u64>,
    map_failures: u64,
    /// By [`Lack::ALL`].
    lacking: [u64; Lack::ALL.len()],
    /// Received, sent.
    not_ip: [u64; 2],
    /// By hook code, as the programs and the recorder have counted them.
    malformed: Vec<u64>,
    refused: u64,
    /// By hook code: ends of functions that were not seen.
    unended: Vec<u64>,
}

/// Drains the rings and keeps the account.
pub(super) struct Drain<'obj> {
    /// One object for each ring, or one that never falls silent would keep the others waiting.
    readers: Vec<Reader<'obj>>,
    sink: Rc<RefCell<Sink>>,
    places: Places,
    /// By kind of ring.
    ring_sizes: [u64; Ring::ALL.len()],
    before: Vec<Counters>,
    skips: Skips,
    skipped: u64,
    periods: Periods,
    /// When the account was last written into the ledger.
    accounted_ns: u64,
    /// Highest fill of each ring since then.
    highest: Vec<u64>,
    drained_ns: u64,
    /// Records logged when the last mark was written.
    marked: u64,
}

/// The times for which accounts stand. Something that happens while counters are read may be in that
/// reading or in the next, so both accounts stand for the time of the reading: else a connection could
/// lose something at that time and be complete.
#[derive(Debug)]
struct Periods {
    /// When the reading before began, or before the hooks were attached.
    since_ns: u64,
}

impl Periods {
    /// What was read, and the beginning and the end of the time for which it stands.
    fn next<T>(
        &mut self,
        clock: impl Fn() -> u64,
        read: impl FnOnce() -> Result<T, CaptureError>,
    ) -> Result<(T, u64, u64), CaptureError> {
        let begun_ns = clock();
        let read = read()?;
        Ok((read, std::mem::replace(&mut self.since_ns, begun_ns), clock()))
    }
}

/// How long a round may be late before the ledger says so: the default rings hold this much of a
/// flood (docs/benchmarks.md).
const LATE_NS: u64 = 100_000_000;

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
            connections: 0,
            open: 0,
            packets: 0,
            malformed: BTreeMap::new(),
            namespaces: FxHashSet::default(),
            new_namespaces: Vec::new(),
            occupied: BTreeMap::new(),
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
            skipped: 0,
            periods: Periods { since_ns },
            accounted_ns: now,
            highest: vec![0; places.count()],
            drained_ns: now,
            marked: u64::MAX,
        })
    }

    /// Size of the buffer, or of each, of lifecycle records.
    pub(super) fn lifecycle_bytes(&self) -> u64 {
        self.ring_sizes[Ring::Lifecycle as usize]
    }

    /// One round: everything that is in the rings now, then the mark that says so.
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
            sink.writer.ledger(&LedgerRow::LateDrain { ts_ns: begun, late_ns: late })?;
        }
        // One more after the rings fell silent, then none until something comes: an idle host
        // costs no disk.
        let logged = sink.logged.iter().sum();
        if logged != self.marked || late > LATE_NS {
            sink.writer.drained(begun)?;
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

    /// Replaces the manifest by one that says more.
    pub(super) fn update(&mut self, manifest: &Manifest) -> Result<(), CaptureError> {
        Ok(self.sink.borrow_mut().writer.update(manifest)?)
    }

    /// From now on packets are accounted for this.
    pub(super) fn set_top(&mut self, top: Top) {
        self.sink.borrow_mut().top = Some(top);
    }

    /// What packets are accounted for, if for anything, by `work`.
    pub(super) fn with_top<T>(&mut self, work: impl FnOnce(&mut Top) -> T) -> Option<T> {
        self.sink.borrow_mut().top.as_mut().map(work)
    }

    /// Reads what is left after the hooks were detached, until every number given out is either
    /// logged or counted as lost.
    pub(super) fn settle(&mut self, counters: &dyn MapCore) -> Result<(), CaptureError> {
        let begun = clock::monotonic_ns();
        loop {
            self.round()?;
            let now = read_counters(counters)?;
            let sink = self.sink.borrow();
            let even = now.iter().zip(&sink.logged).enumerate().all(|(cpu, (c, logged))| {
                // An uneven account after all that is for `verify` to find.
                c.emitted <= logged + sink.malformed_on(cpu) + c.lost.iter().sum::<u64>()
            });
            drop(sink);
            if even || clock::monotonic_ns() - begun >= STRAGGLERS.as_nanos() as u64 {
                self.account(counters)?;
                return self.leave_out();
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Says which numbers went to records of malformed packets.
    fn leave_out(&mut self) -> Result<(), CaptureError> {
        let (ts_ns, mut sink) = (self.accounted_ns, self.sink.borrow_mut());
        for cpu in 0..sink.logged.len() {
            let count = sink.malformed_on(cpu);
            if count > 0 {
                sink.writer.ledger(&LedgerRow::LeftOut { ts_ns, cpu: cpu as u16, count })?;
            }
        }
        Ok(())
    }

    /// The hooks are about to be detached, and make no more records.
    pub(super) fn hooks_end(&mut self) -> Result<(), CaptureError> {
        self.skips.end().map_err(uncounted)
    }

    /// The hooks are about to be detached, and nobody reads what they made.
    pub(super) fn let_go(&mut self) {
        self.skips.let_go();
    }

    /// Writes the account since the last time into the ledger.
    pub(super) fn account(&mut self, counters: &dyn MapCore) -> Result<(), CaptureError> {
        let skips = &mut self.skips;
        let read = || Ok((skips.since_before().map_err(uncounted)?, read_counters(counters)?));
        let ((skips, mut now), since_ns, ts_ns) = self.periods.next(clock::monotonic_ns, read)?;
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
                    sink.writer.ledger(&LedgerRow::Malformed { ts_ns, cpu, hook: *hook, count })?;
                }
                let lost = new.lost[code] - old.lost[code];
                if lost > 0 {
                    sink.writer.ledger(&LedgerRow::Loss {
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
                sink.writer.ledger(&LedgerRow::MapFailure { ts_ns, cpu, count })?;
            }
            let lacking = Lack::ALL.iter().zip(old.lacking.iter().zip(new.lacking));
            for (what, (old, new)) in lacking.filter(|(_, (old, new))| new > old) {
                let (what, count) = (*what, new - old);
                sink.writer.ledger(&LedgerRow::Lacking { ts_ns, cpu, what, count })?;
            }
            let both = [Hook::InterfaceIn, Hook::InterfaceOut].into_iter().zip(old.not_ip);
            for ((hook, old), new) in both.zip(new.not_ip).filter(|((_, old), new)| new > old) {
                let count = new - old;
                sink.writer.ledger(&LedgerRow::NotIp { ts_ns, cpu, hook, count })?;
            }
            if new.emitted > old.emitted {
                sink.writer.ledger(&LedgerRow::Emitted { ts_ns, cpu, emitted: new.emitted })?;
            }
        }
        let unended = |counters: &[Counters], hook: Hook| -> u64 {
            counters.iter().filter_map(|c| c.unended.get(hook as usize)).sum()
        };
        // From Linux 6.7 on the kernel has counted those too.
        let beyond = Hook::ALL.iter().map(|&hook| {
            let by_kernel = skips.iter().filter(|s| s.has_ends && s.hook == hook);
            let count = unended(&now, hook) - unended(&self.before, hook);
            let count = count.saturating_sub(by_kernel.map(|s| s.count).sum());
            Skip { hook, count, has_ends: true }
        });
        let beyond: Vec<_> = beyond.filter(|skip| skip.count > 0).collect();
        for Skip { hook, count, .. } in skips.into_iter().chain(beyond) {
            self.skipped += count;
            sink.writer.ledger(&LedgerRow::Skipped { ts_ns, hook, count, since_ns })?;
        }
        for (i, bytes) in self.highest.iter_mut().enumerate() {
            let (ring, cpu) = self.places.at(i);
            let bytes = std::mem::take(bytes);
            if bytes > 0 {
                let size = self.ring_sizes[ring as usize];
                sink.writer.ledger(&LedgerRow::RingFill { ts_ns, cpu, ring, bytes, size })?;
            }
        }
        sink.writer.ledger(&LedgerRow::Clock(ts_ns, clock::sample()))?;
        self.accounted_ns = ts_ns;
        self.before = now;
        Ok(())
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

    /// Connections that the filters left out, as far as the account goes.
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

    /// Adds a snapshot that the recorder itself has read.
    pub(super) fn polled(&mut self, snapshot: Snapshot) -> Result<(), CaptureError> {
        Ok(self.sink.borrow_mut().writer.snapshot(snapshot)?)
    }

    /// Adds a row to the ledger.
    pub(super) fn note(&mut self, row: &LedgerRow) -> Result<(), CaptureError> {
        Ok(self.sink.borrow_mut().writer.ledger(row)?)
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

    /// The account of the whole recording; call [`Self::account`] after the last round first.
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

fn uncounted(e: std::io::Error) -> CaptureError {
    CaptureError::bpf("count what the kernel passed over", e.into())
}

fn read_counters(map: &dyn MapCore) -> Result<Vec<Counters>, CaptureError> {
    let values = map
        .lookup_percpu(&0u32.to_ne_bytes(), MapFlags::ANY)
        .map_err(|e| CaptureError::bpf("read the loss counters", e))?
        .expect("an array has its first element");
    Ok(values
        .iter()
        .map(|bytes| {
            let words: Vec<u64> = bytes
                .chunks_exact(8)
                .map(|w| u64::from_ne_bytes(w.try_into().expect("eight bytes")))
                .collect();
            let (emitted, words) = (words[0], &words[1..]);
            let (lost, rest) = words.split_at(HOOKS);
            let (rest, malformed) = rest.split_at(OTHERS);
            let (malformed, rest_of) = malformed.split_at(HOOKS);
            let (refused, unended) = rest_of.split_at(1);
            let &[map_failures, dropped_ops, not_followed, begins, ends, not_ip_in, not_ip_out] =
                rest
            else {
                unreachable!("as many counters as OTHERS says")
            };
            Counters {
                emitted,
                lost: lost.to_vec(),
                map_failures,
                lacking: [not_followed, begins, ends, dropped_ops],
                not_ip: [not_ip_in, not_ip_out],
                malformed: malformed.to_vec(),
                refused: refused[0],
                unended: unended.to_vec(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn two_accounts_stand_for_the_time_between_them_and_for_the_reading() {
        let now = Cell::new(100);
        let clock = || now.get();
        let read = || {
            now.set(now.get() + 5);
            Ok(())
        };
        let mut periods = Periods { since_ns: 10 };
        let ((), since, until) = periods.next(clock, read).unwrap();
        assert_eq!((since, until), (10, 105));
        now.set(200);
        // What is wrong with a reading is in the next account.
        let fault = || Err::<(), _>(uncounted(std::io::Error::from_raw_os_error(libc::EBADF)));
        assert!(periods.next(clock, fault).is_err());
        now.set(300);
        let ((), since, until) = periods.next(clock, read).unwrap();
        assert_eq!((since, until), (100, 305));
    }
}
