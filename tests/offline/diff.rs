// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `estats-analyze diff`: which connections stand beside which, what change is, repeats and labels.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::transfers::{Transfer, transfers};
use serde_json::Value as Json;
use tempfile::TempDir;

fn diff(dir: &TempDir, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    command.current_dir(dir.path()).env_remove("COLUMNS").arg("diff").args(arguments);
    command.output().expect("estats-analyze can be started")
}

fn text(dir: &TempDir, arguments: &[&str]) -> String {
    let output = diff(dir, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(dir: &TempDir, arguments: &[&str]) -> Json {
    let text = text(dir, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

/// The comparison of a number in the role whose words have this part.
fn number(diff: &Json, role: &str, name: &str) -> Json {
    let roles = diff["roles"].as_array().expect("roles");
    let role = roles.iter().find(|r| r["role"].as_str().is_some_and(|r| r.contains(role)));
    let numbers = role.unwrap_or_else(|| panic!("{roles:#?}"))["numbers"].as_array();
    let found = numbers.expect("numbers").iter().find(|n| n["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}")).clone()
}

fn recording(dir: &TempDir, name: &str, wmem: &str, of: &[Transfer]) -> PathBuf {
    let run = dir.path().join(name);
    transfers(&run, wmem, of);
    run
}

/// A control connection and a transfer of `octets` octets in half a second, as iperf3 has them.
fn iperf3(dir: &TempDir, name: &str, wmem: &str, octets: u64) -> PathBuf {
    recording(dir, name, wmem, &[((100, 610), 700, 580), ((105, 605), octets, 0)])
}

#[test]
fn a_control_connection_is_not_paired_with_data() {
    let dir = tempfile::tempdir().expect("a directory");
    iperf3(&dir, "a", "4096", 1_000_000);
    // In the second the peer's part of the control connection is larger, and data comes first.
    let of = [((105, 605), 3_000_000, 0), ((100, 610), 500, 580)];
    recording(&dir, "b", "4096", &of);
    let diff = json(&dir, &["a", "b"]);
    let pairs: Vec<_> = diff["pairs"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| (pair["a"].as_u64(), pair["b"].as_u64()))
        .collect();
    // Numbers are given in order of beginnings.
    assert_eq!(pairs, [(Some(1), Some(1)), (Some(2), Some(2))]);
    let acked = |role| number(&diff, role, "HCThruOctetsAcked");
    assert_eq!(
        (acked("control")["a"].as_f64(), acked("control")["b"].as_f64()),
        (Some(700.0), Some(500.0))
    );
    assert_eq!(
        (acked("sends")["a"].as_f64(), acked("sends")["b"].as_f64()),
        (Some(1e6), Some(3e6))
    );
}

#[test]
fn change_is_relative_to_the_first_value() {
    let dir = tempfile::tempdir().expect("a directory");
    iperf3(&dir, "a", "4096", 1_000_000);
    iperf3(&dir, "b", "4096", 3_000_000);
    let change =
        |arguments: &[&str], name| number(&json(&dir, arguments), "sends", name)["change"].as_f64();
    assert_eq!(change(&["a", "b"], "rate"), Some(2.0));
    assert_eq!(change(&["b", "a"], "rate"), Some(-2.0 / 3.0));
    // 0 has no relative difference from 0.
    assert_eq!(change(&["a", "b"], "HCThruOctetsReceived"), None);
    let said = text(&dir, &["a", "b"]);
    let line = said.lines().find(|line| line.contains("rate")).expect("a notable difference");
    assert!(line.contains("+200 %"), "{line}");
}

/// The counts of such rows may be too low on both sides alike.
#[test]
fn rows_that_are_not_complete_are_named_where_both_sides_have_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let testdata = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let run = testdata.join("begun-before-the-recording/run").display().to_string();
    let said = text(&dir, &[&run, &run]);
    assert!(said.contains("completeness: ") && said.contains("begun_before"), "{said}");
}

/// One that has no counterpart does not hide the others.
#[test]
fn a_side_without_a_counterpart_is_named_and_the_others_are_compared() {
    let dir = tempfile::tempdir().expect("a directory");
    iperf3(&dir, "a", "4096", 1_000_000);
    iperf3(&dir, "b", "4096", 3_000_000);
    recording(&dir, "none", "4096", &[]);
    let labels = ["--label", "before=a", "--label", "after=b", "--label", "none=none"];
    let output = diff(&dir, &labels);
    let (said, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(said.contains("after: b") && !said.contains("none"), "{said}");
    assert!(error.contains("has a counterpart in none"), "{error}");
}

#[test]
fn differences_of_kernel_settings_come_first() {
    let dir = tempfile::tempdir().expect("a directory");
    iperf3(&dir, "a", "4096", 1_000_000);
    iperf3(&dir, "b", "8192", 3_000_000);
    let said = text(&dir, &["a", "b"]);
    let third = said.lines().nth(2).expect("a line");
    assert_eq!(third, "net.ipv4.tcp_wmem: 4096 | 8192");
    // Also where it differs between repeats of one side.
    iperf3(&dir, "c", "8192", 3_000_000);
    let said = text(&dir, &["a", "b", "--against", "c"]);
    let third = said.lines().nth(2).expect("a line");
    assert_eq!(third, "net.ipv4.tcp_wmem: 4096 (1 of 2), 8192 (1 of 2) | 8192");
}

#[test]
fn repeats_have_an_interval_and_one_of_each_has_none() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, octets) in [
        ("a1", 1_000_000),
        ("a2", 1_100_000),
        ("a3", 1_200_000),
        ("b1", 2_000_000),
        ("b2", 2_100_000),
        ("b3", 2_200_000),
    ] {
        iperf3(&dir, name, "4096", octets);
    }
    let arguments = ["a1", "a2", "a3", "--against", "b1", "b2", "b3"];
    let rate = number(&json(&dir, &arguments), "sends", "rate");
    // Means of 17.6 and 33.6 Mbit/s; t(4, 97.5 %) = 2.776445 times sqrt(2/3) of 1.6 Mbit/s.
    let half = 2.776445 * (2.0_f64 / 3.0).sqrt() * 1.6e6;
    let near =
        |value: &Json, wanted: f64| (value.as_f64().expect("a number") - wanted).abs() < 10.0;
    assert!(near(&rate["a"], 17.6e6) && near(&rate["b"], 33.6e6), "{rate}");
    assert!(near(&rate["interval"][0], 16e6 - half), "{rate}");
    assert!(near(&rate["interval"][1], 16e6 + half), "{rate}");
    assert_eq!(
        (&rate["n_a"], &rate["n_b"], &rate["notable"]),
        (&3.into(), &3.into(), &true.into())
    );
    let one = number(&json(&dir, &["a1", "a2", "--against", "b1"]), "sends", "rate");
    assert_eq!((&one["n_a"], &one["n_b"], &one["interval"]), (&2.into(), &1.into(), &Json::Null));
    let said = text(&dir, &["a1", "a2", "--against", "b1"]);
    assert!(said.contains("may be chance"), "{said}");
    // Two recordings are two recordings, however they are named.
    let pair = json(&dir, &["a1", "--against", "b1"]);
    assert_eq!(pair, json(&dir, &["a1", "b1"]));
}

#[test]
fn each_label_is_compared_with_the_first() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, octets) in
        [("a1", 1_000_000), ("a2", 1_100_000), ("b1", 2_000_000), ("c1", 4_000_000)]
    {
        iperf3(&dir, name, "4096", octets);
    }
    let arguments = [
        "--label",
        "before=a1",
        "--label",
        "after=b1",
        "--label",
        "later=c1",
        "--label",
        "before=a2",
    ];
    let diffs = json(&dir, &arguments);
    let labels: Vec<_> = diffs
        .as_array()
        .expect("an array")
        .iter()
        .map(|diff| {
            (
                diff["a"]["label"].clone(),
                diff["a"]["recordings"].clone(),
                diff["b"]["label"].clone(),
            )
        })
        .collect();
    let before = || ("before".into(), serde_json::json!(["a1", "a2"]));
    let with = |label: &str| (before().0, before().1, Json::from(label));
    assert_eq!(labels, [with("after"), with("later")]);
    let said = text(&dir, &arguments);
    assert!(said.contains("A: before: a1, a2") && said.contains("B: later: c1"), "{said}");
}

