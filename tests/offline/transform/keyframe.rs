// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Key frames: what is left of a bounded recording has the rows that a cut of the whole one has.

use std::collections::VecDeque;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use estats::engine::keyframe::{KeyFrames, OpenConnections};
use estats::log::{
    CaptureStat, KeyFrame, Manifest, PacketRow, Recording, RecordingWriter, WriterOptions,
};
use estats::output::sink::Plain;
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::recordings::transform::merge::merge;
use estats::schema::{Hook, Op, Var};
use estats::wire::{Event, Header, NO_CPU, Operation};

use super::merge::two;
use super::source::{golden, table, verified};
use crate::common::file_names;
use crate::support::trust;

/// Small enough that a recording loses segments.
const MAX_BYTES: u64 = 60_000;

/// Of this recording more has to be left: its connections end early, and only they were recorded with tcp_info.
const AUDITED: (&str, u64) = ("loss-audited", 400_000);

/// Writes a recording once more, as a bounded one: round by round, as the recorder does.
pub fn again(of: &Path, to: &Path, key_frames: bool) -> PathBuf {
    again_and(of, to, key_frames, |_| {})
}

/// The same, and writes something more at the end.
fn again_and(
    of: &Path,
    to: &Path,
    key_frames: bool,
    more: impl FnOnce(&mut RecordingWriter),
) -> PathBuf {
    let manifest = again_open(of, to, key_frames, &[], |mut w, manifest| {
        more(&mut w);
        w.finish(&manifest).expect("finish");
        manifest
    });
    assert_eq!(manifest.options.divided_ledger, key_frames);
    verified(to);
    to.to_owned()
}

/// The same with rows of the ledger that were noted first of all, and gives the writer to be finished.
pub fn again_open<T>(
    of: &Path,
    to: &Path,
    key_frames: bool,
    first: &[CaptureStat],
    finish: impl FnOnce(RecordingWriter, Manifest) -> T,
) -> T {
    let of = Recording::open(of).expect("a recording");
    let mut manifest = of.manifest().clone();
    let is_audited = of.dir().ends_with(Path::new(AUDITED.0).join("run"));
    let max_bytes = Some(if is_audited { AUDITED.1 } else { MAX_BYTES });
    manifest.options.max_bytes = max_bytes;
    let options = WriterOptions { max_bytes, rotate_bytes: 1, ..WriterOptions::default() };
    manifest.options.key_frames = key_frames;
    manifest.options.divided_ledger = key_frames;
    let mut w = RecordingWriter::create(to, &manifest, options).expect("create");
    let mut frames = KeyFrames::default();
    let begun_ns = manifest.started.monotonic_ns;
    first.iter().for_each(|row| w.capture_stat(row).expect("ledger"));
    // Counts end with a clock sample, which the recorder writes soon after.
    let mut ledger: VecDeque<_> = of.capture_stats().map(|row| row.expect("row")).collect();
    let mut note = |w: &mut RecordingWriter, until_ns: u64| {
        let clock = |row: &CaptureStat| matches!(row, CaptureStat::Clock(ns, _) if *ns <= until_ns);
        while let Some(n) = ledger.iter().position(clock) {
            for row in ledger.drain(..=n) {
                // A part has the clock of its beginning, which is older.
                let is_before = matches!(row, CaptureStat::Clock(ns, _) if ns < begun_ns);
                if !is_before {
                    w.capture_stat(&row).expect("ledger");
                }
            }
        }
        if until_ns == u64::MAX {
            ledger.iter().for_each(|row| w.capture_stat(row).expect("ledger"));
        }
    };
    let mut lifecycles = of.lifecycles().map(|row| row.expect("row"));
    let mut packets = of.packets().map(|row| row.expect("row"));
    let mut sockets = of.sockets().map(|row| row.expect("row")).peekable();
    // Batches are written when they are a second old: here in each round, so that there are many segments.
    let mut now_ns = manifest.started.monotonic_ns;
    for batch in of.hooks(NonZeroUsize::MIN) {
        let batch = batch.expect("batch");
        for row in 0..batch.len() {
            let header = batch.header(row);
            if !header.hook.is_mark() {
                let ops: Vec<_> = batch.ops(row).collect();
                w.hook(&header, &ops).expect("hook");
                frames.hook(&header, &ops);
                continue;
            }
            let mark_ns = header.ts_ns;
            for row in lifecycles.by_ref().take_while(|row| row.event != Event::Drain) {
                w.lifecycle(&row).expect("lifecycle");
                frames.lifecycle(&row);
            }
            while let Some(PacketRow::Packet(packet)) = packets.next() {
                w.packet(packet).expect("packet");
            }
            while let Some(row) = sockets.next_if(|row| row.header.ts_ns <= mark_ns) {
                w.snapshot(row).expect("snapshot");
            }
            note(&mut w, mark_ns);
            w.drained(mark_ns).expect("mark");
            frames.reached(mark_ns, &mut w).expect("key frame");
            now_ns = now_ns.max(mark_ns) + 1_000_000_000;
            w.tick(now_ns).expect("tick");
        }
    }
    sockets.for_each(|row| w.snapshot(row).expect("snapshot"));
    note(&mut w, u64::MAX);
    finish(w, manifest)
}

