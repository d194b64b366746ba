// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Replay through its public interface: the bytes, the types and the rows of Parquet, and the
//! command's exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{self, options, read, replay, synthetic, value};
use arrow::datatypes::{DataType, TimeUnit};
use estats::engine::estats::Interval;
use estats::log::{LogError, Memory, Recording};
use estats::output::sink::TableFormat;
use estats::output::tables::{BATCH_ROWS, Qualities, specs, tables_version};
use estats::replay::ReplayOptions;
use estats::schema::Var;
use parquet::basic::{Compression, Encoding};
use parquet::file::reader::{FileReader as _, SerializedFileReader};

#[test]
fn the_bytes_do_not_depend_on_threads_or_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    // More than one batch of each table.
    synthetic(&run, BATCH_ROWS as u64 + 100);
    let mut digests = Vec::new();
    for n in [1, 2, 4] {
        let out = dir.path().join(format!("tables-{n}"));
        let options = ReplayOptions { interval: Interval::Event, ..options(n, &out) };
        let report = replay(&run, &options);
        for table in ["connections.parquet", "estats.parquet", "series.parquet"] {
            let entry = report.tables.files.iter().find(|f| f.file == table).unwrap();
            assert!(entry.rows > BATCH_ROWS as u64, "{table}: several batches");
        }
        digests.push(report.tables.digest);
    }
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
}

/// The files of a directory.
fn in_memory(run: &Path) -> Vec<(String, Vec<u8>)> {
    let names = common::file_names(run).into_iter();
    names.map(|name| (name.clone(), fs::read(run.join(name)).expect("a file"))).collect()
}

#[test]
fn a_recording_in_memory_gives_the_same_tables_and_findings() {
    let dir = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/packets/run");
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    let mut files = in_memory(&path);
    // Whole, with a byte of a segment changed, and without a segment.
    for damage in 0..3 {
        match damage {
            1 => {
                let (_, bytes) = files.iter_mut().find(|(n, _)| n.starts_with("hooks")).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            2 => files.retain(|(name, _)| !name.starts_with("connections")),
            _ => {}
        }
        fs::remove_dir_all(&run).unwrap();
        fs::create_dir(&run).unwrap();
        files.iter().for_each(|(name, bytes)| fs::write(run.join(name), bytes).unwrap());
        let from_files = Recording::open(&run).unwrap();
        let files = files.iter().map(|(name, bytes)| (name.clone(), &bytes[..]));
        let from_memory = Recording::from_source(&run, Memory::from_iter(files)).unwrap();
        assert_eq!(from_memory.manifest(), from_files.manifest());
        assert_eq!(from_memory.bytes().unwrap(), from_files.bytes().unwrap());
        assert_eq!(from_memory.survey().unwrap(), from_files.survey().unwrap(), "{damage}");
        assert_eq!(from_memory.survey().unwrap().is_whole(), damage == 0);
        assert_eq!(from_memory.verify().unwrap(), from_files.verify().unwrap(), "{damage}");
        let tables = [&from_memory, &from_files].map(|recording| {
            let options = options(2, &dir.path().join("tables"));
            estats::replay::replay(recording, &options).unwrap().tables
        });
        assert_eq!(tables[0], tables[1], "{damage}");
    }
}

#[test]
fn a_source_without_a_manifest_or_with_a_device_is_an_error() {
    let nothing = Memory::default();
    let error = Recording::from_source("name", nothing).unwrap_err();
    assert!(
        matches!(&error, LogError::NotARecording(name) if name == Path::new("name")),
        "{error}"
    );
    let text = Memory::from_iter([("manifest.json", &b"[]"[..])]);
    let error = Recording::from_source("name", text).unwrap_err();
    assert!(matches!(error, LogError::Manifest { .. }), "{error}");
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("manifest.json")).unwrap();
    let error = Recording::open(dir.path()).unwrap_err();
    assert!(matches!(error, LogError::NotAFile(_)), "{error}");
}

