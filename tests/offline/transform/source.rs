// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings to work on, and the contents of their tables.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use estats::log::{
    CaptureStat, CpuTotals, Manifest, Recording, RecordingWriter, Totals, WriterOptions,
};
use estats::recordings::import;
use estats::schema::{Hook, Op, Var};
use estats::wire::{Direction, Event, Header, Operation, Packet};

use crate::common::capture::{ACK, FIN, Frame, SYN, Tcp, simple};
use crate::common::{MS, T0, manifest, options, read, replay, value};

pub fn golden(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(scenario).join("run")
}

/// All recordings of real traffic in testdata.
pub fn all_golden() -> Vec<PathBuf> {
    let mut runs: Vec<_> =
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata"))
            .expect("testdata")
            .map(|e| e.expect("entry").path().join("run"))
            .filter(|run| run.join("manifest.json").exists())
            // Written by hand: totals are no recorder's, and the beginning was removed (tests/offline/formats.rs).
            .filter(|run| !run.to_string_lossy().contains("/testdata/format-v"))
            .collect();
    runs.sort();
    assert!(runs.len() > 10, "{runs:?}");
    runs
}

#[track_caller]
pub fn verified(run: &Path) {
    let report = Recording::open(run).expect("a recording").verify().expect("verify");
    assert!(report.ok(), "{}: {report}", run.display());
}

/// Digest of the tables, with a series of every change.
pub fn digest(run: &Path) -> String {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(2, out.path())).tables.digest
}

/// Rows of a table, column by column.
pub fn table(run: &Path, name: &str) -> Vec<BTreeMap<String, String>> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    let mut rows = Vec::new();
    for batch in read(&out.path().join(format!("{name}.parquet"))) {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cell = |name: &String| (name.clone(), value(&batch, name, row));
            rows.push(schema.fields().iter().map(|f| cell(f.name())).collect());
        }
    }
    rows
}

/// A capture of three connections of 192.0.2.1, a second apart.
pub fn imported(dir: &Path) -> PathBuf {
    let mut frames = Vec::new();
    let mut ns = 1_700_000_000_000_000_000;
    for i in 0..3_u16 {
        let a = ("192.0.2.1", 40_000 + i);
        let b = ("198.51.100.2", 80);
        let mut add = |src, dst, flags, seq, ack, payload| {
            ns += 50 * MS;
            let ttl = if src == a { 64 } else { 57 };
            let tcp = Tcp { flags, seq, ack, payload, ttl, ..Tcp::new(src, dst) };
            frames.push(Frame::new(ns, tcp.ethernet()));
        };
        add(a, b, SYN, 1000, 0, 0);
        add(b, a, SYN | ACK, 5000, 1001, 0);
        add(a, b, ACK, 1001, 5001, 0);
        add(a, b, ACK, 1001, 5001, 700);
        add(b, a, ACK, 5001, 1701, 0);
        add(a, b, ACK, 1701, 5001, 300);
        add(b, a, ACK, 5001, 2001, 0);
        add(a, b, FIN | ACK, 2001, 5001, 0);
        add(b, a, FIN | ACK, 5001, 2002, 0);
        add(a, b, ACK, 2002, 5002, 0);
    }
    let file = dir.join("three.pcap");
    std::fs::write(&file, simple(&frames)).expect("capture");
    let run = dir.join("imported");
    import::import(&file, &run, &import::ImportOptions::default()).expect("import");
    run
}

