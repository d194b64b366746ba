// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! An incomplete recording: everything that is cut, damaged, exchanged or removed is reported, and a row
//! that is not marked is right.

use crate::common;
use crate::support::trust;
mod hostile;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use estats::log::{Manifest, Recording, Unfinished};
use estats::recordings::transform::anonymize::{SecretKey, anonymize};
use estats::recordings::transform::cut::{self, CutTime, cut};

use source::{Rows, rows, write};

const SECONDS: u64 = 9;

struct Whole {
    dir: tempfile::TempDir,
    files: Vec<(PathBuf, Vec<u8>)>,
    rows: Rows,
}

impl Whole {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let run = dir.path().join("run");
        write(&run, SECONDS);
        let report = Recording::open(&run).unwrap().verify().unwrap();
        assert!(report.ok(), "{report}");
        let survey = Recording::open(&run).unwrap().survey().unwrap().clone();
        assert!(survey.is_whole(), "{survey}");
        let names = common::file_names(&run);
        let files = names.into_iter().map(|n| (run.join(&n), fs::read(run.join(&n)).unwrap()));
        let files = files.filter(|(path, _)| path.extension().is_some_and(|e| e == "zst"));
        let files = files.collect();
        let whole = Self { rows: rows(&run).unwrap(), files, dir };
        let complete = whole
            .rows
            .0
            .values()
            .filter(|r| r.get("completeness").is_some_and(|c| c == "complete"));
        assert!(
            complete.count() > 40,
            "{:?}",
            whole.rows.0.iter().map(|(k, r)| (k, r.get("completeness"))).collect::<Vec<_>>()
        );
        whole
    }

    fn run(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    fn manifest(&self, edit: impl FnOnce(&mut Manifest)) {
        let path = self.run().join("manifest.json");
        let mut manifest: Manifest =
            serde_json::from_slice(&fs::read(&path).unwrap()).expect("a manifest");
        edit(&mut manifest);
        fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    /// Checks what must hold after any damage. Returns how many rows are not marked.
    fn must_hold(&self, what: &str) -> usize {
        let recording = Recording::open(&self.run()).unwrap();
        let survey = recording.survey().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(!survey.is_whole(), "{what}: nothing is reported");
        let sentence = survey.to_string();
        assert_eq!(sentence.lines().count(), 1, "{sentence}");
        let found = rows(&self.run()).unwrap_or_else(|e| panic!("{what}: {e}"));
        found.must_be_right(&self.rows, &format!("{what} ({sentence})"))
    }

    fn repair(&self) {
        for (path, bytes) in &self.files {
            fs::write(path, bytes).unwrap();
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned()
}

/// Offsets at which zstd frames and skippable ones begin.
pub fn borders(bytes: &[u8]) -> Vec<usize> {
    let is_magic = |w: &[u8]| {
        w == [0x28, 0xb5, 0x2f, 0xfd] || (w[1..] == [0x2a, 0x4d, 0x18] && w[0] & 0xf0 == 0x50)
    };
    bytes.windows(4).enumerate().filter(|(_, w)| is_magic(w)).map(|(i, _)| i).collect()
}

#[test]
fn every_truncation() {
    let whole = Whole::new();
    let mut unmarked = 0;
    for (path, bytes) in &whole.files {
        let mut cuts = vec![0];
        for pair in borders(bytes).windows(2) {
            cuts.extend([pair[0], pair[0] + (pair[1] - pair[0]) / 2]);
        }
        cuts.push(bytes.len() - 1);
        for cut in cuts {
            fs::write(path, &bytes[..cut]).unwrap();
            unmarked += whole.must_hold(&format!("{} cut at {cut}", name(path)));
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(unmarked > 1000, "not everything is marked: {unmarked}");
}

#[test]
fn every_file_removed_and_every_two_exchanged() {
    let whole = Whole::new();
    let mut unmarked = 0;
    for (path, bytes) in &whole.files {
        fs::remove_file(path).unwrap();
        unmarked += whole.must_hold(&format!("{} removed", name(path)));
        fs::write(path, bytes).unwrap();
    }
    let stream = |path: &Path| name(path).split('-').next().unwrap().to_owned();
    for (a, a_bytes) in &whole.files {
        for (b, b_bytes) in whole.files.iter().filter(|(b, _)| a != b && stream(a) == stream(b)) {
            fs::write(a, b_bytes).unwrap();
            unmarked += whole.must_hold(&format!("{} copied over {}", name(b), name(a)));
            fs::write(b, a_bytes).unwrap();
            unmarked += whole.must_hold(&format!("{} and {} exchanged", name(a), name(b)));
            whole.repair();
        }
    }
    assert!(unmarked > 200, "not everything is marked: {unmarked}");
}

#[test]
fn flipped_bytes() {
    let whole = Whole::new();
    let mut unmarked = 0;
    for (i, (path, bytes)) in whole.files.iter().enumerate() {
        for at in (i % 7..bytes.len()).step_by(bytes.len() / 12 + 1) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            unmarked += whole.must_hold(&format!("byte {at} of {} flipped", name(path)));
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(unmarked > 1000, "not everything is marked: {unmarked}");
}

/// A recording without its list of segments, as older ones are, is proved by its numbers.
#[test]
fn without_a_list_of_segments_the_numbers_show_missing_ones() {
    let whole = Whole::new();
    whole.manifest(|m| m.segments.clear());
    let recording = Recording::open(&whole.run()).unwrap();
    assert!(recording.survey().unwrap().is_whole(), "{}", recording.survey().unwrap());
    assert_eq!(rows(&whole.run()).unwrap(), whole.rows);
    for (path, bytes) in &whole.files {
        if path.metadata().unwrap().len() > 0 && !has_rows(path) {
            continue;
        }
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        whole.must_hold(&format!("half of {}", name(path)));
        fs::remove_file(path).unwrap();
        whole.must_hold(&format!("{} removed", name(path)));
        fs::write(path, bytes).unwrap();
    }
}

fn has_rows(path: &Path) -> bool {
    borders(&fs::read(path).unwrap()).len() > 4
}

/// Numbers of the manifest do not outweigh the files.
#[test]
fn totals_that_do_not_agree() {
    let whole = Whole::new();
    let path = whole.run().join("manifest.json");
    let text = fs::read(&path).unwrap();
    type Edit = fn(&mut Manifest);
    let edits: [(&str, Edit); 5] = [
        ("one more", |m| m.totals.as_mut().unwrap().per_cpu[0].logged += 1),
        ("near 2^64", |m| {
            let cpu = &mut m.totals.as_mut().unwrap().per_cpu[0];
            (cpu.emitted, cpu.logged, cpu.left_out) = (u64::MAX, u64::MAX - 1, u64::MAX);
        }),
        ("all emitted near 2^64", |m| {
            let cpus = &mut m.totals.as_mut().unwrap().per_cpu;
            cpus.iter_mut().for_each(|cpu| cpu.emitted = u64::MAX - 3);
        }),
        ("more lost", |m| {
            let cpu = &mut m.totals.as_mut().unwrap().per_cpu[1];
            cpu.lost_by_hook.insert("egress".into(), 114_302);
            cpu.emitted += 114_300;
        }),
        ("a CPU more", |m| {
            let cpus = &mut m.totals.as_mut().unwrap().per_cpu;
            let cpu = estats::log::CpuTotals { cpu: 7, emitted: 5, logged: 5, ..cpus[0].clone() };
            cpus.push(cpu);
        }),
    ];
    for (what, edit) in edits {
        whole.manifest(edit);
        // So that only the totals show it.
        for list in [true, false] {
            whole.manifest(|m| {
                if !list {
                    m.segments.clear()
                }
            });
            let recording = Recording::open(&whole.run()).unwrap();
            let report = recording.verify().unwrap();
            assert!(!report.ok(), "{what}: {report}");
            // The list proves the files, and nothing proves the manifest.
            if !list || !["more lost", "a CPU more"].contains(&what) {
                whole.must_hold(what);
            }
        }
        fs::write(&path, &text).unwrap();
    }
}

#[test]
fn an_empty_ledger_beside_losses_marks_all() {
    let whole = Whole::new();
    let other = whole.dir.path().join("other");
    let manifest = Recording::open(&whole.run()).unwrap().manifest().clone();
    let writer = estats::log::RecordingWriter::create(
        &other,
        &manifest,
        estats::log::WriterOptions::default(),
    );
    writer.unwrap().finish(&manifest).unwrap();
    let ledger = "ledger-000000.arrows.zst";
    fs::copy(other.join(ledger), whole.run().join(ledger)).unwrap();
    whole.manifest(|m| m.segments.clear());
    assert_eq!(whole.must_hold("empty ledger"), unmarkable(&rows(&whole.run()).unwrap()));
}

/// Rows that have no word on completeness, or lose nothing with hook records.
fn unmarkable(rows: &Rows) -> usize {
    let of = |key: &str| key.starts_with("sockets") || key.starts_with("flows");
    rows.0
        .iter()
        .filter(|(key, row)| of(key) && row.get("completeness").is_none_or(|c| c != "lossy"))
        .count()
}

/// Killed at any time: files end where they were, and there are no totals.
#[test]
fn a_recorder_that_was_killed() {
    let whole = Whole::new();
    for seconds in [1, 2, 4, 7, 8] {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        source::write_until(&run, SECONDS, Some(seconds * 1000 + 370));
        let recording = Recording::open(&run).unwrap();
        let survey = recording.survey().unwrap();
        assert_eq!(survey.unfinished, Some(Unfinished::Recorder));
        let found = rows(&run).unwrap();
        let unmarked = found.must_be_right(&whole.rows, &format!("killed after {seconds} s"));
        assert!(seconds < 4 || unmarked > 10, "{unmarked} of {}", found.0.len());
        let report = recording.verify().unwrap();
        for cpu in &report.cpus {
            assert!(cpu.emitted.unwrap() >= cpu.logged, "{cpu}");
        }
    }
}

/// A recording made from a damaged one lacks the same, and is marked.
#[test]
fn a_recording_made_from_a_damaged_one_is_marked() {
    let whole = Whole::new();
    let key = SecretKey::parse(&[7; 32]).unwrap();
    for damaged in ["hooks-000001", "connections-000000", "packets-000001", "ledger-000000"] {
        let path = whole.run().join(format!("{damaged}.arrows.zst"));
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        let out = tempfile::tempdir().unwrap();
        let recording = Recording::open(&whole.run()).unwrap();
        let part = cut::CutOptions {
            from: Some(CutTime::Since(1_000_000_000)),
            ..cut::CutOptions::default()
        };
        let all = cut::CutOptions::default();
        cut(&recording, &out.path().join("all"), &all).unwrap();
        cut(&recording, &out.path().join("part"), &part).unwrap();
        anonymize(&recording, &out.path().join("anonymous"), &key).unwrap();
        let lossy = |rows: &Rows| {
            let of = |r: &&source::Row| r.get("completeness").is_some_and(|c| c == "lossy");
            rows.0.values().filter(of).count()
        };
        let damage = lossy(&rows(&whole.run()).unwrap());
        for made in ["all", "part", "anonymous"] {
            let run = out.path().join(made);
            let recording = Recording::open(&run).unwrap();
            let report = recording.verify().unwrap();
            assert!(report.ok(), "{made} of {damaged}: {report}");
            let survey = recording.survey().unwrap();
            assert!(!survey.is_whole(), "{made} of {damaged}");
            let sentence = survey.to_string();
            assert!(sentence.contains("was made from an incomplete recording"), "{sentence}");
            let found = rows(&run).unwrap();
            if made == "all" {
                found.must_be_right(&whole.rows, &format!("{made} of {damaged}"));
            }
            let marked = lossy(&found);
            assert!(
                made == "part" || marked >= damage,
                "{made} of {damaged}: {marked} of {damage}"
            );
            assert!(marked > 0, "{made} of {damaged}");
        }
        fs::write(&path, bytes).unwrap();
    }
}

fn analyze(arguments: &[&str], run: &Path) -> (i32, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .arg(run)
        .output()
        .expect("estats-analyze can be started");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("it ends by itself"), said)
}

/// Every command that reads a recording names what is missing, in one sentence, and ends with 3.
#[test]
fn every_command_names_what_is_missing() {
    let whole = Whole::new();
    let run = whole.run();
    let path = run.join("hooks-000001.arrows.zst");
    let bytes = fs::read(&path).unwrap();
    type Damage = fn(&Path, &[u8]);
    let damages: [(&str, Damage); 4] = [
        ("a segment of hook records cut", |path, bytes| {
            fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
        }),
        ("a byte of a segment changed", |path, bytes| {
            let mut bytes = bytes.to_vec();
            let at = borders(&bytes)[2] + 40;
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("a segment missing in the middle", |path, _| fs::remove_file(path).unwrap()),
        ("a segment replaced by another", |path, _| {
            fs::copy(path.with_file_name("hooks-000000.arrows.zst"), path).unwrap();
        }),
    ];
    for (condition, damage) in damages {
        damage(&path, &bytes);
        let name = run.display().to_string();
        let sentence = |said: &str| {
            let of =
                said.lines().filter(|line| line.starts_with(&format!("estats-analyze: {name} ")));
            let lines: Vec<_> =
                of.map(|line| line.split_once(" is ").expect("a sentence").1).collect();
            assert_eq!(lines.len(), 1, "{said}");
            format!("is {}", lines[0])
        };
        let (code, said) = analyze(&["replay"], &run);
        assert_eq!(code, 3, "{said}");
        let reported = sentence(&said);
        let out = whole.dir.path().join("out");
        let out = out.to_str().unwrap();
        let key = whole.dir.path().join("key");
        fs::write(&key, [7; 32]).unwrap();
        for arguments in [
            &["info"][..],
            &["summary"],
            &[],
            &["audit"],
            &["flows"],
            &["rtt"],
            &["report"],
            &["export", "--format", "mlab-jsonl"],
            &["export", "--format", "web10g-readvars"],
            &["export", "--format", "perfetto"],
            &["export", "--format", "operations"],
            &["cut", "-o", out],
            &["anonymize", "--key", key.to_str().unwrap(), "-o", out],
        ] {
            let (code, said) = analyze(arguments, &run);
            // In rows that are marked, tcp_info may differ.
            let differs = arguments == ["audit"] && code == 1;
            assert!(code == 3 || differs, "{arguments:?}: {code} {said}");
            assert_eq!(sentence(&said), reported, "{arguments:?}");
            let _ = fs::remove_dir_all(out);
        }
        assert_eq!(analyze(&["verify"], &run).0, 1);
        // How many and where depends on how well the records compress.
        let number = |word: &str| word.parse::<u64>().is_ok();
        let words = reported.split(' ').map(|w| match w.strip_suffix(':') {
            Some(word) if number(word) => "N:",
            None if number(w) => "N",
            _ => w,
        });
        let says = words.collect::<Vec<_>>().join(" ");
        trust::says(condition, &format!("exit 3, \"{says}\""));
        fs::write(&path, &bytes).unwrap();
        let (code, said) = analyze(&["replay"], &run);
        let lost = "estats-analyze: 3 records were lost while recording: rows they may belong to are \
                    marked lossy\n";
        assert!(code == 3 && said.starts_with(lost), "{code} {said}");
        assert!(!said.contains(&name), "{said}");
    }
}

/// An interrupted import, cut, merge or anonymisation leaves a mark.
#[test]
fn unfinished_output_is_named_as_such() {
    use estats::log::{Derivation, Import, RecordingWriter, WriterOptions};
    for (condition, advice) in [
        ("import interrupted", "import the capture again"),
        ("cut interrupted", "run cut again"),
        ("merge interrupted", "run merge again"),
        ("anonymize interrupted", "run anonymize again"),
    ] {
        let (by, _) = condition.split_once(' ').unwrap();
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        let mut manifest = common::manifest();
        if by == "import" {
            manifest.import = Some(Import::default());
        } else {
            manifest.derived.push(Derivation { by: by.to_owned(), ..Derivation::default() });
        }
        drop(RecordingWriter::create(&run, &manifest, WriterOptions::default()).unwrap());
        let (code, said) = analyze(&["replay"], &run);
        assert_eq!(code, 3, "{said}");
        let name = run.display().to_string();
        let said = said.replace(&name, "RUN").replace("estats-analyze: RUN ", "").trim().to_owned();
        assert!(said.contains(&format!("{by} was interrupted")), "{said}");
        assert!(said.ends_with(advice) && !said.contains("--max-size"), "{said}");
        trust::says(condition, &format!("exit 3, \"{said}\""));
    }
}

/// Only regular files are read, since a device might never end; nothing in a manifest leads out of the
/// recording.
#[test]
fn impossible_manifests_and_files_are_refused() {
    let whole = Whole::new();
    let run = whole.run();
    let refused = |condition: &str| {
        let (code, said) = analyze(&["replay"], &run);
        assert_eq!((code, said.lines().count()), (2, 1), "{said}");
        let dir = format!("{}/", run.display());
        let said = said.replace(&dir, "").replace("estats-analyze: ", "").trim().to_owned();
        trust::says(condition, &format!("refused: \"{said}\""));
    };
    let path = run.join("sockets-000000.arrows.zst");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    refused("a stream that is a device");
    fs::remove_file(&path).unwrap();
    fs::write(&path, bytes).unwrap();
    whole.manifest(|m| m.recording = "../../../name".into());
    refused("a manifest with a path for a UUID");
    fs::write(run.join("manifest.json"), "[1]").unwrap();
    refused("a manifest that is a list");
}