#[test]
fn the_manifest_agrees_with_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    assert_eq!(report.dir, run.join("tables"));
    for entry in &report.tables.files {
        let path = report.dir.join(&entry.file);
        let rows: usize = read(&path).iter().map(|b| b.num_rows()).sum();
        assert_eq!(rows as u64, entry.rows, "{}", entry.file);
        let out = Command::new("sha256sum").arg(&path).output().unwrap();
        assert!(String::from_utf8(out.stdout).unwrap().starts_with(&entry.sha256));
    }
    let mut names: Vec<_> = report.tables.files.iter().map(|f| f.file.clone()).collect();
    names.push("manifest.json".into());
    names.sort();
    assert_eq!(common::file_names(&report.dir), names);
    let written = estats::replay::TablesManifest::read(&report.dir).unwrap();
    assert_eq!(written, Some(report.tables));
}

#[test]
fn files_are_encoded_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    for spec in specs(&Qualities::default()) {
        let path = report.dir.join(format!("{}.parquet", spec.name));
        let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata();
        assert_eq!(metadata.file_metadata().created_by(), Some("estats version 1.0.0 (build 1)"));
        for group in metadata.row_groups() {
            for column in group.columns() {
                assert!(matches!(column.compression(), Compression::ZSTD(_)), "{}", spec.name);
                assert!(column.offset_index_offset().is_some(), "page index");
                assert!(column.column_index_offset().is_some(), "page index");
                let integer = matches!(
                    column.column_type(),
                    parquet::basic::Type::INT32 | parquet::basic::Type::INT64
                );
                let delta = column.encodings().any(|e| e == Encoding::DELTA_BINARY_PACKED);
                assert_eq!(delta, integer, "{} {}", spec.name, column.column_path());
            }
        }
    }
}

/// Keys and values that a file of a table has for its origin, in the metadata of the Parquet file.
fn origin(path: &Path) -> BTreeMap<String, String> {
    let reader = SerializedFileReader::new(fs::File::open(path).unwrap()).unwrap();
    let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let ours = metadata.iter().filter(|kv| kv.key.starts_with("estats."));
    ours.map(|kv| (kv.key.clone(), kv.value.clone().unwrap())).collect()
}

#[test]
fn every_file_names_the_recording_it_was_made_of() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let manifest = Recording::open(&run).unwrap().manifest().clone();
    let report = replay(&run, &ReplayOptions::default());
    let arrow = ReplayOptions { format: TableFormat::ARROW, ..ReplayOptions::default() };
    let in_arrow = replay(&run, &arrow);
    let version = tables_version().to_string();
    for spec in specs(&Qualities::default()) {
        let expected: BTreeMap<String, String> = [
            ("estats.table", spec.name),
            ("estats.description", spec.doc),
            ("estats.recording", &manifest.recording),
            ("estats.host", &manifest.host.hostname),
            ("estats.kernel", &manifest.host.kernel_release),
            ("estats.hook_set", &manifest.hook_set),
            ("estats.tool_version", &manifest.tool_version),
            ("estats.tables_version", &version),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
        assert!(expected.values().all(|value| !value.is_empty()), "{expected:?}");
        assert_eq!(origin(&report.dir.join(format!("{}.parquet", spec.name))), expected);
        let file = fs::File::open(in_arrow.dir.join(format!("{}.arrow", spec.name))).unwrap();
        let schema = arrow::ipc::reader::FileReader::try_new(file, None).unwrap().schema();
        let of_arrow: BTreeMap<String, String> =
            schema.metadata().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        assert_eq!(of_arrow, expected);
    }
}

fn edit_manifest(run: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let path = run.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(&path, manifest.to_string()).unwrap();
}

/// What a recording does not know has no key: an imported capture has no host.
#[test]
fn a_file_has_no_key_for_what_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    edit_manifest(&run, |manifest| manifest["host"]["hostname"] = "".into());
    let report = replay(&run, &ReplayOptions::default());
    let origin = origin(&report.dir.join("estats.parquet"));
    assert!(!origin.contains_key("estats.host"), "{origin:?}");
    assert!(origin.contains_key("estats.kernel"), "{origin:?}");
}

