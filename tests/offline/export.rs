// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings and tables in other formats have the values of the tables.

mod events;
mod pcapng;
mod perfetto;
#[path = "export/web10g.rs"]
mod web10g_texts;
mod xplot;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{options, read, replay, synthetic, value};
use estats::log::Recording;
use estats::output::sink::{Partition, Plain, TableFormat};
use estats::replay::ReplayOptions;
use estats::replay::TablesManifest;
use estats::schema::{Reference, Var};
use estats::views::compare::{self, Dump};
use estats::views::export::{operations, table, web10g};

fn golden(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(scenario).join("run")
}

fn replayed(run: &Path, out: &Path, format: TableFormat) -> TablesManifest {
    replay(run, &ReplayOptions { format, ..options(2, out) }).tables
}

/// The rows of a Parquet table, cell by cell.
fn rows(path: &Path) -> Vec<Vec<(String, String)>> {
    let mut rows = Vec::new();
    for batch in read(path) {
        let schema = batch.schema();
        for row in 0..batch.num_rows() {
            let cell = |name: &String| (name.clone(), value(&batch, name, row));
            rows.push(schema.fields().iter().map(|f| cell(f.name())).collect());
        }
    }
    rows
}

#[test]
fn every_format_has_the_cells_of_parquet() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 100);
    let at = |name: &str| dir.path().join(name);
    let parquet = replayed(&run, &at("parquet"), TableFormat::Parquet);
    for (format, name) in
        [(TableFormat::ARROW, "arrow"), (TableFormat::CSV, "csv"), (TableFormat::JSONL, "jsonl")]
    {
        let manifest = replayed(&run, &at(name), format);
        let counts = |m: &TablesManifest| m.files.iter().map(|f| f.rows).collect::<Vec<_>>();
        assert_eq!((counts(&manifest), manifest.format.as_str()), (counts(&parquet), name));
        // The bytes do not depend on the threads either.
        let again = replay(&run, &ReplayOptions { format, ..options(1, &at("again")) }).tables;
        assert_eq!(again.digest, manifest.digest, "{name}");
    }
    for table in ["connections", "estats", "series", "sockets", "ledger"] {
        let expected = rows(&at("parquet").join(format!("{table}.parquet")));
        let file = File::open(at("arrow").join(format!("{table}.arrow"))).expect("file");
        let reader = arrow::ipc::reader::FileReader::try_new(file, None).expect("Arrow");
        let mut n = 0;
        for batch in reader.map(|b| b.expect("batch")) {
            for row in 0..batch.num_rows() {
                for (column, cell) in &expected[n] {
                    assert_eq!(&value(&batch, column, row), cell, "{table} {column}");
                }
                n += 1;
            }
        }
        assert_eq!(n, expected.len());
        let text = fs::read_to_string(at("csv").join(format!("{table}.csv"))).expect("CSV");
        let mut lines = text.lines();
        let header: Vec<_> = lines.next().expect("a header").split(',').collect();
        let names: Vec<_> = expected[0].iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(header, names, "{table}");
        let jsonl = fs::read_to_string(at("jsonl").join(format!("{table}.jsonl"))).expect("JSON");
        assert_eq!(jsonl.lines().count(), expected.len(), "{table}");
        for ((line, object), cells) in lines.zip(jsonl.lines()).zip(&expected) {
            let object: BTreeMap<String, serde_json::Value> =
                serde_json::from_str(object).expect("an object");
            // No text of these tables has a comma.
            for ((cell, found), (name, expected)) in
                line.split(',').zip(names.iter().map(|n| &object[*n])).zip(cells)
            {
                same_cell(expected, cell, found, name);
            }
        }
    }
}

/// More rows than a batch has, with names in each that are new.
#[test]
fn tables_of_several_batches() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 8_500);
    let recording = Recording::open(&run).expect("a recording");
    let mut out = Vec::new();
    let options = options(2, dir.path());
    table::write(&recording, &options, "connections", Plain::Arrow, &mut out).expect("Arrow");
    let reader = arrow::ipc::reader::FileReader::try_new(std::io::Cursor::new(out), None);
    let rows: Vec<_> = reader.expect("Arrow").map(|b| b.expect("batch").num_rows()).collect();
    assert_eq!(rows, [8192, 314]);
}

fn same_cell(expected: &str, csv: &str, json: &serde_json::Value, name: &str) {
    if expected == "NULL" {
        assert_eq!((csv, json), ("", &serde_json::Value::Null), "{name}: NULL is not zero");
        return;
    }
    let json = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    // Times have their zone here; numbers may have another number of zeros.
    let normal = |text: &str| match text.parse::<f64>() {
        Ok(number) => number.to_string(),
        Err(_) => text.trim_end_matches('Z').to_owned(),
    };
    assert_eq!((normal(csv), normal(&json)), (normal(expected), normal(expected)), "{name}");
    assert!(!expected.contains('T') || !expected.starts_with("20") || csv.ends_with('Z'), "{csv}");
}

