// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `merge`.

use std::path::{Path, PathBuf};

use estats::log::{Manifest, Recording};
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::recordings::transform::merge::merge;

use super::source::{all_golden, bounded, digest, edit_manifest, imported, table, verified};
use crate::common::{MS, synthetic};

fn open(run: &Path) -> Recording {
    Recording::open(run).expect("a recording")
}

/// Cuts a recording into parts at these times (ns since its beginning).
fn parts(run: &Path, dir: &Path, at: &[u64]) -> Vec<PathBuf> {
    let recording = open(run);
    let bounds: Vec<_> = std::iter::once(None)
        .chain(at.iter().map(|ns| Some(CutTime::Since(*ns))))
        .chain([None])
        .collect();
    let mut out = Vec::new();
    for (i, pair) in bounds.windows(2).enumerate() {
        let part = dir.join(format!("part{i}"));
        let options = CutOptions { from: pair[0], to: pair[1], ..CutOptions::default() };
        cut(&recording, &part, &options).expect("cut");
        verified(&part);
        out.push(part);
    }
    out
}

fn merged(runs: &[PathBuf], out: &Path) {
    let recordings: Vec<_> = runs.iter().map(|run| open(run)).collect();
    merge(&recordings, out).expect("merge");
    verified(out);
}

fn duration_ns(manifest: &Manifest) -> u64 {
    manifest.ended.unwrap().monotonic_ns - manifest.started.monotonic_ns
}

#[test]
fn merged_parts_equal_the_original() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut runs = all_golden();
    let written = dir.path().join("synthetic");
    synthetic(&written, 100);
    runs.push(written);
    runs.push(imported(dir.path()));
    let whole = tempfile::tempdir().expect("temporary directory");
    runs.push(bounded(whole.path(), None));
    runs.push(bounded(dir.path(), Some(60_000)));
    for (i, run) in runs.iter().enumerate() {
        let name = run.display();
        let at = duration_ns(open(run).manifest());
        let work = dir.path().join(format!("{i}"));
        // An odd place, and the middle.
        let mut parts = parts(run, &work, &[at / 7 * 3, at / 2]);
        parts.reverse();
        let out = work.join("merged");
        merged(&parts, &out);
        let (a, b) = (open(run), open(&out));
        assert_eq!(digest(&out), digest(run), "{name}");
        assert_eq!(a.manifest().recording, b.manifest().recording, "{name}");
        let account = |m: &Manifest| m.totals.clone().map(|t| (t.per_cpu, t.connections));
        let (x, y) = (account(a.manifest()).unwrap(), account(b.manifest()).unwrap());
        let busy = |cpus: Vec<estats::log::CpuTotals>| -> Vec<_> {
            cpus.into_iter().filter(|c| c.emitted > 0).collect()
        };
        assert_eq!(busy(x.0), busy(y.0), "{name}");
        assert_eq!(x.1, y.1, "{name}");
        assert!(b.manifest().derived.is_empty());
    }
}

#[test]
fn two_merged_parts_equal_a_cut_of_both() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = bounded(dir.path(), None);
    let second = 1000 * MS;
    let parts = parts(&run, dir.path(), &[13 * second, 21 * second + 7]);
    let (both, once) = (dir.path().join("both"), dir.path().join("once"));
    merged(&parts[1..], &both);
    let options = CutOptions { from: Some(CutTime::Since(13 * second)), ..CutOptions::default() };
    cut(&open(&run), &once, &options).expect("cut");
    assert_eq!(digest(&both), digest(&once));
    let said =
        merge(&[open(&parts[0]), open(&parts[2])], &dir.path().join("no")).expect_err("a gap");
    assert!(said.to_string().contains("do not adjoin"), "{said}");
    let said = merge(&[open(&parts[0]), open(&run)], &dir.path().join("no")).expect_err("twice");
    assert!(said.to_string().contains("same origin"), "{said}");
    assert!(!dir.path().join("no").exists());
}

