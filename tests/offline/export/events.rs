// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `events`: what its lines add up to is what the tables have, in every format.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use estats::log::Recording;
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::replay::ReplayOptions;
use estats::views::export::ExportError;
use estats::views::export::events::{self, EventCounts, EventFormat, EventKind, EventSelection};
use serde_json::Value as Json;

use super::{golden, rows};
use crate::common::{options, replay};

fn write(
    run: &Path,
    format: EventFormat,
    selection: &EventSelection,
) -> (String, Result<EventCounts, ExportError>) {
    let recording = Recording::open(run).expect("a recording");
    let mut out = Vec::new();
    let counts = events::write(&recording, &ReplayOptions::default(), format, selection, &mut out);
    (String::from_utf8(out).expect("text"), counts.map(|(counts, _)| counts))
}

fn events_of(run: &Path, format: EventFormat, selection: &EventSelection) -> String {
    let (text, counts) = write(run, format, selection);
    counts.expect("events");
    text
}

fn all() -> EventSelection {
    EventSelection { kinds: EventKind::ALL.to_vec(), connections: Vec::new() }
}

fn objects(run: &Path) -> Vec<Json> {
    let text = events_of(run, EventFormat::Jsonl, &all());
    text.lines().map(|line| serde_json::from_str(line).expect("an object per line")).collect()
}

/// The rows of a table by connection.
fn table(run: &Path, name: &str) -> BTreeMap<u64, BTreeMap<String, String>> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    let rows = rows(&out.path().join(format!("{name}.parquet"))).into_iter();
    let by_id = |row: Vec<(String, String)>| {
        let row: BTreeMap<_, _> = row.into_iter().collect();
        (row["conn_id"].parse().expect("a number"), row)
    };
    rows.map(by_id).collect()
}

fn recordings() -> Vec<PathBuf> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut runs: Vec<_> = fs::read_dir(testdata)
        .expect("testdata")
        .map(|entry| entry.expect("an entry").path().join("run"))
        .filter(|run| run.join("manifest.json").exists())
        // Written by hand: a counter that is not there at the beginning has no part with its first value.
        .filter(|run| !run.ends_with("format-v1/run"))
        .collect();
    runs.sort();
    assert!(runs.len() > 5, "{runs:?}");
    runs
}

fn sum(events: &[&Json], kind: EventKind) -> u64 {
    let of_kind = events.iter().filter(|event| event["event"] == kind.name());
    of_kind.map(|event| event["count"].as_u64().expect("a count")).sum()
}