#[test]
fn one_table_as_a_stream() {
    let run = golden("loss");
    let recording = Recording::open(&run).expect("a recording");
    let dir = tempfile::tempdir().expect("temporary directory");
    replayed(&run, dir.path(), TableFormat::CSV);
    let mut out = Vec::new();
    table::write(&recording, &options(2, dir.path()), "perf", Plain::Csv, &mut out).expect("CSV");
    assert_eq!(out, fs::read(dir.path().join("perf.csv")).expect("file"));
    let said = table::write(&recording, &ReplayOptions::default(), "pref", Plain::Csv, &mut out);
    let said = said.expect_err("no such table").to_string();
    assert!(
        said.starts_with("there is no table pref: the tables are connections, estats"),
        "{said}"
    );
}

#[test]
fn partitions_hold_many_recordings() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for scenario in ["loss", "clean-path"] {
        let partitions = vec![Partition::Host, Partition::Date];
        let report =
            replay(&golden(scenario), &ReplayOptions { partitions, ..options(2, dir.path()) });
        let m = Recording::open(&golden(scenario)).unwrap().manifest().clone();
        let file = &report.tables.files[0].file;
        let expected = format!("connections/host={}/date=20", m.host.hostname);
        assert!(file.starts_with(&expected), "{file}");
        assert!(file.ends_with(&format!("/{}.parquet", m.recording)), "{file}");
        assert!(dir.path().join(file).exists());
        assert!(dir.path().join(format!("_manifests/{}.json", m.recording)).exists());
        // The bytes are those of the file that is not in a partition.
        let flat = tempfile::tempdir().expect("temporary directory");
        let flat = replayed(&golden(scenario), flat.path(), TableFormat::Parquet);
        let digests =
            |m: &TablesManifest| m.files.iter().map(|f| f.sha256.clone()).collect::<Vec<_>>();
        assert_eq!(digests(&report.tables), digests(&flat));
    }
    assert_eq!(fs::read_dir(dir.path().join("_manifests")).unwrap().count(), 2);
}

#[test]
fn operations_are_a_flat_table() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let recording = Recording::open(&run).expect("a recording");
    let mut out = Vec::new();
    let count = operations::write(&recording, Plain::Csv, &mut out).expect("CSV");
    let text = String::from_utf8(out).expect("text");
    let mut lines = text.lines();
    let header = "conn_id,recording,ts_ns,ts,cpu,seq,cookie,generation,hook,variable,op,value";
    assert_eq!(lines.next(), Some(header));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len() as u64, count);
    let in_log: usize = recording
        .hooks(std::num::NonZeroUsize::MIN)
        .map(|b| b.unwrap())
        .map(|b| (0..b.len()).map(|i| b.ops(i).count()).sum::<usize>())
        .sum();
    assert_eq!(rows.len(), in_log);
    assert!(rows.is_sorted_by_key(|r| r[2].parse::<u64>().unwrap()), "in order of time");
    let of = |variable: &str, cookie: &str| -> Vec<&Vec<&str>> {
        rows.iter().filter(|r| r[9] == variable && r[6] == cookie).collect()
    };
    let event = of("FastRetran", "1");
    assert_eq!((event.len(), event[0][10], event[0][11]), (1, "inc", ""));
    // A packet sent after the end belongs to no connection.
    let sent = of("SegsOut", "1");
    assert_eq!((sent.last().unwrap()[0], sent.last().unwrap()[11]), ("", "999"));
    assert_eq!(sent[0][0], "2", "as in the tables");
    assert!(sent[0][3].starts_with("2026-01-01T00:00:00.") && sent[0][3].ends_with('Z'));
}

