// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings of every version of the format, kept for ever. What they came to when they were made they come to today:
//! new columns may join, and no value changes. Nothing here writes a file, with `BLESS=1` neither. If a value was wrong, its
//! line is corrected by hand, and the commit says why.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{options, replay, transposed};
use estats::log::Recording;

const VERSIONS: [(&str, u32); 2] = [("format-v1", 1), ("format-v2", 2)];
const TABLES: [&str; 6] = ["connections", "estats", "series", "ledger", "sockets", "flows"];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(name)
}

/// The values of each row by their columns.
fn rows<'a>(text: &'a str) -> Vec<BTreeMap<&'a str, &'a str>> {
    let row = |row: &'a str| {
        let lines = row.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(column, value)| (column, value.trim())).collect()
    };
    text.split("\n\n").map(row).collect()
}

#[test]
fn recordings_of_every_version_are_read_as_they_always_were() {
    let mut wrong = Vec::new();
    for (name, version) in VERSIONS {
        let run = testdata(name).join("run");
        let recording = Recording::open(&run).expect("a recording");
        assert_eq!(recording.manifest().format_version, version);
        let verified = recording.verify().expect("it can be read");
        assert!(verified.ok(), "{verified}");
        let out = tempfile::tempdir().expect("a temporary directory");
        replay(&run, &options(2, out.path()));
        for table in TABLES {
            let path = testdata(name).join("expected").join(format!("{table}.txt"));
            let expected = fs::read_to_string(&path).expect("what it came to");
            let found = transposed(&out.path().join(format!("{table}.parquet")));
            let (expected, found) = (rows(&expected), rows(&found));
            if expected.len() != found.len() {
                wrong.push(format!("{name} {table}: {} rows, not {}", found.len(), expected.len()));
            }
            for (i, (before, now)) in expected.iter().zip(&found).enumerate() {
                for (column, value) in before {
                    if now.get(column) != Some(value) {
                        let now = now.get(column);
                        wrong.push(format!(
                            "{name} {table} row {i} {column}: {value} was, {now:?} is"
                        ));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
