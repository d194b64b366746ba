//! Why connections were not faster: against Limstate's own times, and what the gauges make of the
//! same recording where Limstate is taken away.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{options, replay};
use estats::limits::Limit;
use estats::summary::{self, Line};
use serde_json::Value as Json;

fn recording(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(scenario).join("run")
}

fn lines(run: &Path) -> Vec<Line> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    summary::read(out.path()).expect("tables")
}

/// The same recording, as one in which Limstate could not be had.
fn without_limstate(run: &Path, to: &Path) {
    fs::create_dir(to).expect("directory");
    for file in fs::read_dir(run).expect("a recording") {
        let file = file.expect("entry");
        fs::copy(file.path(), to.join(file.file_name())).expect("copy");
    }
    let path = to.join("manifest.json");
    let text = fs::read_to_string(&path).expect("manifest");
    let mut manifest: Json = serde_json::from_str(&text).expect("JSON");
    for variable in manifest["variables"].as_array_mut().expect("variables") {
        if variable["name"] == "Limstate" {
            variable["quality"] = "missing".into();
        }
    }
    fs::write(&path, manifest.to_string()).expect("manifest");
}

/// SndLimTime* of each connection, in microseconds, by the word of its share.
fn times(run: &Path) -> BTreeMap<i64, BTreeMap<&'static str, i64>> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    let batches = common::read(&out.path().join("estats.parquet"));
    let columns = [
        ("startup", "SndLimTimeStartup"),
        ("sender", "SndLimTimeSnd"),
        ("congestion", "SndLimTimeCwnd"),
        ("receiver", "SndLimTimeRwin"),
        ("pacing", "SndLimTimePace"),
        ("defer", "SndLimTimeTSODefer"),
    ];
    let mut all = BTreeMap::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let int = |name| common::value(batch, name, row).parse().unwrap_or_default();
            let times = columns.iter().map(|&(word, name)| (word, int(name))).collect();
            all.insert(int("conn_id"), times);
        }
    }
    all
}

#[test]
fn shares_are_those_of_the_times_in_limstate() {
    // Of the second all were open before the recording, and more than a hundredth of what was recorded
    // of them was over before the loop that says the limit first ran.
    for (scenario, told) in [("function-hooks", 4), ("kprobes", 0)] {
        let run = recording(scenario);
        let times = times(&run);
        let mut compared = 0;
        for line in lines(&run) {
            let us = &times[&line.conn_id];
            let total: i64 = us.values().sum();
            // Open before the recording, and never sent: the loop that says it did not run.
            let Some(basis) = &line.why.limits_basis else {
                assert_eq!(line.why.limited, [None; Limit::ALL.len()], "{scenario}");
                continue;
            };
            // The programs of these recorders inferred Limstate after the loop.
            assert_eq!(basis, "approximate", "{scenario} {}", line.conn_id);
            let share = |limit: Limit| line.why.limited[limit as usize].expect("a share");
            let expected = |words: &[&str]| {
                words.iter().map(|word| us[word]).sum::<i64>() as f64 / total as f64
            };
            for (found, expected) in [
                (share(Limit::Startup), expected(&["startup"])),
                (share(Limit::Congestion), expected(&["congestion"])),
                (share(Limit::Receiver), expected(&["receiver"])),
                (share(Limit::Pacing), expected(&["pacing"])),
                (share(Limit::Application) + share(Limit::Sender), expected(&["sender", "defer"])),
            ] {
                // Times are whole microseconds, of a life of at least 0.8 s; Limstate is first
                // said some 10 us after ESTABLISHED, in which nothing was sent.
                assert!((found - expected).abs() < 1e-4, "{scenario}: {line:?}");
            }
            let sum: f64 = line.why.limited.iter().flatten().sum();
            assert!((sum - 1.0).abs() < 1e-9, "{sum}");
            compared += 1;
        }
        assert_eq!(compared, told, "{scenario}");
    }
}

#[test]
fn gauges_alone_come_close() {
    let run = recording("function-hooks");
    let dir = tempfile::tempdir().expect("temporary directory");
    let bare = dir.path().join("run");
    without_limstate(&run, &bare);
    for (exact, gauges) in lines(&run).iter().zip(lines(&bare)) {
        assert_eq!(gauges.why.limits_basis.as_deref(), Some("gauges"));
        assert_eq!(gauges.why.limited[Limit::Pacing as usize], None, "NULL, not zero");
        assert_eq!(gauges.why.limited_by, exact.why.limited_by);
        for limit in [Limit::Startup, Limit::Application, Limit::Congestion, Limit::Receiver] {
            let (a, b) = (exact.why.limited[limit as usize], gauges.why.limited[limit as usize]);
            let apart = (a.expect("a share") - b.expect("a share")).abs();
            // A reading may be a millisecond old, and what waits for TSO deferral counts as
            // congestion where the window has no room for it; measured: at most 0.018.
            assert!(apart < 0.03, "{}: {a:?} and {b:?} of {}", limit.name(), exact.conn_id);
        }
    }
}

/// What the README and the report say of the bundled recording.
#[test]
fn the_lossy_upload_was_limited_by_congestion() {
    let lines = lines(&recording("loss"));
    let sender = &lines[0];
    assert_eq!(sender.why.limited_by, Some("congestion"));
    assert_eq!(sender.why.limits_basis.as_deref(), Some("gauges"));
    // FastRetran is 15, and no timeout came.
    assert_eq!(sender.why.recoveries, Some(15));
    assert_eq!(sender.why.retransmitted_share, Some(31_856.0 / 2_031_856.0));
    assert_eq!(sender.why.busy_share, None, "a recording without snapshots");
    let text = summary::render(&lines, 10);
    assert!(text.contains("limited by congestion"), "{text}");
    assert!(text.contains("in 15 recoveries"), "{text}");
}

/// A capture does not tell what an application had not written yet.
#[test]
fn packets_tell_nothing_of_limits() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    let capture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/reference/b_loss/A.pcap.zst");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(["import-pcap", capture.to_str().expect("UTF-8"), "-o"])
        .arg(&run)
        .output()
        .expect("estats-analyze");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    let lines = lines(&run);
    assert!(!lines.is_empty());
    for line in lines {
        assert_eq!((line.why.limited_by, line.why.limits_basis), (None, None));
        assert!(line.why.limited[1..].iter().all(Option::is_none));
    }
}
