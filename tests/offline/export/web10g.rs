// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The texts of Web10G's userland, by its own layout: headings, columns, commas.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU64;
use std::path::Path;

use estats::engine::estats::Interval;
use estats::log::Recording;
use estats::replay::ReplayOptions;
use estats::schema::Var;
use estats::views::compare::{Dump, Form};
use estats::views::export::web10g::vars::{self, Deltas};
use estats::views::export::{ExportError, web10g};

use super::golden;

/// The columns as the userland's list of variables has them, one line.
fn header() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/web10g/logger-header.txt");
    fs::read_to_string(path).expect("the header")
}

fn every(ms: u64) -> ReplayOptions {
    let interval = Interval::Every(NonZeroU64::new(ms * 1_000_000).expect("not zero"));
    ReplayOptions { interval, ..ReplayOptions::default() }
}

fn logger(run: &Path) -> String {
    let recording = Recording::open(run).expect("a recording");
    let mut text = Vec::new();
    web10g::write(&recording, &every(100), &mut text).expect("text");
    String::from_utf8(text).expect("text")
}

fn readvars(run: &Path, conn_id: Option<u64>) -> Result<String, ExportError> {
    let recording = Recording::open(run).expect("a recording");
    let mut text = Vec::new();
    vars::read(&recording, &ReplayOptions::default(), conn_id, &mut text)?;
    Ok(String::from_utf8(text).expect("text"))
}

fn deltavars(run: &Path, conn_id: Option<u64>, deltas: Deltas) -> Result<String, ExportError> {
    let recording = Recording::open(run).expect("a recording");
    let mut text = Vec::new();
    vars::deltas(&recording, &every(100), conn_id, deltas, &mut text)?;
    Ok(String::from_utf8(text).expect("text"))
}

#[test]
fn the_loggers_columns_are_the_userlands() {
    let text = logger(&golden("loss"));
    let mut lines = text.lines();
    assert_eq!(format!("{}\n", lines.next().expect("a header")), header());
    let names: Vec<_> = header().split(',').map(|name| name.trim().to_owned()).collect();
    // TEACUP finds the window there, in all versions of the userland.
    assert_eq!((names.len(), names[25].as_str()), (130, "CurCwnd"));
    let mut rows = 0;
    for line in lines {
        assert_eq!(line.split(',').count(), names.len(), "{line}");
        assert!(!line.contains(", "), "only the header has spaces");
        rows += 1;
    }
    assert!(rows > 10, "{rows}");
}

#[test]
fn readvars_has_a_heading_per_table_and_a_line_per_variable() {
    let run = golden("loss");
    let all = readvars(&run, None).expect("text");
    let one = readvars(&run, Some(1)).expect("text");
    assert!(all.contains(&one) && all.len() > one.len());
    let mut names = Vec::new();
    let headings = ["Perf", "Path", "Stack", "App", "Tune", "Extras"];
    let mut next = headings.iter();
    let lines: Vec<_> = one.lines().collect();
    assert!(lines[0].starts_with("Timestamp sec: ") && lines[0].contains(", usec: "));
    for (i, line) in lines.iter().enumerate().skip(1).filter(|(_, line)| !line.is_empty()) {
        if let Some((name, value)) = line.split_once('=') {
            names.push(name);
            value.parse::<i128>().expect("a number");
        } else {
            assert_eq!(*line, format!("{} Table", next.next().expect("another table")));
            assert_eq!((lines[i - 2], lines[i - 1], lines[i + 1]), ("", "", ""));
        }
    }
    assert_eq!(next.next(), None, "all tables are there");
    // In the order of the logger's columns; what is not known is left out.
    let header = header();
    let columns: Vec<_> = header.trim().split(',').skip(6).map(str::trim).collect();
    let mut at = columns.iter();
    assert!(names.iter().all(|name| at.any(|column| column == name)), "{names:?}");
    assert!(names.len() > 100, "{}", names.len());
    assert!(matches!(readvars(&run, Some(7)), Err(ExportError::NoConnection { conn_id: 7 })));
}

/// `compare` reads the same values from it as from the logger's last lines.
#[test]
fn readvars_has_the_loggers_last_values() {
    for scenario in ["loss", "function-hooks", "clean-path-over-ipv6"] {
        let run = golden(scenario);
        let path = Path::new("text");
        let last = Dump::parse(&logger(&run), path).expect("the logger's text");
        let read = Dump::parse(&readvars(&run, None).expect("text"), path).expect("its text");
        assert_eq!((last.form, read.form), (Form::Logger, Form::Readvars));
        assert_eq!(read.rows.len(), last.rows.len());
        for row in &read.rows {
            let isn = row.values.get(Var::SndInitial);
            let same =
                |other: &&estats::views::compare::DumpRow| other.values.get(Var::SndInitial) == isn;
            let other = last.rows.iter().find(same).expect("the same connection");
            assert_eq!(row.read_us, other.read_us);
            for &var in Var::ALL {
                assert_eq!(row.values.get(var), other.values.get(var), "{}", var.name());
            }
        }
    }
}

#[test]
fn deltas_of_counters_add_up_to_their_last_values() {
    let run = golden("loss");
    let text = deltavars(&run, Some(1), Deltas::Csv).expect("text");
    let mut lines = text.lines();
    let header = lines.next().expect("a header");
    assert!(header.starts_with("sec,usec,SegsOut,") && header.ends_with(",Priority,"), "{header}");
    let names: Vec<_> = header.split(',').collect();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    assert!(rows.len() > 5 && rows.iter().all(|row| row.len() == names.len()));
    let one = readvars(&run, Some(1)).expect("text");
    let last: BTreeMap<&str, i128> = one
        .lines()
        .filter_map(|l| l.split_once('='))
        .map(|(n, v)| (n, v.parse().unwrap()))
        .collect();
    let column = |name: &str| {
        let at = names.iter().position(|n| *n == name).expect("a column");
        rows.iter().map(move |row| row[at].parse::<i128>().ok())
    };
    for name in ["SegsOut", "HCDataOctetsOut", "SegsRetrans", "ElapsedMicroSecs", "CongSignals"] {
        let sum: i128 = column(name).map(|value| value.expect("a number")).sum();
        // ElapsedMicroSecs begins again each second, and differences are of 32 bits.
        assert_eq!(sum & 0xffff_ffff, last[name] & 0xffff_ffff, "{name}");
    }
    for name in ["CurCwnd", "SndNxt", "State", "MaxRTT", "ZeroRwinRcvd"] {
        assert_eq!(
            column(name).next_back().flatten(),
            last.get(name).copied(),
            "{name} is not a counter"
        );
    }
    // The same as text: a heading with a space before it, names in twenty places.
    let text = deltavars(&run, Some(1), Deltas::Text).expect("text");
    assert_eq!(text.matches("Timestamp sec: ").count(), rows.len());
    assert!(text.contains("\n\n Perf Table\n\nSegsOut             = "), "{text:.200}");
    assert!(text.contains("\n\n\n Tune Table\n\nLimCwnd") && !text.contains("Extras"));
    assert!(text.ends_with("\n\n\n"));
    let first: Vec<_> = column("SegsOut").flatten().collect();
    let lines: Vec<i128> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SegsOut             = "))
        .map(|value| value.parse().unwrap())
        .collect();
    assert_eq!(lines, first);
    let said = deltavars(&run, None, Deltas::Text).expect_err("two connections");
    assert!(matches!(said, ExportError::Connections { connections: 2 }), "{said}");
    let one = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/limits/so-max-pacing-rate");
    assert!(deltavars(&one, None, Deltas::Text).is_ok());
}
