// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recording through its public interface: what is written comes back, whatever is cut or
//! damaged is noticed, and nothing that is whole is lost.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use estats::log::{
    CaptureStat, ClockSample, CpuTotals, Finding, LogError, Manifest, Recording, RecordingWriter,
    Ring, Totals, WriterOptions,
};
use estats::schema::{Hook, Op, Var};
use estats::wire::{Event, Header, HookRecord, Lifecycle, NO_CPU, Operation};

mod account;
mod damage;
mod packets;
mod random;

const SECOND: u64 = 1_000_000_000;

fn threads(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).expect("not zero")
}

fn manifest() -> Manifest {
    Manifest {
        format_version: 1,
        recording: "6e0c2a4e-9d51-4d6c-8a37-0f4f0f6f5a10".into(),
        tool_version: "0.1.0".into(),
        hook_set: "tracepoint".into(),
        ..Manifest::default()
    }
}

fn header(ts_ns: u64, cpu: u16, seq: u64) -> Header {
    Header { ts_ns, seq, cookie: 7, generation: 1, cpu, hook: Hook::TcpProbe }
}

fn lifecycle(ts_ns: u64, cpu: u16, seq: u64) -> Lifecycle {
    let mut local_addr = [0; 16];
    local_addr[..4].copy_from_slice(&[192, 0, 2, 1]);
    Lifecycle {
        header: Header { hook: Hook::SetState, ..header(ts_ns, cpu, seq) },
        event: Event::Open,
        start_ns: ts_ns - 1,
        family: 2,
        local_addr,
        remote_addr: local_addr,
        local_port: 443,
        remote_port: 50_000,
        netns: 4_026_531_840,
        cgroup_id: 99,
        cgroup_path: "/system.slice/nginx.service".into(),
        pid: 4711,
        uid: 33,
        comm: "nginx".into(),
        congestion: "cubic".into(),
        old_state: 3,
        new_state: 1,
        active: 2,
        established: 1,
        first_fin: 0,
        mptcp: 0,
        sk_err: 0,
    }
}

fn op(var: Var, value: u64) -> Operation {
    Operation { var, op: Op::Set, value }
}

/// What a recording holds, for comparison.
#[derive(Debug, Default, PartialEq)]
struct Content {
    hooks: Vec<HookRecord>,
    lifecycles: Vec<Lifecycle>,
    ledger: Vec<CaptureStat>,
}

fn read(recording: &Recording, n: usize) -> Result<Content, LogError> {
    let mut content = Content::default();
    for batch in recording.hooks(threads(n)) {
        let batch = batch?;
        assert_eq!((batch.unknown_ops(), batch.unknown_records()), (0, 0));
        content.hooks.extend(
            (0..batch.len())
                .map(|i| HookRecord { header: batch.header(i), ops: batch.ops(i).collect() }),
        );
    }
    content.lifecycles = recording.lifecycles().collect::<Result<_, _>>()?;
    content.ledger = recording.capture_stats().collect::<Result<_, _>>()?;
    Ok(content)
}

/// Totals that agree with `emitted` numbers of each CPU, of which `lost` were lost.
fn closing(accounts: &[(u16, u64, u64)]) -> Manifest {
    let per_cpu = accounts.iter().map(|&(cpu, emitted, lost)| CpuTotals {
        cpu,
        emitted,
        logged: emitted - lost,
        lost_by_hook: BTreeMap::from([("egress".to_owned(), lost)]),
        ..CpuTotals::default()
    });
    let totals = Totals { per_cpu: per_cpu.collect(), ..Totals::default() };
    Manifest { totals: Some(totals), ..manifest() }
}

