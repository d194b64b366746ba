// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Perfetto's traces, decoded by Perfetto's own description of them (the package `perfetto` of PyPI), hold
//! what the tables hold.
//!
//! Perfetto's trace processor itself is in no package of Debian or PyPI: the package fetches it from
//! elsewhere when it is first used. So what it asks of a trace is checked in `decode_trace.py`: clocks, tracks
//! before their events, slices that end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use estats::engine::estats::Interval;
use estats::log::Recording;
use estats::replay::ReplayOptions;
use estats::views::export::perfetto;
use serde_json::Value;

use super::golden;
use crate::common::{cells, options, read, replay};
use crate::support::gate;

/// Where scripts/setup.sh puts a Python that has the description.
fn python() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/perfetto/bin/python");
    path.exists().then_some(path)
}

fn trace(run: &Path, threads: usize) -> Vec<u8> {
    let recording = Recording::open(run).expect("a recording");
    let mut out = Vec::new();
    let threads = threads.try_into().expect("not zero");
    let options = ReplayOptions { threads, ..ReplayOptions::default() };
    perfetto::write(&recording, &options, &mut out).expect("a trace");
    out
}

/// The tracks of a trace.
fn tracks(python: &Path, trace: &[u8]) -> Vec<Value> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), trace).expect("file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/offline/export/decode_trace.py");
    let output = Command::new(python).arg(script).arg(file.path()).output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

type Row = BTreeMap<String, String>;

fn rows(dir: &Path, table: &str) -> Vec<Row> {
    read(&dir.join(format!("{table}.parquet"))).iter().flat_map(cells).collect()
}

fn list<'a>(track: &'a Value, name: &str) -> &'a Vec<Value> {
    track[name].as_array().expect("a list")
}

/// Nanoseconds by the name of the slices.
fn lengths(track: &Value) -> BTreeMap<String, u64> {
    let mut lengths = BTreeMap::new();
    for slice in list(track, "slices") {
        let length = slice[1].as_u64().unwrap() - slice[0].as_u64().unwrap();
        *lengths.entry(slice[2].as_str().unwrap().to_owned()).or_default() += length;
    }
    lengths
}

/// Data and events of a connection before the recording are not shown at its first moment.
#[test]
fn a_trace_begins_with_the_recording() {
    let Some(python) = python() else {
        return gate::skip("Perfetto's traces", "run scripts/setup.sh".to_owned());
    };
    let run = golden("begun-before-the-recording");
    let tracks = tracks(&python, &trace(&run, 1));
    let dir = tempfile::tempdir().expect("temporary directory");
    replay(&run, &ReplayOptions { interval: Interval::Event, ..options(2, dir.path()) });
    let mut compared = 0;
    for connection in rows(dir.path(), "connections") {
        let id = &connection["conn_id"];
        if connection["begun_before"] != "true" {
            continue;
        }
        let prefix = format!("conn {id} ");
        let mut found = tracks.iter();
        let track = found.find(|t| t["name"].as_str().unwrap().starts_with(&prefix)).expect("one");
        let rate = tracks
            .iter()
            .find(|t| t["parent"] == track["uuid"] && t["name"] == "acknowledged by the peer");
        let values: Vec<f64> = rows(dir.path(), "series")
            .iter()
            .filter(|row| row["conn_id"] == *id)
            .filter_map(|row| row["HCThruOctetsAcked"].parse().ok())
            .collect();
        let (Some(rate), Some(first), Some(last)) = (rate, values.first(), values.last()) else {
            continue;
        };
        let steps = list(rate, "counters").iter().map(|c| c[1].as_f64().unwrap());
        let octets: f64 = steps.map(|rate| rate / 8.0 / 10.0).sum();
        assert!((octets - (last - first)).abs() < 10.0, "{id}: {octets} of {first} to {last}");
        // The receiving end has sent nothing, also before.
        compared += usize::from(*first > 1000.0);
    }
    assert!(compared > 0, "none of them carried something before");
}