pub fn frame_of(run: &Path) -> KeyFrame {
    let recording = Recording::open(run).expect("a recording");
    recording.key_frame().expect("read").expect("a key frame")
}

fn since(run: &Path, ns: u64) -> Option<CutTime> {
    let started = Recording::open(run).expect("a recording").manifest().started;
    Some(CutTime::Since(ns - started.monotonic_ns))
}

fn cut_from(run: &Path, from: Option<CutTime>, dir: &Path) {
    let options = CutOptions { from, ..CutOptions::default() };
    cut(&Recording::open(run).expect("a recording"), dir, &options).expect("cut");
    verified(dir);
}

/// The rows of connections, of their values, of the values over time and of snapshots.
fn rows(run: &Path) -> Vec<(&'static str, Vec<std::collections::BTreeMap<String, String>>)> {
    ["connections", "estats", "series", "sockets", "audit"]
        .map(|name| {
            let mut rows = table(run, name);
            rows.iter_mut().for_each(|row| drop(row.remove("recording")));
            (name, rows)
        })
        .into()
}

#[track_caller]
fn assert_same(a: &Path, b: &Path) {
    for ((name, a), (_, b)) in rows(a).into_iter().zip(rows(b)) {
        assert_eq!(a.len(), b.len(), "rows of {name}");
        for (a, b) in a.iter().zip(&b) {
            for (column, value) in a {
                assert_eq!(value, &b[column], "{column} of {name}: {a:?}");
            }
        }
    }
}

/// Recordings that are long enough to lose segments.
const RECORDINGS: [&str; 7] = [
    "begun-before-the-recording",
    "clean-path",
    "function-hooks",
    "kprobes",
    "loss",
    AUDITED.0,
    "zero-window",
];

#[test]
fn what_is_left_has_the_rows_of_a_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (mut carried, mut audited) = (0, 0);
    for name in RECORDINGS {
        let run = again(&golden(name), &dir.path().join(name), true);
        let frame = frame_of(&run);
        carried += frame.lifecycles.iter().filter(|row| row.event == Event::Baseline).count();
        let expected = dir.path().join(format!("{name}-cut"));
        cut_from(&golden(name), since(&run, frame.from_ns), &expected);
        assert_same(&run, &expected);
        for row in table(&run, "connections") {
            assert_ne!(row["completeness"], "lossy", "{row:?}");
        }
        for row in table(&run, "audit") {
            assert_ne!(row["verdict"], "differs", "{name}: {row:?}");
            audited += 1;
        }
        // One key frame for each segment that is left but the last, which may lack its own.
        let names = file_names(&run);
        let of = |prefix: &str| names.iter().filter(|n| n.starts_with(prefix)).count();
        let (segments, frames) = (of("hooks-"), of("keyframe-hooks-"));
        assert!(frames > 0 && frames <= segments && segments <= frames + 1, "{names:?}");
        assert_eq!(of("keyframe-connections-"), frames);
        // The ledger is divided as the others are, and its part of the key frame is written first.
        assert_eq!(of("ledger-"), segments);
        assert_eq!(of("keyframe-ledger-"), segments);
    }
    assert!(carried > 5, "{carried} connections were open at the beginning of what is left");
    assert!(audited > 100, "{audited} comparisons with tcp_info");
}