/// A small closed recording on two CPUs with a loss, in several frames.
fn small(dir: &Path) -> Content {
    let mut written = Content::default();
    let mut writer = RecordingWriter::create(dir, &manifest(), WriterOptions::default()).unwrap();
    for round in 0..3_u64 {
        let ts = round * SECOND;
        for i in 0..4 {
            let (cpu, seq) = ((i % 2) as u16, round * 4 + i / 2);
            let header = header(ts + 10 + i, cpu, seq);
            let ops = vec![op(Var::SegsOut, i), op(Var::CurCwnd, u64::MAX - i)];
            writer.hook(&header, &ops).unwrap();
            written.hooks.push(HookRecord { header, ops });
        }
        // CPU 0 logs three of the four numbers of a round and loses one; CPU 1 logs all.
        let rows = [lifecycle(ts + 20, 0, round * 4 + 2), lifecycle(ts + 20, 1, round * 4 + 2)];
        for row in rows.into_iter().chain([lifecycle(ts + 21, 1, round * 4 + 3)]) {
            writer.lifecycle(&row).unwrap();
            written.lifecycles.push(row);
        }
        let clock = ClockSample { monotonic_ns: ts, realtime_ns: ts + 5, tai_ns: ts + 37 };
        for row in [
            CaptureStat::Clock(ts, clock),
            CaptureStat::Loss { ts_ns: ts + 30, cpu: 0, hook: Hook::Egress, lost: 1, since_ns: ts },
            CaptureStat::Emitted { ts_ns: ts + 30, cpu: 0, emitted: round * 4 + 4 },
            CaptureStat::Emitted { ts_ns: ts + 30, cpu: 1, emitted: round * 4 + 4 },
            CaptureStat::RingFill { ts_ns: ts, cpu: 1, ring: Ring::Lifecycle, bytes: 9, size: 64 },
            CaptureStat::MapFailure { ts_ns: ts, cpu: 1, count: 2 },
            CaptureStat::LateDrain { ts_ns: ts, late_ns: 77 },
            CaptureStat::Skipped { ts_ns: ts, hook: Hook::TcpProbe, count: 3, since_ns: ts },
        ] {
            writer.capture_stat(&row).unwrap();
            written.ledger.push(row);
        }
        let marker = Header {
            ts_ns: ts + 40,
            seq: round,
            cookie: 0,
            generation: 0,
            cpu: NO_CPU,
            hook: Hook::Drain,
        };
        writer.drained(ts + 40).unwrap();
        written.hooks.push(HookRecord { header: marker, ops: Vec::new() });
        writer.tick(ts + 40 + SECOND).unwrap();
    }
    assert_eq!(writer.rows(), 21);
    assert_eq!(writer.logged().collect::<Vec<_>>(), [(0, 9), (1, 12)]);
    writer.finish(&closing(&[(0, 12, 3), (1, 12, 0)])).unwrap();
    written
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "zst"))
        .collect();
    files.sort();
    files
}

#[test]
fn a_written_recording_reads_back() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let recording = Recording::open(dir.path()).unwrap();
    let mut found = read(&recording, 1).unwrap();
    found.lifecycles.retain(|row| row.event != Event::Drain);
    assert_eq!(found, written);
    assert_eq!(read(&recording, 4).unwrap(), read(&recording, 1).unwrap());
    let manifest = Manifest { segments: Vec::new(), ..recording.manifest().clone() };
    assert_eq!(manifest, closing(&[(0, 12, 3), (1, 12, 0)]));
    let listed: Vec<_> = recording.manifest().segments.iter().map(|s| s.stream.as_str()).collect();
    assert_eq!(listed, ["hooks", "sockets", "connections", "ledger"]);
    assert_eq!(recording.truncations().unwrap(), []);
}

#[test]
fn segments_rotate_by_size_and_time() {
    for options in [
        WriterOptions { rotate_bytes: 1, ..WriterOptions::default() },
        WriterOptions { rotate_ns: SECOND, ..WriterOptions::default() },
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = RecordingWriter::create(dir.path(), &manifest(), options).unwrap();
        writer.tick(0).unwrap();
        for round in 0..4_u64 {
            writer.hook(&header(round * SECOND, 3, round), &[op(Var::SegsIn, round)]).unwrap();
            writer.tick((round + 1) * SECOND).unwrap();
        }
        writer.finish(&closing(&[(3, 4, 0)])).unwrap();
        let names: Vec<_> = segment_files(dir.path())
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap().to_owned())
            .filter(|n| n.starts_with("hooks"))
            .collect();
        let expected: Vec<_> = (0..5).map(|i| format!("hooks-{i:06}.arrows.zst")).collect();
        assert_eq!(names, expected);
        let recording = Recording::open(dir.path()).unwrap();
        let report = recording.verify().unwrap();
        assert!(report.ok(), "{report}");
        let seqs =
            |n| read(&recording, n).unwrap().hooks.iter().map(|r| r.header.seq).collect::<Vec<_>>();
        assert_eq!((seqs(1), seqs(4)), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
        fs::remove_file(dir.path().join("hooks-000002.arrows.zst")).unwrap();
        let file = "hooks-000002.arrows.zst".to_owned();
        let report = recording.verify().unwrap();
        assert!(report.findings.contains(&Finding::MissingSegment { file }), "{report}");
    }
}