#[test]
fn a_trace_has_the_values_of_the_tables() {
    let Some(python) = python() else {
        return gate::skip("Perfetto's traces", "run scripts/setup.sh".to_owned());
    };
    let mut shares_compared = BTreeSet::new();
    for scenario in ["loss", "blackout", "zero-window", "congestion-marks", "function-hooks"] {
        let run = golden(scenario);
        let bytes = trace(&run, 1);
        assert_eq!(bytes, trace(&run, 3), "the bytes do not depend on the threads");
        let tracks = tracks(&python, &bytes);
        let dir = tempfile::tempdir().expect("temporary directory");
        replay(&run, &ReplayOptions { interval: Interval::Event, ..options(2, dir.path()) });
        let (connections, estats) = (rows(dir.path(), "connections"), rows(dir.path(), "estats"));
        let series = rows(dir.path(), "series");
        let of_connections: Vec<_> =
            tracks.iter().filter(|t| t["name"].as_str().unwrap().starts_with("conn ")).collect();
        assert_eq!(of_connections.len(), connections.len(), "{scenario}");
        for connection in &connections {
            let id = &connection["conn_id"];
            let prefix = format!("conn {id} ");
            let mut found = of_connections.iter();
            let track = found.find(|t| t["name"].as_str().unwrap().starts_with(&prefix));
            let track = track.expect("a track of each connection");
            let process = tracks.iter().find(|t| t["uuid"] == track["parent"]).expect("a process");
            if connection["pid"] != "NULL" {
                assert_eq!(process["pid"].to_string(), connection["pid"], "{scenario} {id}");
                assert_eq!(process["comm"].as_str(), Some(connection["comm"].as_str()));
            }
            let below = |name: &str| {
                tracks.iter().find(|t| t["parent"] == track["uuid"] && t["name"] == name)
            };
            let values = estats.iter().find(|row| row["conn_id"] == *id).expect("its values");
            // Events are the steps of counters.
            let instants = below("events").map(|events| list(events, "instants")).expect("an end");
            for (name, variable) in [
                ("retransmission", "SegsRetrans"),
                ("fast retransmit", "FastRetran"),
                ("ECN signal", "ECNsignals"),
                ("zero window of the peer", "ZeroRwinRcvd"),
            ] {
                let steps = instants.iter().filter(|instant| instant[1] == name);
                let sum: u64 = steps.map(|instant| instant[2]["count"].as_u64().unwrap()).sum();
                assert_eq!(sum.to_string(), values[variable], "{scenario} {id} {variable}");
            }
            let end = instants.last().expect("an end");
            assert_eq!(end[2]["completeness"].as_str(), Some(connection["completeness"].as_str()));
            // Counters are the values of the series, where they change.
            for (name, variable) in [("cwnd", "CurCwnd"), ("srtt", "SmoothedRTT")] {
                let mut expected: Vec<(u64, String)> = Vec::new();
                for row in series.iter().filter(|row| row["conn_id"] == *id) {
                    let value = &row[variable];
                    if value != "NULL" && expected.last().is_none_or(|(_, last)| last != value) {
                        expected.push((row["ts_ns"].parse().unwrap(), value.clone()));
                    }
                }
                let counter = below(name);
                let unit = counter.map(|c| (c["unit"].as_str(), c["multiplier"].as_u64()));
                let known = match name {
                    "cwnd" => (Some("UNIT_SIZE_BYTES"), Some(0)),
                    _ => (Some("UNIT_TIME_NS"), Some(1_000)),
                };
                assert!(unit.is_none_or(|unit| unit == known), "{unit:?}");
                let found: Vec<_> = counter
                    .map(|counter| list(counter, "counters").clone())
                    .unwrap_or_default()
                    .iter()
                    .map(|c| (c[0].as_u64().unwrap(), c[1].to_string()))
                    .collect();
                assert_eq!(found, expected, "{scenario} {id} {name}");
            }
            // All octets are in the steps of the throughput.
            if let Some(rate) = below("acknowledged by the peer") {
                let steps = list(rate, "counters").iter().map(|c| c[1].as_f64().unwrap());
                let octets: f64 = steps.map(|rate| rate / 8.0 / 10.0).sum();
                let acked: f64 = values["HCThruOctetsAcked"].parse().unwrap();
                // A rate is a whole number of bits per second, so a step lacks less than 1/80 octet.
                let steps = list(rate, "counters").len() as f64;
                assert!((octets - acked).abs() <= steps / 80.0, "{octets} {acked}");
            }
            // The stretches of a limit have the length that its share has.
            let begin: u64 = connection["begin_ns"].parse().unwrap();
            let life = connection["end_ns"].parse::<u64>().unwrap() - begin;
            let lengths = below("limited by").map(lengths).unwrap_or_default();
            for (name, column) in [
                ("startup", "limited_startup"),
                ("network", "limited_network"),
                ("nagle", "limited_nagle"),
                ("host", "limited_host"),
                ("path_dead", "limited_path_dead"),
            ] {
                let Ok(share) = connection[column].parse::<f64>() else { continue };
                let total: u64 = lengths.values().sum();
                let length = lengths.get(name).copied().unwrap_or(0);
                let ours = length as f64 / total as f64;
                // Shares are of the time that is counted; no rounding but that of the share itself.
                assert!(
                    (share - ours).abs() < 1e-3,
                    "{scenario} {id} {name}: {share} {ours} {life}"
                );
                if length > 0 {
                    shares_compared.insert(name);
                }
            }
        }
    }
    let all = ["host", "network", "path_dead", "startup"];
    assert!(all.iter().all(|name| shares_compared.contains(name)), "{shares_compared:?}");
}