#[test]
fn counts_of_events_add_up_to_the_values_of_the_tables() {
    let mut seen = BTreeMap::<&str, u64>::new();
    for run in recordings() {
        let events = objects(&run);
        let (values, connections) = (table(&run, "estats"), table(&run, "connections"));
        assert!(!connections.is_empty(), "{}", run.display());
        for (conn_id, row) in &values {
            let of: Vec<_> = events.iter().filter(|e| e["conn_id"] == *conn_id).collect();
            let context = format!("{} connection {conn_id}", run.display());
            let is_found = connections[conn_id]["begun_before"] == "true";
            let begin = if is_found { EventKind::Found } else { EventKind::Opened };
            let is_open = connections[conn_id]["ended_after"] == "true";
            let end = if is_open { EventKind::StillOpen } else { EventKind::Closed };
            assert_eq!(of[0]["event"], begin.name(), "{context}");
            let last = of.last().expect("a last line");
            assert_eq!(last["event"], end.name(), "{context}");
            let ends =
                [EventKind::Opened, EventKind::Found, EventKind::Closed, EventKind::StillOpen];
            let edges = of.iter().filter(|e| ends.iter().any(|kind| e["event"] == kind.name()));
            assert_eq!(edges.count(), 2, "{context}");
            let times: Vec<_> = of.iter().map(|e| e["ts_ns"].as_u64().expect("a time")).collect();
            assert!(times.is_sorted(), "{context}: {times:?}");
            for (kind, variables) in [
                (EventKind::Retransmission, &["SegsRetrans"][..]),
                (EventKind::Timeout, &["Timeouts", "SubsequentTimeouts"]),
                (EventKind::ZeroWindowReceived, &["ZeroRwinRcvd"]),
                (EventKind::ZeroWindowSent, &["ZeroRwinSent"]),
            ] {
                let total: Option<u64> =
                    variables.iter().map(|v| row[*v].parse::<u64>().ok()).sum();
                let counted = sum(&of, kind);
                *seen.entry(kind.name()).or_default() += counted;
                // What the kernel counted before the recording is no event of it.
                let is_before = is_found && kind == EventKind::Retransmission;
                match total {
                    Some(total) if is_before => assert!(counted <= total, "{context} {kind:?}"),
                    Some(total) => assert_eq!(counted, total, "{context} {kind:?}"),
                    None => {}
                }
            }
            let octets = |event: &&&Json| event["octets"].as_u64();
            let octets: u64 = of.iter().filter_map(|event| octets(&event)).sum();
            if let (Ok(total), false) = (row["OctetsRetrans"].parse::<u64>(), is_found) {
                assert_eq!(octets, total, "{context}");
            }
            let begun = of.iter().filter(|e| e["event"] == EventKind::RecoveryBegin.name()).count();
            *seen.entry(EventKind::RecoveryBegin.name()).or_default() += begun as u64;
            let text = |name: &str| last.get(name).map(ToString::to_string);
            for (field, variable) in [
                ("acked_octets", "HCThruOctetsAcked"),
                ("received_octets", "HCThruOctetsReceived"),
                ("retransmitted_segments", "SegsRetrans"),
                ("min_rtt_us", "MinRTT"),
                ("srtt_us", "SmoothedRTT"),
            ] {
                let expected = Some(row[variable].clone()).filter(|value| value != "NULL");
                assert_eq!(text(field), expected, "{context} {field}");
            }
            for name in ["close_reason", "limited_by", "completeness"] {
                let expected = Some(&*connections[conn_id][name]).filter(|value| *value != "NULL");
                assert_eq!(last.get(name).and_then(Json::as_str), expected, "{context} {name}");
            }
        }
    }
    // Each kind is in one of the recordings.
    for kind in [
        EventKind::Retransmission,
        EventKind::Timeout,
        EventKind::ZeroWindowReceived,
        EventKind::ZeroWindowSent,
        EventKind::RecoveryBegin,
    ] {
        assert!(seen[kind.name()] > 0, "{kind:?}: {seen:?}");
    }
}

/// An empty answer must be told from a wrong question.
#[test]
fn a_connection_that_is_not_there_is_an_error_and_one_without_events_is_counted() {
    let run = &recordings()[0];
    let all_ids: Vec<u64> = table(run, "connections").into_keys().collect();
    let unknown = all_ids.iter().max().expect("a connection") + 1;
    for kinds in [EventKind::ALL.to_vec(), vec![EventKind::Timeout]] {
        let selection = EventSelection { kinds, connections: vec![all_ids[0], unknown] };
        let (_, result) = write(run, EventFormat::Jsonl, &selection);
        let Err(ExportError::NoConnection { conn_id }) = result else { panic!("{result:?}") };
        assert_eq!(conn_id, unknown);
    }
    let none = EventSelection { kinds: Vec::new(), connections: Vec::new() };
    let (text, counts) = write(run, EventFormat::Jsonl, &none);
    let expected = EventCounts { events: 0, connections: all_ids.len() as u64 };
    assert_eq!((text.as_str(), counts.expect("events")), ("", expected));
    let (text, counts) = write(run, EventFormat::Jsonl, &all());
    assert_eq!(counts.expect("events").events, text.lines().count() as u64);
}

