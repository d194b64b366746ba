// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Frames that are doubled or exchanged, ledgers of others, and edited manifests.

use std::fs;

use estats::log::{Finding, Recording};
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{self, cut};

use super::{Whole, analyze, borders, name};

/// The frames of a file, without the end of a closed one if it is to have none.
fn frames(bytes: &[u8], is_closed: bool) -> Vec<Vec<u8>> {
    let borders = borders(bytes);
    let ends = borders[1..].iter().copied().chain([bytes.len()]);
    let mut frames: Vec<_> = borders.iter().zip(ends).map(|(a, b)| bytes[*a..b].to_vec()).collect();
    if !is_closed {
        // End of the stream, index, seek table.
        frames.truncate(frames.len() - 3);
    }
    frames
}

/// Every second frame twice, exchanged with its neighbour, or with the first.
fn rearranged(whole: &Whole, is_closed: bool) -> usize {
    let mut unmarked = 0;
    for (path, bytes) in &whole.files {
        let frames = frames(bytes, is_closed);
        let last = frames.len() - if is_closed { 4 } else { 1 };
        for i in (1..=last).step_by(2) {
            let mut doubled = frames.clone();
            doubled.insert(i, frames[i].clone());
            fs::write(path, doubled.concat()).unwrap();
            unmarked += whole.must_hold(&format!("frame {i} of {} twice", name(path)));
            for other in [i + 1, 1] {
                if other > last || other == i {
                    continue;
                }
                let mut exchanged = frames.clone();
                exchanged.swap(i, other);
                fs::write(path, exchanged.concat()).unwrap();
                let what = format!("frames {i} and {other} of {} exchanged", name(path));
                unmarked += whole.must_hold(&what);
            }
        }
        fs::write(path, bytes).unwrap();
    }
    unmarked
}

#[test]
fn frames_doubled_or_exchanged() {
    let whole = Whole::new();
    assert!(rearranged(&whole, true) > 500);
}

#[test]
fn frames_doubled_or_exchanged_in_a_recording_that_was_not_closed() {
    let whole = Whole::new();
    whole.manifest(|m| {
        (m.totals, m.ended) = (None, None);
        m.segments.clear();
    });
    assert!(rearranged(&whole, false) > 100);
}

#[test]
fn a_frame_twice_is_a_finding() {
    let whole = Whole::new();
    let (path, bytes) = &whole.files[1];
    let mut doubled = frames(bytes, true);
    doubled.insert(1, doubled[1].clone());
    fs::write(path, doubled.concat()).unwrap();
    let recording = Recording::open(&whole.run()).unwrap();
    let survey = recording.survey().unwrap();
    assert!(!survey.missing.is_empty() && !survey.to_string().contains("no record"), "{survey}");
    let report = recording.verify().unwrap();
    let is_twice = |f: &Finding| matches!(f, Finding::Duplicates { .. });
    assert!(report.findings.iter().any(is_twice), "{report}");
}

#[test]
fn the_ledger_of_another_recording() {
    let whole = Whole::new();
    let other = whole.dir.path().join("other");
    let key = SecretKey::parse(&[7; 32]).unwrap();
    anonymize(&Recording::open(&whole.run()).unwrap(), &other, &key).unwrap();
    let ledger = "ledger-000000.arrows.zst";
    fs::copy(other.join(ledger), whole.run().join(ledger)).unwrap();
    for listed in [true, false] {
        if !listed {
            whole.manifest(|m| m.segments.clear());
        }
        whole.must_hold("another's ledger");
        let recording = Recording::open(&whole.run()).unwrap();
        let marked = recording.survey().unwrap().missing.iter();
        let mut marked = marked.map(|m| (m.since_ns, m.until_ns));
        assert!(marked.any(|span| span == (0, u64::MAX)));
        let report = recording.verify().unwrap().to_string();
        assert!(report.contains("ledger-000000.arrows.zst is of another recording"), "{report}");
    }
}

/// The list proves the files only if it is one that a recorder writes.
#[test]
fn an_edited_list_of_segments() {
    let whole = Whole::new();
    let manifest = whole.run().join("manifest.json");
    let text = fs::read(&manifest).unwrap();
    for (path, bytes) in &whole.files {
        let file = name(path);
        let (stream, number) = file.split_once('-').unwrap();
        let number: u32 = number.parse().unwrap();
        fs::remove_file(path).unwrap();
        whole.manifest(|m| {
            m.segments.retain(|s| s.stream != stream || s.number != number);
        });
        whole.must_hold(&format!("{file} removed, in the list too"));
        whole.manifest(|m| m.options.max_bytes = Some(1 << 30));
        whole.must_hold(&format!("{file} removed, in the list too, with a bound"));
        whole.manifest(|m| m.totals.as_mut().unwrap().per_cpu.clear());
        whole.must_hold(&format!("{file} removed, in the list too, without an account"));
        fs::write(path, bytes).unwrap();
        fs::write(&manifest, &text).unwrap();
    }
}

