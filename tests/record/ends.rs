// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How a recording ends: by itself, by a signal, with its command, and not at all.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::SUITE;
use crate::run::{Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::traffic::{listen, open, talk, until};

fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[test]
fn by_duration_and_by_each_signal_it_ends_cleanly() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("clean");
    let listener = listen(&netns);
    for end in [None, Some(libc::SIGINT), Some(libc::SIGTERM)] {
        let limit: &[&str] = if end.is_none() { &["--duration", "700ms"] } else { &[] };
        let recorder = Recorder::start(&[&["--netns", netns.name()], limit].concat());
        talk(&netns, &listener, 100);
        if let Some(signal) = end {
            recorder.signal(signal);
        }
        let finished = recorder.wait();
        finished.assert_code(0);
        finished.assert_account();
        assert!(finished.stdout.is_empty(), "stdout is for data: {}", finished.stdout);
        let manifest = finished.manifest();
        assert!(manifest["exit_status"].is_null());
        let seconds = manifest["totals"]["duration_ns"].as_u64().expect("a duration") as f64 / 1e9;
        if end.is_none() {
            // It looks at the clock every 10 ms; the rest is a busy host.
            assert!((0.7..2.0).contains(&seconds), "{seconds} s");
        }
        assert_eq!(finished.connections().len(), 2);
    }
}

#[test]
fn a_commands_status_or_signal_is_passed_on() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (script, code) in [("exit 0", 0), ("exit 77", 77), ("kill -9 $$", 128 + 9)] {
        let finished = Recorder::start(&["--", "sh", "-c", script]).wait();
        finished.assert_code(code);
        assert_eq!(finished.manifest()["exit_status"].as_i64(), Some(i64::from(code)));
        assert_ne!(finished.verify().0, 1, "the recording is closed");
    }
}

#[test]
fn sigterm_to_the_recorder_ends_the_command_too() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let recorder = Recorder::start(&["--", "sh", "-c", "echo $$; exec sleep 100"]);
    recorder.signal(libc::SIGTERM);
    let finished = recorder.wait();
    finished.assert_code(128 + libc::SIGTERM);
    let pid = finished.stdout.trim();
    assert!(!pid.is_empty() && !Path::new("/proc").join(pid).exists(), "process {pid} lives");
    assert_eq!(finished.manifest()["exit_status"].as_i64(), Some(143));
}

#[test]
fn a_command_that_ignores_sigterm_is_named_and_runs_on() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // It ends by itself, some time after the recorder's patience of 2 s.
    let script = "trap '' TERM; echo $$; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; done";
    let recorder = Recorder::start(&["--", "sh", "-c", script]);
    std::thread::sleep(Duration::from_millis(200));
    recorder.signal(libc::SIGTERM);
    let finished = recorder.wait();
    finished.assert_code(0);
    assert!(finished.stderr.contains("runs on"), "{}", finished.stderr);
    assert!(finished.manifest()["exit_status"].is_null(), "it has none yet");
    assert_ne!(finished.verify().0, 1, "the recording is closed");
}

/// Ids of BPF objects of a kind that are in the kernel, as its descriptors show them.
fn objects(pid: u32) -> (usize, Vec<(&'static str, u32)>) {
    let mut found = Vec::new();
    let entries: Vec<_> = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap().flatten().collect();
    for entry in &entries {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in text.lines() {
            for kind in ["prog_id", "map_id", "link_id"] {
                if let Some(id) = line.strip_prefix(kind).and_then(|l| l.strip_prefix(":")) {
                    found.push((kind, id.trim().parse().expect("an id")));
                }
            }
        }
    }
    (entries.len(), found)
}

/// Whether the kernel still has the object: BPF_*_GET_FD_BY_ID finds it.
fn exists((kind, id): (&str, u32)) -> bool {
    let command: libc::c_long = match kind {
        "prog_id" => 13, // BPF_PROG_GET_FD_BY_ID
        "map_id" => 14,  // BPF_MAP_GET_FD_BY_ID
        _ => 30,         // BPF_LINK_GET_FD_BY_ID
    };
    let attr = [id, 0, 0];
    // SAFETY: the attributes are valid for their size; the descriptor is closed at once.
    unsafe {
        let fd = libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(&attr));
        if fd >= 0 {
            libc::close(fd as libc::c_int);
        }
        fd >= 0
    }
}