#[test]
fn a_cut_of_what_is_left_equals_that_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let from_ns = frame_of(&run).from_ns;
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let later = since(&run, from_ns + 200_000_000);
    cut_from(&run, later, &a);
    cut_from(&golden("loss"), later, &b);
    assert_same(&a, &b);
    // Nothing is left of the time before, so a cut that begins there is a copy.
    let copy = dir.path().join("copy");
    cut_from(&run, since(&run, from_ns - 1), &copy);
    assert_same(&copy, &run);
    assert_eq!(frame_of(&copy), frame_of(&run));
}

#[test]
fn parts_become_what_is_left_again() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let at = since(&run, frame_of(&run).from_ns + 200_000_000);
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let whole = Recording::open(&run).unwrap();
    cut(&whole, &a, &CutOptions { to: at, ..CutOptions::default() }).expect("cut");
    cut(&whole, &b, &CutOptions { from: at, ..CutOptions::default() }).expect("cut");
    let merged = dir.path().join("merged");
    merge(&[&a, &b].map(|part| Recording::open(part).unwrap()), &merged).expect("merge");
    verified(&merged);
    assert_same(&merged, &run);
}

#[test]
fn an_anonymous_copy_has_the_key_frame_without_names() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let copy = dir.path().join("copy");
    let key = SecretKey::parse(&[9; 32]).expect("a key");
    anonymize(&Recording::open(&run).unwrap(), &copy, &key).expect("anonymize");
    verified(&copy);
    let (frame, original) = (frame_of(&copy), frame_of(&run));
    assert_eq!(frame.hooks, original.hooks);
    assert!(!frame.lifecycles.is_empty());
    for (row, of) in frame.lifecycles.iter().zip(&original.lifecycles) {
        assert_ne!((row.local_addr, &row.comm), (of.local_addr, &of.comm));
        assert_eq!((row.header, row.local_port), (of.header, of.local_port));
    }
    let values = |run: &Path| {
        table(run, "estats").into_iter().map(|row| row["SegsOut"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(values(&copy), values(&run));
}

#[test]
fn without_its_key_frame_the_rows_are_lossy() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let first = file_names(&run).into_iter().find(|n| n.starts_with("keyframe-hooks-")).unwrap();
    let lossy = || {
        let recording = Recording::open(&run).unwrap();
        assert!(recording.key_frame().unwrap().is_none());
        let report = recording.verify().unwrap();
        assert!(!report.ok() && report.to_string().contains(&first), "{report}");
        let rows = table(&run, "connections");
        assert!(!rows.is_empty() && rows.iter().all(|row| row["completeness"] == "lossy"));
    };
    assert!(table(&run, "connections").iter().any(|row| row["completeness"] != "lossy"));
    let path = run.join(&first);
    let bytes = fs::read(&path).unwrap();
    for at in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 20] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(&path, &damaged).unwrap();
        lossy();
    }
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    lossy();
    // That of another segment, or of another recording.
    let other = again(&golden("clean-path"), &dir.path().join("other"), true);
    let foreign = file_names(&other).into_iter().find(|n| n.starts_with("keyframe-hooks-"));
    fs::copy(other.join(foreign.unwrap()), &path).unwrap();
    lossy();
    fs::remove_file(&path).unwrap();
    lossy();
    fs::write(&path, &bytes).unwrap();
    assert!(Recording::open(&run).unwrap().key_frame().unwrap().is_some());
    verified(&run);
}

#[test]
fn a_part_that_ends_before_what_is_left_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let to = since(&run, frame_of(&run).from_ns);
    let options = CutOptions { to, ..CutOptions::default() };
    let recording = Recording::open(&run).unwrap();
    let error = cut(&recording, &dir.path().join("part"), &options).unwrap_err();
    assert!(error.to_string().contains("before the beginning of what is left"), "{error}");
    assert!(!dir.path().join("part").exists());
}

