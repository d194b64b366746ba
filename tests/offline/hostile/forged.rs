// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Numbers that no kernel counts to, and times at the end of time. Nothing overflows, and nothing waits for ever.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::capture::*;
use crate::common::{self, MS, T0, clock, manifest};
use crate::fuzzed::use_everything;
use estats::log::{
    CaptureStat, ClockSample, CpuTotals, Manifest, Recording, RecordingWriter, Totals,
    WriterOptions,
};
use estats::recordings::import::{ImportOptions, import};
use estats::schema::{Hook, Op, SocketField, Var, Why};
use estats::wire::{Event, Header, Lifecycle, Operation, Packet, Snapshot, SocketValues};

/// Records of one connection, one millisecond apart.
pub struct Forged {
    pub writer: RecordingWriter,
    seq: u64,
}

impl Forged {
    pub fn new(run: &Path, manifest: &Manifest) -> Self {
        let writer = RecordingWriter::create(run, manifest, WriterOptions::default());
        Self { writer: writer.expect("create"), seq: 0 }
    }

    fn header(&mut self, ts_ns: u64, hook: Hook) -> Header {
        self.seq += 1;
        Header { ts_ns, seq: self.seq - 1, cookie: 1, generation: 0, cpu: 0, hook }
    }

    fn lifecycle(&mut self, ts_ns: u64, event: Event) {
        self.lifecycle_of(ts_ns, event, |_| {});
    }

    pub fn lifecycle_of(&mut self, ts_ns: u64, event: Event, edit: impl Fn(&mut Lifecycle)) {
        let header = self.header(ts_ns, Hook::SetState);
        let mut row = common::lifecycle(header);
        row.event = event;
        if event == Event::Close {
            (row.old_state, row.new_state, row.sk_err, row.established) = (1, 7, 110, 1);
        }
        edit(&mut row);
        self.writer.lifecycle(&row).expect("lifecycle");
    }

    pub fn packet(&mut self, packet: Packet) {
        let seq = self.seq;
        self.seq += 1;
        self.writer.packet(Packet { seq, ..packet }).expect("packet");
    }

    pub fn ops(&mut self, ts_ns: u64, hook: Hook, ops: &[(Var, Op, u64)]) {
        let header = self.header(ts_ns, hook);
        let ops: Vec<_> =
            ops.iter().map(|&(var, op, value)| Operation { var, op, value }).collect();
        self.writer.hook(&header, &ops).expect("hook");
    }

    fn snapshot(&mut self, ts_ns: u64, why: Why, value: u64) {
        let mut values = SocketValues::default();
        SocketField::ALL.iter().for_each(|field| values.set(*field, Some(value)));
        let row = Snapshot {
            header: self.header(ts_ns, Hook::Poll),
            why,
            poll: Some(u32::MAX),
            family: 2,
            local_addr: [1; 16],
            remote_addr: [2; 16],
            local_port: 40_000,
            remote_port: 443,
            netns: 7,
            congestion: "cubic".into(),
            ulp: String::new(),
            tcp_info_more: Vec::new(),
            values,
        };
        self.writer.snapshot(row).expect("snapshot");
    }

    /// Closes the recording: nothing is missing from it but what the rows say.
    pub fn finish(self, manifest: Manifest, ended: ClockSample) {
        let cpu = CpuTotals { emitted: self.seq, logged: self.seq, ..CpuTotals::default() };
        let totals = Some(Totals { per_cpu: vec![cpu], ..Totals::default() });
        let manifest = Manifest { ended: Some(ended), totals, ..manifest };
        self.writer.finish(&manifest).expect("finish");
    }
}

/// Every variable gets the value by every operation, and every field of a snapshot has it.
fn every_value(run: &Path, value: u64) {
    let mut forged = Forged::new(run, &manifest());
    forged.lifecycle(T0, Event::Open);
    forged.ops(T0, Hook::SetState, &[(Var::State, Op::Set, 5), (Var::SndInitial, Op::Set, value)]);
    let mut at = T0;
    for (round, hook) in
        [Hook::TcpProbe, Hook::Egress, Hook::TcpProbe, Hook::CongState].iter().enumerate()
    {
        for op in [Op::Set, Op::Add, Op::Max, Op::Missed, Op::Inc, Op::Min, Op::Add, Op::Dec] {
            let odd = if round % 2 == 0 { value } else { 0 };
            for vars in Var::ALL.chunks(20) {
                at += MS;
                let values: Vec<_> = vars
                    .iter()
                    .filter(|var| **var != Var::State)
                    .map(|var| (*var, op, if op == Op::Set { odd } else { value }))
                    .collect();
                forged.ops(at, *hook, &values);
            }
        }
        forged.snapshot(at, Why::Poll, value);
        forged.snapshot(at, Why::Listener, value);
        forged.snapshot(at, Why::Drop, value);
        forged.writer.drained(at).expect("a mark");
    }
    for lost in [value, value] {
        let loss = CaptureStat::Loss { ts_ns: at, cpu: 0, hook: Hook::Egress, lost, since_ns: T0 };
        forged.writer.capture_stat(&loss).expect("a row");
        let left = CaptureStat::LeftOut { ts_ns: at, cpu: 0, count: lost };
        forged.writer.capture_stat(&left).expect("a row");
        let hook = Hook::InterfaceIn;
        let malformed = CaptureStat::Malformed { ts_ns: at, cpu: 0, hook, count: lost };
        forged.writer.capture_stat(&malformed).expect("a row");
    }
    forged.lifecycle(at + MS, Event::Close);
    forged.writer.drained(at + MS).expect("a mark");
    forged.finish(manifest(), clock(at + MS));
}

