// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! drops.parquet: packets that the kernel dropped, by connection and reason.

use std::collections::BTreeMap;

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::estats::Ended;
use crate::engine::time::timeline::{Of, Timeline};
use crate::log::{DropReasons, Manifest};
use crate::schema::{Direction, SocketField as F};
use crate::wire::Snapshot;

/// Rows of packets without a connection, at most: who sends to every port makes one for each.
const MOST: usize = 4096;

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    TableSpec {
        name: "drops",
        doc: "Packets of TCP that the kernel dropped: one row per connection, direction and reason. Connections come in the order in which they ended, the rows of one by direction and reason. Behind them are packets of no connection that was open then (to a port that nobody listens at, or after the end): one row per network namespace, local port, direction and reason, in this order. There are at most 4096 of these rows; what did not fit is in rows without namespace and port. A packet that is dropped on its way in was counted by its sender, and may be counted here and in SegsIn. A copy that the kernel drops counts too, as one for a packet socket that is full (tcpdump; PACKET_SOCK_ERROR, on older kernels NOT_SPECIFIED), though the packet itself went on. Not here are packets whose headers of TCP cannot be found (fragments, and those with extension headers of IPv6), and SYNs that come to a full queue of a listening socket, for which the kernel has no such event: those are in listeners. Recordings that choose processes, names or cgroups have only packets whose socket is known. Recordings without the hook `drops` have no rows here: older ones, and those with the hook set kprobe.",
        columns: vec![
            c(
                "conn_id",
                K::Int64,
                "",
                "Number of the connection, as in connections; NULL for packets of none.",
            ),
            c("recording", K::Text, "", "UUID of the recording."),
            c(
                "netns",
                K::Int64,
                "",
                "Inode number of the network namespace; NULL where it was not known any more.",
            ),
            c("local_port", K::Int32, "", "Local port; NULL in rows of what did not fit.")
                .within(0, 65_535),
            c(
                "direction",
                K::Text,
                "",
                "received, or sent. A packet between two sockets of this host is sent until an interface has received it. A packet is received if it has an input interface, if it is dropped for a receiving socket, if it waits in a receiver's queue, or if a CPU's backlog drops it (since Linux 5.18; before, such a packet is sent).",
            ),
            c(
                "reason",
                K::Text,
                "",
                "The kernel's name of the reason (enum skb_drop_reason, without SKB_DROP_REASON_). NOT_SPECIFIED: the place in the kernel gives none, and may have been done with the packet. Of a subsystem's own reason, its name and number; the number where the name is not known. NULL if the record has none.",
            ),
            c(
                "reason_number",
                K::Int64,
                "",
                "The kernel's number of the reason, which another kernel may not have; NULL as above.",
            ),
            c("packets", K::Int64, "packets", "Packets; a super-packet is one."),
            c(
                "segments",
                K::Int64,
                "segments",
                "Segments in them. Of packets that the kernel had merged in the queue of a receiver, those of the first count.",
            ),
            c(
                "payload_bytes",
                K::Int64,
                "bytes",
                "Payload in them. Of a packet that IPsec has already encrypted, the headers that it added count too.",
            ),
            c("first_ns", K::Int64, "ns", "The first, CLOCK_MONOTONIC."),
            c("first_ts", K::Time, "", "The same in wall-clock time."),
            c("last_ns", K::Int64, "ns", "The last, CLOCK_MONOTONIC."),
            c("last_ts", K::Time, "", "The same in wall-clock time."),
            c(
                "lost_records",
                K::Int64,
                "records",
                "Records of dropped packets that were lost on any CPU while the connection lived, without a connection in the whole recording. What is missing from the file of snapshots counts too, since it may have been dropped packets; snapshots that the kernel is known to have lost do not. If it is not 0, there may have been more packets. If all records of a connection were lost, it has no row here. There is always a row without a connection if records were lost, if necessary one with 0 packets.",
            ),
        ],
    }
}

/// Direction (code) and number of the reason.
type Kind = (u64, Option<u64>);

/// What was counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    packets: u64,
    segments: u64,
    payload_bytes: u64,
    first_ns: u64,
    last_ns: u64,
}

impl Counted {
    fn add(counted: Option<&Self>, s: &Snapshot) -> Self {
        let ts_ns = s.header.ts_ns;
        let value = |field| s.values.get(field).unwrap_or(0);
        let before = counted.copied().unwrap_or(Self {
            packets: 0,
            segments: 0,
            payload_bytes: 0,
            first_ns: ts_ns,
            last_ns: ts_ns,
        });
        Self {
            packets: before.packets.saturating_add(1),
            segments: before.segments.saturating_add(value(F::drop_segments)),
            payload_bytes: before.payload_bytes.saturating_add(value(F::drop_payload_bytes)),
            first_ns: before.first_ns.min(ts_ns),
            last_ns: before.last_ns.max(ts_ns),
        }
    }
}

