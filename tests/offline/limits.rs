// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Why connections were not faster: against Limstate's own times, and what the gauges make of the
//! same recording where Limstate is taken away.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{self, options, replay};
use estats::engine::limits::LimitCause;
use estats::views::summary::{self, Line};
use serde_json::Value as Json;

fn recording(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata").join(scenario).join("run")
}

fn lines(run: &Path) -> Vec<Line> {
    let out = tempfile::tempdir().expect("temporary directory");
    replay(run, &options(1, out.path()));
    summary::read(out.path()).expect("tables")
}

/// The same recording, as one in which Limstate has this quality.
fn with_limstate(quality: &str, run: &Path, to: &Path) {
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
            variable["quality"] = quality.into();
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

fn truth(name: &str) -> Line {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/limits").join(name);
    let mut all = lines(&run);
    assert_eq!(all.len(), 1, "{name} has one connection");
    let line = all.remove(0);
    let sum: f64 = line.why.limited.iter().flatten().sum();
    assert!((sum - 1.0).abs() < 1e-9, "{name}: {sum}");
    line
}

fn share(line: &Line, limit: LimitCause) -> f64 {
    line.why.limited[limit as usize].unwrap_or_else(|| panic!("{} is NULL", limit.name()))
}

/// A receiver with 64 kB of window, and a reader that is quick: the kernel saw the window in the way
/// for 0.959 of the connection's life.
#[test]
fn a_small_window_is_the_receiver_s_also_while_segmentation_is_deferred() {
    let line = truth("rwnd-64k");
    assert_eq!(line.why.limited_by, Some("receiver"));
    let (ours, kernel) = (share(&line, LimitCause::Receiver), line.why.rwnd_limited_share);
    let kernel = kernel.expect("tcp_info");
    assert!((kernel - 0.959).abs() < 0.001, "{kernel}");
    // The kernel has steps of 4 ms, of 5.3 s; measured: 0.001 apart.
    assert!((ours - kernel).abs() < 0.01, "{ours} and the kernel's {kernel}");
    assert_eq!(line.why.limits_differ, None);
    assert_eq!(
        line.why.limited[LimitCause::ReceiverApp as usize],
        None,
        "the peer was not recorded"
    );
    assert!(
        summary::render(&[line], 1).contains("by the kernel busy 99 %, receiver's window 96 %")
    );
}

/// 95 of 100 Mbit/s for five seconds, with drops in the queue.
#[test]
fn a_full_bottleneck_is_the_network() {
    let line = truth("bottleneck-cubic");
    assert_eq!(line.why.limited_by, Some("network"));
    assert!(share(&line, LimitCause::Network) > 0.9, "{:?}", line.why);
    assert_eq!(line.why.limits_differ, None);
}

/// write, write, read, against delayed ACKs: the second write waits for 88 of each 130 ms.
#[test]
fn data_held_back_by_nagles_algorithm_is_its_share() {
    let line = truth("nagle-delayed-ack");
    assert_eq!(line.why.limited_by, Some("nagle"));
    // 0.085 to 0.089 s of 0.125 to 0.132 s, and 0.2 s around them without.
    let nagle = share(&line, LimitCause::Nagle);
    assert!((0.60..0.70).contains(&nagle), "{nagle}");
    assert_eq!(share(&line, LimitCause::Host), 0.0);
}

/// 5 Mbit/s by SO_MAX_PACING_RATE, on a path with room for more.
#[test]
fn the_application_s_own_pace_is_not_the_algorithm_s() {
    let line = truth("so-max-pacing-rate");
    assert_eq!(line.why.limited_by, Some("app_rate"));
    assert!(share(&line, LimitCause::AppRate) > 0.95, "{:?}", line.why);
    assert_eq!(share(&line, LimitCause::CcRate), 0.0);
}

/// Which of the two paces was in force is read at snapshots, however exact Limstate is.
#[test]
fn a_pace_of_the_application_s_own_is_approximate() {
    let dir = tempfile::tempdir().expect("temporary directory");
    for (name, expected) in [("so-max-pacing-rate", "approximate"), ("rwnd-64k", "exact")] {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/limits").join(name);
        let exact = dir.path().join(name);
        with_limstate("exact", &run, &exact);
        let basis = lines(&exact).remove(0).why.limits_basis.expect("a basis");
        assert_eq!(basis.split(';').next(), Some(expected), "{name}: {basis}");
    }
}

#[test]
fn shares_are_those_of_the_times_in_limstate() {
    // In the second, all connections were open before the recording, and more than a hundredth of their
    // recorded time was over before the loop that sets the limit first ran.
    for (scenario, told) in [("function-hooks", 4), ("kprobes", 0)] {
        let run = recording(scenario);
        let times = times(&run);
        let mut compared = 0;
        for line in lines(&run) {
            let us = &times[&line.conn_id];
            let total: i64 = us.values().sum();
            // Open before the recording, and never sent: the loop that sets it did not run.
            let Some(basis) = &line.why.limits_basis else {
                assert_eq!(line.why.limited, [None; LimitCause::ALL.len()], "{scenario}");
                continue;
            };
            // Recorded before the recorder recorded tcp_info, by programs that inferred Limstate
            // after the loop.
            assert!(basis.starts_with("approximate; application holds send_buffer"), "{basis}");
            let paced = line.why.limited[LimitCause::CcRate as usize] > Some(0.0);
            assert_eq!(basis.contains("cc_rate holds app_rate"), paced, "{basis}");
            let sum = |limits: &[LimitCause]| {
                limits.iter().filter_map(|l| line.why.limited[*l as usize]).sum::<f64>()
            };
            let expected = |words: &[&str]| {
                words.iter().map(|word| us[word]).sum::<i64>() as f64 / total as f64
            };
            // Deferral is of one of the windows.
            let windows = [LimitCause::Network, LimitCause::Receiver, LimitCause::ReceiverApp];
            let sender = [LimitCause::Application, LimitCause::Nagle, LimitCause::Host];
            for (found, expected) in [
                (sum(&[LimitCause::Startup]), expected(&["startup"])),
                (sum(&windows), expected(&["congestion", "receiver", "defer"])),
                (sum(&[LimitCause::CcRate]), expected(&["pacing"])),
                (sum(&sender), expected(&["sender"])),
            ] {
                // Times are whole microseconds, of a life of at least 0.8 s; Limstate is first set some
                // 10 us after ESTABLISHED, in which nothing was sent.
                assert!((found - expected).abs() < 1e-4, "{scenario}: {line:?}");
            }
            assert!((sum(&LimitCause::ALL) - 1.0).abs() < 1e-9);
            compared += 1;
        }
        assert_eq!(compared, told, "{scenario}");
    }
}

#[test]
fn shares_from_gauges_alone_are_close() {
    let run = recording("function-hooks");
    let dir = tempfile::tempdir().expect("temporary directory");
    let bare = dir.path().join("run");
    with_limstate("missing", &run, &bare);
    for (exact, gauges) in lines(&run).iter().zip(lines(&bare)) {
        let basis = gauges.why.limits_basis.expect("a basis");
        assert!(basis.starts_with("gauges; "), "{basis}");
        assert!(basis.contains("host holds app_rate, cc_rate"), "{basis}");
        for limit in [LimitCause::CcRate, LimitCause::AppRate, LimitCause::SendBuffer] {
            assert_eq!(gauges.why.limited[limit as usize], None, "NULL, not zero");
        }
        assert_eq!(gauges.why.limited_by, exact.why.limited_by);
        for limit in [
            LimitCause::Startup,
            LimitCause::Application,
            LimitCause::Network,
            LimitCause::Receiver,
        ] {
            let (a, b) = (share(exact, limit), gauges.why.limited[limit as usize]);
            let apart = (a - b.expect("a share")).abs();
            // A reading may be a millisecond old, and what waits for TSO deferral counts as
            // congestion where the window has no room for it; measured: at most 0.018.
            assert!(apart < 0.03, "{}: {a:?} and {b:?} of {}", limit.name(), exact.conn_id);
        }
    }
}

/// The link dropped everything for 1.2 s.
#[test]
fn a_blackout_is_a_dead_path() {
    let mut compared = 0;
    for line in lines(&recording("blackout")).iter().filter(|l| l.octets_sent > Some(100_000)) {
        let dead = share(line, LimitCause::PathDead) * line.duration_s.expect("a duration");
        assert!((1.2..2.4).contains(&dead), "{dead} s: {line:?}");
        assert_eq!(line.why.limited_by, Some("path_dead"));
        compared += 1;
    }
    assert_eq!(compared, 1);
}

/// A reader that sleeps, whose end is in the recording too.
#[test]
fn an_unread_receive_buffer_counts_as_receiver_app() {
    let all = lines(&recording("zero-window"));
    let sender = all.iter().find(|line| line.octets_sent > Some(100_000)).expect("a sender");
    assert_eq!(sender.why.limited_by, Some("receiver_app"), "{sender:?}");
}

/// The statement of docs/limits.md and the report about the bundled recording.
#[test]
fn the_lossy_upload_was_limited_by_the_network() {
    let lines = lines(&recording("loss"));
    let sender = &lines[0];
    assert_eq!(sender.why.limited_by, Some("network"));
    let basis = sender.why.limits_basis.as_deref().expect("a basis");
    assert!(basis.starts_with("gauges; "), "{basis}");
    // FastRetran is 15, and no timeout came.
    assert_eq!(sender.why.recoveries, Some(15));
    assert_eq!(sender.why.retransmitted_share, Some(31_856.0 / 2_031_856.0));
    assert_eq!(sender.why.busy_share, None, "a recording without snapshots");
    let text = summary::render(&lines, 10);
    assert!(text.contains("limited by network"), "{text}");
    assert!(text.contains("in 15 recoveries"), "{text}");
}

/// A capture does not show what an application had not written yet.
#[test]
fn recordings_of_packets_have_no_limits() {
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
