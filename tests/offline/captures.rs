// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Imports of captures as people have them: with unknown options, cut short, taken where packets pass
//! twice, in link layers and tunnels of all sorts.

use crate::common;
use crate::support::{gate, trust};

mod copies;
mod damage;
mod layers;
mod options;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const T: u64 = 1_767_225_600_000_000_000;

/// A row of a table: text by column, "NULL" for what is not known.
type Row = BTreeMap<String, String>;

/// A capture that was imported and replayed by the program.
struct Imported {
    _dir: tempfile::TempDir,
    run: PathBuf,
    /// Exit codes of import and replay.
    codes: [Option<i32>; 2],
    /// Standard error of both.
    said: String,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Imports and replays; `more` are options of `import-pcap`.
fn imported_with(bytes: &[u8], more: &[&str]) -> Imported {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, run) = (dir.path().join("capture"), dir.path().join("run"));
    std::fs::write(&file, bytes).expect("the capture");
    let analyze = |arguments: &[&str], paths: [&Path; 2]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
        let output = command.args(arguments).args(["-o"]).args(paths).output();
        output.expect("estats-analyze can be started")
    };
    let import = analyze(&[&["import-pcap"], more].concat(), [&run, &file]);
    let replay = analyze(&["replay"], [&run.join("tables"), &run]);
    let said = text(&import.stderr) + &text(&replay.stderr);
    Imported { _dir: dir, run, codes: [import.status.code(), replay.status.code()], said }
}

fn imported(bytes: &[u8]) -> Imported {
    imported_with(bytes, &[])
}

impl Imported {
    fn table(&self, name: &str) -> Vec<Row> {
        let mut rows = Vec::new();
        for batch in common::read(&self.run.join("tables").join(name).with_extension("parquet")) {
            let schema = batch.schema();
            for row in 0..batch.num_rows() {
                let names = schema.fields().iter().map(|field| field.name());
                rows.push(names.map(|n| (n.clone(), common::value(&batch, n, row))).collect());
            }
        }
        rows
    }

    fn manifest(&self) -> serde_json::Value {
        let text = std::fs::read(self.run.join("manifest.json")).expect("a manifest");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// The variables of the one connection.
    fn variables(&self) -> Row {
        let mut rows = self.table("estats");
        assert_eq!(rows.len(), 1, "{}", self.said);
        rows.remove(0)
    }

    /// The row of the only connection.
    fn connection(&self) -> Row {
        let mut rows = self.table("connections");
        assert_eq!(rows.len(), 1, "{}", self.said);
        rows.remove(0)
    }
}

/// The values of tshark for a field in the packets of a capture that a filter lets pass, without empty
/// values; none where it is not installed, which is counted.
fn tshark(bytes: &[u8], filter: &str, field: &str) -> Option<Vec<String>> {
    let needs = gate::Needs { programs: &["tshark"], ..gate::Needs::PROGRAMS };
    let _turn = gate::enter("captures against tshark", needs)?;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), bytes).expect("the capture");
    let mut command = Command::new("tshark");
    command.arg("-r").arg(file.path()).args(["-Y", filter, "-T", "fields", "-e", field]);
    let output = command.output().expect("tshark can be started");
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(text(&output.stdout).lines().filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

/// The values of these columns.
fn values<'a>(row: &'a Row, columns: &[&str]) -> Vec<&'a str> {
    columns.iter().map(|c| row.get(*c).unwrap_or_else(|| panic!("no {c}")).as_str()).collect()
}
