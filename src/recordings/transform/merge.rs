// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Several recordings of one host as one.
//!
//! Times compare within one boot of one kernel, numbers within one recorder: so those merged are of
//! one boot, one after the other, and the numbers of the later ones go on where those of the earlier
//! ended. Parts that were cut of one recording have its numbers, and become it again.

mod compatible;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use rustc_hash::FxHashMap;

use super::rounds::{self, Marked, Take};
use super::{
    PerCpu, TransformError, TransformReport, create, cut, derived_uuid, end_ns, finish, lacking,
    refused, totals_there,
};
use crate::log::{
    CaptureStat, CpuTotals, Derivation, Import, Interface, LogError, Manifest, RawCaptureStat,
    Recording, RecordingWriter, Totals, marker,
};
use crate::schema::Hook;
use crate::wire::{Event, Header, Lifecycle, NO_CPU, Operation, Packet, Snapshot};

/// Makes a recording in `dir` of several.
///
/// # Errors
/// [`TransformError`]; if they cannot be one recording, nothing is written.
pub fn merge(recordings: &[Recording], dir: &Path) -> Result<TransformReport, TransformError> {
    if recordings.len() < 2 {
        return refused("one recording alone is merged already: a merge is of two or more");
    }
    let mut sorted: Vec<&Recording> = recordings.iter().collect();
    sorted.sort_by_key(|r| r.manifest().started.monotonic_ns);
    let parts = compatible::check(&sorted)?;
    let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
    let mut manifest = first.manifest().clone();
    // Here it stands in one piece.
    manifest.options.divided_ledger = false;
    manifest.ended = last.manifest().ended;
    manifest.exit_status = last.manifest().exit_status;
    if parts {
        as_one_cut(&mut manifest, last.manifest());
    } else {
        as_merged(&mut manifest, &sorted);
    }
    let mut merger = Merger {
        writer: create(dir, &manifest, first.first_segment()?)?,
        parts,
        from_ns: None,
        to_ns: None,
        numbers: PerCpu::default(),
        generations: FxHashMap::default(),
        alive: FxHashMap::default(),
        open: BTreeSet::new(),
        polls: 0,
        next_poll: 0,
        lost: BTreeMap::new(),
        malformed: BTreeMap::new(),
        repeated: 0,
        removed_again: PerCpu::default(),
        held: VecDeque::new(),
    };
    // Only the first can lack its oldest segments.
    if let Some(frame) = first.key_frame()? {
        merger.writer.begin_with(&frame)?;
        for header in frame.hooks.iter().map(|record| &record.header) {
            merger.lives(header);
            if !merger.parts {
                merger.open.insert((header.cookie, header.generation));
            }
        }
        frame.lifecycles.iter().for_each(|row| merger.follows(row));
    }
    for (i, recording) in sorted.iter().enumerate() {
        merger.add(recording, i > 0, i + 1 < sorted.len())?;
        if !parts && i + 1 < sorted.len() {
            merger.end_open(end_ns(recording)?)?;
        }
    }
    merger.release(u64::MAX)?;
    let (totals, left_out) = merger.totals(&sorted, &manifest)?;
    manifest.totals = Some(totals);
    finish(merger.writer, manifest, &left_out, end_ns(last)?)
}

/// The manifest of parts that adjoin: that of the cut that has them all, or of the original.
fn as_one_cut(manifest: &mut Manifest, last: &Manifest) {
    let (Some(mut step), Some(end)) = (manifest.derived.pop(), last.derived.last()) else { return };
    step.to_ns = end.to_ns;
    let all = step.connections.is_empty() && step.addresses.is_empty() && step.ports.is_empty();
    if step.from_ns.is_none() && step.to_ns.is_none() && all {
        manifest.recording = step.of.swap_remove(0);
    } else {
        manifest.recording = cut::uuid(&step);
        manifest.derived.push(step);
    }
}

/// Adds the facts of another recording's host and settings.
fn add_surroundings(manifest: &mut Manifest, next: &Manifest) {
    for namespace in &next.namespaces {
        let known = manifest.namespaces.iter_mut().find(|known| known.netns == namespace.netns);
        match known {
            // The first that could be read.
            Some(known) if known.reason.is_some() => known.clone_from(namespace),
            Some(_) => {}
            None => manifest.namespaces.push(namespace.clone()),
        }
    }
    for interface in &next.interfaces {
        let is_it = |known: &Interface| {
            (known.netns, known.index, &known.name)
                == (interface.netns, interface.index, &interface.name)
        };
        if !manifest.interfaces.iter().any(is_it) {
            manifest.interfaces.push(interface.clone());
        }
    }
    // Those of modules that were loaded meanwhile.
    let (known, more) = (&mut manifest.drop_reasons, &next.drop_reasons);
    for (number, name) in &more.names {
        known.names.entry(*number).or_insert_with(|| name.clone());
    }
    for (number, name) in &more.subsystems {
        known.subsystems.entry(*number).or_insert_with(|| name.clone());
    }
    for it in &next.not_seen {
        if !manifest.not_seen.contains(it) {
            manifest.not_seen.push(it.clone());
        }
    }
}

