//! The recording through its public interface: what is written comes back, whatever is cut or
//! damaged is noticed, and nothing that is whole is lost.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use estats::log::{
    ClockSample, CpuTotals, Finding, LedgerRow, LogError, Manifest, Recording, RecordingWriter,
    Ring, Totals, WriterOptions,
};
use estats::schema::{Hook, Op, Var};
use estats::wire::{Event, Header, HookRecord, Lifecycle, NO_CPU, Operation};
use proptest::prelude::*;

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
    ledger: Vec<LedgerRow>,
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
    content.ledger = recording.ledger().collect::<Result<_, _>>()?;
    Ok(content)
}

/// Totals that agree with `emitted` numbers of each CPU, of which `lost` were lost.
fn closing(accounts: &[(u16, u64, u64)]) -> Manifest {
    let per_cpu = accounts.iter().map(|&(cpu, emitted, lost)| CpuTotals {
        cpu,
        emitted,
        logged: emitted - lost,
        lost_by_hook: BTreeMap::from([("egress".to_owned(), lost)]),
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
        // Of the four numbers of a round CPU 0 logs three and loses one; CPU 1 logs all.
        let rows = [lifecycle(ts + 20, 0, round * 4 + 2), lifecycle(ts + 20, 1, round * 4 + 2)];
        for row in rows.into_iter().chain([lifecycle(ts + 21, 1, round * 4 + 3)]) {
            writer.lifecycle(&row).unwrap();
            written.lifecycles.push(row);
        }
        let clock = ClockSample { monotonic_ns: ts, realtime_ns: ts + 5, tai_ns: ts + 37 };
        for row in [
            LedgerRow::Clock(ts, clock),
            LedgerRow::Loss { ts_ns: ts + 30, cpu: 0, hook: Hook::Egress, lost: 1, since_ns: ts },
            LedgerRow::Emitted { ts_ns: ts + 30, cpu: 0, emitted: round * 4 + 4 },
            LedgerRow::Emitted { ts_ns: ts + 30, cpu: 1, emitted: round * 4 + 4 },
            LedgerRow::RingFill { ts_ns: ts, cpu: 1, ring: Ring::Lifecycle, bytes: 9, size: 64 },
            LedgerRow::MapFailure { ts_ns: ts, cpu: 1, count: 2 },
            LedgerRow::LateDrain { ts_ns: ts, late_ns: 77 },
        ] {
            writer.ledger(&row).unwrap();
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
fn what_is_written_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let recording = Recording::open(dir.path()).unwrap();
    let mut found = read(&recording, 1).unwrap();
    found.lifecycles.retain(|row| row.event != Event::Drain);
    assert_eq!(found, written);
    assert_eq!(read(&recording, 4).unwrap(), read(&recording, 1).unwrap());
    assert_eq!(*recording.manifest(), closing(&[(0, 12, 3), (1, 12, 0)]));
    assert_eq!(recording.truncations().unwrap(), []);
}

#[test]
fn a_closed_recording_verifies_and_accounts_for_its_losses() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    assert!(report.ok(), "{report}");
    let lines: Vec<String> = report.cpus.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "CPU 0: 12 emitted, 9 logged, 3 lost; missing: 3 7 11",
            "CPU 1: 12 emitted, 12 logged, 0 lost"
        ]
    );
    assert!(report.to_string().ends_with("ok: undamaged; 3 records were lost while recording"));
    serde_json::to_string(&report).unwrap();
}

#[test]
fn every_wrong_account_is_a_finding() {
    // A record too few in the totals, one too many, a loss nobody reported, a CPU without totals.
    for accounts in [
        [(0, 11, 3), (1, 12, 0)],
        [(0, 13, 3), (1, 12, 0)],
        [(0, 12, 3), (1, 13, 1)],
        [(0, 12, 3), (9, 0, 0)],
    ] {
        let dir = tempfile::tempdir().unwrap();
        small(dir.path());
        let text = serde_json::to_string(&closing(&accounts)).unwrap();
        fs::write(dir.path().join("manifest.json"), text).unwrap();
        let report = Recording::open(dir.path()).unwrap().verify().unwrap();
        let account = |f: &Finding| matches!(f, Finding::Account { .. });
        assert!(report.findings.iter().any(account), "{accounts:?}: {report}");
    }
}