/// The numbers of connections are those of the tables, which begin with what the key frame has.
#[test]
fn exported_operations_have_the_connections_of_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let known: std::collections::BTreeSet<_> = table(&run, "connections")
        .into_iter()
        .map(|row| (row["conn_id"].clone(), row["cookie"].clone()))
        .collect();
    let mut out = Vec::new();
    let recording = Recording::open(&run).unwrap();
    estats::views::export::operations::write(&recording, Plain::Csv, &mut out).expect("export");
    let text = String::from_utf8(out).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    let at = |name| header.iter().position(|column| *column == name).expect("a column");
    let (conn_id, cookie) = (at("conn_id"), at("cookie"));
    let mut rows = 0;
    for line in lines.filter(|line| !line[conn_id].is_empty()) {
        assert!(known.contains(&(line[conn_id].into(), line[cookie].into())), "{line:?}");
        rows += 1;
    }
    assert!(rows > 100, "{rows} operations");
}

/// A key frame asks for a mark, and a mark alone is no reason for the next segment.
#[test]
fn an_idle_recorder_begins_no_segments() {
    let dir = tempfile::tempdir().unwrap();
    let of = Recording::open(&golden("loss")).unwrap();
    let mut manifest = of.manifest().clone();
    manifest.options.key_frames = true;
    let options = WriterOptions {
        max_bytes: Some(MAX_BYTES),
        rotate_ns: 1_000_000_000,
        ..WriterOptions::default()
    };
    let mut w = RecordingWriter::create(dir.path(), &manifest, options).expect("create");
    let mut frames = KeyFrames::default();
    let begun_ns = manifest.started.monotonic_ns;
    let header = Header {
        ts_ns: begun_ns + 1,
        seq: 0,
        cookie: 7,
        generation: 0,
        cpu: 0,
        hook: Hook::TcpProbe,
    };
    let ops = [Operation { var: Var::SegsIn, op: Op::Set, value: 1 }];
    w.hook(&header, &ops).expect("hook");
    frames.hook(&header, &ops);
    for second in 1..100 {
        let now_ns = begun_ns + second * 1_500_000_000;
        if second < 3 || w.wanted_key_frame().is_some() {
            w.drained(now_ns).expect("mark");
            frames.reached(now_ns, &mut w).expect("key frame");
        }
        w.tick(now_ns).expect("tick");
    }
    assert!(w.wanted_key_frame().is_none());
    let segments = file_names(dir.path()).into_iter().filter(|n| n.starts_with("hooks-"));
    assert_eq!(segments.count(), 2, "{:?}", file_names(dir.path()));
}

/// The end of a connection may be among what was lost.
#[test]
fn losses_before_the_key_frame_count_for_what_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let frame = frame_of(&run);
    let open = frame.lifecycles.iter().find(|row| row.event == Event::Baseline).expect("one");
    let (since_ns, ts_ns) = (open.start_ns + 1, frame.from_ns - 1);
    let skipped = CaptureStat::Skipped { ts_ns, hook: Hook::CongState, count: 1, since_ns };
    let lossy = again_and(&golden("loss"), &dir.path().join("lossy"), true, |w| {
        w.capture_stat(&skipped).expect("ledger");
    });
    let cookie = open.header.cookie.to_string();
    for (run, expected) in [(&run, "begun_before"), (&lossy, "lossy")] {
        let rows = table(run, "connections");
        let row = rows.iter().find(|row| row["cookie"] == cookie).expect("a row");
        assert_eq!(row["completeness"], expected, "{row:?}");
        let counted_since = row["counted_since_ns"].parse::<u64>().unwrap();
        assert_eq!(counted_since, frame.from_ns - 1, "{row:?}");
    }
    let values = table(&run, "estats");
    let row = values.iter().find(|row| row["MaxRTT"] == "NULL").expect("one that was carried");
    assert_eq!(row["completeness"], "begun_before");
    assert_ne!(row["SegsOut"], "NULL");
    trust::says(
        "a bounded recording (--max-size, --keep), a connection that was open when what is left begins",
        &format!(
            "completeness {}; SegsOut the kernel's; extremes {} until they are passed; counts of events since counted_since_ns",
            row["completeness"], row["MaxRTT"]
        ),
    );
}

