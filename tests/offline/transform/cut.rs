// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `cut`.

use std::path::Path;

use estats::log::{PacketRow, Recording};
use estats::recordings::transform::TransformError;
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};

use super::source::{all_golden, bounded, digest, golden, imported, table, verified};
use crate::common::{MS, synthetic, without_echo};

fn cut_to(
    run: &Path,
    dir: &Path,
    options: &CutOptions,
) -> estats::recordings::transform::TransformReport {
    let report = cut(&Recording::open(run).expect("a recording"), dir, options).expect("cut");
    verified(dir);
    report
}

fn since(ms: u64) -> Option<CutTime> {
    Some(CutTime::Since(ms * MS))
}

#[test]
fn a_cut_of_everything_equals_the_original() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let mut runs = all_golden();
    let written = dir.path().join("synthetic");
    synthetic(&written, 500);
    runs.push(written);
    runs.push(imported(dir.path()));
    runs.push(bounded(dir.path(), Some(60_000)));
    for (i, run) in runs.iter().enumerate() {
        let copy = dir.path().join(format!("copy{i}"));
        let far = CutOptions { from: None, to: since(10_000_000), ..CutOptions::default() };
        let report = cut_to(run, &copy, &far);
        assert_eq!(report.left_out, 0);
        assert_eq!(digest(&copy), digest(run), "{}", run.display());
        let (a, b) = (Recording::open(run).unwrap(), Recording::open(&copy).unwrap());
        assert_eq!(a.manifest().recording, b.manifest().recording);
        assert!(b.manifest().derived.is_empty());
    }
    // The bound did remove something, and the copy is marked too.
    let report = Recording::open(runs.last().unwrap()).unwrap().verify().unwrap();
    assert!(report.cpus.iter().any(|c| c.removed > 0), "{report}");
}

#[test]
fn a_cut_by_time_names_what_it_lacks() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 4);
    let part = dir.path().join("part");
    // Connection 1 and 3 live on both sides of the beginning, 2 too, 5 and 6 come after the end.
    let options = CutOptions { from: since(400), to: since(655), ..CutOptions::default() };
    let report = cut_to(&run, &part, &options);
    assert!(report.left_out > 0 && report.closed);
    let whole = table(&run, "connections");
    let rows = table(&part, "connections");
    let of = |rows: &[std::collections::BTreeMap<String, String>], cookie: &str| {
        rows.iter().find(|r| r["cookie"] == cookie).cloned().unwrap_or_default()
    };
    assert_eq!(rows.len(), 4, "{rows:#?}");
    for (cookie, begun_before, ended_after) in [
        ("1", "true", "true"),
        ("2", "true", "false"),
        ("3", "true", "true"),
        ("4", "false", "false"),
    ] {
        let (row, original) = (of(&rows, cookie), of(&whole, cookie));
        assert_eq!(row["begun_before"], begun_before, "{row:#?}");
        assert_eq!(row["ended_after"], ended_after, "{row:#?}");
        for same in
            ["local_address", "remote_address", "local_port", "comm", "begin_ns", "begin_ts"]
        {
            assert_eq!(row[same], original[same], "{same} of {cookie}");
        }
        // The loss of this recording is at its end.
        assert_eq!(row["lost_records"], "0");
    }
    assert_eq!(of(&rows, "1")["end_ns"], (5_655 * MS).to_string(), "the end of the part");
    assert_ne!(rows[0]["recording"], whole[0]["recording"]);
    // A value set once at the beginning is carried over; an event before it is not counted.
    let values =
        |run: &Path| table(run, "estats").into_iter().find(|r| r["LocalPort"] == "40001").unwrap();
    let (part_values, whole_values) = (values(&part), values(&run));
    for same in ["CurMSS", "MSSSent", "WinScaleSent", "SegsRetrans", "SndInitial", "StartTs"] {
        assert_eq!(part_values[same], whole_values[same], "{same}");
    }
    assert_eq!(
        (part_values["FastRetran"].as_str(), whole_values["FastRetran"].as_str()),
        ("0", "1")
    );
    assert_eq!(part_values["CountRTT"], "23", "samples from 400 ms on");
    // Twice the same.
    let again = dir.path().join("again");
    cut_to(&run, &again, &options);
    assert_eq!(digest(&again), digest(&part));
    let manifest = Recording::open(&part).unwrap().manifest().clone();
    assert_eq!(manifest.derived[0].of, [whole[0]["recording"].clone()]);
}

#[test]
fn late_records_of_an_ended_connection_make_no_row() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 0);
    let part = dir.path().join("part");
    // Connection 1 closes at 660 ms, and sends one more packet at 661 ms.
    cut_to(
        &run,
        &part,
        &CutOptions { from: Some(CutTime::Since(660 * MS + 1)), ..CutOptions::default() },
    );
    let cookies: Vec<_> =
        table(&part, "connections").into_iter().map(|mut r| r.remove("cookie").unwrap()).collect();
    assert_eq!(cookies, ["3", "6", "5"]);
}

#[test]
fn losses_outside_are_left_out_and_those_that_overlap_stay() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = bounded(dir.path(), None);
    for (from, to, lost) in
        [(10_000, 20_000, 1), (5_200, 6_000, 1), (5_400, 14_000, 0), (0, 40_000, 4)]
    {
        let part = dir.path().join(format!("part{from}"));
        let from = (from > 0).then_some(CutTime::Since(from * MS));
        cut_to(&run, &part, &CutOptions { from, to: since(to), ..CutOptions::default() });
        let report = Recording::open(&part).unwrap().verify().unwrap();
        assert_eq!(report.lost(), lost, "{report}");
    }
}