fn as_merged(manifest: &mut Manifest, recordings: &[&Recording]) {
    let of: Vec<_> = recordings.iter().map(|r| r.manifest().recording.clone()).collect();
    let mut steps: Vec<Derivation> = Vec::new();
    for step in recordings.iter().flat_map(|r| &r.manifest().derived) {
        if !steps.contains(step) {
            steps.push(step.clone());
        }
    }
    let mut named = vec!["merge"];
    named.extend(of.iter().map(String::as_str));
    manifest.recording = derived_uuid(&named);
    steps.push(Derivation { by: "merge".to_owned(), of, ..Derivation::default() });
    manifest.derived = steps;
    for next in recordings[1..].iter().map(|r| r.manifest()) {
        add_surroundings(manifest, next);
    }
    manifest.namespaces.sort_by_key(|namespace| namespace.netns);
    let rest = recordings[1..].iter().filter_map(|r| r.manifest().import.as_ref());
    if let Some(import) = &mut manifest.import {
        rest.for_each(|next| add_capture(import, next));
    }
}

fn add_capture(import: &mut Import, next: &Import) {
    let both = |a: &Option<String>, b: &Option<String>, sep| match (a, b) {
        (Some(a), Some(b)) => Some(format!("{a}{sep}{b}")),
        (one, None) | (None, one) => one.clone(),
    };
    import.file = format!("{}, {}", import.file, next.file);
    add(&mut import.packets, next.packets);
    for (reason, n) in &next.left_out {
        add(import.left_out.entry(reason.clone()).or_default(), *n);
    }
    import.dropped = match (import.dropped, next.dropped) {
        (Some(a), Some(b)) => Some(a.saturating_add(b)),
        // If one recording does not have the count, that of all is not known.
        (None, _) | (_, None) => None,
    };
    import.truncated = both(&import.truncated, &next.truncated, "; ");
}