/// Two CPUs, packets beside hooks, losses in the ledger, a bound that removed the oldest segments.
pub fn bounded(dir: &Path, max_bytes: Option<u64>) -> PathBuf {
    let run = dir.join("bounded");
    let options = WriterOptions { max_bytes, ..WriterOptions::default() };
    let mut w = RecordingWriter::create(&run, &manifest(), options).expect("create");
    let mut seq = [0_u64; 2];
    let mut header = |ts_ns, cpu: u16, cookie, hook| {
        let n = &mut seq[usize::from(cpu)];
        *n += 1;
        Header { ts_ns, seq: *n - 1, cookie, generation: 0, cpu, hook }
    };
    let second = 1000 * MS;
    for i in 0..40_u64 {
        let at = T0 + i * second;
        let cookie = 1 + i / 8;
        let mut lifecycle = crate::common::lifecycle(header(at + 1, 1, cookie, Hook::SetState));
        lifecycle.start_ns = at + 1;
        lifecycle.local_port = 50_000 + cookie as u16;
        if i % 8 == 0 {
            w.lifecycle(&lifecycle).expect("open");
        } else if i % 8 == 7 {
            lifecycle.event = Event::Close;
            lifecycle.header.ts_ns = at + 900 * MS;
            (lifecycle.old_state, lifecycle.new_state) = (9, 7);
            w.lifecycle(&lifecycle).expect("close");
        } else {
            // The number was still used.
            lifecycle.event = Event::Open;
            w.lifecycle(&lifecycle).expect("again");
        }
        let noise = |n: u64| (i * 600 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for part in 0..6 {
            let ops: Vec<_> = (0..100)
                .map(|n| Operation { var: Var::SegsIn, op: Op::Set, value: noise(part * 100 + n) })
                .chain([Operation { var: Var::DupAcksIn, op: Op::Inc, value: 0 }])
                .collect();
            let h = header(at + (10 + part) * MS, 0, cookie, Hook::TcpProbe);
            w.hook(&h, &ops).expect("hook");
        }
        let h = header(at + 20 * MS, 0, cookie, Hook::InterfaceOut);
        w.packet(packet(&h, 50_000 + cookie as u16)).expect("packet");
        if i % 10 == 5 {
            let (ts_ns, since_ns, hook) = (at + 300 * MS, at - 200 * MS, Hook::Egress);
            let loss = CaptureStat::Loss { ts_ns, cpu: 0, hook, lost: 1, since_ns };
            w.capture_stat(&loss).expect("loss");
            header(at, 0, 0, Hook::Egress);
        }
        w.capture_stat(&CaptureStat::Clock(at + 500 * MS, crate::common::clock(at + 500 * MS)))
            .expect("clock");
        w.drained(at + second - 1).expect("mark");
        w.tick(at + second - 1).expect("tick");
    }
    let logged: BTreeMap<u16, u64> = w.logged().collect();
    let per_cpu = [0_u16, 1].map(|cpu| CpuTotals {
        cpu,
        emitted: seq[usize::from(cpu)],
        logged: logged[&cpu],
        lost_by_hook: if cpu == 0 { [("egress".to_owned(), 4)].into() } else { BTreeMap::new() },
        ..CpuTotals::default()
    });
    let totals = Totals { per_cpu: per_cpu.into(), connections: 35, ..Totals::default() };
    let ended = Some(crate::common::clock(T0 + 40 * second));
    let closed = Manifest { totals: Some(totals), ended, ..manifest() };
    w.finish(&closed).expect("finish");
    run
}

fn packet(h: &Header, port: u16) -> Packet {
    let mut header = vec![0; 20];
    header[..2].copy_from_slice(&port.to_be_bytes());
    header[2..4].copy_from_slice(&443_u16.to_be_bytes());
    header[12] = 5 << 4;
    header[16..18].copy_from_slice(&[0xab, 0xcd]);
    Packet {
        ts_ns: h.ts_ns,
        seq: h.seq,
        cpu: h.cpu,
        hook: h.hook,
        direction: Direction::Out,
        interface: Some(2),
        netns: Some(4_026_531_840),
        cookie: Some(h.cookie),
        src_mac: Some([2, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5]),
        dst_mac: Some([2, 0, 0, 0, 0, 2]),
        vlan: None,
        wire_len: 94,
        captured_len: 94,
        src_addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        dst_addr: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        ttl: 64,
        tos: 0,
        ip_id: Some(7),
        fragment_offset: 0,
        more_fragments: false,
        flow_label: None,
        ip_len: 80,
        protocol: 6,
        src_port: Some(port),
        dst_port: Some(443),
        payload_len: 40,
        segments: 1,
        wrong_checksum: None,
        is_copy: false,
        header,
        payload: b"secret".to_vec(),
    }
}

pub fn edit_manifest(run: &Path, edit: impl Fn(&mut Manifest)) {
    let path = run.join("manifest.json");
    let text = std::fs::read_to_string(&path).expect("manifest");
    let mut manifest: Manifest = serde_json::from_str(&text).expect("manifest");
    edit(&mut manifest);
    std::fs::write(&path, serde_json::to_string(&manifest).expect("JSON")).expect("manifest");
}