/// Which connection, when, what, how much.
fn happened(run: &Path, from_ns: u64) -> Vec<String> {
    let inside = [
        EventKind::Retransmission,
        EventKind::Timeout,
        EventKind::RecoveryBegin,
        EventKind::RecoveryEnd,
        EventKind::ZeroWindowReceived,
        EventKind::ZeroWindowSent,
    ];
    let is_inside = |event: &Json| inside.iter().any(|kind| event["event"] == kind.name());
    let events = objects(run).into_iter();
    let events = events.filter(|e| is_inside(e) && e["ts_ns"].as_u64().expect("a time") >= from_ns);
    let text = |e: Json| {
        ["local", "remote", "ts_ns", "event", "count", "octets"].map(|name| e[name].to_string())
    };
    let mut events: Vec<_> = events.map(|event| text(event).join(" ")).collect();
    events.sort();
    events
}

/// A recovery that goes on at the beginning of a part does not begin there, and a counter that was not zero there
/// has not just counted.
#[test]
fn a_part_of_a_recording_has_the_events_of_its_time() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut compared = 0;
    for (i, run) in recordings().iter().enumerate() {
        let recording = Recording::open(run).expect("a recording");
        let times: Vec<_> = objects(run).iter().filter_map(|e| e["ts_ns"].as_u64()).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { continue };
        for part in 1..8 {
            let from_ns = first + (last - first) * part / 8;
            let started = recording.manifest().started.monotonic_ns;
            let Some(since) = from_ns.checked_sub(started) else { continue };
            let out = dir.path().join(format!("{i}-{part}"));
            let options = CutOptions { from: Some(CutTime::Since(since)), ..CutOptions::default() };
            cut(&recording, &out, &options).expect("cut");
            let expected = happened(run, from_ns);
            assert_eq!(happened(&out, from_ns), expected, "{} from {from_ns}", run.display());
            compared += expected.len();
        }
    }
    assert!(compared > 100, "{compared}");
}

#[test]
fn the_formats_have_the_same_lines() {
    let run = golden("loss");
    let objects = objects(&run);
    let csv = events_of(&run, EventFormat::Csv, &all());
    let mut lines = csv.lines();
    let header: Vec<_> = lines.next().expect("a header").split(',').collect();
    assert_eq!(header.len(), 26);
    let cells: Vec<Vec<_>> = lines.map(|line| line.split(',').collect()).collect();
    assert_eq!(cells.len(), objects.len());
    for (cells, object) in cells.iter().zip(&objects) {
        assert_eq!(cells.len(), header.len());
        for (name, cell) in header.iter().zip(cells) {
            let value = match object.get(*name) {
                None => String::new(),
                Some(Json::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            assert_eq!(**cell, value, "{name}");
        }
    }
    let text = events_of(&run, EventFormat::Text, &all());
    assert_eq!(text.lines().count(), objects.len());
    for (line, object) in text.lines().zip(&objects) {
        for name in ["time", "event", "local", "remote"] {
            assert!(line.contains(object[name].as_str().expect("text")), "{name}: {line}");
        }
    }
}

#[test]
fn kinds_and_connections_are_chosen() {
    let run = golden("loss");
    let selection = EventSelection { kinds: vec![EventKind::StillOpen], connections: vec![1] };
    let text = events_of(&run, EventFormat::Text, &selection);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(" still_open ") && text.contains(" conn 1 "), "{text}");
}

/// What the program reports on stderr, with its status.
fn answer(arguments: &[&str], run: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(&arguments[..1])
        .arg(run)
        .args(&arguments[1..])
        .output()
        .expect("the program runs");
    let stderr = String::from_utf8(output.stderr).expect("text");
    (output.status.code().expect("a status"), stderr)
}

#[test]
fn a_question_without_an_answer_is_answered_on_stderr() {
    let clean = golden("clean-path");
    let about = |arguments: &[&str]| answer(arguments, &clean);
    assert_eq!(about(&["events"]), (0, String::new()));
    assert_eq!(
        about(&["events", "--event", "timeout"]),
        (0, "estats-analyze: no such event in 2 connections\n".to_owned())
    );
    let (code, text) = about(&["events", "--conn", "4711"]);
    assert!(code == 2 && text.contains("no connection 4711"), "{code}: {text}");
    let (code, text) = answer(&["rtt", "--method", "dns"], &golden("packets"));
    assert!(code == 0 && text.contains("there is no RTT sample of this method"), "{code}: {text}");
}