#[test]
fn values_that_no_kernel_counts_to() {
    for value in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, u64::from(u32::MAX), 0] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let run = dir.path().join("run");
        every_value(&run, value);
        use_everything(&Recording::open(&run).expect("a recording"));
    }
}

/// Records at both ends of time, one after the other and back.
#[test]
fn times_that_no_clock_shows() {
    for (i, times) in [
        [T0, u64::MAX, u64::MAX, u64::MAX - 1],
        [0, u64::MAX, 0, u64::MAX],
        [u64::MAX, u64::MAX, u64::MAX, u64::MAX],
        [1 << 63, (1 << 63) + 1, 1, u64::MAX],
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let run = dir.path().join("run");
        let started = ClockSample { monotonic_ns: times[0], realtime_ns: u64::MAX, tai_ns: 0 };
        let manifest = Manifest { started, ..manifest() };
        let mut forged = Forged::new(&run, &manifest);
        forged.lifecycle(times[0], Event::Open);
        for ts_ns in times {
            let values = [
                (Var::State, Op::Set, 5),
                (Var::SndUna, Op::Set, 7),
                (Var::HCThruOctetsAcked, Op::Add, 1000),
                (Var::InRecovery, Op::Set, ts_ns % 4),
                (Var::CurAppRQueue, Op::Set, ts_ns % 7),
                (Var::CurRwinSent, Op::Set, 1),
                (Var::Limstate, Op::Set, ts_ns % 5),
            ];
            forged.ops(ts_ns, Hook::TcpProbe, &values);
            forged.snapshot(ts_ns, Why::Poll, 3);
            if i % 2 == 0 {
                forged.writer.drained(ts_ns).expect("a mark");
            }
        }
        forged.lifecycle(times[3], Event::Close);
        forged.finish(manifest, started);
        use_everything(&Recording::open(&run).expect("a recording"));
    }
}

/// Two connections whose last packets are at the end of time, where every deadline is too.
fn capture_of_the_end_of_time() -> Vec<u8> {
    let (a, b) = (("192.0.2.1", 40_000), ("198.51.100.2", 80));
    let other = ("192.0.2.1", 40_001);
    let of = |from, to, flags, seq| Tcp { flags, seq, ack: 1, ..Tcp::new(from, to) }.ethernet();
    let all = [
        (T0, of(a, b, SYN, 1)),
        (T0 + MS, of(b, a, SYN | ACK, 1)),
        (T0 + 2 * MS, of(other, b, ACK, 1)),
        (u64::MAX, of(a, b, ACK, 2)),
        (u64::MAX, of(other, b, ACK, 2)),
        (u64::MAX, of(b, a, ACK, 2)),
    ];
    let frames: Vec<_> = all.into_iter().map(|(ns, bytes)| Frame::new(ns, bytes)).collect();
    pcapng(Order { big: false }, 1, &frames)
}

#[test]
fn packets_at_the_end_of_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, run) = (dir.path().join("capture"), dir.path().join("run"));
    std::fs::write(&file, capture_of_the_end_of_time()).expect("the capture");
    import(&file, &run, &ImportOptions::default()).expect("a recording");
    let report = common::replay(&run, &common::options(1, &dir.path().join("tables")));
    let rows = |name: &str| {
        let table = dir.path().join("tables").join(format!("{name}.parquet"));
        common::read(&table).iter().map(|batch| batch.num_rows()).sum::<usize>()
    };
    assert_eq!(report.findings.counts.connections, 2);
    assert_eq!((rows("connections"), rows("flows")), (2, 3), "the second flow has one direction");
    use_everything(&Recording::open(&run).expect("a recording"));
}

/// A recording in which the connection itself shows that no hook saw some segments.
fn missed(run: &Path) {
    let mut forged = Forged::new(run, &manifest());
    forged.lifecycle(T0, Event::Open);
    forged.ops(T0 + MS, Hook::SetState, &[(Var::State, Op::Set, 5)]);
    forged.ops(T0 + 2 * MS, Hook::TcpProbe, &[(Var::SegsOut, Op::Missed, 3)]);
    forged.lifecycle(T0 + 3 * MS, Event::Close);
    forged.writer.drained(T0 + 3 * MS).expect("a mark");
    forged.finish(manifest(), clock(T0 + 3 * MS));
}

/// A status that says that something is missing comes with a sentence that says what.
#[test]
fn every_way_to_tables_names_segments_that_no_hook_saw() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run: PathBuf = dir.path().join("run");
    missed(&run);
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    for (i, arguments) in [
        &["replay"][..],
        &["replay", "--format", "csv"],
        &["export", "--format", "arrow"],
        &["export", "--format", "csv"],
        &["export", "--format", "jsonl"],
    ]
    .into_iter()
    .enumerate()
    {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .args(arguments)
            .args([&path(&run), "-o", &path(&dir.path().join(i.to_string()))])
            .output()
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
        assert!(said.contains("3 or more segments were seen by no hook"), "{arguments:?}: {said}");
    }
}

/// A stream says on stderr what it lacks.
#[test]
fn every_stream_of_values_names_segments_that_no_hook_saw() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run: PathBuf = dir.path().join("run");
    missed(&run);
    for arguments in [
        &["events"][..],
        &["export", "--format", "csv", "--table", "estats"],
        &["export", "--format", "perfetto"],
        &["export", "--format", "web10g-logger"],
        &["export", "--format", "web10g-readvars"],
        &["export", "--format", "web10g-deltavars"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .arg(arguments[0])
            .arg(&run)
            .args(&arguments[1..])
            .output()
            .expect("run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {text}");
        assert!(text.contains("3 or more segments were seen by no hook"), "{arguments:?}: {text}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
}
