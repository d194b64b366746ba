// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Verification of sequence numbers and totals.

use std::fs;

use estats::log::{CaptureStat, Finding, Recording, RecordingWriter, WriterOptions};
use estats::schema::{Hook, Var};

use super::{SECOND, closing, header, lifecycle, manifest, op, read, small};

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
fn every_wrong_total_is_a_finding() {
    // A record too few in the totals, one too many, an unreported loss, a CPU without totals.
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
        let account = |f: &Finding| matches!(f, Finding::SequenceNumbers { .. });
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

/// As after `kill -9`: the writer goes away without a word.
#[test]
fn an_unclosed_recording_is_readable_and_names_what_is_unproven() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    for round in 0..5_u64 {
        let ts = round * SECOND;
        for i in 0..10 {
            // Number 12 is lost, and the ledger has the loss.
            if round * 10 + i != 12 {
                writer.hook(&header(ts + i, 0, round * 10 + i), &[op(Var::SegsIn, i)]).unwrap();
            }
        }
        if round == 1 {
            let hook = Hook::Egress;
            let row = CaptureStat::Loss { ts_ns: ts + 20, cpu: 0, hook, lost: 1, since_ns: 0 };
            writer.capture_stat(&row).unwrap();
        }
        let emitted = (round + 1) * 10;
        writer.capture_stat(&CaptureStat::Emitted { ts_ns: ts + 20, cpu: 0, emitted }).unwrap();
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
    assert_eq!(recording.truncations().unwrap().len(), 4);
    let report = recording.verify().unwrap();
    let accounts =
        |f: &&Finding| matches!(f, Finding::SequenceNumbers { .. } | Finding::Corrupt { .. });
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
        writer.capture_stat(&CaptureStat::Emitted { ts_ns, cpu: 0, emitted: seq + 1 }).unwrap();
        writer.drained(ts_ns).unwrap();
        writer.tick(ts_ns + SECOND).unwrap();
    }
    drop(writer);
    let report = Recording::open(dir.path()).unwrap().verify().unwrap();
    let reason = "3 records are neither logged nor counted as lost".to_owned();
    assert!(report.findings.contains(&Finding::SequenceNumbers { cpu: 0, reason }), "{report}");
}

/// A program may be interrupted for seconds between reading the clock and handing its record over.
#[test]
fn a_late_record_is_not_a_disorder_of_frames() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer =
        RecordingWriter::create(dir.path(), &manifest(), WriterOptions::default()).unwrap();
    for round in 0..5_u64 {
        let ts = round * SECOND;
        // One record of the last but one round was made two rounds before.
        let made = |i| if (round, i) == (3, 2) { ts - 2 * SECOND } else { ts };
        for i in 0..10 {
            writer.hook(&header(made(i) + i, 0, round * 10 + i), &[op(Var::SegsIn, i)]).unwrap();
        }
        writer.drained(ts + 30).unwrap();
        writer.tick(ts + 30 + SECOND).unwrap();
    }
    writer.finish(&closing(&[(0, 50, 0)])).unwrap();
    let recording = Recording::open(dir.path()).unwrap();
    let report = recording.verify().unwrap();
    assert!(report.ok(), "{report}");
    let survey = recording.survey().unwrap();
    assert!(survey.missing.is_empty(), "{survey}");
}