#[test]
fn a_duplicate_is_a_finding() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    writer.hook(&header(5, 0, 0), &[]).unwrap();
    writer.lifecycle(&lifecycle(6, 0, 0)).unwrap();
    writer.finish(&closing(&[(0, 2, 0)])).unwrap();
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    assert!(report.findings.contains(&Finding::Duplicates { cpu: 0, count: 1 }), "{report}");
}

/// Whatever the recorder left when it was killed: whole frames are read, and nothing panics.
#[test]
fn every_cut_reads_to_the_last_whole_frame() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let path = dir.path().join("hooks-000000.arrows.zst");
    let whole = fs::read(&path).unwrap();
    let mut seen = Vec::new();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let recording = Recording::open(dir.path()).unwrap();
        let found = read(&recording, 2).unwrap_or_else(|e| panic!("cut at {cut}: {e}")).hooks;
        assert_eq!(found, written.hooks[..found.len()], "cut at {cut}");
        let truncations = recording.truncations().unwrap();
        assert_eq!(truncations.is_empty(), cut == whole.len(), "cut at {cut}: {truncations:?}");
        if let [truncation] = &truncations[..] {
            assert_eq!(truncation.offset + truncation.leftover, cut as u64);
        }
        // Verification reads all files again; every cut of it would take long.
        if cut % 7 == 0 || cut == whole.len() {
            let report = recording.verify().unwrap();
            assert_eq!(report.ok(), cut == whole.len(), "cut at {cut}: {report}");
        }
        seen.push(found.len());
    }
    seen.dedup();
    // One frame per round of four records and a marker, and no other number of records ever.
    assert_eq!(seen, [0, 5, 10, 15]);
}