/// The table schema has a row for each column of each file, with the types that the file has and what its fields
/// state.
#[test]
fn the_table_schema_is_what_the_files_state() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    edit_manifest(&run, |manifest| {
        let variables = manifest["variables"].as_array_mut().unwrap();
        let gauge = variables.iter_mut().find(|v| v["name"] == "SmoothedRTT").unwrap();
        gauge["quality"] = "approximate".into();
        gauge["reason"] = "read by polls".into();
    });
    let recorded = Recording::open(&run).unwrap().manifest().clone();
    let report = replay(&run, &ReplayOptions::default());
    let batches = read(&report.dir.join("schema.parquet"));
    let mut rows = batches.iter().flat_map(common::cells);
    for spec in specs(&Qualities::default()) {
        let path = report.dir.join(format!("{}.parquet", spec.name));
        let reader = SerializedFileReader::new(fs::File::open(&path).unwrap()).unwrap();
        let in_parquet = reader.metadata().file_metadata().schema_descr_ptr();
        for (i, field) in common::schema(&path).fields().iter().enumerate() {
            let row = rows.next().expect("a row for each column");
            let column = in_parquet.column(i);
            let physical = column.physical_type().to_string();
            let logical = match column.logical_type_ref() {
                None => String::new(),
                Some(parquet::basic::LogicalType::String) => " (STRING)".into(),
                Some(parquet::basic::LogicalType::Timestamp { .. }) => {
                    " (TIMESTAMP(MICROS, UTC))".into()
                }
                Some(other) => panic!("{}: {other:?}", field.name()),
            };
            let optional = !column
                .self_type()
                .get_basic_info()
                .repetition()
                .eq(&parquet::basic::Repetition::REQUIRED);
            let fact = |key: &str| {
                let text = field.metadata().get(key).map_or("NULL", String::as_str);
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            };
            for (name, expected) in [
                ("recording", recorded.recording.clone()),
                ("table_name", spec.name.to_owned()),
                ("column_name", field.name().clone()),
                ("ordinal_position", (i + 1).to_string()),
                ("data_type", spec.columns[i].kind.name().to_owned()),
                ("parquet_type", format!("{physical}{logical}")),
                ("is_nullable", optional.to_string()),
                ("unit", fact("unit")),
                ("description", fact("doc")),
                ("rfc_object", fact("rfc")),
                ("kind", fact("kind")),
                ("basis", fact("basis")),
                ("value_range", fact("range")),
                ("computed_from", fact("from")),
                ("quality", fact("quality")),
                ("quality_reason", fact("quality_reason")),
            ] {
                assert_eq!(row[name], expected, "{}.{} {name}", spec.name, field.name());
            }
        }
    }
    assert!(rows.next().is_none());
    let mut rows = batches.iter().flat_map(common::cells);
    let row = rows.find(|row| row["column_name"] == "SmoothedRTT").unwrap();
    let stated = ["kind", "unit", "quality", "quality_reason"].map(|column| row[column].as_str());
    assert_eq!(stated, ["gauge", "us", "approximate", "read by polls"]);
}

#[test]
fn types_are_those_every_reader_takes() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    for spec in specs(&Qualities::default()) {
        let schema = common::schema(&report.dir.join(format!("{}.parquet", spec.name)));
        assert_eq!(schema.fields().len(), spec.columns.len());
        for (field, column) in schema.fields().iter().zip(&spec.columns) {
            assert_eq!(field.name(), column.name);
            assert_eq!(*field.data_type(), column.kind.data_type(), "{}", column.name);
            let known = match field.data_type() {
                DataType::Int64 | DataType::Int32 | DataType::Float64 | DataType::Boolean => true,
                DataType::Timestamp(TimeUnit::Microsecond, zone) => zone.as_deref() == Some("UTC"),
                DataType::Dictionary(_, values) => **values == DataType::Utf8,
                _ => false,
            };
            assert!(known, "{}: {}", column.name, field.data_type());
            let doc = field.metadata().get("doc").map(String::as_str);
            assert_eq!(doc, Some(column.doc.trim()), "{}", column.name);
        }
    }
    let estats = &read(&report.dir.join("estats.parquet"))[0];
    let schema = estats.schema();
    let metadata = schema.field_with_name("SegsOut").unwrap().metadata();
    assert_eq!(metadata.get("unit").map(String::as_str), Some("segments"));
    assert_eq!(metadata.get("rfc").map(String::as_str), Some("tcpEStatsPerfSegsOut"));
    assert_eq!(metadata.get("quality").map(String::as_str), Some("exact"));
}