fn totals_of(recordings: &[&Recording]) -> Result<Vec<Totals>, LogError> {
    let totals = recordings.iter().map(|r| totals_there(r).map(|(totals, _)| totals));
    Ok(totals.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

struct Merger {
    writer: RecordingWriter,
    /// They are parts cut of one recording.
    parts: bool,
    /// The part at hand, where others come before and after it.
    from_ns: Option<u64>,
    to_ns: Option<u64>,
    /// Numbers given out before the recording at hand.
    numbers: PerCpu,
    /// First free generation of sockets that lived before the recording at hand; their numbers
    /// count anew in each, and rows of two recordings are two rows.
    generations: FxHashMap<u64, u16>,
    /// The same of those that live now.
    alive: FxHashMap<u64, u16>,
    /// Connections that are open.
    open: BTreeSet<(u64, u16)>,
    polls: u32,
    next_poll: u32,
    /// Losses in the ledger, by CPU and hook.
    lost: BTreeMap<(u16, &'static str), u64>,
    /// Malformed packets, by hook.
    malformed: BTreeMap<String, u64>,
    /// Connections that parts after the first repeat.
    repeated: u64,
    /// Rows that --max-size removed, as often as parts after the first repeat this count.
    removed_again: PerCpu,
    /// Rows about --max-size that belong to the time of a later part.
    held: VecDeque<(u64, RawCaptureStat)>,
}

impl Merger {
    fn add(
        &mut self,
        recording: &Recording,
        before: bool,
        after: bool,
    ) -> Result<(), TransformError> {
        let manifest = recording.manifest();
        if self.parts {
            let step = manifest.derived.last();
            self.from_ns = step.and_then(|s| s.from_ns).filter(|_| before);
            self.to_ns = step.and_then(|s| s.to_ns).filter(|_| after);
        } else {
            self.generations = self.alive.clone();
            self.polls = self.next_poll;
        }
        self.ledger(recording)?;
        for row in lacking(recording, end_ns(recording)?)? {
            if let CaptureStat::Loss { cpu, hook, lost, .. } = &row {
                add(self.lost.entry((*cpu, hook.name())).or_default(), *lost);
            }
            self.writer.capture_stat(&row)?;
        }
        rounds::read(recording, self)?;
        if !self.parts {
            for cpu in manifest.totals.iter().flat_map(|t| &t.per_cpu) {
                self.numbers.add(cpu.cpu, cpu.emitted);
            }
        }
        Ok(())
    }

    /// Notes a connection that begins, or ends.
    fn follows(&mut self, row: &Lifecycle) {
        self.lives(&row.header);
        let key = (row.header.cookie, row.header.generation);
        match row.event {
            Event::Open | Event::Baseline if !self.parts => {
                self.open.insert(key);
            }
            Event::Open | Event::Baseline | Event::Drain => {}
            Event::Close | Event::End | Event::Over => {
                self.open.remove(&key);
            }
        }
    }

    fn ledger(&mut self, recording: &Recording) -> Result<(), TransformError> {
        let (from_ns, to_ns) = (self.from_ns.unwrap_or(0), self.to_ns.unwrap_or(u64::MAX));
        for row in recording.raw_capture_stats() {
            let mut raw = row?;
            let at_ns = match &mut raw {
                RawCaptureStat::DroppedRows(rows) if self.from_ns.is_some() => {
                    // The first part has them too.
                    self.removed_again.add(rows.cpu, rows.rows);
                    continue;
                }
                RawCaptureStat::Row(CaptureStat::Dropped { .. }) if self.from_ns.is_some() => {
                    continue;
                }
                RawCaptureStat::DroppedRows(rows) => {
                    // Behind its CaptureStat::Dropped, whenever that comes.
                    if rows.ts_ns >= to_ns {
                        self.held.push_back((rows.ts_ns, raw));
                    } else {
                        self.writer.raw_capture_stat(&raw)?;
                    }
                    continue;
                }
                RawCaptureStat::SnapshotsDrained(_) => continue,
                RawCaptureStat::Unknown => {
                    return Err(TransformError::Newer(recording.dir().to_owned()));
                }
                RawCaptureStat::Row(row) => match row {
                    CaptureStat::LeftOut { .. } => continue,
                    CaptureStat::Dropped { ts_ns, .. } if *ts_ns >= to_ns => {
                        self.held.push_back((*ts_ns, raw));
                        continue;
                    }
                    CaptureStat::Emitted { ts_ns, cpu, emitted } => {
                        add(emitted, self.numbers.get(*cpu));
                        *ts_ns
                    }
                    CaptureStat::LatePoll { ts_ns, .. }
                    | CaptureStat::Clock(ts_ns, _)
                    | CaptureStat::Loss { ts_ns, .. }
                    | CaptureStat::Skipped { ts_ns, .. }
                    | CaptureStat::NotIp { ts_ns, .. }
                    | CaptureStat::Missing { ts_ns, .. }
                    | CaptureStat::Malformed { ts_ns, .. }
                    | CaptureStat::SlowPoll { ts_ns, .. }
                    | CaptureStat::Dropped { ts_ns, .. }
                    | CaptureStat::RingFill { ts_ns, .. }
                    | CaptureStat::MapFailure { ts_ns, .. }
                    | CaptureStat::Lacking { ts_ns, .. }
                    | CaptureStat::LateDrain { ts_ns, .. } => *ts_ns,
                },
            };
            // Both parts have the rows that overlap their border.
            let is_missing = matches!(raw, RawCaptureStat::Row(CaptureStat::Missing { .. }));
            if is_missing || (from_ns..to_ns).contains(&at_ns) {
                self.release(at_ns)?;
                if let RawCaptureStat::Row(CaptureStat::Loss { cpu, hook, lost, .. }) = &raw {
                    add(self.lost.entry((*cpu, hook.name())).or_default(), *lost);
                }
                if let RawCaptureStat::Row(CaptureStat::Malformed { hook, count, .. }) = &raw {
                    add(self.malformed.entry(hook.name().to_owned()).or_default(), *count);
                }
                self.writer.raw_capture_stat(&raw)?;
            }
        }
        Ok(())
    }

    /// Writes the rows held back that are due before this time.
    fn release(&mut self, ts_ns: u64) -> Result<(), TransformError> {
        while let Some((at_ns, row)) = self.held.pop_front() {
            if at_ns >= ts_ns {
                self.held.push_front((at_ns, row));
                break;
            }
            self.writer.raw_capture_stat(&row)?;
        }
        Ok(())
    }

    /// Whether a row only repeats what the parts before have.
    fn is_repeated(&self, header: &Header) -> bool {
        header.cpu == NO_CPU && self.from_ns.is_some()
    }

    fn renumbered(&mut self, header: &Header) -> Header {
        if self.parts {
            return *header;
        }
        let mut header = *header;
        if header.cpu != NO_CPU {
            add(&mut header.seq, self.numbers.get(header.cpu));
        }
        let first = self.generations.get(&header.cookie).copied().unwrap_or(0);
        header.generation = header.generation.saturating_add(first);
        header
    }

    fn lives(&mut self, header: &Header) {
        if header.hook.ends_socket() {
            self.alive.remove(&header.cookie);
        } else {
            self.alive.insert(header.cookie, header.generation.saturating_add(1));
        }
    }

    /// A recorder writes at its end which connections are open, but not for a namespace that it cannot
    /// enter. A cut does not write this at all. The next recording makes a new row of it, so this one
    /// ends here.
    fn end_open(&mut self, ts_ns: u64) -> Result<(), TransformError> {
        for (seq, (cookie, generation)) in (0..).zip(std::mem::take(&mut self.open)) {
            let header = Header { ts_ns, seq, cookie, generation, cpu: NO_CPU, hook: Hook::Sweep };
            // Its state then is not known, and the other values are not repeated.
            self.writer.lifecycle(&Lifecycle { event: Event::End, ..marker(header) })?;
        }
        Ok(())
    }

    fn totals(
        &self,
        recordings: &[&Recording],
        manifest: &Manifest,
    ) -> Result<(Totals, PerCpu), LogError> {
        let mut cpus: BTreeMap<u16, CpuTotals> = BTreeMap::new();
        let mut totals = Totals::default();
        for of in &totals_of(recordings)? {
            add(&mut totals.connections, of.connections);
            add(&mut totals.dropped_packets, of.dropped_packets);
            add(&mut totals.map_failures, of.map_failures);
            for cpu in &of.per_cpu {
                let new = CpuTotals { cpu: cpu.cpu, ..CpuTotals::default() };
                let sum = cpus.entry(cpu.cpu).or_insert(new);
                add(&mut sum.logged, cpu.logged);
                if self.parts {
                    sum.emitted = sum.emitted.max(cpu.emitted);
                    continue;
                }
                add(&mut sum.emitted, cpu.emitted);
                add(&mut sum.left_out, cpu.left_out);
                for (hook, n) in &cpu.lost_by_hook {
                    add(sum.lost_by_hook.entry(hook.clone()).or_default(), *n);
                }
            }
        }
        if self.parts {
            totals.connections = totals.connections.saturating_sub(self.repeated);
            // All parts have the original's.
            totals.map_failures /= recordings.len() as u64;
            for ((cpu, hook), n) in &self.lost {
                if let Some(sum) = cpus.get_mut(cpu) {
                    sum.lost_by_hook.insert((*hook).to_owned(), *n);
                }
            }
            for sum in cpus.values_mut() {
                sum.logged = sum.logged.saturating_sub(self.removed_again.get(sum.cpu));
                sum.left_out = sum.emitted.saturating_sub(sum.logged).saturating_sub(sum.lost());
            }
        }
        let ended = manifest.ended.map_or(manifest.started.monotonic_ns, |e| e.monotonic_ns);
        totals.duration_ns = ended.saturating_sub(manifest.started.monotonic_ns);
        let mut left_out = PerCpu::default();
        cpus.values().for_each(|cpu| left_out.add(cpu.cpu, cpu.left_out));
        totals.per_cpu = cpus.into_values().collect();
        totals.malformed = self.malformed.clone();
        Ok((totals, left_out))
    }
}

impl Take for Merger {
    fn hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), TransformError> {
        if self.is_repeated(header) {
            return Ok(());
        }
        let header = self.renumbered(header);
        self.lives(&header);
        if !self.parts && header.hook.ends_socket() {
            self.open.remove(&(header.cookie, header.generation));
        }
        Ok(self.writer.hook(&header, ops)?)
    }

    fn lifecycle(&mut self, mut row: Lifecycle) -> Result<(), TransformError> {
        if self.is_repeated(&row.header) {
            self.repeated += u64::from(row.event == Event::Baseline);
            return Ok(());
        }
        row.header = self.renumbered(&row.header);
        self.follows(&row);
        Ok(self.writer.lifecycle(&row)?)
    }

    fn packet(&mut self, mut packet: Packet) -> Result<(), TransformError> {
        add(&mut packet.seq, self.numbers.get(packet.cpu));
        Ok(self.writer.packet(packet)?)
    }

    fn snapshot(&mut self, mut row: Snapshot) -> Result<(), TransformError> {
        row.header = self.renumbered(&row.header);
        if let Some(poll) = &mut row.poll {
            *poll = poll.saturating_add(self.polls);
            self.next_poll = self.next_poll.max(poll.saturating_add(1));
        }
        Ok(self.writer.snapshot(row)?)
    }

    fn mark(&mut self, stream: Marked, ts_ns: u64) -> Result<(), TransformError> {
        // The last mark of a part that goes on was made for its end.
        if self.to_ns.is_some_and(|to| ts_ns >= to) {
            return Ok(());
        }
        super::mark(&mut self.writer, stream, ts_ns)
    }
}

/// Numbers of a file may be anything.
const fn add(sum: &mut u64, n: u64) {
    *sum = sum.saturating_add(n);
}