/// One bit of every so many bytes, each of the eight in turn.
fn flipped_bits_are_found(every: usize, bits: std::ops::Range<usize>) {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    for path in segment_files(dir.path()) {
        let whole = fs::read(&path).unwrap();
        for byte in (0..whole.len()).step_by(every) {
            for bit in bits.clone() {
                let mut flipped = whole.clone();
                flipped[byte] ^= 1 << ((byte / every + bit) % 8);
                fs::write(&path, &flipped).unwrap();
                let report = Recording::open(dir.path()).unwrap().verify().unwrap();
                assert!(!report.ok(), "{}: {:#x} in byte {byte}", path.display(), flipped[byte]);
            }
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(Recording::open(dir.path()).unwrap().verify().unwrap().ok());
}

#[test]
fn a_flipped_bit_is_found() {
    flipped_bits_are_found(7, 0..1);
}

#[test]
#[ignore = "a minute in a release build, ten without optimisation"]
fn every_flipped_bit_is_found() {
    flipped_bits_are_found(1, 0..8);
}

#[test]
fn a_corrupt_frame_is_an_error_that_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let path = dir.path().join("hooks-000000.arrows.zst");
    let mut bytes = fs::read(&path).unwrap();
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    let starts: Vec<usize> = (0..bytes.len()).filter(|i| bytes[*i..].starts_with(&magic)).collect();
    // The checksum is the last thing of the frame before the next.
    bytes[starts[3] - 1] ^= 1;
    fs::write(&path, &bytes).unwrap();
    for n in [1, 4] {
        let recording = Recording::open(dir.path()).unwrap();
        let batches: Vec<_> = recording.hooks(threads(n)).collect();
        let records: usize = batches.iter().flatten().map(|b| b.len()).sum();
        assert_eq!(records, 5, "the frame before it");
        assert!(records < written.hooks.len());
        let Some(Err(LogError::Corrupt { frame: 2, offset, path: found, .. })) = batches.last()
        else {
            panic!("{batches:?}");
        };
        assert_eq!((*offset, found), (starts[2] as u64, &path));
    }
}

#[test]
fn frames_of_others_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let path = dir.path().join("hooks-000000.arrows.zst");
    let mut bytes = fs::read(&path).unwrap();
    // In front, as pzstd does it, and at the end in place of the seek table's last word.
    let foreign = [0x57, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let magic = [0x28, 0xb5, 0x2f, 0xfd];
    let second = (1..bytes.len()).find(|i| bytes[*i..].starts_with(&magic)).unwrap();
    bytes.splice(second..second, foreign);
    fs::write(&path, &bytes).unwrap();
    let found = read(&Recording::open(dir.path()).unwrap(), 2).unwrap();
    assert_eq!(found.hooks, written.hooks);
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
fn a_bounded_recording_keeps_the_newest_and_its_account() {
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
            LedgerRow::Dropped { segment, .. } => *segment,
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

/// As after `kill -9`: the writer goes away without a word.
#[test]
fn an_unclosed_recording_reads_and_says_what_is_unproven() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    for round in 0..5_u64 {
        let ts = round * SECOND;
        for i in 0..10 {
            // Number 12 is lost, and the ledger says so.
            if round * 10 + i != 12 {
                writer.hook(&header(ts + i, 0, round * 10 + i), &[op(Var::SegsIn, i)]).unwrap();
            }
        }
        if round == 1 {
            let hook = Hook::Egress;
            let row = LedgerRow::Loss { ts_ns: ts + 20, cpu: 0, hook, lost: 1, since_ns: 0 };
            writer.ledger(&row).unwrap();
        }
        let emitted = (round + 1) * 10;
        writer.ledger(&LedgerRow::Emitted { ts_ns: ts + 20, cpu: 0, emitted }).unwrap();
        writer.drained(ts + 30).unwrap();
        // The last second is not flushed.
        if round < 4 {
            writer.tick(ts + 30 + SECOND).unwrap();
        }
    }
    drop(writer);
    let recording = Recording::open(dir.path()).unwrap();
    assert!(recording.manifest().totals.is_none());
    let found = read(&recording, 2).unwrap();
    assert_eq!(found.hooks.iter().filter(|r| r.header.cpu == 0).count(), 39);
    assert_eq!(recording.truncations().unwrap().len(), 3);
    let report = recording.verify().unwrap();
    let accounts = |f: &&Finding| matches!(f, Finding::Account { .. } | Finding::Corrupt { .. });
    assert!(report.findings.contains(&Finding::NotClosed));
    assert_eq!(report.findings.iter().find(accounts), None, "{report}");
    // The last flushed round is as old as the last marker: unproven.
    assert_eq!((report.cpus[0].proven, &report.cpus[0].missing_ranges[..]), (30, &[(12, 12)][..]));
    assert!(report.to_string().contains("last second is unproven"));
}

#[test]
fn an_unexplained_gap_shows_in_an_unclosed_recording() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    for seq in [0, 1, 5, 6_u64] {
        writer.hook(&header(seq * SECOND, 0, seq), &[]).unwrap();
        let ts_ns = seq * SECOND;
        writer.ledger(&LedgerRow::Emitted { ts_ns, cpu: 0, emitted: seq + 1 }).unwrap();
        writer.drained(ts_ns).unwrap();
        writer.tick(ts_ns + SECOND).unwrap();
    }
    drop(writer);
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    let reason = "3 records are neither logged nor counted as lost".to_owned();
    assert!(report.findings.contains(&Finding::Account { cpu: 0, reason }), "{report}");
}

#[test]
fn what_is_no_recording_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Recording::open(dir.path());
    assert!(matches!(open(), Err(LogError::NotARecording(_))));
    assert!(matches!(Recording::open(&dir.path().join("absent")), Err(LogError::NotARecording(_))));
    let write = |text: &str| fs::write(dir.path().join("manifest.json"), text).unwrap();
    write("{\"format_version\": 2, \"hooks\": \"of another shape\"}");
    assert!(matches!(open(), Err(LogError::UnknownVersion { found: 2, supported: 1, .. })));
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
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    std::os::unix::fs::symlink("/dev/full", dir.path().join("manifest.json.tmp")).unwrap();
    let error = writer.finish(&closing(&[])).unwrap_err();
    assert!(matches!(error, LogError::DiskFull { .. }), "{error:?}");
    assert!(error.to_string().starts_with("disk full: "));
    assert!(Recording::open(dir.path()).unwrap().manifest().totals.is_none());
}

