// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The ledger of a bounded recording: its oldest segments are removed, and what is left knows what they come to.

use std::fs;
use std::path::{Path, PathBuf};

use estats::log::{CaptureStat, Recording};
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{CutOptions, cut};
use estats::schema::Hook;
use estats::wire::Event;

use super::keyframe::{again, again_open, frame_of};
use super::source::{golden, table, verified};
use crate::common::file_names;

/// A bounded recording whose ledger began with these rows.
fn noted(to: &Path, first: &[CaptureStat]) -> PathBuf {
    again_open(&golden("loss"), to, true, first, |w, manifest| {
        w.finish(&manifest).expect("finish");
    });
    verified(to);
    to.to_owned()
}

fn skips(run: &Path) -> Vec<(u64, u64, u64)> {
    let rows = Recording::open(run).expect("a recording").capture_stats();
    let skips = rows.filter_map(|row| match row.expect("row") {
        CaptureStat::Skipped { ts_ns, since_ns, count, .. } => Some((since_ns, ts_ns, count)),
        _ => None,
    });
    skips.collect()
}

fn completeness(run: &Path) -> Vec<String> {
    table(run, "connections")
        .into_iter()
        .map(|mut row| row.remove("completeness").unwrap())
        .collect()
}

#[test]
fn what_was_removed_marks_what_was_open_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let plain = again(&golden("loss"), &dir.path().join("plain"), true);
    let frame = frame_of(&plain);
    let mut open = frame.lifecycles.iter().filter(|row| row.event == Event::Baseline);
    let begun_ns = open.next().expect("a connection").start_ns;
    let skipped =
        |since_ns, ts_ns| CaptureStat::Skipped { ts_ns, hook: Hook::CongState, count: 3, since_ns };
    let before = [skipped(begun_ns - 90, begun_ns - 50), skipped(begun_ns - 50, begun_ns - 40)];
    let run = noted(&dir.path().join("before"), &before);
    // The rows are gone, and their sum is there.
    let names = file_names(&run);
    assert!(!names.iter().any(|name| name == "ledger-000000.arrows.zst"), "{names:?}");
    assert_eq!(skips(&run), [(begun_ns - 90, begun_ns - 40, 6)]);
    assert_eq!(completeness(&run), completeness(&plain), "the connections began after them");
    let within = [skipped(begun_ns - 90, begun_ns - 50), skipped(begun_ns, begun_ns + 10)];
    let run = noted(&dir.path().join("within"), &within);
    let rows = table(&run, "connections");
    let cookie = |cookie: u64| rows.iter().find(|row| row["cookie"] == cookie.to_string()).unwrap();
    for row in frame.lifecycles.iter().filter(|row| row.event == Event::Baseline) {
        let expected = if row.start_ns <= begun_ns + 10 { "lossy" } else { "begun_before" };
        assert_eq!(cookie(row.header.cookie)["completeness"], expected, "{row:?}");
    }
    // Copies have the sum as they have other rows.
    let copy = dir.path().join("copy");
    let key = SecretKey::parse(&[9; 32]).expect("a key");
    let recording = Recording::open(&run).unwrap();
    anonymize(&recording, &copy, &key).expect("anonymize");
    let part = dir.path().join("part");
    cut(&recording, &part, &CutOptions::default()).expect("cut");
    for made in [&copy, &part] {
        verified(made);
        assert_eq!(skips(made), skips(&run));
        assert_eq!(completeness(made), completeness(&run));
    }
}

/// A file is changed: `verify` names it, and all rows are lossy.
#[track_caller]
fn without(run: &Path, file: &str, change: impl FnOnce(&Path)) {
    let path = run.join(file);
    let bytes = fs::read(&path).expect("a file");
    change(&path);
    let report = Recording::open(run).unwrap().verify().unwrap();
    assert!(!report.ok() && report.to_string().contains(file), "{report}");
    let rows = completeness(run);
    assert!(!rows.is_empty() && rows.iter().all(|row| row == "lossy"), "{file}: {rows:?}");
    fs::write(&path, bytes).unwrap();
    verified(run);
}

#[test]
fn without_what_was_carried_the_rows_are_lossy() {
    let dir = tempfile::tempdir().unwrap();
    let run = again(&golden("loss"), &dir.path().join("run"), true);
    assert!(completeness(&run).iter().any(|row| row != "lossy"));
    let names = file_names(&run);
    let of =
        |prefix: &str| names.iter().filter(|n| n.starts_with(prefix)).cloned().collect::<Vec<_>>();
    let (carried, ledger) = (of("keyframe-ledger-"), of("ledger-"));
    assert!(ledger.len() > 1, "{names:?}");
    without(&run, &carried[0], |path| fs::remove_file(path).unwrap());
    without(&run, &carried[0], |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 4;
        bytes[middle] ^= 0x40;
        fs::write(path, bytes).unwrap();
    });
    // That of another segment.
    without(&run, &carried[0], |path| {
        fs::copy(run.join(&carried[1]), path).unwrap();
    });
    // A segment in the place of another would count twice: nothing in the ledger is believed then.
    without(&run, &ledger[1], |path| {
        fs::copy(run.join(&ledger[0]), path).unwrap();
    });
    // The connections lived all the time, so the time of the first segment is theirs.
    without(&run, &ledger[0], |path| fs::remove_file(path).unwrap());
}

/// The recorder was killed: what it had written before counts.
#[test]
fn one_that_was_not_closed_has_it_too() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let begun_ns = Recording::open(&golden("loss")).unwrap().manifest().started.monotonic_ns;
    let (hook, count) = (Hook::CongState, 3);
    let skipped = CaptureStat::Skipped { ts_ns: begun_ns + 1, hook, count, since_ns: begun_ns - 1 };
    again_open(&golden("loss"), &run, true, &[skipped], |w, _| drop(w));
    let report = Recording::open(&run).unwrap().verify().unwrap();
    let text = report.to_string();
    for finding in &report.findings {
        let said = finding.to_string();
        assert!(said.contains("not closed") || said.contains("has no end"), "{said}: {text}");
    }
    assert_eq!(skips(&run), [(begun_ns - 1, begun_ns + 1, 3)]);
    // It was killed while it removed a segment: its ledger was gone already, and its hooks were not.
    let first = file_names(&run).into_iter().find(|n| n.starts_with("ledger-")).unwrap();
    fs::remove_file(run.join(first)).unwrap();
    assert_eq!(skips(&run), [(begun_ns - 1, begun_ns + 1, 3)], "the next carries it too");
}
