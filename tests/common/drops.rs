// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A synthetic recording with packets that the kernel dropped.

use std::path::Path;

use estats::log::{CaptureStat, DropReasons, Manifest, RecordingWriter, WriterOptions};
use estats::schema::{Direction, Hook, SocketField, Var, Why};
use estats::wire::{Event, Snapshot, SocketValues};

use super::{MS, Script, T0, manifest, set};

/// The namespace of the connections.
pub const NETNS: u32 = 4_026_531_840;
/// A reason of a subsystem's own.
pub const OF_SUBSYSTEM: u64 = 3 << 16 | 7;

/// A dropped packet between 10.0.0.1 and 10.0.0.2.
#[derive(Clone, Copy, Debug)]
pub struct Dropped {
    pub ms: u64,
    pub cookie: u64,
    pub netns: u32,
    pub local_port: u16,
    pub remote_port: u16,
    pub way: Direction,
    pub reason: Option<u64>,
    pub octets: u64,
}

/// Received, of no known socket.
pub const fn received(ms: u64, local_port: u16, reason: u64, octets: u64) -> Dropped {
    Dropped {
        ms,
        cookie: 0,
        netns: NETNS,
        local_port,
        remote_port: 443,
        way: Direction::In,
        reason: Some(reason),
        octets,
    }
}

fn push(s: &mut Script, of: Dropped) {
    let mut values = SocketValues::default();
    values.set(SocketField::drop_reason, of.reason);
    values.set(SocketField::drop_way, Some(of.way as u64));
    values.set(SocketField::drop_segments, Some(1));
    values.set(SocketField::drop_payload_bytes, Some(of.octets));
    let mut addresses = [[0; 16]; 2];
    addresses[0][..4].copy_from_slice(&[10, 0, 0, 1]);
    addresses[1][..4].copy_from_slice(&[10, 0, 0, 2]);
    let row = Snapshot {
        header: s.header(T0 + of.ms * MS, of.cookie, Hook::Drops),
        why: Why::Drop,
        poll: None,
        family: 2,
        local_addr: addresses[0],
        remote_addr: addresses[1],
        local_port: of.local_port,
        remote_port: of.remote_port,
        netns: of.netns,
        congestion: String::new(),
        ulp: String::new(),
        tcp_info_more: Vec::new(),
        values,
    };
    s.writer.snapshot(row).expect("a dropped packet");
}

fn names() -> DropReasons {
    let names = [(2, "NOT_SPECIFIED"), (3, "NO_SOCKET"), (5, "TCP_CSUM"), (6, "QDISC_DROP")];
    DropReasons {
        names: names.into_iter().map(|(number, name)| (number, name.to_owned())).collect(),
        subsystems: [(0, "CORE"), (3, "OPENVSWITCH")]
            .into_iter()
            .map(|(number, name)| (number, name.to_owned()))
            .collect(),
    }
}

/// Connections 1 (to 300 ms) and 2 (to 400 ms), of local ports 40001 and 40002, these packets, and records of
/// dropped packets that were lost at the end of the second.
pub fn dropped(dir: &Path, packets: &[Dropped]) {
    let manifest = Manifest { drop_reasons: names(), ..manifest() };
    let writer = RecordingWriter::create(dir, &manifest, WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    for cookie in [1, 2] {
        s.lifecycle(cookie, cookie, Event::Open, |_| {});
        s.hook(Hook::SetState, 10 + cookie, cookie, &[set(Var::State, 5)]);
    }
    for packet in packets {
        push(&mut s, *packet);
    }
    s.marker(200);
    for cookie in [1, 2] {
        s.lifecycle(200 + cookie * 100, cookie, Event::Close, |l| {
            (l.old_state, l.new_state) = (1, 7);
        });
        s.hook(Hook::Destroy, 201 + cookie * 100, cookie, &[]);
    }
    let (ts_ns, since_ns) = (T0 + 390 * MS, T0 + 350 * MS);
    let loss = CaptureStat::Loss { ts_ns, cpu: 0, hook: Hook::Drops, lost: 4, since_ns };
    s.writer.capture_stat(&loss).expect("loss");
    s.marker(1000);
    let mut manifest = s.closed(manifest, &[(Hook::Drops, 4)]);
    if let Some(totals) = &mut manifest.totals {
        (totals.dropped_packets, totals.connections) = (packets.len() as u64, 2);
    }
    s.writer.finish(&manifest).expect("finish");
}

/// One of each sort.
pub fn all() -> Vec<Dropped> {
    vec![
        Dropped { cookie: 1, ..received(50, 40_001, 5, 100) },
        // Handed over late: behind one of a later time.
        received(45, 40_001, 5, 200),
        Dropped { netns: 0, way: Direction::Out, ..received(61, 40_001, 6, 1000) },
        Dropped { netns: 7, ..received(62, 40_001, 5, 0) },
        received(70, 9, 3, 0),
        received(75, 9, 3, 0),
        Dropped { reason: None, ..received(80, 40_002, 0, 10) },
        received(81, 40_002, OF_SUBSYSTEM, 10),
        received(82, 40_002, 999, 10),
        received(500, 40_001, 3, 1),
    ]
}