#[test]
fn incomparable_recordings_are_refused_in_a_sentence() {
    let dir = tempfile::tempdir().expect("a directory");
    for name in ["a", "b", "c"] {
        iperf3(&dir, name, "4096", 1_000_000);
    }
    for (arguments, part) in [
        (&["a", "b", "c"][..], "--against"),
        (&["a"], "--against"),
        (&["--label", "before=a"], "one side given"),
        (&["--label", "before"], "NAME=RUN"),
        (&["--label", "=a"], "NAME=RUN"),
        (&["a", "a", "--against", "b"], "is given twice"),
        (&["a", "b", "--against", "c", "--align", "tuple"], "not of repeats"),
        (&["--label", "x=a", "--label", "y=b", "--label", "z=c", "--html", "page"], "two sides"),
        (&["a", "--label", "x=b"], "cannot be used with"),
    ] {
        let output = diff(&dir, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn a_page_of_repeats_has_their_table() {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, octets) in
        [("a1", 1_000_000), ("a2", 1_100_000), ("b1", 2_000_000), ("b2", 2_100_000)]
    {
        iperf3(&dir, name, "4096", octets);
    }
    text(&dir, &["a1", "a2", "--against", "b1", "b2", "--html", "page.html"]);
    let page = std::fs::read_to_string(dir.path().join(Path::new("page.html"))).expect("a page");
    assert!(page.contains("Mean A") && page.contains("A is a1, a2, B is b1, b2"));
}

#[test]
fn a_table_fits_eighty_columns() {
    let dir = tempfile::tempdir().expect("a directory");
    iperf3(&dir, "a", "4096", 1_000_000);
    iperf3(&dir, "b", "4096", 3_000_000);
    let said = text(&dir, &["a", "b", "--width", "80", "--all"]);
    let tables = said.lines().filter(|line| line.starts_with(' '));
    let too_long: Vec<_> = tables.filter(|line| line.chars().count() > 80).collect();
    assert!(too_long.is_empty(), "{too_long:#?}");
}