/// Two recordings one after the other, with numbers and UUIDs of their own: parts that forgot that
/// they are.
pub fn two(dir: &Path) -> Vec<PathBuf> {
    let run = bounded(dir, None);
    let parts = parts(&run, dir, &[20_000 * MS]);
    for (i, part) in parts.iter().enumerate() {
        edit_manifest(part, |m| {
            m.derived.clear();
            m.recording = format!("00000000-0000-4000-8000-00000000000{i}");
            m.host.boot_id = "boot".into();
        });
    }
    parts
}

#[test]
fn consecutive_recordings_keep_their_rows_and_totals() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let runs = two(dir.path());
    let out = dir.path().join("merged");
    merged(&runs, &out);
    let totals = |run: &Path| open(run).manifest().totals.clone().unwrap().per_cpu;
    let sums: Vec<u64> =
        totals(&runs[0]).iter().zip(totals(&runs[1])).map(|(a, b)| a.emitted + b.emitted).collect();
    assert_eq!(totals(&out).iter().map(|c| c.emitted).collect::<Vec<_>>(), sums);
    assert_eq!(open(&out).manifest().derived[0].of.len(), 2);
    // Connection 3 was open when the first ended and the second began: a row of each.
    let rows = |run: &Path| -> Vec<_> {
        let rows = table(run, "connections").into_iter();
        rows.map(|r| (r["local_port"].clone(), r["completeness"].clone(), r["end_ns"].clone()))
            .collect()
    };
    let mut expected = rows(&runs[0]);
    let both = rows(&out);
    expected.extend(rows(&runs[1]));
    let sorted = |mut rows: Vec<(String, String, String)>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(both), sorted(expected));
    let again = dir.path().join("again");
    merged(&runs, &again);
    assert_eq!(digest(&again), digest(&out));
}

#[test]
fn captures_one_after_the_other_are_one_capture() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = imported(dir.path());
    // In the middle of the second connection.
    let runs = parts(&run, dir.path(), &[750 * MS]);
    for (i, part) in runs.iter().enumerate() {
        edit_manifest(part, |m| {
            m.derived.clear();
            m.recording = format!("00000000-0000-4000-8000-00000000000{i}");
        });
    }
    let out = dir.path().join("merged");
    merged(&runs, &out);
    let rows = |run: &Path| -> Vec<_> {
        table(run, "estats").into_iter().map(|mut r| r.remove("recording").map(|_| r)).collect()
    };
    assert_eq!(rows(&out), rows(&run), "the connection goes on");
    assert_eq!(open(&out).manifest().import.as_ref().unwrap().file, "three.pcap, three.pcap");
}

#[test]
fn recordings_that_cannot_be_merged_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let runs = two(dir.path());
    let out = dir.path().join("out");
    let said = |edit: &dyn Fn(&mut Manifest)| {
        let before = open(&runs[1]).manifest().clone();
        edit_manifest(&runs[1], edit);
        let said = merge(&[open(&runs[0]), open(&runs[1])], &out).expect_err("refused").to_string();
        assert!(!out.exists());
        edit_manifest(&runs[1], |m| *m = before.clone());
        said
    };
    for (edit, words) in [
        (
            &(|m: &mut Manifest| m.host.hostname = "other".into()) as &dyn Fn(&mut Manifest),
            "two hosts",
        ),
        (&|m| m.host.boot_id = "other".into(), "two boots"),
        (&|m| m.totals = None, "was not closed"),
        (&|m| m.options.ports = vec![80], "other filters"),
        (&|m| m.hook_set = "fentry".into(), "other hooks"),
        (&|m| m.started.monotonic_ns -= 1_000_000_000, "overlap in time"),
        (&|m| m.recording = "00000000-0000-4000-8000-000000000000".into(), "same origin"),
    ] {
        let said = said(edit);
        assert!(said.contains(words), "{said}");
        let advised =
            said.contains("replay each of them") || said.contains("cut the original once");
        assert!(advised, "{said}");
    }
    assert!(merge(&[open(&runs[0])], &out).unwrap_err().to_string().contains("two or more"));
}
