// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Every value of every table of every test recording is one that its variable can have; in rows that
//! are not marked no value differs from tcp_info; and values that were not seen are NULL.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{self, options, replay, synthetic, value};
use crate::support::{possible, trust};
use estats::log::{Recording, RecordingWriter, WriterOptions};
use estats::recordings::import;
use estats::schema::{Hook, Op, Read, Var};
use estats::wire::{Event, Header, Operation};
use tempfile::TempDir;

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

/// Writes a recording.
type Write = fn(&Path);

/// All test recordings by name; those that are no files are written into `dir`.
fn recordings(dir: &Path) -> Vec<(String, PathBuf)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(testdata()).expect("testdata") {
        let path = entry.expect("entry").path();
        if path.join("run").is_dir() {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            all.push((name, path.join("run")));
        }
    }
    for entry in fs::read_dir(testdata().join("reference")).expect("reference") {
        let path = entry.expect("entry").path();
        for end in ["A", "B"] {
            let capture = path.join(format!("{end}.pcap.zst"));
            if capture.exists() {
                let name = format!("{}-{end}", path.file_name().expect("a name").to_string_lossy());
                let run = dir.join(&name);
                import::import(&capture, &run, &import::ImportOptions::default()).expect("import");
                all.push((name, run));
            }
        }
    }
    let written: [(&str, Write); 5] = [
        ("synthetic", |run| synthetic(run, 300)),
        ("skipped", common::skipped),
        ("with-packets", |run| common::with_packets(run, None, false)),
        ("packets-lost", |run| common::with_packets(run, Some(Hook::SocketIn), false)),
        ("records-lost", |run| common::with_packets(run, Some(Hook::Egress), false)),
    ];
    for (name, write) in written {
        write(&dir.join(name));
        all.push((name.to_owned(), dir.join(name)));
    }
    all.sort();
    all
}

#[test]
fn no_value_is_outside_its_range_and_no_unmarked_row_differs_from_the_kernel() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let all = recordings(dir.path());
    assert!(all.len() > 30, "{}", all.len());
    let mut lossy = 0;
    for (name, run) in all {
        let out = dir.path().join("tables").join(&name);
        let report = replay(&run, &options(2, &out));
        // None of these has a value that had to be discarded.
        assert_eq!((report.tables.discarded, report.findings.counts.silent), (0, 0), "{name}");
        let found = possible::assert_possible(&out);
        assert!(found.values > 100, "{name}: {}", found.values);
        lossy += found.lossy;
        differs_nowhere(&name, &out);
    }
    // Those of recordings that count their losses.
    assert!(lossy > 3, "marked rows: {lossy}");
}

/// Rows of the audit that differ belong to marked connections.
fn differs_nowhere(name: &str, tables: &Path) {
    let mut unmarked = Vec::new();
    for batch in common::read(&tables.join("connections.parquet")) {
        let ids =
            (0..batch.num_rows()).filter(|&row| value(&batch, "completeness", row) != "lossy");
        unmarked.extend(ids.map(|row| value(&batch, "conn_id", row)));
    }
    for batch in common::read(&tables.join("audit.parquet")) {
        for row in 0..batch.num_rows() {
            let id = value(&batch, "conn_id", row);
            let differs = value(&batch, "verdict", row) == "differs" && unmarked.contains(&id);
            assert!(!differs, "{name} {id}: {}", value(&batch, "relation", row));
        }
    }
}