#[test]
fn a_bounded_recording_keeps_the_newest_records_and_its_totals() {
    let dir = tempfile::tempdir().unwrap();
    let max = 150_000;
    let options = WriterOptions { max_bytes: Some(max), ..WriterOptions::default() };
    let mut writer = RecordingWriter::create(dir.path(), &manifest(), options).unwrap();
    let mut largest = 0;
    for seq in 0..60_u64 {
        // Two CPUs, out of order at the borders of the segments; incompressible operands.
        let ops: Vec<_> = (0..600_u64)
            .map(|i| op(Var::SegsIn, (seq * 600 + i).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        writer.hook(&header(seq * SECOND, 0, seq ^ 1), &ops).unwrap();
        writer.lifecycle(&lifecycle(seq * SECOND + 1, 1, seq)).unwrap();
        writer.tick((seq + 1) * SECOND).unwrap();
        largest = largest.max(writer.bytes_written());
    }
    let on_disk: u64 = segment_files(dir.path()).iter().map(|p| p.metadata().unwrap().len()).sum();
    assert_eq!(writer.bytes_written(), on_disk);
    writer.finish(&closing(&[(0, 60, 0), (1, 60, 0)])).unwrap();
    // The open segment ends at a quarter and a batch, and the connections are never removed.
    assert!(largest < max + max / 4, "{largest}");
    let recording = Recording::open(dir.path()).unwrap();
    let found = read(&recording, 2).unwrap();
    let dropped: Vec<u32> = found
        .ledger
        .iter()
        .map(|row| match row {
            CaptureStat::Dropped { segment, .. } => *segment,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(dropped, (0..dropped.len() as u32).collect::<Vec<_>>());
    assert!(!dropped.is_empty() && !found.hooks.is_empty());
    assert_eq!(found.hooks.last().unwrap().header.seq, 58);
    assert_eq!(found.lifecycles.len(), 60);
    let report = recording.verify().unwrap();
    assert!(report.ok(), "{report}");
    assert_eq!(report.cpus[0].removed + report.cpus[0].logged, 60);
}

#[test]
fn other_directories_are_not_recordings() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Recording::open(dir.path());
    assert!(matches!(open(), Err(LogError::NotARecording(_))));
    assert!(matches!(Recording::open(&dir.path().join("absent")), Err(LogError::NotARecording(_))));
    let write = |text: &str| fs::write(dir.path().join("manifest.json"), text).unwrap();
    write("{\"format_version\": 3, \"hooks\": \"of another shape\"}");
    assert!(matches!(open(), Err(LogError::UnknownVersion { found: 3, supported: 2, .. })));
    write("{\"format_version\": 1, \"hooks\": \"of another shape\"}");
    assert!(matches!(open(), Err(LogError::Manifest { .. })));
    write("not JSON");
    assert!(matches!(open(), Err(LogError::Manifest { .. })));
    write("{\"format_version\": 1, \"a_later_field\": [1, 2]}");
    assert_eq!(open().unwrap().manifest().format_version, 1);
    let report = open().unwrap().verify().unwrap();
    assert_eq!(report.findings.len(), 4, "not closed, and none of three streams: {report}");
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let create = |path: &Path| RecordingWriter::create(path, &manifest(), WriterOptions::default());
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(create(dir.path()), Err(LogError::OutputExists(_))));
    assert!(matches!(create(&file), Err(LogError::OutputExists(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(create(&dir.path().join("new/nested")).is_ok());
}

/// /dev/full is Linux's disk without space.
/// Whoever else may write to the directory cannot have another file written over.
#[cfg(target_os = "linux")]
#[test]
fn a_symlink_named_manifest_json_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let writer = RecordingWriter::create(&run, &manifest(), WriterOptions::default()).unwrap();
    let precious = dir.path().join("precious");
    fs::write(&precious, "data").unwrap();
    std::os::unix::fs::symlink(&precious, run.join("manifest.json.tmp")).unwrap();
    writer.finish(&closing(&[])).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    assert!(Recording::open(&run).unwrap().manifest().totals.is_some());
}