#[test]
fn rows_have_the_values_of_the_scenario() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    assert_eq!(
        (report.findings.lost, report.findings.order.late, report.findings.counts.after_end),
        (3, 0, 2)
    );
    let connections = &read(&report.dir.join("connections.parquet"))[0];
    let column = |name: &str| -> Vec<String> {
        (0..connections.num_rows()).map(|row| value(connections, name, row)).collect()
    };
    assert_eq!(column("cookie"), ["4", "2", "1", "3", "6", "5"], "in order of the end");
    assert_eq!(column("conn_id"), ["4", "3", "2", "1", "6", "5"], "in order of appearance");
    assert_eq!(
        column("completeness"),
        ["complete", "complete", "complete", "begun_before", "lossy", "lossy"]
    );
    assert_eq!(column("ended_after"), ["false", "false", "false", "false", "false", "true"]);
    assert_eq!(
        column("close_reason"),
        ["refused", "reset_received", "fin", "fin", "reset_sent", "NULL"]
    );
    assert_eq!(column("closed_by"), ["remote", "remote", "remote", "local", "local", "none"]);
    assert_eq!(column("remote_address")[1], "192.0.2.9");
    assert_eq!(column("remote_port")[1], "51000", "not blanked by the close record");
    let estats = &read(&report.dir.join("estats.parquet"))[0];
    for (name, expected) in [
        ("SegsOut", "51"),
        ("SegsRetrans", "1"),
        ("CountRTT", "50"),
        ("MinMSS", "1448"),
        ("SndLimTimeStartup", "10000"),
        ("PreCongSumCwnd", "43440"),
        ("PostCongCountRTT", "1"),
        ("ZeroRwinSent", "1"),
        ("WinScaleSent", "7"),
        ("State", "closed"),
        ("ECN", "peerDisabled"),
        ("Nagle", "false"),
        ("SndMax", "66856"),
        ("Limstate", "NULL"),
        ("LostRetransmitSegs", "NULL"),
        ("RackTimeout", "NULL"),
        ("LimSsthresh", "4294967295"),
        ("HCDataOctetsIn", "72400"),
        ("StartTv", "2026-01-01T00:00:00.001"),
    ] {
        assert_eq!(value(estats, name, 2), expected, "{name}");
    }
}

#[test]
fn snapshots_are_joined_to_their_connections() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    let batches = read(&report.dir.join("sockets.parquet"));
    let table = &batches[0];
    assert_eq!(table.num_rows(), 4);
    for (row, expected) in [
        ["2", "open", "NULL", "0.01", "1", "10000", "NULL", "NULL"],
        // An unlimited rate is not a rate.
        ["2", "poll", "4", "0.634", "NULL", "NULL", "NULL", "NULL"],
        ["NULL", "poll", "4", "NULL", "NULL", "NULL", "NULL", "7"],
        ["2", "close", "NULL", "0.659", "7", "NULL", "NULL", "NULL"],
    ]
    .iter()
    .enumerate()
    {
        let names =
            ["conn_id", "why", "poll", "t_s", "tcpi_state", "tcpi_rtt", "tcpi_pacing_rate", "mark"];
        let found = names.map(|name| value(table, name, row));
        assert_eq!(found, *expected, "row {row}");
    }
}

fn analyze(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze")).args(arguments).output().unwrap()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn commands_and_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let run = text(&run);

    let first = analyze(&[run]);
    assert_eq!(code(&first), Some(3), "done, but records were lost");
    let shown = String::from_utf8(first.stdout).unwrap();
    assert!(shown.contains("10.0.0.1:40001") && shown.contains("reset_received"), "{shown}");
    let said = String::from_utf8(first.stderr).unwrap();
    assert!(said.contains("no tables yet") && said.contains("3 records were lost"), "{said}");
    let second = analyze(&[run]);
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("3 records were lost") && said.lines().count() == 1, "{said}");

    let other = dir.path().join("other");
    let replayed = analyze(&["replay", run, "-o", text(&other), "--interval", "event"]);
    assert_eq!(code(&replayed), Some(3));
    let out = String::from_utf8(replayed.stdout).unwrap();
    assert!(out.lines().any(|l| l.starts_with("digest sha256:")), "{out}");
    assert!(other.join("series.parquet").exists());

    assert_eq!(code(&analyze(&["summary", run])), Some(3), "records were lost");
    let json = analyze(&["summary", run, "--json"]);
    let lines: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(lines.as_array().unwrap().len(), 6);
    assert_eq!(lines[1]["min_rtt_us"], 10_000);
    assert_eq!(lines[0]["min_rtt_us"], serde_json::Value::Null);

    let info = analyze(&["info", run]);
    assert_eq!(code(&info), Some(3), "records were lost");
    let info = String::from_utf8(info.stdout).unwrap();
    assert!(info.contains("6.18.0") && info.contains("lost          3"), "{info}");

    let variables = analyze(&["variables", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&variables.stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), Var::COUNT);

    let nothing = analyze(&["replay", text(&dir.path().join("nothing"))]);
    assert_eq!(code(&nothing), Some(2));
    let said = String::from_utf8(nothing.stderr).unwrap();
    assert!(said.contains("is not a recording") && said.lines().count() == 1, "{said}");
    assert_eq!(code(&analyze(&["replay", run, "--interval", "never"])), Some(2));
    assert_eq!(code(&analyze(&[])), Some(2));
}