/// CRC-32 as zlib has it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// A frame that cannot be read although the list has the bytes of its file is an error.
#[test]
fn an_unaccounted_frame_is_reported() {
    let whole = Whole::new();
    let path = whole.run().join("hooks-000001.arrows.zst");
    let mut bytes = fs::read(&path).unwrap();
    let at = borders(&bytes)[2] + 40;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    whole.manifest(|m| {
        let of = |s: &&mut estats::log::SegmentEntry| s.stream == "hooks" && s.number == 1;
        m.segments.iter_mut().find(of).unwrap().crc32 = crc32(&bytes);
    });
    let (code, said) = analyze(&["replay"], &whole.run());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hooks-000001.arrows.zst"), "{said}");
}

#[test]
fn numbers_that_overflow() {
    let whole = Whole::new();
    whole.manifest(|m| {
        for cpu in &mut m.totals.as_mut().unwrap().per_cpu {
            cpu.lost_by_hook.insert("egress".into(), u64::MAX);
            (cpu.emitted, cpu.logged) = (u64::MAX, u64::MAX);
        }
    });
    for command in ["replay", "info", "summary", "report", "verify", "flows", "rtt"] {
        let (code, said) = analyze(&[command], &whole.run());
        assert!(code == 3 || code == 1, "{command}: {code} {said}");
        assert!(!said.contains("panicked"), "{command}: {said}");
    }
}

/// Implausible numbers cost neither time nor memory.
#[test]
fn impossible_segment_numbers_are_findings() {
    let whole = Whole::new();
    let begun = std::time::Instant::now();
    let hooks = whole.run().join("hooks-000002.arrows.zst");
    fs::rename(&hooks, whole.run().join("hooks-999999.arrows.zst")).unwrap();
    whole.must_hold("a segment with a large number");
    whole.manifest(|m| {
        let entry = m.segments[0].clone();
        m.segments.extend(
            (0..150_000).map(|n| estats::log::SegmentEntry { number: 5000 + n, ..entry.clone() }),
        );
    });
    whole.must_hold("a long list");
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    let survey = Recording::open(&whole.run()).unwrap().survey().unwrap().clone();
    assert!(survey.findings.len() < 20, "{}", survey.findings.len());
}

/// A recording that is whole and lost records: every command ends with 3 and prints the reason.
#[test]
fn every_command_names_lost_records() {
    let whole = Whole::new();
    let run = whole.run();
    let out = whole.dir.path().join("out");
    let out = out.to_str().unwrap();
    for arguments in [
        &["replay"][..],
        &["info"],
        &["summary"],
        &[],
        &["audit"],
        &["flows"],
        &["rtt"],
        &["report"],
        &["export", "--table", "connections", "--format", "csv"],
        &["export", "--format", "mlab-jsonl"],
        &["export", "--format", "web10g-readvars"],
        &["export", "--format", "perfetto"],
        &["diff", run.to_str().unwrap()],
        &["cut", "-o", out],
    ] {
        let (code, said) = analyze(arguments, &run);
        assert!(code == 3 || (arguments == ["audit"] && code == 1), "{arguments:?}: {code} {said}");
        assert!(said.contains("3 records were lost while recording"), "{arguments:?}: {said}");
    }
}

/// A recording made from a damaged one is undamaged, but not complete.
#[test]
fn verify_of_a_cut_of_a_damaged_recording() {
    let whole = Whole::new();
    let (path, bytes) = &whole.files[2];
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    let out = whole.dir.path().join("out");
    cut(&Recording::open(&whole.run()).unwrap(), &out, &cut::CutOptions::default()).unwrap();
    let report = Recording::open(&out).unwrap().verify().unwrap();
    assert!(
        report.ok() && report.to_string().contains("made from an incomplete recording"),
        "{report}"
    );
    assert!(!report.to_string().contains("ok: complete"), "{report}");
    assert_eq!(analyze(&["verify"], &out).0, 3);
}

/// Rows that are to be somewhere where a directory is: nothing half stays, and no list.
#[test]
fn tables_that_cannot_be_put_in_their_place() {
    let whole = Whole::new();
    let tables = whole.dir.path().join("tables");
    let output = tables.to_str().unwrap();
    assert_eq!(analyze(&["replay", "-o", output], &whole.run()).0, 3);
    let file = tables.join("estats.parquet");
    fs::remove_file(&file).unwrap();
    fs::create_dir_all(file.join("in the way")).unwrap();
    let (code, said) = analyze(&["replay", "-o", output], &whole.run());
    assert_eq!(code, 2, "{said}");
    let names: Vec<_> = crate::common::file_names(&tables);
    let partial = |name: &String| name.contains("partial") || name == "manifest.json";
    assert!(!names.iter().any(partial), "{names:?}");
}