#[test]
fn web10g_loggers_text_is_read_back() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut unset_seen = 0;
    for scenario in ["loss", "function-hooks", "clean-path-over-ipv6"] {
        let run = golden(scenario);
        let recording = Recording::open(&run).expect("a recording");
        let mut text = Vec::new();
        web10g::write(&recording, &ReplayOptions::default(), &mut text).expect("text");
        let path = dir.path().join("logger.txt");
        fs::write(&path, &text).expect("file");
        let dump = Dump::read(&path).expect("web10g-logger's text");
        assert!(dump.unknown_names.is_empty(), "{:?}", dump.unknown_names);
        let out = dir.path().join(scenario);
        replayed(&run, &out, TableFormat::Parquet);
        let tables = rows(&out.join("estats.parquet"));
        assert_eq!(dump.rows.len(), tables.len());
        for row in &tables {
            let cell = |name: &str| row.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            let cid: u64 = cell("conn_id").unwrap().parse().unwrap();
            let read = dump.rows.iter().find(|r| r.cid == Some(cid)).expect("its last reading");
            let mut compared = 0;
            for &var in Var::ALL {
                let known = read.values.get(var);
                // The number of the connection is the column CID.
                let absent = [Reference::NOT_EXPORTED, Reference::MATCHED];
                let exported = var != Var::ConnectIndex && !absent.contains(&var.def().reference);
                let null = cell(var.name()) == Some("NULL");
                match (null, var.def().unset) {
                    // If there is no value yet, the kernel's placeholder.
                    (true, Some(unset)) if known.is_some() => {
                        assert_eq!(known, Some(i128::from(unset)), "{}", var.name());
                        unset_seen += 1;
                    }
                    _ => assert_eq!(known.is_some(), exported && !null, "{}", var.name()),
                }
                if var.def().reference == Reference::SAME
                    && let Ok(number) = cell(var.name()).unwrap().parse::<i128>()
                {
                    assert_eq!(known, Some(number), "{}", var.name());
                    compared += 1;
                }
                if var == Var::MinRTT
                    && let Ok(ours) = cell("MinRTT").unwrap().parse::<i128>()
                {
                    assert_eq!(known, Some(ours / 1000), "in Web10G's milliseconds");
                }
            }
            assert!(compared > 30, "{compared}");
        }
        let comparison = compare::files(&run, &path).expect("a comparison");
        assert_eq!(comparison.matched.len(), tables.len());
    }
    assert!(unset_seen > 0);
}

#[test]
fn the_command_names_missing_arguments_and_accepts_a_closed_pipe() {
    let run = golden("loss");
    let command = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
        command.arg("export").arg(&run).args(arguments);
        command
    };
    let said = |arguments: &[&str]| {
        let output = command(arguments).output().expect("run");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let e = said(&["--format", "csv"]);
    assert!(e.contains("-o DIR") && e.contains("--table NAME"), "{e}");
    let e = said(&["--format", "operations", "--table", "perf"]);
    assert!(e.contains("--table is for tables"), "{e}");
    let e = said(&["--format", "mlab-jsonl", "--encoding", "csv"]);
    assert!(e.contains("--encoding is for operations"), "{e}");
    let e = said(&["--format", "web10g-deltavars", "--encoding", "arrow"]);
    assert!(e.contains("web10g-deltavars (csv)"), "{e}");
    let e = said(&["--format", "web10g-deltavars"]);
    assert!(e.contains("2 connections") && e.contains("--conn"), "{e}");
    let e = said(&["--format", "web10g-readvars", "--conn", "9"]);
    assert!(e.contains("no connection 9"), "{e}");
    let e = said(&["--format", "xplot"]);
    assert!(e.contains("-o DIR"), "{e}");
    let e = said(&["--format", "web10g-logger", "--conn", "1"]);
    assert!(e.contains("--conn is for"), "{e}");
    // An export that fails leaves what was there.
    let dir = tempfile::tempdir().expect("temporary directory");
    let precious = dir.path().join("precious");
    fs::write(&precious, "data").expect("a file");
    let path = precious.to_str().expect("UTF-8");
    let e = said(&["--format", "pcapng", "-o", path]);
    assert!(e.contains("no packets"), "{e}");
    assert_eq!(fs::read_to_string(&precious).expect("a file"), "data");
    assert_eq!(fs::read_dir(dir.path()).expect("a directory").count(), 1);
    let done = command(&["--format", "web10g-readvars", "--conn", "1", "-o", path]);
    assert!({ done }.status().expect("run").success());
    assert!(fs::read_to_string(&precious).expect("a file").len() > 1000);
    let file = dir.path().join("no-directory");
    fs::write(&file, "").expect("a file");
    fs::write(dir.path().join("flow1_tsg.xpl"), "").expect("a file");
    for (out, words) in [(file.as_path(), "no-directory"), (dir.path(), "graphs of another")] {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .args(["export", "--format", "xplot", "-o"])
            .args([out, &golden("packets")])
            .output()
            .expect("run");
        let e = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && e.contains(words), "{e}");
    }
    let e = said(&["--format", "pcapng"]);
    assert!(e.contains("no packets; record with --packets"), "{e}");
    for format in [&["--format", "operations"][..], &["--format", "csv", "--table", "series"]] {
        let mut child =
            command(format).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("run");
        let mut begin = [0; 10];
        child.stdout.take().expect("a pipe").read_exact(&mut begin).expect("ten bytes");
        let output = child.wait_with_output().expect("wait");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