#[test]
fn connections_are_chosen_by_number_address_and_port() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = bounded(dir.path(), None);
    let part = dir.path().join("two");
    cut_to(&run, &part, &CutOptions { connections: vec![2, 4], ..CutOptions::default() });
    let ports = |run: &Path| -> Vec<String> {
        table(run, "connections").into_iter().map(|mut r| r.remove("local_port").unwrap()).collect()
    };
    assert_eq!(ports(&part), ["50002", "50004"]);
    let packets: Vec<_> = Recording::open(&part)
        .unwrap()
        .packets()
        .filter_map(|row| match row.unwrap() {
            PacketRow::Packet(p) => Some(p.src_port.unwrap()),
            PacketRow::Drained(_) => None,
        })
        .collect();
    assert_eq!(packets, [[50_002; 8], [50_004; 8]].concat());
    // The row is that of the original, but for its number and the recording's.
    let row = |run: &Path, port: &str| {
        let mut row = table(run, "estats").into_iter().find(|r| r["LocalPort"] == port).unwrap();
        for other in ["conn_id", "recording", "ConnectIndex"] {
            row.remove(other);
        }
        row
    };
    assert_eq!(row(&part, "50004"), row(&run, "50004"));

    let part = dir.path().join("port");
    let options = CutOptions {
        ports: vec![50_001, 50_003],
        addresses: vec!["10.0.0.0/30".parse().unwrap()],
        ..CutOptions::default()
    };
    cut_to(&run, &part, &options);
    assert_eq!(ports(&part), ["50001", "50003"]);
    let part = dir.path().join("none");
    let options = CutOptions { addresses: vec!["10.9.0.0/16".parse().unwrap()], ..options };
    cut_to(&run, &part, &options);
    assert!(ports(&part).is_empty());
}

/// Any connection may come to a wildcard address: the address chooses none of the sockets that have it.
#[test]
fn listening_sockets_of_any_address_are_chosen_by_port_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    synthetic(&run, 1);
    let part = dir.path().join("part");
    let addresses = vec!["192.0.2.0/24".parse().unwrap()];
    let options = CutOptions { ports: vec![40_055], addresses, ..CutOptions::default() };
    cut_to(&run, &part, &options);
    let ports = table(&part, "listeners").into_iter().map(|mut r| r.remove("local_port").unwrap());
    assert_eq!(ports.collect::<Vec<_>>(), ["40055"]);
}

#[test]
fn a_capture_is_cut_by_connection() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = imported(dir.path());
    let part = dir.path().join("part");
    let report = cut_to(&run, &part, &CutOptions { connections: vec![2], ..CutOptions::default() });
    assert_eq!((report.records, report.left_out), (10, 20));
    let rows = table(&part, "connections");
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["local_port"], "40001");
    assert_eq!(rows[0]["completeness"], "complete");
}

#[test]
fn an_impossible_cut_is_refused_and_writes_nothing() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = golden("clean-path");
    let out = dir.path().join("out");
    let said = |options: CutOptions| {
        let e = cut(&Recording::open(&run).unwrap(), &out, &options).expect_err("refused");
        let is_refused =
            matches!(e, TransformError::Refused(_) | TransformError::NoSuchTime { .. });
        assert!(is_refused && !out.exists());
        e.to_string()
    };
    let e = said(CutOptions { connections: vec![99], ..CutOptions::default() });
    assert!(e.contains("has no connection 99: it has 2"), "{e}");
    let e = said(CutOptions { from: since(1_000_000), ..CutOptions::default() });
    assert!(e.starts_with("the part begins after the end: the recording begins at 20"), "{e}");
    let e = said(CutOptions { from: since(200), to: since(100), ..CutOptions::default() });
    assert!(e.starts_with("nothing lies between"), "{e}");
}

#[test]
fn verify_checks_the_totals_of_a_cut() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let part = dir.path().join("part");
    let run = bounded(dir.path(), None);
    cut_to(&run, &part, &CutOptions { from: since(10_000), ..CutOptions::default() });
    let path = part.join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let cpu = &mut manifest["totals"]["per_cpu"][0];
    let (left_out, emitted) = (cpu["left_out"].as_u64().unwrap(), cpu["emitted"].as_u64().unwrap());
    (cpu["left_out"], cpu["emitted"]) = ((left_out + 1).into(), (emitted + 1).into());
    std::fs::write(&path, manifest.to_string()).unwrap();
    let report = Recording::open(&part).unwrap().verify().unwrap().to_string();
    let said = format!("{} left out in the manifest, {left_out} in the ledger", left_out + 1);
    assert!(report.contains(&said), "{report}");
}

/// The record with the operation lies before the part.
#[test]
fn a_value_that_a_connection_does_not_have_stays_null_in_a_cut() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let (run, part) = (dir.path().join("run"), dir.path().join("part"));
    without_echo(&run);
    let echo = |run: &Path| table(run, "estats")[0]["ECESent"].clone();
    assert_eq!(echo(&run), "NULL");
    cut_to(&run, &part, &CutOptions { from: since(250), ..CutOptions::default() });
    assert_eq!(echo(&part), "NULL");
    let marks = &table(&part, "estats")[0]["CERcvd"];
    assert_eq!(marks, "2");
}
