// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Writes each drained record as a row of the log, and counts it.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::{
    capture::{CaptureError, cgroup::Paths, provenance::Sighting, top::Top},
    engine::keyframe::KeyFrames,
    log::{RecordingWriter, Ring},
    schema::{Event, Why},
    wire::{Decoded, Lifecycle, Operation, Record, decode, decode_packet, decode_snapshot},
};

/// A socket as inet_diag identifies it: namespace, family, addresses, ports.
pub(super) type SocketKey = (u32, u16, [u8; 16], [u8; 16], u16, u16);
/// A connection as the hooks identify it: cookie and generation.
pub(super) type Identity = (u64, u16);

/// Which socket is which recorded connection: its cookie need not be the kernel's.
#[derive(Default)]
pub(super) struct Identities {
    pub(super) by_ends: FxHashMap<SocketKey, Identity>,
    ends: FxHashMap<Identity, SocketKey>,
}

impl Identities {
    pub(super) fn opened(&mut self, row: &Lifecycle) {
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

    pub(super) fn closed(&mut self, row: &Lifecycle) {
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
pub(super) struct Sink {
    pub(super) writer: RecordingWriter,
    pub(super) ops: Vec<Operation>,
    pub(super) paths: Paths,
    pub(super) error: Option<CaptureError>,
    /// Records logged, by CPU.
    pub(super) logged: Vec<u64>,
    /// The same by kind of ring.
    pub(super) of_rings: [u64; Ring::ALL.len()],
    pub(super) connections: u64,
    pub(super) open: u64,
    pub(super) packets: u64,
    /// Packets that the kernel dropped.
    pub(super) dropped_packets: u64,
    /// Records of packets that turned out to be malformed when they were read, by CPU and hook's
    /// code: they have numbers, and no rows.
    pub(super) malformed: BTreeMap<(u16, usize), u64>,
    /// Network namespaces of connections so far, and those of them that are new.
    pub(super) namespaces: FxHashSet<u32>,
    pub(super) new_namespaces: Vec<Sighting>,
    /// Connections open by namespace, and the owner of one of them.
    pub(super) occupied: BTreeMap<u32, (u64, u32)>,
    /// Kept only where segments are removed.
    pub(super) frames: Option<KeyFrames>,
    /// Kept only for `--top`.
    pub(super) top: Option<Top>,
    /// Kept only for polls over netlink.
    pub(super) identities: Option<Identities>,
    /// Connections that began while recording and are open; kept only with a command.
    pub(super) begun: Option<FxHashSet<Identity>>,
    /// Bytes that the rings held when they were read, by their places.
    pub(super) fill: Vec<u64>,
}

impl Sink {
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let (ring, header) = match decode(bytes, &mut self.ops)? {
            Record::Hook(header) => {
                self.writer.hook(&header, &self.ops)?;
                if let Some(frames) = &mut self.frames {
                    frames.hook(&header, &self.ops);
                }
                (Ring::Hooks, header)
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
                if let Some(frames) = &mut self.frames {
                    frames.lifecycle(&row);
                }
                (Ring::Lifecycle, row.header)
            }
        };
        self.count(ring, header.cpu);
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

    pub(super) fn take_snapshot(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        let snapshot = decode_snapshot(bytes)?;
        let cpu = snapshot.header.cpu;
        self.dropped_packets += u64::from(snapshot.why == Why::Drop);
        self.writer.snapshot(snapshot)?;
        self.count(Ring::Sockets, cpu);
        Ok(())
    }

    pub(super) fn take_packet(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
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
        self.count(Ring::Packets, cpu);
        Ok(())
    }

    /// Records of a CPU that were of malformed packets.
    pub(super) fn malformed_on(&self, cpu: usize) -> u64 {
        let cpu = cpu as u16;
        self.malformed.range((cpu, 0)..=(cpu, usize::MAX)).map(|(_, n)| n).sum()
    }

    fn count(&mut self, ring: Ring, cpu: u16) {
        self.of_rings[ring as usize] += 1;
        if let Some(n) = self.logged.get_mut(usize::from(cpu)) {
            *n += 1;
        }
    }
}