/// A program that uses one socket again and again: what ended is forgotten with the next connection.
#[test]
fn a_socket_that_is_used_again_has_one_connection() {
    let mut known = OpenConnections::default();
    let header = |ts_ns, generation| Header {
        ts_ns,
        seq: ts_ns,
        cookie: 7,
        generation,
        cpu: 0,
        hook: Hook::SetState,
    };
    for generation in 0..100 {
        let at = 10 * u64::from(generation);
        let mut row = crate::common::lifecycle(header(at, generation));
        row.event = Event::Open;
        known.lifecycle(&row);
        row.event = Event::Close;
        row.header.ts_ns += 1;
        known.lifecycle(&row);
    }
    let frame = known.frame(2000);
    assert_eq!(frame.lifecycles.len(), 1, "{frame:?}");
    assert_eq!(frame.lifecycles[0].event, Event::Over);
    // A record without a cookie is of no connection.
    let set = Operation { var: Var::SegsIn, op: Op::Set, value: 1 };
    known.hook(&Header { cookie: 0, ..header(1999, 0) }, [set].into_iter(), false);
    assert!(known.frame(2000).hooks.is_empty());
}

/// Only the first of merged recordings can lack its oldest segments.
#[test]
fn a_merge_keeps_the_key_frame_of_its_first_recording() {
    let dir = tempfile::tempdir().unwrap();
    let runs = two(dir.path());
    let first = again(&runs[0], &dir.path().join("first"), true);
    let merged = dir.path().join("merged");
    merge(&[&first, &runs[1]].map(|run| Recording::open(run).unwrap()), &merged).expect("merge");
    verified(&merged);
    assert_eq!(frame_of(&merged), frame_of(&first));
    let (rows, of_first) = (table(&merged, "connections"), table(&first, "connections"));
    assert!(!of_first.is_empty());
    for row in &of_first {
        let same = |r: &&std::collections::BTreeMap<String, String>| {
            ["cookie", "local_port", "begin_ns", "counted_since_ns"]
                .iter()
                .all(|c| r[*c] == row[*c])
        };
        let found = rows.iter().find(same).unwrap_or_else(|| panic!("{row:?}"));
        assert_eq!(found["completeness"], row["completeness"], "{row:?}");
    }
}

/// It may have come too late for the key frame: then this has an older value, and nothing shows it.
#[test]
fn a_record_that_came_too_late_marks_its_connection() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    let frame = frame_of(&run);
    let of = frame.hooks[0].header;
    // A row of the recorder itself has no number, which would have to be of this recording.
    let header = Header { ts_ns: frame.from_ns - 5, hook: Hook::Egress, cpu: NO_CPU, ..of };
    let ops = [Operation { var: Var::SegsOut, op: Op::Set, value: 1 }];
    let late = again_and(&golden("loss"), &dir.path().join("late"), true, |w| {
        w.hook(&header, &ops).expect("hook");
    });
    assert_eq!(frame_of(&late), frame);
    let cookie = of.cookie.to_string();
    for (run, expected) in [(&run, "begun_before"), (&late, "lossy")] {
        let rows = table(run, "connections");
        let row = rows.iter().find(|row| row["cookie"] == cookie).expect("a row");
        assert_eq!(row["completeness"], expected, "{row:?}");
    }
}

#[test]
fn a_value_that_came_too_late_is_not_carried() {
    let mut known = OpenConnections::default();
    let header = |ts_ns| Header {
        ts_ns,
        seq: ts_ns,
        cookie: 7,
        generation: 0,
        cpu: 0,
        hook: Hook::TcpProbe,
    };
    let set = |var, value| Operation { var, op: Op::Set, value };
    let both = [set(Var::SegsIn, 5), set(Var::SegsOut, 6)];
    known.hook(&header(10), both.into_iter(), false);
    known.hook(&header(5), [set(Var::SegsIn, 4)].into_iter(), true);
    let frame = known.frame(20);
    assert_eq!(frame.hooks.len(), 1);
    assert_eq!(frame.hooks[0].ops, [set(Var::SegsOut, 6)]);
    assert_eq!(frame.hooks[0].header.ts_ns, 19);
}
