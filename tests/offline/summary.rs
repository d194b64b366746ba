// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! `estats-analyze summary`: order, conditions, groups, widths and colours, as a user asks for them.

use std::path::Path;
use std::process::{Command, Output};

use crate::common::synthetic;
use serde_json::Value;

fn summary(run: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    command.arg("summary").arg(run).args(arguments).env_remove("NO_COLOR").env_remove("COLUMNS");
    command.output().expect("estats-analyze can be started")
}

fn text(run: &Path, arguments: &[&str]) -> String {
    let output = summary(run, arguments);
    // The recording lost records, which every command reports.
    assert_eq!(output.status.code(), Some(3), "{arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn json(run: &Path, arguments: &[&str]) -> Vec<Value> {
    let arguments = [arguments, &["--json"]].concat();
    serde_json::from_str(&text(run, &arguments)).expect("an array")
}

fn ids(lines: &[Value]) -> Vec<i64> {
    lines.iter().map(|line| line["conn_id"].as_i64().expect("a number")).collect()
}

/// A recording with more than ten connections, of which some lost records.
fn recording(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let run = dir.path().join("run");
    synthetic(&run, 20);
    run
}

#[test]
fn unknown_numbers_are_last_in_either_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let signals = |arguments: &[&str]| -> Vec<Option<i64>> {
        json(&run, arguments).iter().map(|line| line["cong_signals"].as_i64()).collect()
    };
    let down = signals(&["--sort", "signals"]);
    let up = signals(&["--sort", "signals", "--reverse"]);
    let known = down.iter().flatten().count();
    assert!(known > 1 && known < down.len() && down[0] > Some(0), "{down:?}");
    assert!(down[..known].is_sorted_by(|a, b| a >= b) && down[known..].iter().all(Option::is_none));
    assert!(up[..known].is_sorted() && up[known..].iter().all(Option::is_none), "{up:?}");
    assert_eq!(signals(&["--sort", "signals", "--top", "1"]), down[..1]);
}

#[test]
fn a_condition_selects_rows_and_the_others_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let all = json(&run, &[]);
    let chosen = json(&run, &["--where", "id <= 3 or id = 5"]);
    let mut found = ids(&chosen);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 3, 5]);
    let said = text(&run, &["--where", "id <= 3 or id = 5"]);
    assert!(said.contains(&format!("4 of {} connections match", all.len())), "{said}");
    let wrong = summary(&run, &["--where", "speed > 1"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8(wrong.stderr).expect("UTF-8");
    assert!(said.contains("there is no `speed`"), "{said}");
}

#[test]
fn groups_hold_all_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let groups = json(&run, &["--group", "remote"]);
    let members: i64 = groups.iter().map(|g| g["connections"].as_i64().expect("a count")).sum();
    assert_eq!(members as usize, json(&run, &[]).len());
    let said = text(&run, &["--group", "remote", "--width", "80"]);
    assert!(said.starts_with(" REMOTE"), "{said}");
}

#[test]
fn every_line_fits_a_terminal_of_eighty_columns() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    for arguments in [&["--width", "80"][..], &["--width", "80", "--group", "process"]] {
        let said = text(&run, arguments);
        let table = said.lines().take_while(|line| !line.starts_with("audit"));
        let too_long: Vec<_> = table.filter(|line| line.chars().count() > 80).collect();
        assert!(too_long.is_empty(), "{too_long:#?}");
    }
    let said = text(&run, &["--width", "80"]);
    assert!(said.contains("MEDIAN") && said.contains("no room for"), "{said}");
}

#[test]
fn colours_are_there_if_they_are_asked_for_and_never_in_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    assert!(!text(&run, &[]).contains('\x1b'), "stdout is no terminal");
    assert!(!text(&run, &["--color", "never"]).contains('\x1b'));
    let colored = text(&run, &["--color", "always"]);
    assert!(colored.starts_with("\x1b[1m"), "{colored:?}");
    // The same text, but for the colours.
    let plain: String =
        colored.split('\x1b').map(|part| part.split_once('m').map_or(part, |p| p.1)).collect();
    assert_eq!(plain, text(&run, &[]));
}

#[test]
fn quiet_may_stand_before_the_command() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    for place in ["before", "behind"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
        match place {
            "before" => command.args(["-q", "summary"]).arg(&run),
            _ => command.arg("summary").arg(&run).arg("-q"),
        };
        let output = command.output().expect("estats-analyze can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{place}: {said}");
    }
    // A recording before a command is still a mistake.
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    let output = command.arg(&run).arg("summary").arg(&run).output().expect("as before");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_sort_key_is_shown_at_every_width() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    for (key, column) in
        [("signals", "SIGNALS"), ("bytes", "BYTES"), ("retrans", "RETRANS"), ("cc", "CC")]
    {
        let said = text(&run, &["--width", "80", "--sort", key]);
        let head = said.lines().next().expect("a line");
        assert!(head.split_whitespace().any(|name| name == column), "{key}: {head}");
    }
}

#[test]
fn groups_are_sorted() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let counts = |arguments: &[&str]| -> Vec<i64> {
        let groups = json(&run, &[&["--group", "completeness"], arguments].concat());
        groups.iter().map(|g| g["connections"].as_i64().expect("a count")).collect()
    };
    let down = counts(&["--sort", "connections"]);
    let up = counts(&["--sort", "connections", "--reverse"]);
    assert!(down.len() > 1 && down[0] > down[down.len() - 1], "{down:?}");
    assert!(down.is_sorted_by(|a, b| a >= b) && up.is_sorted(), "{down:?} {up:?}");
    assert!(text(&run, &["--group", "process", "--sort", "duration"]).contains("MEDIAN DURATION"));
    let wrong = summary(&run, &["--group", "process", "--sort", "pid"]);
    assert_eq!(wrong.status.code(), Some(2), "process ids have no sum");
}

#[test]
fn json_has_the_rates() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let line = &json(&run, &["--where", "id = 2"])[0];
    let (acked, seconds) = (line["octets_acked"].as_f64(), line["duration_s"].as_f64());
    let rate = acked.expect("octets") * 8.0 / seconds.expect("a duration");
    assert_eq!(line["goodput_bit_per_s"].as_f64(), Some(rate));
    assert!(line.get("received_bit_per_s").is_some() && line.get("throughput_bit_per_s").is_some());
}

#[test]
fn unknown_values_can_be_selected() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let all = json(&run, &[]).len();
    let count = |condition: &str| json(&run, &["--where", condition]).len();
    let (known, unknown) = (count("signals is not null"), count("signals IS NULL"));
    assert!(known > 0 && unknown > 0 && known + unknown == all, "{known} {unknown} {all}");
    assert_eq!(count("id <> 3"), all - 1);
    let wrong = summary(&run, &["--where", "signals is 3"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_width_may_be_exported() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = recording(&dir);
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    let output = command.arg("summary").arg(&run).env("COLUMNS", "80").output().expect("as before");
    assert_eq!(String::from_utf8_lossy(&output.stdout), text(&run, &["--width", "80"]));
}
