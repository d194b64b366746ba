//! A recording that is not whole: whatever is cut, damaged, exchanged or taken away is reported, and a
//! row that does not say so is right.

#[path = "../common/mod.rs"]
mod common;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use estats::log::{Manifest, Recording};

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
        write(&run, SECONDS, true);
        let report = Recording::open(&run).unwrap().verify().unwrap();
        assert!(report.ok(), "{report}");
        let survey = Recording::open(&run).unwrap().survey().unwrap().clone();
        assert!(survey.is_whole(), "{survey}");
        let names = common::file_names(&run);
        let files = names.into_iter().map(|n| (run.join(&n), fs::read(run.join(&n)).unwrap()));
        let files = files.filter(|(path, _)| path.extension().is_some_and(|e| e == "zst"));
        let files = files.collect();
        let whole = Self { rows: rows(&run).unwrap(), files, dir };
        let complete = whole.rows.0.values().filter(|r| {
            r.get("completeness").is_some_and(|c| c == "complete")
        });
        assert!(complete.count() > 40, "{:?}", whole.rows.0.iter().map(|(k, r)| (k, r.get("completeness"))).collect::<Vec<_>>());
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

    /// What is true after any damage. Gives how many rows are not marked.
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
fn borders(bytes: &[u8]) -> Vec<usize> {
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
        for at in (i % 7..bytes.len()).step_by(bytes.len() / 24 + 1) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path, &flipped).unwrap();
            unmarked += whole.must_hold(&format!("byte {at} of {} flipped", name(path)));
        }
        fs::write(path, bytes).unwrap();
    }
    assert!(unmarked > 1000, "not everything is marked: {unmarked}");
}