/// Copies a recording of hooks and snapshots, with what `change` makes of each record. All numbers
/// are there, so nothing is missing but what was changed.
fn copy(
    run: &Path,
    to: &Path,
    options: WriterOptions,
    mut change: impl FnMut(&mut Header, &mut Vec<Operation>),
) {
    let recording = Recording::open(run).expect("a recording");
    let manifest = recording.manifest();
    let mut writer = RecordingWriter::create(to, manifest, options).expect("new");
    let mut lifecycles = recording.lifecycles().map(|row| row.expect("lifecycle"));
    for batch in recording.hooks(NonZeroUsize::MIN) {
        let batch = batch.expect("hook records");
        for i in 0..batch.len() {
            let mut header = batch.header(i);
            if header.hook != Hook::Drain {
                let mut ops = batch.ops(i).collect();
                change(&mut header, &mut ops);
                writer.hook(&header, &ops).expect("hook");
                continue;
            }
            for row in lifecycles.by_ref().take_while(|row| row.event != Event::Drain) {
                writer.lifecycle(&row).expect("lifecycle");
            }
            writer.drained(header.ts_ns).expect("mark");
            writer.tick(header.ts_ns).expect("a tick");
        }
    }
    lifecycles.for_each(|row| writer.lifecycle(&row).expect("lifecycle"));
    recording.sockets().for_each(|row| writer.snapshot(row.expect("snapshot")).expect("snapshot"));
    recording
        .capture_stats()
        .for_each(|row| writer.capture_stat(&row.expect("ledger")).expect("ledger"));
    writer.finish(manifest).expect("finish");
}

/// A changed copy of a recording, replayed.
struct Changed {
    dir: TempDir,
    tables: PathBuf,
    report: estats::replay::ReplayReport,
}

impl Changed {
    fn of(
        scenario: &str,
        options: WriterOptions,
        change: impl FnMut(&mut Header, &mut Vec<Operation>),
    ) -> Self {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (run, tables) = (dir.path().join("run"), dir.path().join("tables"));
        copy(&testdata().join(scenario).join("run"), &run, options, change);
        let report = replay(&run, &common::options(1, &tables));
        possible::assert_possible(&tables);
        Self { dir, tables, report }
    }

