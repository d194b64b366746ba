// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! All streams of a recording in step, by the recorder's marks.
//!
//! Each stream keeps its order, and no stream runs ahead of another by more than a round, so that a
//! copy has the same records between the same marks: replay puts them into the same order.

use std::num::NonZeroUsize;

use super::TransformError;
use crate::engine::time::snapshots;
use crate::log::{HookBatch, LogError, PacketRow, Recording};
use crate::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot};

/// A stream that has marks of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marked {
    Lifecycles,
    Hooks,
    Packets,
}

/// Takes what a recording has.
pub(super) trait Take {
    fn hook(&mut self, header: &Header, ops: &[Operation]) -> Result<(), TransformError>;
    fn lifecycle(&mut self, row: Lifecycle) -> Result<(), TransformError>;
    fn packet(&mut self, packet: Packet) -> Result<(), TransformError>;
    fn snapshot(&mut self, row: Snapshot) -> Result<(), TransformError>;
    /// Everything made before this time (less the slack) has come in this stream; snapshots stand
    /// before the marks of the hooks.
    fn mark(&mut self, stream: Marked, ts_ns: u64) -> Result<(), TransformError>;
}

const ALL: [Marked; 3] = [Marked::Lifecycles, Marked::Hooks, Marked::Packets];

/// Reads a recording to its end.
pub(super) fn read(recording: &Recording, take: &mut impl Take) -> Result<(), TransformError> {
    let mut lifecycles = recording.lifecycles();
    let mut hooks = Hooks {
        batches: recording.hooks(NonZeroUsize::MIN),
        open: None,
        ops: Vec::new(),
        recording,
    };
    let mut packets = recording.packets();
    let mut sockets = Sockets { rows: snapshots(recording), next: None };
    // How far each stream has been read; none: to its end.
    let mut at = [Some(0_u64); ALL.len()];
    loop {
        let behind = at.iter().enumerate().filter_map(|(i, ns)| ns.map(|ns| (ns, i))).min();
        let Some((ns, i)) = behind else { return sockets.up_to(u64::MAX, take) };
        let mark = match ALL[i] {
            Marked::Lifecycles => lifecycle_round(&mut lifecycles, take)?,
            Marked::Hooks => {
                let mark = hooks.round(take)?;
                sockets.up_to(mark.unwrap_or(u64::MAX), take)?;
                mark
            }
            Marked::Packets => packet_round(&mut packets, take)?,
        };
        if let Some(mark) = mark {
            take.mark(ALL[i], mark)?;
        }
        at[i] = mark.map(|mark| mark.max(ns));
    }
}

fn lifecycle_round(
    rows: &mut impl Iterator<Item = Result<Lifecycle, LogError>>,
    take: &mut impl Take,
) -> Result<Option<u64>, TransformError> {
    for row in rows {
        let row = row?;
        if row.event == Event::Drain {
            return Ok(Some(row.header.ts_ns));
        }
        take.lifecycle(row)?;
    }
    Ok(None)
}

fn packet_round(
    rows: &mut impl Iterator<Item = Result<PacketRow, LogError>>,
    take: &mut impl Take,
) -> Result<Option<u64>, TransformError> {
    for row in rows {
        match row? {
            PacketRow::Drained(ts_ns) => return Ok(Some(ts_ns)),
            PacketRow::Packet(packet) => take.packet(packet)?,
        }
    }
    Ok(None)
}

struct Hooks<'a, I> {
    batches: I,
    /// The batch being read, and its next row.
    open: Option<(HookBatch, usize)>,
    ops: Vec<Operation>,
    recording: &'a Recording,
}

impl<I: Iterator<Item = Result<HookBatch, LogError>>> Hooks<'_, I> {
    fn round(&mut self, take: &mut impl Take) -> Result<Option<u64>, TransformError> {
        loop {
            let Some((batch, row)) = &mut self.open else {
                let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
                if batch.unknown_ops() > 0 || batch.unknown_records() > 0 {
                    return Err(TransformError::Newer(self.recording.dir().to_owned()));
                }
                self.open = Some((batch, 0));
                continue;
            };
            while *row < batch.len() {
                let header = batch.header(*row);
                *row += 1;
                if header.hook.is_mark() {
                    return Ok(Some(header.ts_ns));
                }
                self.ops.clear();
                self.ops.extend(batch.ops(*row - 1));
                take.hook(&header, &self.ops)?;
            }
            self.open = None;
        }
    }
}

struct Sockets<I> {
    rows: I,
    next: Option<Snapshot>,
}

impl<I: Iterator<Item = Result<Snapshot, LogError>>> Sockets<I> {
    /// Gives what stands before the first snapshot after this time.
    fn up_to(&mut self, ts_ns: u64, take: &mut impl Take) -> Result<(), TransformError> {
        loop {
            let row = match self.next.take() {
                Some(row) => row,
                None => match self.rows.next().transpose()? {
                    Some(row) => row,
                    None => return Ok(()),
                },
            };
            if row.header.ts_ns > ts_ns {
                self.next = Some(row);
                return Ok(());
            }
            take.snapshot(row)?;
        }
    }
}
