// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Cut and damaged recordings: what is whole is read, what is not is noticed.

use std::fs;

use estats::log::{Finding, Recording, Ring};

use super::{read, segment_files, small, threads};
use crate::whole::borders;

/// Whatever the recorder left when it was killed: whole frames are read, and nothing panics.
#[test]
fn every_cut_reads_to_the_last_whole_frame() {
    let dir = tempfile::tempdir().unwrap();
    let written = small(dir.path());
    let path = dir.path().join("hooks-000000.arrows.zst");
    let whole = fs::read(&path).unwrap();
    let mut seen = Vec::new();
    // Every cut near the border of a frame, and one in seven of the others: each opens the recording anew.
    let is_near = |cut: usize| borders(&whole).iter().any(|border| border.abs_diff(cut) <= 16);
    let cuts = (0..=whole.len()).filter(|&cut| cut % 7 == 0 || cut == whole.len() || is_near(cut));
    for cut in cuts {
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
        if cut % 35 == 0 || cut == whole.len() {
            let report = recording.verify().unwrap();
            assert_eq!(report.ok(), cut == whole.len(), "cut at {cut}: {report}");
        }
        seen.push(found.len());
    }
    seen.dedup();
    // One frame per round of four records and a marker, and no other number of records ever.
    assert_eq!(seen, [0, 5, 10, 15]);
}

/// One bit of every `every` bytes, each of the eight in turn.
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
    flipped_bits_are_found(17, 0..1);
}

#[test]
#[ignore = "a minute in a release build, ten without optimisation"]
fn every_flipped_bit_is_found() {
    flipped_bits_are_found(1, 0..8);
}

#[test]
fn a_corrupt_frame_is_skipped_and_the_survey_has_its_place() {
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
        let batches: Vec<_> = recording.hooks(threads(n)).map(Result::unwrap).collect();
        let records: usize = batches.iter().map(|b| b.len()).sum();
        assert_eq!(records, written.hooks.len() - 5, "the frames before and behind it");
        let survey = recording.survey().unwrap();
        let [Finding::Corrupt { file, frame: 2, offset, .. }] = &survey.findings[..] else {
            panic!("{:?}", survey.findings);
        };
        assert_eq!((*offset, file.as_str()), (starts[2] as u64, "hooks-000000.arrows.zst"));
        // Its records, of which the index knows the number and the times; one is a marker.
        let [missing] = survey.missing[..] else { panic!("{:?}", survey.missing) };
        assert_eq!((missing.ring, missing.records), (Ring::Hooks, 5));
        let times = written.hooks[5..10].iter().map(|r| r.header.ts_ns);
        assert_eq!(Some(missing.since_ns), times.clone().min());
        assert_eq!(Some(missing.until_ns), times.max());
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