/// By content: a copy has other times, and a change need not have.
#[test]
fn tables_are_made_anew_when_the_recording_changes_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let report = replay(&run, &ReplayOptions::default());
    let manifest = estats::replay::TablesManifest::path(&report.dir);
    let old = || std::time::SystemTime::UNIX_EPOCH;
    let file = fs::File::options().write(true).open(manifest).unwrap();
    file.set_modified(old()).unwrap();
    let said = |run: &Path| String::from_utf8(analyze(&["summary", text(run)]).stderr).unwrap();
    let lost = "estats-analyze: 3 records were lost while recording: rows they may belong to are \
                marked lossy\n";
    assert_eq!(said(&run), lost, "tables are older, and made of the same bytes");

    let copy = dir.path().join("copy");
    fs::create_dir_all(copy.join("tables")).unwrap();
    for from in [run.clone(), run.join("tables")] {
        for name in common::file_names(&from).iter().filter(|n| *n != "tables") {
            let to = if from == run { copy.clone() } else { copy.join("tables") };
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
    assert_eq!(said(&copy), lost, "a copy with its tables");

    let path = copy.join("hooks-000000.arrows.zst");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(old()).unwrap();
    let changed = said(&copy);
    assert!(changed.contains("not as it was when the tables were made"), "{changed}");
    assert!(!said(&copy).contains("replaying"), "once");
    fs::remove_file(copy.join("tables/series.parquet")).unwrap();
    assert!(said(&copy).contains("not all tables are there"));
}

#[test]
fn a_replay_that_fails_leaves_the_tables_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let tables = replay(&run, &ReplayOptions::default()).dir;
    let before: Vec<_> = common::file_names(&tables)
        .into_iter()
        .map(|name| (fs::read(tables.join(&name)).unwrap(), name))
        .collect();
    // A file that cannot be replaced: a directory in the place of a table.
    let other = dir.path().join("other");
    fs::create_dir_all(other.join("series.parquet/in-the-way")).unwrap();
    let failed = analyze(&["replay", text(&run), "-o", text(&other)]);
    assert_eq!(code(&failed), Some(2));
    assert!(!estats::replay::TablesManifest::path(&other).exists());
    // A recording that cannot be read at all.
    let hooks = run.join("hooks-000000.arrows.zst");
    fs::remove_file(&hooks).unwrap();
    fs::create_dir(&hooks).unwrap();
    let failed = analyze(&["replay", text(&run)]);
    let said = String::from_utf8(failed.stderr.clone()).unwrap();
    assert_eq!((code(&failed), said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("no ordinary file"), "{said}");
    for (bytes, name) in before {
        assert!(fs::read(tables.join(&name)).unwrap() == bytes, "{name}");
    }
    let beside = |name: &String| name.contains("partial");
    assert!(!common::file_names(&tables).iter().any(beside));
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(["variables", "--markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // 100 kB do not fit into the pipe: the program writes into a closed one.
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), output.stderr.as_slice()), (Some(0), b"".as_slice()));
}

/// The kernel did not run a program: no number is missing, but the rows of that time may still lack
/// something.
#[test]
fn skipped_activations_are_a_loss_to_the_rows_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    common::skipped(&run);
    let report = replay(&run, &ReplayOptions::default());
    let rows = read(&report.dir.join("connections.parquet"));
    let of = |column: &str| -> Vec<String> {
        (0..rows[0].num_rows()).map(|i| value(&rows[0], column, i)).collect()
    };
    assert_eq!(of("completeness"), ["lossy", "complete"]);
    assert_eq!(of("lost_records"), ["2", "0"]);
}