/// The place of a row: where its packets were seen.
type Where = (Option<u64>, Option<u64>);

/// All dropped packets of a recording whose rows are not made yet.
#[derive(Debug)]
pub(super) struct Drops {
    reasons: DropReasons,
    /// By connection.
    of: BTreeMap<u64, BTreeMap<Kind, (Where, Counted)>>,
    /// Of none, by network namespace and local port.
    without: BTreeMap<(Where, Kind), Counted>,
    /// What had no place there.
    rest: BTreeMap<Kind, Counted>,
}

impl Drops {
    pub(super) fn new(manifest: &Manifest) -> Self {
        Self {
            reasons: manifest.drop_reasons.clone(),
            of: BTreeMap::new(),
            without: BTreeMap::new(),
            rest: BTreeMap::new(),
        }
    }

    /// Takes a dropped packet.
    pub(super) fn dropped(&mut self, s: &Snapshot, conn_id: Option<u64>) {
        let kind = (s.values.get(F::drop_way).unwrap_or(0), s.values.get(F::drop_reason));
        let netns = Some(u64::from(s.netns)).filter(|&netns| netns != 0);
        let place = (netns, Some(u64::from(s.local_port)));
        if let Some(conn_id) = conn_id {
            let of = self.of.entry(conn_id).or_default();
            let counted = Counted::add(of.get(&kind).map(|(_, counted)| counted), s);
            let place = of.get(&kind).map_or(place, |(before, _)| (before.0.or(place.0), before.1));
            of.insert(kind, (place, counted));
            return;
        }
        let key = (place, kind);
        if self.without.len() >= MOST && !self.without.contains_key(&key) {
            let counted = Counted::add(self.rest.get(&kind), s);
            self.rest.insert(kind, counted);
        } else {
            let counted = Counted::add(self.without.get(&key), s);
            self.without.insert(key, counted);
        }
    }

    /// Adds the rows of a connection that has ended.
    pub(super) fn ended(
        &mut self,
        table: &mut TableBuilder,
        recording: &str,
        clock: &Timeline,
        ended: &Ended<'_>,
    ) {
        let lost = lost(clock, ended.begin_ns, ended.end_ns);
        for (kind, (place, counted)) in self.of.remove(&ended.conn_id).unwrap_or_default() {
            self.push(
                table,
                (recording, clock),
                (Some(ended.conn_id), place, kind),
                &counted,
                lost,
            );
        }
    }

    /// Adds the rows of what has no connection.
    pub(super) fn rest(&self, table: &mut TableBuilder, recording: &str, clock: &Timeline) {
        let lost = lost(clock, 0, u64::MAX);
        let of = (recording, clock);
        for (&(place, kind), counted) in &self.without {
            self.push(table, of, (None, place, kind), counted, lost);
        }
        for (&kind, counted) in &self.rest {
            self.push(table, of, (None, (None, None), kind), counted, lost);
        }
        if lost > 0 && self.without.is_empty() && self.rest.is_empty() {
            // Without a row, nothing would show here that there may have been some.
            let none =
                Counted { packets: 0, segments: 0, payload_bytes: 0, first_ns: 0, last_ns: 0 };
            self.push(table, of, (None, (None, None), (0, None)), &none, lost);
        }
    }

    fn push(
        &self,
        table: &mut TableBuilder,
        (recording, clock): (&str, &Timeline),
        (conn_id, (netns, port), (way, reason)): (Option<u64>, Where, Kind),
        counted: &Counted,
        lost: u64,
    ) {
        let direction = if way == Direction::In as u64 {
            Some("received")
        } else if way == Direction::Out as u64 {
            Some("sent")
        } else {
            None
        };
        let name = reason.and_then(|reason| u32::try_from(reason).ok());
        let name = name.map(|reason| self.reasons.name(reason));
        let Counted { packets, segments, payload_bytes, first_ns, last_ns } = *counted;
        let time = |ns| (packets > 0).then_some(ns);
        let wall = |ns| time(ns).and_then(|ns| clock.wall_us(ns));
        table.push([
            Cell::int(conn_id),
            Cell::from(recording),
            Cell::int(netns),
            Cell::int(port),
            Cell::text(direction),
            name.map_or(Cell::Null, |name| Cell::Text(name.into())),
            Cell::int(reason),
            Cell::from(packets),
            Cell::from(segments),
            Cell::from(payload_bytes),
            Cell::int(time(first_ns)),
            Cell::int(wall(first_ns)),
            Cell::int(time(last_ns)),
            Cell::int(wall(last_ns)),
            Cell::from(lost),
        ]);
    }
}

/// What is missing from the file of snapshots may have been dropped packets.
fn lost(clock: &Timeline, from_ns: u64, to_ns: u64) -> u64 {
    let lost = |of| clock.lost_between(of, from_ns, to_ns);
    lost(Of::Drops).saturating_add(lost(Of::PollsOrDrops))
}