    /// The output of the command that replays it, and its exit status.
    fn said(&self) -> (String, Option<i32>) {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .arg("replay")
            .arg(self.dir.path().join("run"))
            .output()
            .expect("estats-analyze can be started");
        (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
    }

    /// The values of these columns in each row.
    fn rows(&self, table: &str, columns: &[&str]) -> Vec<Vec<String>> {
        let batches = common::read(&self.tables.join(table).with_extension("parquet"));
        let row = |batch: &arrow::array::RecordBatch, row| {
            columns.iter().map(|column| value(batch, column, row)).collect()
        };
        batches.iter().flat_map(|b| (0..b.num_rows()).map(move |i| row(b, i))).collect()
    }
}

#[test]
fn a_sample_below_zero_is_null_with_all_values_derived_from_it() {
    for wrong in [4_294_950_814, u64::MAX - 16_481, 0] {
        let mut changed = 0;
        let run = Changed::of("loss", WriterOptions::default(), |_, ops| {
            for op in ops.iter_mut().filter(|op| op.var == Var::SampleRTT) {
                changed += 1;
                if changed == 20 {
                    op.value = wrong;
                }
            }
        });
        assert!(changed > 20);
        let of = |column| run.rows("estats", &[column]).concat();
        let hit = of("MaxRTT").iter().position(|v| v == "NULL").expect("the connection");
        for column in ["MinRTT", "MaxRTT", "HCSumRTT", "SumRTT", "CountRTT", "MaxRTO", "MinRTO"] {
            assert_eq!(of(column)[hit], "NULL", "{column}");
        }
        // A segment was missed: it may have had the largest window.
        assert_eq!((of("MaxRwinSent")[hit].as_str(), of("SegsOut")[hit] != "NULL"), ("NULL", true));
        // The next sample is a sample again, and the kernel's own estimate was never in doubt.
        assert_ne!(of("SampleRTT")[hit], "NULL");
        assert_ne!(of("SmoothedRTT")[hit], "NULL");
        let marks = run.rows("connections", &["completeness", "discarded"]);
        assert_eq!(marks[hit], ["lossy", "SampleRTT"]);
        assert_eq!(marks[1 - hit], ["ended_after", "NULL"]);
        assert_eq!(run.report.tables.discarded, 1);
        let (stderr, status) = run.said();
        assert!(stderr.contains("1 impossible value was discarded"), "{stderr}");
        assert_eq!(status, Some(3));
        let ledger = run.rows("ledger", &["kind", "column", "value"]);
        assert!(ledger.contains(&["discarded", "SampleRTT", "1"].map(str::to_owned).to_vec()));
        trust::says(
            "an RTT sample that is below zero",
            &format!(
                "completeness {}, discarded {}; MinRTT and MaxRTT {}",
                marks[hit][0],
                marks[hit][1],
                of("MaxRTT")[hit]
            ),
        );
    }
}

#[test]
fn a_silent_hook_makes_its_own_variables_null() {
    for (condition, hooks, column, others) in [
        (
            "segments were sent, and no program of the cgroup saw any",
            &[Hook::Egress, Hook::ParseHdr, Hook::Handshake][..],
            "MaxRTT",
            ["CurRwinSent", "HCDataOctetsIn"],
        ),
        (
            "segments were received, and tcp_probe and parse_hdr saw none",
            &[Hook::TcpProbe, Hook::ParseHdr],
            "MaxRTT",
            ["IpTosOut", "SegsIn"],
        ),
    ] {
        let run = Changed::of("loss", WriterOptions::default(), |header, ops| {
            // The socket's values are read by whichever hook comes next.
            if hooks.contains(&header.hook) {
                ops.retain(|op| !matches!(op.var.def().read, Read::No));
                header.hook = Hook::RcvSpace;
            }
        });
        let mut hooks = hooks.to_vec();
        hooks.sort_unstable_by_key(|&hook| hook as u8);
        let names: Vec<_> = hooks.iter().map(|hook| hook.name()).collect();
        let marks = run.rows("connections", &["completeness", "silent_hooks", "discarded"]);
        for row in &marks {
            assert_eq!(row[..2], ["lossy".to_owned(), names.join(", ")], "{row:?}");
        }
        for row in run.rows("estats", &[column, others[0], others[1]]) {
            assert_eq!(row[0], "NULL", "{column}");
        }
        // Values that the kernel keeps are read by any hook.
        assert!(run.rows("estats", &["SegsOut"]).concat().iter().all(|v| v != "NULL"));
        assert_eq!(run.report.findings.counts.silent, 2);
        let (stderr, status) = run.said();
        assert!(stderr.contains("2 connections have a hook that saw nothing"), "{stderr}");
        assert_eq!(status, Some(3));
        trust::says(
            condition,
            &format!("completeness {}, silent_hooks {}; {column} NULL", marks[0][0], marks[0][1]),
        );
    }
}

/// Octets that the kernel received in order, and no hook saw.
#[test]
fn an_undercount_of_received_bytes_is_replaced_by_the_kernels() {
    let mut left_out = 0;
    let run = Changed::of("loss", WriterOptions::default(), |_, ops| {
        ops.retain(|op| {
            let missed = op.var == Var::HCDataOctetsIn && op.op == Op::Add && left_out < 300_000;
            left_out += if missed { op.value } else { 0 };
            !missed
        });
    });
    assert!(left_out >= 300_000);
    let rows = run.rows("estats", &["HCDataOctetsIn", "HCThruOctetsReceived", "completeness"]);
    let receiver = rows.iter().find(|row| row[1].parse::<u64>().unwrap() > 1_000_000).unwrap();
    // RCV.NXT shows how many are missing.
    assert_eq!(receiver, &["2000000", "2000000", "lossy"]);
    trust::says(
        "fewer octets counted than the kernel received in order",
        &format!("completeness {}; HCDataOctetsIn what the kernel received", receiver[2]),
    );
}

#[test]
fn values_that_a_bounded_recording_removed_are_null() {
    let options =
        WriterOptions { max_bytes: Some(50_000), rotate_bytes: 1, ..WriterOptions::default() };
    let run = Changed::of("loss", options, |_, _| {});
    let whole = Changed::of("loss", WriterOptions::default(), |_, _| {});
    assert!(run.rows("ledger", &["kind"]).concat().contains(&"dropped".to_owned()));
    let marks = run
        .rows("connections", &["completeness", "limited_by", "limited_network", "recovery_share"]);
    assert_eq!(marks, [["lossy", "NULL", "NULL", "NULL"]; 2]);
    let unknown = ["MaxRwinSent", "MaxMSS", "MinMSS", "MaxRTT", "MinRTT", "MaxSsCwnd"];
    assert_eq!(run.rows("estats", &unknown), [["NULL"; 6]; 2]);
    // Nothing is known of what was not seen, and the kernel's counters are as they were.
    let kept = ["SegsOut", "SegsIn"];
    assert_eq!(run.rows("estats", &kept), whole.rows("estats", &kept));
    assert_ne!(whole.rows("estats", &["MaxRTT"]), run.rows("estats", &["MaxRTT"]));
    trust::says(
        "a bounded recording (--max-size, --keep) whose beginning was removed, without key frame",
        &format!(
            "completeness {}; limited_by, extremes and times NULL, counts of events lower bounds, never 0; SegsOut the kernel's",
            marks[0][0]
        ),
    );
}

#[test]
fn a_connection_without_a_sample_has_no_rtt() {
    let dir = tempfile::tempdir().expect("temporary directory");
    replay(&testdata().join("refused/run"), &options(1, dir.path()));
    let columns = ["SmoothedRTT", "RTTVar", "MinRTT", "MaxRTT", "MinRTO", "CurSsthresh", "MaxMSS"];
    for batch in common::read(&dir.path().join("estats.parquet")) {
        for row in 0..batch.num_rows() {
            let values = columns.map(|column| value(&batch, column, row));
            assert_eq!(values, ["NULL"; 7]);
            assert_eq!(value(&batch, "completeness", row), "complete");
            assert_eq!(value(&batch, "CountRTT", row), "0");
            trust::says(
                "no RTT sample",
                &format!(
                    "completeness {}; CountRTT {}; SmoothedRTT, RTTVar, MinRTT, MaxRTT, MinRTO {}",
                    value(&batch, "completeness", row),
                    value(&batch, "CountRTT", row),
                    value(&batch, "MinRTT", row)
                ),
            );
        }
    }
}

/// The kernel counts since the connection began, the recorder since it found it.
#[test]
fn columns_of_a_connection_begun_before_state_their_basis() {
    let dir = tempfile::tempdir().expect("temporary directory");
    replay(&testdata().join("begun-before-the-recording/run"), &options(1, dir.path()));
    let schema = common::schema(&dir.path().join("estats.parquet"));
    let basis = |name: &str| schema.field_with_name(name).expect(name).metadata()["basis"].clone();
    for (column, of) in [
        ("SegsRetrans", "connection"),
        ("HCDataOctetsOut", "connection"),
        ("HCDataOctetsIn", "connection"),
        ("DataOctetsIn", "connection"),
        ("FastRetran", "recording"),
        ("MinRTT", "recording"),
        ("CurCwnd", "now"),
    ] {
        assert_eq!(basis(column), of, "{column}");
    }
    let mut seen = 0;
    for batch in common::read(&dir.path().join("estats.parquet")) {
        for row in 0..batch.num_rows() {
            let int = |column: &str| value(&batch, column, row).parse::<u64>().expect(column);
            assert_eq!(value(&batch, "completeness", row), "begun_before");
            assert_eq!(int("counted_since_ns"), int("StartTs"));
            // Nothing was lost on this path: octets received are those in order, less the FIN.
            assert!(int("HCThruOctetsReceived") - int("HCDataOctetsIn") <= 1);
            seen += u64::from(int("HCDataOctetsIn") > 300_000);
        }
    }
    assert_eq!(
        seen, 1,
        "the receiver of 500,000 octets, of which 300,000 came while it was recorded"
    );
    trust::says(
        "a connection that was open before the recording",
        &format!(
            "completeness begun_before; since the beginning of the {}: SegsRetrans, HCDataOctetsIn; since counted_since_ns: FastRetran, MinRTT",
            basis("SegsRetrans")
        ),
    );
}
