// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings made by the recorder inside a Web10G kernel, compared with that kernel's own values: by
//! the command, as a user would.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use estats::log::Recording;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

/// Values after the close, while the connection was open and at rest, and during a timeout, where
/// the scenario has them.
const READINGS: [&str; 3] = ["final", "preclose", "mid"];

/// How many values of each class, in this order.
const CLASSES: [&str; 6] =
    ["exact", "unit_rounded", "bounded", "known_fault", "not_comparable", "differs"];

/// Scenario, reading, and how many values there are of each class.
const PINNED: &[(&str, &str, [u64; 6])] = &[
    ("b_loss", "final", [191, 11, 24, 22, 38, 0]),
    ("b_loss", "preclose", [184, 9, 35, 20, 38, 0]),
    ("e_rwnd", "final", [189, 11, 30, 18, 38, 0]),
    ("e_rwnd", "preclose", [181, 9, 42, 16, 38, 0]),
    ("h_rr", "final", [192, 11, 27, 18, 38, 0]),
    ("h_rr", "preclose", [181, 8, 44, 15, 38, 0]),
    ("o_synloss", "final", [188, 11, 27, 22, 38, 0]),
    ("o_synloss", "preclose", [173, 9, 47, 19, 38, 0]),
    ("q_local", "final", [1360, 87, 179, 110, 266, 0]),
    ("q_local", "preclose", [1360, 87, 179, 110, 266, 0]),
    ("r_ends", "final", [1919, 126, 259, 176, 380, 0]),
    ("r_ends", "preclose", [1919, 126, 259, 176, 380, 0]),
    ("t_stall", "final", [932, 61, 152, 92, 193, 0]),
    ("t_stall", "preclose", [932, 61, 152, 92, 193, 0]),
];

/// One comparison.
#[derive(Debug)]
pub struct Held {
    /// Folder in testdata/web10g.
    pub scenario: String,
    /// When the reference was read.
    pub reading: &'static str,
    /// What the command printed.
    pub said: Value,
    status: Option<i32>,
}

impl Held {
    fn counts(&self) -> [u64; 6] {
        CLASSES.map(|class| self.said["counts"][class].as_u64().expect("a count"))
    }

    /// Connection, variable, values and reason of all of this class.
    fn of_class(&self, class: &str) -> Vec<String> {
        let connections = self.said["matched"].as_array().expect("connections").iter();
        let of_class = connections.flat_map(|m| {
            let variables = m["variables"].as_array().expect("variables").iter();
            let those = variables.filter(|v| v["class"] == class);
            those.map(move |v| {
                format!(
                    "{} {} {} {}: {} here, {} there: {}",
                    self.scenario,
                    self.reading,
                    m["cid"],
                    v["name"],
                    v["ours"],
                    v["reference"],
                    v["reason"]
                )
            })
        });
        of_class.collect()
    }
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/web10g")
}

fn packed(scenario: &Path, reading: &str) -> PathBuf {
    scenario.join(format!("{reading}.json.zst"))
}

/// The values of a reading, unpacked into `dir`.
fn unpacked(scenario: &Path, reading: &str, dir: &Path) -> PathBuf {
    let packed = fs::read(packed(scenario, reading)).expect("a reference");
    let to = dir.join(format!("{reading}.json"));
    fs::write(&to, zstd::decode_all(&packed[..]).expect("zstd")).expect("a file");
    to
}

/// Every scenario at every reading, once for all tests.
pub fn held() -> &'static [Held] {
    static HELD: OnceLock<Vec<Held>> = OnceLock::new();
    HELD.get_or_init(|| {
        let mut scenarios: Vec<PathBuf> = fs::read_dir(testdata())
            .expect("testdata/web10g")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.is_dir())
            .collect();
        scenarios.sort();
        let all = scenarios.iter().flat_map(|s| READINGS.map(|reading| (s, reading)));
        all.filter(|(scenario, reading)| packed(scenario, reading).exists())
            .map(|(scenario, reading)| compare(scenario, reading))
            .collect()
    })
}

fn compare(scenario: &Path, reading: &'static str) -> Held {
    let dir = tempfile::tempdir().expect("temporary directory");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .arg("compare")
        .arg(scenario.join("run"))
        .arg("--reference")
        .arg(unpacked(scenario, reading, dir.path()))
        .arg("--json")
        .output()
        .expect("estats-analyze can be started");
    let scenario = scenario.file_name().expect("a name").to_string_lossy().into_owned();
    let said = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    Held { scenario, reading, said, status: output.status.code() }
}

