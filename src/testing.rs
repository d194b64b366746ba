// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Records for unit tests.

use crate::schema::{Hook, Op, Var, Why};
use crate::wire::{
    Direction, Event, Header, HookRecord, Lifecycle, Operation, Packet, Snapshot, SocketValues,
};

/// An IPv4 connection 10.0.0.1:1000 -> 10.0.0.2:80 that we opened.
pub fn lifecycle(event: Event, ts_ns: u64, cookie: u64) -> Lifecycle {
    let mut local_addr = [0; 16];
    local_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
    let mut remote_addr = [0; 16];
    remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    Lifecycle {
        header: Header { ts_ns, seq: 0, cookie, generation: 0, cpu: 0, hook: Hook::SetState },
        event,
        start_ns: if event == Event::Close { 0 } else { ts_ns },
        family: 2,
        local_addr,
        remote_addr,
        local_port: 1000,
        remote_port: 80,
        netns: 4_026_531_840,
        cgroup_id: 9,
        cgroup_path: "/a".into(),
        pid: 12,
        uid: 1000,
        comm: "curl".into(),
        congestion: "cubic".into(),
        old_state: 2,
        new_state: 1,
        active: 1,
        established: 0,
        first_fin: 0,
        mptcp: 0,
        sk_err: 0,
    }
}

/// A record of a hook with operations.
pub fn hook(hook: Hook, ts_ns: u64, cookie: u64, ops: &[(Var, Op, u64)]) -> HookRecord {
    HookRecord {
        header: Header { ts_ns, seq: 0, cookie, generation: 0, cpu: 0, hook },
        ops: ops.iter().map(|&(var, op, value)| Operation { var, op, value }).collect(),
    }
}

/// A polled socket of the same connection, without values.
pub fn snapshot(ts_ns: u64, cookie: u64) -> Snapshot {
    let of = lifecycle(Event::Open, ts_ns, cookie);
    Snapshot {
        header: Header { hook: Hook::Poll, ..of.header },
        why: Why::Poll,
        poll: Some(0),
        family: of.family,
        local_addr: of.local_addr,
        remote_addr: of.remote_addr,
        local_port: of.local_port,
        remote_port: of.remote_port,
        netns: of.netns,
        congestion: of.congestion,
        ulp: String::new(),
        tcp_info_more: Vec::new(),
        values: SocketValues::default(),
    }
}

/// A datagram of 100 octets from 10.0.0.1:1000 to port 53 of 10.0.0.2, at its socket.
pub fn datagram(ts_ns: u64) -> Packet {
    Packet {
        ts_ns,
        seq: 0,
        cpu: 0,
        hook: Hook::SocketOut,
        direction: Direction::Out,
        interface: None,
        netns: Some(4_026_531_840),
        cookie: Some(1),
        src_mac: None,
        dst_mac: None,
        vlan: None,
        wire_len: 128,
        captured_len: 128,
        src_addr: [10, 0, 0, 1].into(),
        dst_addr: [10, 0, 0, 2].into(),
        ttl: 64,
        tos: 0,
        ip_id: Some(7),
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len: 128,
        protocol: 17,
        src_port: Some(1000),
        dst_port: Some(53),
        payload_len: 100,
        segments: 1,
        wrong_checksum: None,
        is_copy: false,
        header: vec![3, 0xe8, 0, 53, 0, 108, 0, 0],
        payload: Vec::new(),
    }
}
