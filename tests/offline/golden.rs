// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings in testdata, replayed and compared line by line. `make golden`
//! renews what is expected; read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{options, replay, synthetic, transposed};

const TABLES: [&str; 4] = ["connections", "estats", "series", "ledger"];
/// Tables of recordings that have snapshots, packets, listening sockets or dropped packets: the others have no
/// rows there.
const ACCOUNTS: [&str; 8] =
    ["sockets", "audit", "flows", "rtt", "rtt_aggregate", "listeners", "listener_series", "drops"];

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Compares the tables of the recording `run` with the texts in `expected`.
fn check(run: &Path, expected: &Path) -> Vec<String> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(2, out.path()));
    let bless = std::env::var_os("BLESS").is_some();
    let mut differences = Vec::new();
    for table in TABLES.into_iter().chain(ACCOUNTS) {
        let text = transposed(&out.path().join(format!("{table}.parquet")));
        let path = expected.join(format!("{table}.txt"));
        if text.is_empty() && ACCOUNTS.contains(&table) && !path.exists() {
            continue;
        }
        if bless {
            fs::create_dir_all(expected).expect("directory");
            fs::write(&path, &text).expect("expected text");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        if committed != text {
            let line = text.lines().zip(committed.lines()).position(|(a, b)| a != b);
            let line = line.unwrap_or_else(|| text.lines().count().min(committed.lines().count()));
            differences.push(format!(
                "{} line {}: expected {:?}, replay gives {:?}",
                path.display(),
                line + 1,
                committed.lines().nth(line),
                text.lines().nth(line)
            ));
        }
    }
    differences
}

#[test]
fn scenarios() {
    let mut scenarios: Vec<PathBuf> = fs::read_dir(testdata())
        .expect("testdata")
        .map(|entry| entry.expect("entry").path())
        // These have separate tests: reference/, limits.rs, btf.rs, sock_diag.rs and the notebooks.
        .filter(|path| path.is_dir())
        .filter(|path| {
            let own = ["reference", "web10g", "limits", "btf", "sock_diag", "notebooks"];
            // Nothing renews these: tests/offline/formats.rs.
            let is_frozen = path.to_string_lossy().contains("/testdata/format-v");
            !is_frozen && !own.iter().any(|own| path.ends_with(own))
        })
        .collect();
    scenarios.sort();
    assert!(!scenarios.is_empty(), "testdata has no scenario");
    let mut differences = Vec::new();
    for scenario in scenarios {
        let run = scenario.join("run");
        // The synthetic one is written by this program, so that it needs no binary in the tree.
        let written = tempfile::tempdir().expect("temporary directory");
        let run = if scenario.ends_with("synthetic") {
            synthetic(&written.path().join("run"), 3);
            written.path().join("run")
        } else {
            run
        };
        differences.extend(check(&run, &scenario.join("expected")));
    }
    assert!(differences.is_empty(), "{}\nif this is intended: make golden", differences.join("\n"));
}
