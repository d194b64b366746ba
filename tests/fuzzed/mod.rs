// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What is done with hostile input: one function per kind. Each takes any bytes. It must end by itself, and
//! must not panic. The fuzz targets (`fuzz/`) call these functions, and so does `tests/offline/hostile/mutations.rs` with
//! seeds that are always the same.

#![allow(dead_code, reason = "each program uses its part")]

pub mod contents;
pub mod rows;
mod used;

use std::fs;
use std::path::{Path, PathBuf};

use estats::log::{Manifest, Memory, Recording};
use estats::recordings::import::{ImportOptions, import};
use estats::views::compare::dump::Dump;
use estats::views::compare::render::render;
use estats::views::compare::{Coverage, compare, ours};
use estats::wire::diag::{LastWord, decode_diag};

pub use used::use_everything;

/// Recordings that are changed: with every stream between them.
pub const BASES: [&str; 4] = ["refused", "packets", "reset-by-linger", "kprobes"];

pub fn testdata() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // The fuzz targets are a package of their own.
    let root = if root.ends_with("fuzz") { root.join("..") } else { root.to_owned() };
    root.join("testdata")
}

/// The files of a recording in a directory.
pub fn files(run: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(run).unwrap_or_else(|e| panic!("{}: {e}", run.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file());
    let mut files: Vec<_> = paths
        .map(|path| {
            let name = path.file_name().and_then(|n| n.to_str()).expect("UTF-8").to_owned();
            (name, fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort();
    files
}

/// The files of the base of this number.
fn base(number: u8) -> Vec<(String, Vec<u8>)> {
    files(&testdata().join(BASES[usize::from(number) % BASES.len()]).join("run"))
}

/// Choices made of bytes; zeros when there are no more.
#[derive(Debug)]
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub fn number(&mut self) -> u64 {
        (0..8).fold(0, |n, _| n << 8 | u64::from(self.byte()))
    }

    pub fn below(&mut self, n: usize) -> usize {
        let number = u32::from(self.byte()) << 16 | u32::from(self.byte()) << 8;
        (number | u32::from(self.byte())) as usize % n.max(1)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A number at the border of something, or near another.
    pub fn extreme(&mut self, now: u64) -> u64 {
        match self.byte() % 16 {
            0 => 0,
            1 => 1,
            2 | 3 => u64::MAX,
            4 => u64::MAX - 1,
            5 => 1 << 63,
            6 => (1 << 63) - 1,
            7 => 1 << 32,
            8 => u64::from(u32::MAX),
            9 => 1 << 31,
            10 => now.wrapping_add(1),
            11 => now.wrapping_sub(1),
            12 => now.wrapping_add(1_000_000_000),
            13 => now.wrapping_mul(2),
            14 => now ^ 1 << (self.byte() % 64),
            _ => self.number(),
        }
    }
}

/// A whole file in the place of manifest.json.
pub fn manifest(data: &[u8]) {
    let mut files = base(data.len() as u8);
    for (name, bytes) in &mut files {
        if name == "manifest.json" {
            data.clone_into(bytes);
        }
    }
    if let Ok(recording) = Recording::from_source("hostile", Memory::from_iter(files)) {
        use_everything(&recording);
    }
}

/// A whole file that is said to be a capture.
pub fn captures(data: &[u8]) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, run) = (dir.path().join("capture"), dir.path().join("run"));
    fs::write(&file, data).expect("the capture");
    let options = ImportOptions {
        payload: if data.len().is_multiple_of(2) { 0 } else { 100 },
        inner: data.len().is_multiple_of(3),
        ..ImportOptions::default()
    };
    match import(&file, &run, &options) {
        Ok(report) => {
            let left_out: u64 = report.import.left_out.values().sum();
            assert_eq!(report.imported + left_out, report.import.packets);
            let recording = Recording::open(&run).expect("a recording");
            let verified = recording.verify().expect("it can be read");
            assert!(verified.ok(), "{verified}");
            use_everything(&recording);
        }
        Err(e) => one_sentence(&e),
    }
}

/// A whole file that is said to be the values of a Web10G kernel.
pub fn references(data: &[u8]) {
    match Dump::parse(&String::from_utf8_lossy(data), Path::new("reference")) {
        Ok(dump) => {
            let run = testdata().join("web10g/h_rr/run");
            let recording = Recording::open(&run).expect("a recording");
            let coverage = Coverage::of(recording.manifest());
            match ours::replay(&recording, &dump) {
                Ok(connections) => drop(render(&compare(&connections, &coverage, &dump))),
                Err(e) => one_sentence(&e),
            }
        }
        Err(e) => one_sentence(&e),
    }
}

/// Octets from a ring: records of every kind, inet_diag's messages, packets.
pub fn wire(data: &[u8]) {
    let mut operations = Vec::new();
    let _ = estats::wire::decode(data, &mut operations);
    let _ = estats::wire::decode_packet(data);
    let _ = estats::wire::is_snapshot(data);
    let _ = estats::wire::decode_snapshot(data);
    for last in [LastWord::Halves, LastWord::Bits] {
        let _ = decode_diag(data, last);
    }
}

/// An error is one line of text without control characters.
fn one_sentence(e: &dyn std::error::Error) {
    let text = e.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1, "{text:?}");
}

/// The manifest of a base, to be changed.
pub fn manifest_of(number: u8) -> Manifest {
    let files = base(number);
    let (_, text) = files.iter().find(|(name, _)| name == "manifest.json").expect("a manifest");
    serde_json::from_slice(text).expect("a manifest")
}