#[test]
fn kill_9_loses_at_most_one_second_and_leaves_no_bpf_objects() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("killed");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    // With those that this process was started with, however many these are.
    let (at_first, _) = objects(recorder.pid());
    let flow = open(&netns, &listener);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        flow.upload(20_000);
        std::thread::sleep(Duration::from_millis(1));
    }
    let (descriptors, objects) = objects(recorder.pid());
    for kind in ["prog_id", "map_id", "link_id"] {
        assert!(objects.iter().any(|(k, _)| *k == kind), "no {kind} in {objects:?}");
    }
    assert!(objects.iter().all(|object| exists(*object)));
    // Rings, maps, programs and links, and nothing for each of some thousand records. A few files of /proc may be open
    // for the moment.
    assert!(descriptors <= at_first + 8, "{at_first} descriptors, then {descriptors}");
    let killed_ns = monotonic_ns();
    recorder.signal(libc::SIGKILL);
    let finished = recorder.wait();
    assert_eq!(finished.signal, Some(libc::SIGKILL));
    until("BPF objects outlive their process", || !objects.iter().any(|o| exists(*o)));

    let (code, report) = finished.verify();
    assert_eq!(code, 1, "an unclosed recording is a finding");
    let findings = report["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|f| f["finding"] == "not_closed"), "{findings:?}");
    // Cut segments and the missing totals, but no number that is neither logged nor lost.
    assert!(
        findings.iter().all(|f| f["finding"] == "not_closed" || f["finding"] == "truncated"),
        "{findings:?}"
    );
    let rows = finished.with_port(listener.address().port());
    assert_eq!(rows.len(), 2);
    for row in &rows {
        // Records after the last mark are not known.
        assert_eq!(row.completeness(), "lossy");
        let missing_ns = killed_ns.saturating_sub(row.identity.int("end_ns") as u64);
        // Batches are a second old at most, when a round (10 ms, on a busy host more) is over.
        assert!(missing_ns < 1_300_000_000, "{} ms are missing", missing_ns / 1_000_000);
    }
    let info = analyze(&["info"], &finished.dir);
    assert!(String::from_utf8_lossy(&info.stdout).contains("the recorder was killed"));
}

#[test]
fn a_recorder_stopped_by_sigstop_accounts_for_every_record() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // With each change sent at once, what was lost at last would not come again by itself.
    for resolution in ["1ms", "1us"] {
        stop_and_go_on(resolution);
    }
}

fn stop_and_go_on(resolution: &str) {
    let netns = Netns::new("stopped");
    let listener = listen(&netns);
    let recorder =
        Recorder::start(&["--netns", netns.name(), "--ring", "64K", "--resolution", resolution]);
    let flow = open(&netns, &listener);
    recorder.stopped(Duration::from_secs(2), || flow.upload(100_000));
    std::thread::sleep(Duration::from_millis(100));
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(3);
    finished.assert_account();
    assert!(finished.lost() > 0);
    let rows = finished.with_port(listener.address().port());
    assert_eq!(rows.len(), 4);
    let info = [flow.client.info(), flow.server.info()];
    for (row, info) in rows.iter().take(2).zip(info) {
        assert_eq!(row.completeness(), "lossy");
        for (name, field) in [
            ("SegsOut", "tcpi_segs_out"),
            ("SegsIn", "tcpi_segs_in"),
            ("HCThruOctetsAcked", "tcpi_bytes_acked"),
            ("HCThruOctetsReceived", "tcpi_bytes_received"),
            ("CurMSS", "tcpi_snd_mss"),
            ("SmoothedRTT", "tcpi_rtt"),
        ] {
            let ends = &row.identity;
            assert_eq!(row.values.int(name) as u64, info.must(field), "{name} of {ends:?}");
        }
    }
}