fn any_op() -> impl Strategy<Value = Operation> {
    let var = prop::sample::select(Var::ALL);
    let op = prop::sample::select(Op::ALL);
    (var, op, any::<u64>()).prop_map(|(var, op, value)| Operation { var, op, value })
}

fn any_header() -> impl Strategy<Value = Header> {
    let hook = prop::sample::select(Hook::ALL);
    (any::<u64>(), any::<u64>(), any::<u64>(), any::<u16>(), 0..u16::MAX, hook).prop_map(
        |(ts_ns, seq, cookie, generation, cpu, hook)| Header {
            ts_ns,
            seq,
            cookie,
            generation,
            cpu,
            hook,
        },
    )
}

fn any_lifecycle() -> impl Strategy<Value = Lifecycle> {
    let numbers = (any::<u64>(), any::<u64>(), any::<[u32; 4]>(), any::<[u8; 5]>());
    let addresses = (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<[u16; 2]>());
    let texts = (".{0,20}", ".{0,5}", "[a-z]{0,15}");
    (any_header(), prop::sample::select(Event::ALL), numbers, addresses, texts).prop_map(
        |(header, event, numbers, (v4, mut local_addr, mut remote_addr, ports), texts)| {
            if v4 {
                local_addr[4..].fill(0);
                remote_addr[4..].fill(0);
            }
            let (start_ns, cgroup_id, [netns, pid, uid, sk_err], bytes) = numbers;
            let [old_state, new_state, active, established, first_fin] = bytes;
            Lifecycle {
                header,
                event,
                start_ns,
                family: if v4 { 2 } else { 10 },
                local_addr,
                remote_addr,
                local_port: ports[0],
                remote_port: ports[1],
                netns,
                cgroup_id,
                cgroup_path: texts.0,
                pid,
                uid,
                comm: texts.1,
                congestion: texts.2,
                old_state,
                new_state,
                active,
                established,
                first_fin,
                sk_err,
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_records_come_back(
        hooks in prop::collection::vec((any_header(), prop::collection::vec(any_op(), 0..6)), 0..40),
        lifecycles in prop::collection::vec(any_lifecycle(), 0..10),
        rotate in prop::option::of(1_u64..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let rotate_bytes = if rotate.is_some() { 1 } else { u64::MAX };
        let options = WriterOptions { rotate_bytes, ..WriterOptions::default() };
        let mut writer = RecordingWriter::create(dir.path(), &manifest(), options).unwrap();
        for (i, (header, ops)) in hooks.iter().enumerate() {
            writer.hook(header, ops).unwrap();
            // Every so many records a second passes, so frames and segments differ in size.
            writer.tick(i as u64 / rotate.unwrap_or(7) * SECOND).unwrap();
        }
        lifecycles.iter().for_each(|row| writer.lifecycle(row).unwrap());
        writer.finish(&closing(&[])).unwrap();
        let recording = Recording::open(dir.path()).unwrap();
        let found = read(&recording, 3).unwrap();
        let hooks: Vec<_> =
            hooks.into_iter().map(|(header, ops)| HookRecord { header, ops }).collect();
        prop_assert_eq!(found.hooks, hooks);
        prop_assert_eq!(found.lifecycles, lifecycles);
        let damage = |f: &Finding| !matches!(f, Finding::Account { .. } | Finding::Duplicates { .. });
        let report = recording.verify().unwrap();
        prop_assert!(!report.findings.iter().any(damage), "{}", report);
    }
}