#[test]
fn the_hooks_give_the_kernels_values() {
    let unexplained: Vec<_> = held().iter().flat_map(|h| h.of_class("differs")).collect();
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    for h in held() {
        assert_eq!(h.status, Some(0), "{} {}", h.scenario, h.reading);
        assert_eq!(h.said["only_reference"], serde_json::json!([]), "{} {}", h.scenario, h.reading);
    }
}

/// A relation that became wider, or a variable that is compared no more, shows here.
#[test]
fn the_number_of_values_in_each_class_is_unchanged() {
    let found: Vec<_> =
        held().iter().map(|h| (h.scenario.as_str(), h.reading, h.counts())).collect();
    assert_eq!(found, PINNED);
}

/// A variable that earlier programs counted wrongly is not an exact column.
#[test]
fn counts_of_an_earlier_recorder_are_approximate() {
    let run = testdata().join("h_rr/run");
    let dir = tempfile::tempdir().expect("temporary directory");
    let later = dir.path().join("run");
    fs::create_dir(&later).expect("a directory");
    for entry in fs::read_dir(&run).expect("a recording") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, later.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let manifest = fs::read_to_string(run.join("manifest.json")).expect("a manifest");
    let today = format!("{{\n  \"counting\": {},", estats::schema::counting::COUNTING);
    let stated = manifest.replacen('{', &today, 1);
    fs::write(later.join("manifest.json"), stated).expect("a manifest");
    let quality = |run: &Path, name: &str| {
        let recording = Recording::open(run).expect("a recording");
        let status = recording.manifest().variables.iter().find(|v| v.name == name).cloned();
        let status = status.expect("a variable");
        (status.quality, status.reason.is_some())
    };
    for name in
        ["SlowStart", "SndLimTimeSnd", "DupAcksIn", "SoftErrors", "HCDataOctetsOut", "CERcvd"]
    {
        assert_eq!(quality(&run, name), ("approximate".into(), true), "{name}");
        assert_eq!(quality(&later, name), ("exact".into(), false), "{name}");
    }
    assert_eq!(quality(&run, "SegsIn"), ("exact".into(), false));
    // The columns are marked too.
    let columns = |run: &Path, out: &str| {
        let out = dir.path().join(out);
        let replay = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
            .args(["replay", "-o"])
            .arg(&out)
            .arg(run)
            .output()
            .expect("estats-analyze can be started");
        // 3: a snapshot has values that cannot be.
        let said = String::from_utf8_lossy(&replay.stderr);
        assert!(matches!(replay.status.code(), Some(0 | 3)), "{said}");
        let file = fs::File::open(out.join("stack.parquet")).expect("a table");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet");
        let field = reader.schema().field_with_name("SlowStart").expect("a column").clone();
        field.metadata()["quality"].clone()
    };
    assert_eq!(columns(&run, "earlier"), "approximate");
    assert_eq!(columns(&later, "later"), "exact");
}

/// The table of docs/validation.md.
pub fn section(out: &mut String) {
    out.push_str(
        "## Hooks against a Web10G kernel\n\n\
         Recordings that were made inside a Web10G kernel (set `kprobe`), of both ends of each \
         connection. They are compared with that kernel's values after the close, and while the \
         connection was open and at rest. [testdata/web10g](../testdata/web10g/README.md) \
         describes the scenarios. Their programs count as version 1 does \
         ([compare.md](compare.md)).\n\n\
         | scenario | read | connections | exact | unit-rounded | bounded | known fault | not comparable | unexplained |\n\
         |---|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for h in held() {
        let connections = h.said["matched"].as_array().map_or(0, Vec::len);
        let counts = h.counts().map(|n| n.to_string()).join(" | ");
        let read = match h.reading {
            "final" => "after the close",
            "preclose" => "at rest, before it",
            _ => "during a timeout",
        };
        let _ = writeln!(out, "| {} | {read} | {connections} | {counts} |", h.scenario);
    }
    out.push('\n');
}

/// The line of the first table.
pub fn line() -> String {
    let (mut ends, mut values, mut unexplained) = (0, 0, 0);
    let finals = held().iter().filter(|h| h.reading == "final");
    let scenarios = finals.clone().count();
    for h in finals {
        ends += h.said["matched"].as_array().map_or(0, Vec::len);
        let [exact, rounded, bounded, fault, _, differs] = h.counts();
        values += exact + rounded + bounded + fault + differs;
        unexplained += differs;
    }
    format!(
        "| replay of hooks | the values of the Web10G kernel in which they were made | \
         {scenarios} scenarios, {ends} ends of connections, {values} values | {unexplained} |\n\n"
    )
}
