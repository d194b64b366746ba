// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A synthetic recording with one connection of each sort, and tables as text.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod capture;
pub mod drops;
pub mod hostile;
pub mod senders;
pub mod transfers;

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use estats::log::{
    CaptureStat, ClockSample, CpuTotals, Host, Manifest, RecordOptions, RecordingWriter, Totals,
    VariableStatus, WriterOptions,
};
use estats::replay::{ReplayOptions, ReplayReport};
use estats::schema::{Hook, Op, Quality, SocketField, Var, Why};
use estats::wire::{
    Direction, Event, Header, Lifecycle, Operation, Packet, Snapshot, SocketValues,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

pub const MS: u64 = 1_000_000;
/// CLOCK_MONOTONIC at the beginning.
pub const T0: u64 = 5_000_000_000;
/// 2026-01-01T00:00:00Z.
const WALL: u64 = 1_767_225_600_000_000_000;

pub fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

pub fn options(n: usize, output: &Path) -> ReplayOptions {
    ReplayOptions {
        output: Some(output.to_owned()),
        threads: threads(n),
        ..ReplayOptions::default()
    }
}

pub fn replay(run: &Path, options: &ReplayOptions) -> ReplayReport {
    let recording = estats::log::Recording::open(run).expect("a recording");
    estats::replay::replay(&recording, options).expect("replay")
}

pub fn manifest() -> Manifest {
    Manifest {
        format_version: 1,
        recording: "6e0c2a4e-9d51-4d6c-8a37-0f4f0f6f5a10".into(),
        tool_version: "0.1.0".into(),
        hook_set: "tracepoint".into(),
        counting: Some(estats::schema::counting::COUNTING),
        host: Host { hostname: "lab".into(), kernel_release: "6.18.0".into(), ..Host::default() },
        variables: Var::ALL
            .iter()
            .map(|v| VariableStatus {
                name: v.name().into(),
                quality: v.source(HOOKS).map_or(Quality::Missing, |c| c.quality).name().into(),
                reason: None,
            })
            .collect(),
        options: RecordOptions { resolution_ns: MS, all: true, ..RecordOptions::default() },
        started: clock(T0),
        ..Manifest::default()
    }
}

pub fn clock(monotonic_ns: u64) -> ClockSample {
    let realtime_ns = WALL + monotonic_ns - T0;
    ClockSample { monotonic_ns, realtime_ns, tai_ns: realtime_ns + 37_000_000_000 }
}

/// A listening socket of backlog 1: how many wait, its drops, and what its namespace counted.
const fn listener(waiting: u64, drops: u64, overflows: u64) -> [(SocketField, u64); 6] {
    [
        (SocketField::rqueue, waiting),
        (SocketField::wqueue, 1),
        (SocketField::skmem_drops, drops),
        (SocketField::uid, 33),
        (SocketField::ListenOverflows, overflows),
        (SocketField::ListenDrops, overflows + 1),
    ]
}

/// Writes records with running sequence numbers, all on CPU 0.
struct Script {
    writer: RecordingWriter,
    seq: u64,
}

impl Script {
    fn header(&mut self, ts_ns: u64, cookie: u64, hook: Hook) -> Header {
        self.seq += 1;
        Header { ts_ns, seq: self.seq - 1, cookie, generation: 0, cpu: 0, hook }
    }

    fn hook(&mut self, hook: Hook, ms: u64, cookie: u64, ops: &[(Var, Op, u64)]) {
        let header = self.header(T0 + ms * MS, cookie, hook);
        let ops: Vec<_> =
            ops.iter().map(|&(var, op, value)| Operation { var, op, value }).collect();
        self.writer.hook(&header, &ops).expect("hook");
    }

    fn lifecycle(&mut self, ms: u64, cookie: u64, event: Event, edit: impl FnOnce(&mut Lifecycle)) {
        let header = self.header(T0 + ms * MS, cookie, Hook::SetState);
        let mut row = lifecycle(header);
        (row.event, row.local_port) = (event, 40_000_u16.wrapping_add(cookie as u16));
        edit(&mut row);
        self.writer.lifecycle(&row).expect("lifecycle");
    }

    /// A snapshot of the socket of which only these fields are known.
    fn snapshot(&mut self, ms: u64, cookie: u64, why: Why, fields: &[(SocketField, u64)]) {
        let is_poll = matches!(why, Why::Poll | Why::Listener);
        let hook = if is_poll { Hook::Poll } else { Hook::SetState };
        let mut values = SocketValues::default();
        fields.iter().for_each(|&(field, value)| values.set(field, Some(value)));
        let mut remote_addr = [0; 16];
        if why != Why::Listener {
            remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
        }
        let row = Snapshot {
            header: self.header(T0 + ms * MS, cookie, hook),
            why,
            // Listening sockets are polled every millisecond here, all sockets once.
            poll: is_poll.then_some(if why == Why::Listener { ms as u32 } else { 4 }),
            family: 2,
            local_addr: [0; 16],
            remote_addr,
            local_port: 40_000_u16.wrapping_add(cookie as u16),
            remote_port: if why == Why::Listener { 0 } else { 443 },
            netns: 4_026_531_840,
            congestion: "cubic".into(),
            ulp: String::new(),
            // Only where netlink gave the snapshot.
            tcp_info_more: if values.get(SocketField::mptcp_map_seq).is_some() {
                b"somebody's address".to_vec()
            } else {
                Vec::new()
            },
            values,
        };
        self.writer.snapshot(row).expect("snapshot");
    }

    fn packet(&mut self, packet: Packet) {
        let seq = self.seq;
        self.seq += 1;
        self.writer.packet(Packet { seq, ..packet }).expect("packet");
    }

    /// The manifest at the end, with the totals of what was written and of these losses.
    fn closed(&self, manifest: Manifest, lost: &[(Hook, u64)]) -> Manifest {
        let lost_by_hook = lost.iter().map(|(hook, n)| (hook.name().to_owned(), *n)).collect();
        let emitted = self.seq + lost.iter().map(|(_, n)| n).sum::<u64>();
        let logged = self.seq;
        let cpu = CpuTotals { cpu: 0, emitted, logged, lost_by_hook, ..CpuTotals::default() };
        let totals = Totals { duration_ns: 1000 * MS, per_cpu: vec![cpu], ..Totals::default() };
        Manifest { ended: Some(clock(T0 + 1000 * MS)), totals: Some(totals), ..manifest }
    }

    fn marker(&mut self, ms: u64) {
        self.writer.drained(T0 + ms * MS).expect("marker");
        self.writer
            .capture_stat(&CaptureStat::Clock(T0 + ms * MS, clock(T0 + ms * MS)))
            .expect("clock");
    }
}

/// The record of an open connection from 10.0.0.1 to port 443 of 10.0.0.2.
pub fn lifecycle(header: Header) -> Lifecycle {
    let mut local_addr = [0; 16];
    local_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
    let mut remote_addr = [0; 16];
    remote_addr[..4].copy_from_slice(&[10, 0, 0, 2]);
    Lifecycle {
        start_ns: header.ts_ns,
        header,
        event: Event::Open,
        family: 2,
        local_addr,
        remote_addr,
        local_port: 40_000,
        remote_port: 443,
        netns: 4_026_531_840,
        cgroup_id: 99,
        cgroup_path: format!("/system.slice/docker-{}.scope", "0123456789abcdef".repeat(4)),
        pid: 4711,
        uid: 33,
        comm: "curl".into(),
        congestion: "cubic".into(),
        old_state: 7,
        new_state: 2,
        active: 1,
        established: 0,
        first_fin: 0,
        mptcp: 0,
        sk_err: 0,
    }
}

const fn set(var: Var, value: u64) -> (Var, Op, u64) {
    (var, Op::Set, value)
}

const fn inc(var: Var) -> (Var, Op, u64) {
    (var, Op::Inc, 0)
}

/// Hooks of a kernel with tracepoints alone.
const HOOKS: &[Hook] = &[
    Hook::TcpProbe,
    Hook::ParseHdr,
    Hook::Egress,
    Hook::SetState,
    Hook::CongState,
    Hook::Retransmit,
    Hook::Handshake,
    Hook::Baseline,
    Hook::Sweep,
    Hook::Destroy,
    Hook::RcvSpace,
];

/// The recording: cookie 1 a download with a fast retransmit, closed by both; 2 accepted over an
/// IPv6 socket and reset by the peer; 3 begun before; 4 refused; 5 open at the end; 6 hit by a loss;
/// 100 and up short ones, so that tables have several batches if there are many.
pub fn synthetic(dir: &Path, short: u64) {
    let writer =
        RecordingWriter::create(dir, &manifest(), WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    s.lifecycle(0, 3, Event::Baseline, |l| {
        (l.established, l.active, l.old_state, l.new_state) = (1, 0, 1, 1);
    });
    s.hook(Hook::Baseline, 0, 3, &[set(Var::SegsOut, 900), set(Var::State, 5)]);
    s.hook(Hook::SetState, 1, 1, &[set(Var::State, 3), set(Var::CurMSS, 536)]);
    s.lifecycle(1, 1, Event::Open, |_| {});
    let established = [
        set(Var::CurMSS, 1448),
        set(Var::CurRwinRcvd, 64_240),
        set(Var::State, 5),
        set(Var::MSSSent, 1460),
        set(Var::WinScaleSent, 7),
        set(Var::TimeStamps, 1),
        set(Var::ECN, 3),
        set(Var::Nagle, 2),
        set(Var::SndInitial, 0xffff_f000),
        set(Var::SndNxt, 0xffff_f000),
    ];
    s.hook(Hook::SetState, 11, 1, &established);
    s.snapshot(11, 1, Why::Open, &[(SocketField::tcpi_state, 1), (SocketField::tcpi_rtt, 10_000)]);
    s.marker(100);
    s.lifecycle(120, 2, Event::Open, |l| {
        l.family = 10;
        l.local_addr = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().octets();
        l.remote_addr = Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets();
        (l.local_port, l.remote_port, l.active, l.established) = (443, 51_000, 2, 1);
        (l.old_state, l.new_state, l.comm) = (3, 1, "nginx".into());
    });
    s.hook(
        Hook::SetState,
        120,
        2,
        &[set(Var::State, 5), set(Var::CurMSS, 1400), set(Var::Limstate, 3)],
    );
    for i in 0..50_u64 {
        let rtt = 10_000 + (i * 7919) % 1000;
        let ops = [
            set(Var::SampleRTT, rtt),
            set(Var::CurRTO, 200_000 + rtt),
            set(Var::CurCwnd, 14_480 + i * 1448),
            (Var::HCDataOctetsIn, Op::Add, 1448),
            set(Var::SegsIn, i + 2),
            set(Var::IpTtl, 64),
        ];
        s.hook(Hook::TcpProbe, 130 + i * 10, 1, &ops);
        let ops = [
            set(Var::SegsOut, i + 2),
            set(Var::SndNxt, (0xffff_f000 + i * 1448) & 0xffff_ffff),
            set(Var::CurRwinSent, if i == 30 { 0 } else { 65_536 }),
        ];
        s.hook(Hook::Egress, 131 + i * 10, 1, &ops);
        if i == 20 {
            let ops = [inc(Var::FastRetran), inc(Var::CongSignals), set(Var::CurCwnd, 20_000)];
            s.hook(Hook::CongState, 332, 1, &ops);
            s.hook(Hook::Retransmit, 333, 1, &[set(Var::SegsRetrans, 1)]);
        }
        if i % 10 == 9 {
            s.marker(135 + i * 10);
        }
    }
    s.snapshot(635, 1, Why::Poll, &[(SocketField::tcpi_pacing_rate, u64::MAX)]);
    s.snapshot(635, 77, Why::Poll, &[(SocketField::mark, 7)]);
    // One of two listening sockets is full at its second poll, and its drops wrap; the other is seen
    // once.
    s.snapshot(636, 55, Why::Listener, &listener(0, u64::from(u32::MAX), 17));
    s.snapshot(636, 56, Why::Listener, &listener(0, 0, 17));
    s.snapshot(637, 55, Why::Listener, &listener(2, 3, 19));
    s.lifecycle(640, 4, Event::Open, |_| {});
    s.hook(Hook::SetState, 640, 4, &[set(Var::State, 3)]);
    s.hook(Hook::SetState, 641, 4, &[set(Var::State, 1), set(Var::SegsOut, 1)]);
    s.lifecycle(641, 4, Event::Close, |l| (l.old_state, l.new_state, l.sk_err) = (2, 7, 111));
    s.hook(Hook::TcpProbe, 645, 3, &[inc(Var::DupAcksIn), set(Var::SegsOut, 905)]);
    s.hook(Hook::SetState, 650, 2, &[set(Var::State, 1), set(Var::SegsOut, 12)]);
    s.lifecycle(650, 2, Event::Close, |l| {
        (l.old_state, l.new_state, l.sk_err) = (1, 7, 104);
        (l.remote_port, l.active) = (0, 0);
    });
    s.hook(Hook::Destroy, 651, 2, &[]);
    s.hook(Hook::SetState, 660, 1, &[set(Var::State, 1), set(Var::HCThruOctetsAcked, 70_953)]);
    s.snapshot(660, 1, Why::Close, &[(SocketField::tcpi_state, 7)]);
    s.lifecycle(660, 1, Event::Close, |l| {
        (l.old_state, l.new_state, l.first_fin, l.established) = (9, 7, 2, 1);
    });
    s.hook(Hook::Egress, 661, 1, &[set(Var::SegsOut, 999)]);
    s.lifecycle(665, 3, Event::Close, |l| {
        (l.old_state, l.new_state, l.active, l.first_fin) = (5, 7, 0, 1);
    });
    s.marker(700);
    for i in 0..short {
        let (ms, cookie) = (700 + i / 4, 100 + i);
        s.lifecycle(ms, cookie, Event::Open, |l| l.local_port = 1024 + (i % 60_000) as u16);
        s.hook(Hook::Egress, ms, cookie, &[set(Var::SegsOut, i % 100), set(Var::CurMSS, 1448)]);
        s.lifecycle(ms + 3, cookie, Event::Close, |l| (l.old_state, l.new_state) = (9, 7));
        s.hook(Hook::Destroy, ms + 4, cookie, &[]);
        if i % 100 == 99 {
            s.marker(ms);
        }
    }
    let end = 900 + short / 4;
    s.lifecycle(end, 5, Event::Open, |_| {});
    s.hook(Hook::Egress, end + 1, 5, &[set(Var::SegsOut, 1)]);
    s.lifecycle(end + 20, 6, Event::Open, |_| {});
    s.lifecycle(end + 60, 6, Event::Close, |l| (l.old_state, l.new_state) = (1, 7));
    let loss = CaptureStat::Loss {
        ts_ns: T0 + (end + 70) * MS,
        cpu: 0,
        hook: Hook::Egress,
        lost: 3,
        since_ns: T0 + (end + 50) * MS,
    };
    s.writer.capture_stat(&loss).expect("loss");
    s.lifecycle(end + 80, 5, Event::End, |l| (l.old_state, l.new_state) = (1, 1));
    s.hook(Hook::Sweep, end + 80, 5, &[set(Var::SegsOut, 2)]);
    s.marker(end + 100);
    let logged = s.seq;
    let per_cpu = CpuTotals {
        cpu: 0,
        emitted: logged + 3,
        logged,
        lost_by_hook: [("egress".to_owned(), 3)].into_iter().collect(),
        ..CpuTotals::default()
    };
    let totals = Totals {
        duration_ns: (end + 100) * MS,
        per_cpu: vec![per_cpu],
        connections: 6 + short,
        ..Totals::default()
    };
    let closed =
        Manifest { ended: Some(clock(T0 + (end + 100) * MS)), totals: Some(totals), ..manifest() };
    s.writer.finish(&closed).expect("finish");
}

/// Two connections, one of which was open while the kernel skipped a hook twice.
pub fn skipped(dir: &Path) {
    let writer =
        RecordingWriter::create(dir, &manifest(), WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    for (begin, cookie) in [(0, 1), (500, 2)] {
        s.lifecycle(begin, cookie, Event::Open, |_| {});
        s.lifecycle(begin + 100, cookie, Event::Close, |l| (l.old_state, l.new_state) = (1, 7));
    }
    let (ts_ns, since_ns) = (T0 + 200 * MS, T0 + 50 * MS);
    let row = CaptureStat::Skipped { ts_ns, hook: Hook::CongState, count: 2, since_ns };
    s.writer.capture_stat(&row).expect("skipped");
    s.marker(700);
    let manifest = s.closed(manifest(), &[]);
    s.writer.finish(&manifest).expect("finish");
}

/// A connection of half a second that has no ECESent, as with accurate ECN.
pub fn without_echo(dir: &Path) {
    let writer =
        RecordingWriter::create(dir, &manifest(), WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    s.lifecycle(0, 1, Event::Open, |_| {});
    s.hook(Hook::SetState, 10, 1, &[set(Var::State, 5), (Var::ECESent, Op::Void, 0)]);
    s.marker(100);
    for ms in [200, 300, 400] {
        s.hook(Hook::TcpProbe, ms, 1, &[set(Var::SegsIn, ms), (Var::CERcvd, Op::Inc, 1)]);
    }
    s.lifecycle(500, 1, Event::Close, |l| (l.old_state, l.new_state) = (1, 7));
    s.marker(700);
    let manifest = s.closed(manifest(), &[]);
    s.writer.finish(&manifest).expect("finish");
}

/// A snapshot by netlink of a subflow of MPTCP, on a kernel whose `struct tcp_info` is longer than ours.
pub fn subflow(dir: &Path) {
    let writer =
        RecordingWriter::create(dir, &manifest(), WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    s.lifecycle(0, 1, Event::Open, |_| {});
    let tokens = [(SocketField::mptcp_token_loc, 0x0102_0304), (SocketField::mptcp_token_rem, 7)];
    // A data sequence number begins anywhere in 64 bits.
    let random = [(SocketField::mptcp_map_seq, u64::MAX - 5), (SocketField::tcpi_segs_in, 3)];
    s.snapshot(100, 1, Why::Poll, &[tokens, random].concat());
    s.lifecycle(500, 1, Event::Close, |l| (l.old_state, l.new_state) = (1, 7));
    s.marker(700);
    let manifest = s.closed(manifest(), &[]);
    s.writer.finish(&manifest).expect("finish");
}

/// The schema of a table, which one without rows has too.
pub fn schema(path: &Path) -> arrow::datatypes::SchemaRef {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Arc::clone(ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").schema())
}

/// A packet of [`with_packets`].
pub fn packet(ms: u64, hook: Hook, seq_ack: (u32, u32), flags: u8, payload: u32) -> Packet {
    let out = matches!(hook, Hook::SocketOut | Hook::InterfaceOut);
    let local = (Ipv4Addr::new(10, 0, 0, 1), 40_001_u16);
    let remote = (Ipv4Addr::new(10, 0, 0, 2), 443_u16);
    let (src, dst) = if out { (local, remote) } else { (remote, local) };
    let mut header = [src.1.to_be_bytes(), dst.1.to_be_bytes()].concat();
    header.extend(seq_ack.0.to_be_bytes());
    header.extend(seq_ack.1.to_be_bytes());
    header.extend([0x50, flags, 1, 0, 0, 0, 0, 0]);
    let link = if hook.is_socket() { 0 } else { 14 };
    let mac = |n| (link > 0).then_some([2, 0, 0, 0, 0, n]);
    Packet {
        ts_ns: T0 + ms * MS,
        seq: 0,
        cpu: 0,
        hook,
        direction: if out { Direction::Out } else { Direction::In },
        interface: Some(2),
        netns: Some(4_026_531_840),
        cookie: None,
        src_mac: mac(1),
        dst_mac: mac(2),
        vlan: None,
        wire_len: 40 + payload + link,
        captured_len: 40 + payload + link,
        src_addr: src.0.into(),
        dst_addr: dst.0.into(),
        ttl: 64,
        tos: 0,
        ip_id: Some(seq_ack.0),
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len: 40 + payload,
        protocol: 6,
        src_port: Some(src.1),
        dst_port: Some(dst.1),
        payload_len: payload,
        segments: 1,
        wrong_checksum: None,
        is_copy: false,
        header,
        payload: Vec::new(),
    }
}

/// A connection that we open, with its packets at the socket and at an interface, the kernel's values at
/// its end, and the losses of a hook meanwhile. If `wrong`, the counters have a segment that is not in
/// the packets.
pub fn with_packets(dir: &Path, lost: Option<Hook>, wrong: bool) {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    const RST: u8 = 4;
    let options =
        RecordOptions { packets: true, interfaces: vec!["all".into()], ..manifest().options };
    let manifest = Manifest { options, ..manifest() };
    let writer = RecordingWriter::create(dir, &manifest, WriterOptions::default()).expect("create");
    let mut s = Script { writer, seq: 0 };
    s.lifecycle(1, 1, Event::Open, |_| {});
    s.packet(packet(2, Hook::SocketOut, (100, 0), SYN, 0));
    s.packet(packet(2, Hook::InterfaceOut, (100, 0), SYN, 0));
    s.packet(packet(3, Hook::InterfaceIn, (900, 101), SYN | ACK, 0));
    s.packet(packet(3, Hook::SocketIn, (900, 101), SYN | ACK, 0));
    s.hook(Hook::SetState, 3, 1, &[set(Var::State, 5)]);
    s.packet(packet(4, Hook::SocketOut, (101, 901), ACK, 0));
    s.packet(packet(4, Hook::InterfaceOut, (101, 901), ACK, 0));
    for i in 0..10 {
        s.packet(packet(10 + i, Hook::SocketOut, (101 + i as u32 * 100, 901), ACK, 100));
        if i % 5 == 4 {
            s.marker(10 + i);
        }
    }
    if !wrong {
        s.packet(packet(30, Hook::SocketOut, (101, 901), ACK, 100));
    }
    s.packet(packet(50, Hook::SocketIn, (901, 101), RST, 0));
    let counters = [
        (Var::SegsOut, SocketField::tcpi_segs_out, 13),
        (Var::SegsRetrans, SocketField::tcpi_total_retrans, 1),
        (Var::SegsIn, SocketField::tcpi_segs_in, 2),
    ];
    let ops: Vec<_> = counters.iter().map(|&(var, _, n)| set(var, n)).collect();
    s.hook(Hook::SetState, 50, 1, &ops);
    let fields: Vec<_> = counters.iter().map(|&(_, field, n)| (field, n)).collect();
    s.snapshot(50, 1, Why::Close, &fields);
    s.lifecycle(50, 1, Event::Close, |l| {
        (l.old_state, l.new_state, l.sk_err, l.established) = (1, 7, 104, 1);
    });
    // Later packets no longer belong to the connection, but to the flow.
    s.packet(packet(51, Hook::SocketOut, (1101, 901), RST, 0));
    if let Some(hook) = lost {
        let (ts_ns, since_ns) = (T0 + 40 * MS, T0 + 20 * MS);
        s.writer
            .capture_stat(&CaptureStat::Loss { ts_ns, cpu: 0, hook, lost: 5, since_ns })
            .expect("loss");
    }
    s.marker(300);
    let lost: Vec<_> = lost.into_iter().map(|hook| (hook, 5)).collect();
    let manifest = s.closed(manifest, &lost);
    s.writer.finish(&manifest).expect("finish");
}

/// The rows of a table.
pub fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    ParquetRecordBatchReaderBuilder::try_new(file)
        .expect("Parquet")
        .build()
        .expect("reader")
        .map(|batch| batch.expect("batch"))
        .collect()
}

/// The array as it can be shown: arrow knows the time zone UTC only with a feature of 4 MB.
fn displayable(array: &ArrayRef) -> ArrayRef {
    match array.as_any().downcast_ref::<TimestampMicrosecondArray>() {
        Some(times) => Arc::new(times.clone().with_timezone_opt(None::<&str>)),
        None => Arc::clone(array),
    }
}

/// A table as text: one line per row and column, `row column value`, "NULL" for what is not known.
pub fn transposed(path: &Path) -> String {
    let mut out = String::new();
    let options = FormatOptions::new().with_null("NULL");
    for batch in read(path) {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            if !out.is_empty() {
                out.push('\n');
            }
            for (column, field) in batch.columns().iter().zip(schema.fields()) {
                let column = displayable(column);
                let text = ArrayFormatter::try_new(column.as_ref(), &options).expect("formatter");
                out.push_str(&format!("{:<22} {}\n", field.name(), text.value(row)));
            }
        }
    }
    out
}

/// All cells of a batch, row by row.
pub fn cells(batch: &RecordBatch) -> Vec<std::collections::BTreeMap<String, String>> {
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = vec![std::collections::BTreeMap::new(); batch.num_rows()];
    for (column, field) in batch.columns().iter().zip(batch.schema().fields()) {
        let column = displayable(column);
        let text = ArrayFormatter::try_new(column.as_ref(), &options).expect("formatter");
        for (i, row) in rows.iter_mut().enumerate() {
            row.insert(field.name().clone(), text.value(i).to_string());
        }
    }
    rows
}

/// Value of a column in a row, as text.
pub fn value(batch: &RecordBatch, column: &str, row: usize) -> String {
    let options = FormatOptions::new().with_null("NULL");
    let array = batch.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
    let array = displayable(array);
    ArrayFormatter::try_new(array.as_ref(), &options).expect("formatter").value(row).to_string()
}

pub fn file_names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("directory")
        .map(|e| e.expect("entry").file_name().into_string().expect("UTF-8"))
        .collect();
    names.sort();
    names
}
