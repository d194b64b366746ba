// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Values carried over the beginning of a cut: they cause no losses and no wrong numbers.

use std::collections::BTreeMap;
use std::path::Path;

use estats::engine::estats::{Interval, ORDERED};
use estats::log::{CaptureStat, Recording};
use estats::recordings::transform::cut::{CutOptions, CutTime, cut};
use estats::replay::ReplayOptions as Replay;
use estats::schema::{Kind, Var};

use super::source::{golden, verified};
use crate::common::{options, read, replay, value};

/// Places at which each recording is cut.
const CUTS: u64 = 8;

/// Recordings that lack nothing, of each set of hooks.
const RECORDINGS: [&str; 7] = [
    "begun-before-the-recording",
    "clean-path",
    "clean-path-over-ipv6",
    "function-hooks",
    "kprobes",
    "loss",
    "zero-window",
];

const ENDS: [&str; 4] = ["LocalAddress", "LocalPort", "RemAddress", "RemPort"];

type Row = BTreeMap<String, String>;

fn number(row: &Row, column: &str) -> Option<u64> {
    row.get(column)?.parse().ok()
}

/// Beginning and end of a recording, CLOCK_MONOTONIC, by its samples of the clock.
fn span(run: &Path) -> (u64, u64) {
    let recording = Recording::open(run).unwrap();
    let clocks = recording.capture_stats().filter_map(|row| match row.unwrap() {
        CaptureStat::Clock(monotonic_ns, _) => Some(monotonic_ns),
        _ => None,
    });
    let clocks: Vec<_> = clocks.collect();
    (*clocks.iter().min().unwrap(), *clocks.iter().max().unwrap())
}

/// Rows of a table that was written.
fn rows(tables: &Path, name: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in read(&tables.join(name).with_extension("parquet")) {
        let schema = batch.schema();
        let cell = |name: &String, row| (name.clone(), value(&batch, name, row));
        rows.extend(
            (0..batch.num_rows()).map(|row| -> Row {
                schema.fields().iter().map(|f| cell(f.name(), row)).collect()
            }),
        );
    }
    rows
}

/// In a series of every change, no extreme is passed by the value that it is one of.
fn assert_ordered(tables: &Path) {
    let extreme = |var: Var| matches!(var.def().kind, Kind::Max | Kind::Min);
    let pairs = ORDERED.iter().filter(|(a, b)| extreme(*a) || extreme(*b));
    for row in rows(tables, "series") {
        for (less, more) in pairs.clone() {
            if let (Some(a), Some(b)) = (number(&row, less.name()), number(&row, more.name())) {
                let (less, more) = (less.name(), more.name());
                assert!(a <= b, "{}: {less} {a}, {more} {b}", tables.display());
            }
        }
    }
}

#[test]
fn a_cut_of_a_whole_recording_lacks_nothing_after_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let mut compared = 0;
    for name in RECORDINGS {
        let run = golden(name);
        let tables = dir.path().join(name);
        replay(&run, &options(1, &tables));
        assert!(rows(&tables, "connections").iter().all(|row| row["completeness"] != "lossy"));
        let whole = rows(&tables, "estats");
        let (begin_ns, end_ns) = span(&run);
        for n in 1..CUTS {
            let from = CutTime::Since((end_ns - begin_ns) * n / CUTS);
            let part = dir.path().join(format!("{name}-{n}"));
            let cutting = CutOptions { from: Some(from), ..CutOptions::default() };
            cut(&Recording::open(&run).unwrap(), &part, &cutting).unwrap();
            verified(&part);
            let place = format!("{name} from {from:?}");
            let tables = part.join("tables");
            let every = Replay { interval: Interval::Event, ..options(1, &tables) };
            assert_eq!(replay(&part, &every).findings.counts.discarded, 0, "{place}");
            for row in rows(&tables, "connections") {
                assert_ne!(row["completeness"], "lossy", "{place}: {row:#?}");
                assert_eq!(row["lost_records"], "0", "{place}");
            }
            for row in rows(&tables, "estats") {
                let same = |w: &&Row| ENDS.iter().all(|column| w[*column] == row[*column]);
                let original = whole.iter().find(same).expect("it is in the whole");
                let octets = |row: &Row| number(row, "HCDataOctetsIn");
                if let (Some(part), Some(whole)) = (octets(&row), octets(original)) {
                    assert!(part <= whole, "{place}: {part} octets of {whole}");
                    compared += 1;
                }
            }
            assert_ordered(&tables);
        }
    }
    assert!(compared > 30, "{compared}");
}
