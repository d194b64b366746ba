// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Segments, the bound of a recording's size, and a disk that is full.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::SUITE;
use crate::run::{Recorder, analyze, size};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::table::Value;
use crate::support::trust;
use crate::traffic::{Both, Flood, listen, open, talk, until};

fn segments(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).expect("a recording").flatten();
    let names = names.filter_map(|f| f.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|n| n.starts_with("hooks-")).collect();
    names.sort();
    names
}

#[test]
fn segments_by_size_and_by_time_replay_as_one() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("rotate");
    let listener = listen(&netns);
    for rotate in ["100K", "1s"] {
        let recorder = Recorder::start(&["--netns", netns.name(), "--rotate", rotate]);
        let flow = open(&netns, &listener);
        // How many records a second has depends on the machine: the third file shows that there were enough.
        let third = recorder.dir().join("hooks-000002.arrows.zst");
        until("there is no third file", || {
            (0..20).for_each(|_| flow.upload(100_000));
            third.exists()
        });
        let infos = [flow.client.info(), flow.server.info()];
        let finished = recorder.stop();
        finished.assert_code(0);
        let segments = segments(&finished.dir);
        assert_eq!(segments[0], "hooks-000000.arrows.zst");
        finished.assert_account();
        let rows = finished.with_port(flow.client.local().port());
        assert_eq!(rows.len(), 2, "one row for each end, however many segments");
        for (row, info) in rows.iter().zip(infos) {
            assert_eq!(row.completeness(), "ended_after");
            let sent = row.values.int("HCDataOctetsOut") as u64;
            assert_eq!(sent, info.must("tcpi_bytes_sent"));
        }
    }
}

#[test]
fn a_bounded_recording_keeps_the_newest_and_knows_what_was_open() {
    const MAX: u64 = 1 << 20;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("bounded");
    let listener = listen(&netns);
    let recorder =
        Recorder::start(&["--netns", netns.name(), "--max-size", "1M", "--rotate", "128K"]);
    let early = talk(&netns, &listener, 50_000);
    let whole = open(&netns, &listener);
    whole.upload(30_000);
    let flood = Flood::start(&netns);
    let mut largest = 0;
    let oldest = recorder.dir().join("hooks-000002.arrows.zst");
    let mut seen = false;
    until("nothing is removed", || {
        largest = largest.max(size(recorder.dir()));
        seen |= oldest.exists();
        seen && !oldest.exists()
    });
    flood.stop();
    // A second for all that came before to be in segments of its own.
    std::thread::sleep(Duration::from_millis(1100));
    let late = talk(&netns, &listener, 50_000);
    whole.upload(20_000);
    let info = whole.client.info();
    let finished = recorder.stop();
    finished.assert_code(0);
    let segments = segments(&finished.dir);
    assert_ne!(segments[0], "hooks-000000.arrows.zst", "the oldest is gone: {segments:?}");
    // Besides the segments: the manifest, and between two looks a batch (some 200 kB).
    let bound = MAX + (64 << 10) + (512 << 10);
    assert!(largest.max(size(&finished.dir)) < bound, "{largest} bytes");
    let report = finished.assert_account();
    let removed = report["cpus"].as_array().unwrap().iter();
    let removed: u64 = removed.map(|cpu| cpu["removed"].as_u64().unwrap()).sum();
    assert!(removed > 0);
    assert_eq!(finished.verify().0, 0, "a bound that was asked for is no defect");

    let rows = finished.with_port(listener.address().port());
    let of = |local| rows.iter().find(|row| row.local() == local).expect("a row");
    // The key frame stands for the segments that are gone: the kernel's counters are those of the whole life.
    let row = of(whole.client.local());
    assert_eq!(row.completeness(), "begun_before");
    assert_eq!(row.values.int("HCDataOctetsOut"), 50_000);
    assert_eq!(row.values.int("SegsOut") as u64, info.must("tcpi_segs_out"));
    let begun = row.identity.int("begin_ns");
    assert!(row.identity.int("counted_since_ns") > begun);
    assert!(!rows.iter().any(|row| row.local() == early), "it ended before what is left");
    let audit = finished.table("audit");
    assert!(!audit.is_empty() && audit.iter().all(|row| row.text("verdict") != "differs"));
    assert_eq!(of(late).completeness(), "complete");
    assert_eq!(of(late).values.int("HCDataOctetsOut"), 50_000);
}

#[test]
fn a_recording_keeps_a_time_and_knows_what_was_open() {
    const KEEP: u64 = 6_000_000_000;
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("keep");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--netns", netns.name(), "--keep", "6s"]);
    let early = talk(&netns, &listener, 50_000);
    let whole = open(&netns, &listener);
    whole.upload(30_000);
    let file = |name: &str| recorder.dir().join(format!("{name}-000002.arrows.zst"));
    // Nothing comes any more: an idle recorder removes what is old, too. The first connection ended in one of the
    // first three segments, which have three seconds, also on a busy host.
    until("no third segment", || file("hooks").exists());
    until("nothing is removed", || !file("hooks").exists());
    assert!(!file("ledger").exists() && !file("connections").exists());
    let late = talk(&netns, &listener, 50_000);
    whole.upload(20_000);
    let finished = recorder.stop();
    finished.assert_code(0);
    finished.assert_account();
    assert_eq!(finished.verify().0, 0, "a bound that was asked for is no defect");
    let recording = estats::log::Recording::open(&finished.dir).expect("a recording");
    let manifest = recording.manifest();
    assert_eq!(manifest.options.keep_ns, Some(KEEP));
    assert_eq!(manifest.options.rotate_ns, 1_000_000_000);
    let from_ns = recording.key_frame().expect("read").expect("a key frame").from_ns;
    let ended_ns = manifest.ended.expect("closed").monotonic_ns;
    assert!(ended_ns - from_ns >= KEEP, "{} ns are left", ended_ns - from_ns);
    let rows = finished.with_port(listener.address().port());
    let of = |local| rows.iter().find(|row| row.local() == local).expect("a row");
    let row = of(whole.client.local());
    assert_eq!(row.completeness(), "begun_before");
    assert_eq!(row.values.int("HCDataOctetsOut"), 50_000);
    assert!(!rows.iter().any(|row| row.local() == early), "it ended before what is left");
    assert_eq!(of(late).completeness(), "complete");
}

/// A tmpfs of a size, for the time of a test.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let dir = crate::run::scratch();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "estats-test"])
            .arg(dir.path())
            .status()
            .expect("mount can be started");
        assert!(mounted.success(), "mount: {mounted}");
        Self(dir)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

fn assert_cut_but_readable(dir: &Path, port: u16) {
    let verify = analyze(&["verify", "--json"], dir);
    assert_eq!(verify.status.code(), Some(1), "not closed");
    let report: serde_json::Value = serde_json::from_slice(&verify.stdout).expect("JSON");
    for finding in report["findings"].as_array().expect("findings") {
        let kind = finding["finding"].as_str();
        assert!(matches!(kind, Some("not_closed" | "truncated")), "{finding}");
    }
    // The tables go elsewhere: there is no room here.
    let tables = crate::run::scratch();
    let replay = analyze(&["replay", "-o", tables.path().to_str().unwrap()], dir);
    let code = replay.status.code();
    assert!(matches!(code, Some(0 | 3)), "{}", String::from_utf8_lossy(&replay.stderr));
    let rows = crate::support::table::read(&tables.path().join("connections.parquet"));
    let port = Some(i64::from(port));
    assert!(rows.iter().any(|row| row.number("remote_port") == port), "the early connection");
}

#[test]
fn a_full_disk_ends_the_recording_and_the_written_part_is_readable() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("full");
    let listener = listen(&netns);
    let disk = Disk::new("1M");
    let output = disk.0.path().join("run");
    let recorder = Recorder::into(output.clone(), &["--netns", netns.name()]);
    talk(&netns, &listener, 5000);
    // Longer than a batch may stay in memory.
    std::thread::sleep(Duration::from_millis(1200));
    let flood = Flood::start(&netns);
    let finished = recorder.wait();
    flood.stop();
    // Finished, but data was lost.
    finished.assert_code(3);
    let complaints: Vec<_> =
        finished.stderr.lines().filter(|l| l.starts_with("estats-record: ")).collect();
    assert_eq!(complaints.len(), 1, "{}", finished.stderr);
    for word in ["disk full", "--max-size", "readable"] {
        assert!(complaints[0].contains(word), "{word:?} is missing: {}", complaints[0]);
    }
    assert_cut_but_readable(&output, listener.address().port());
}

#[test]
fn the_command_survives_a_full_disk() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("full-cmd");
    let flood = Flood::start(&netns);
    // A command's own failure is passed on; without one, data was lost.
    let mut said = String::new();
    for (status, code) in [(7, 7), (0, 3)] {
        // Full in a fraction of the time that the command takes, on a busy machine too.
        let disk = Disk::new("256K");
        let output = disk.0.path().join("run");
        let script = format!("sleep 5; echo done; exit {status}");
        let arguments = ["--netns", netns.name(), "--all", "--", "sh", "-c", &script];
        let recorder = Recorder::into(output.clone(), &arguments);
        let finished = recorder.wait();
        assert_eq!(finished.stdout, "done\n");
        finished.assert_code(code);
        assert!(finished.stderr.contains("disk full"), "{}", finished.stderr);
        let last = finished.stderr.lines().find(|l| l.starts_with("recorded ")).expect("figures");
        assert!(last.contains("  4 connections (4 open)  "), "{last}");
        assert!(!last.contains(" 0 records/s") && !last.contains(" 0 B/s"), "{last}");
        let verify = analyze(&["verify"], &output);
        assert_eq!(verify.status.code(), Some(1), "it was not closed");
        said = format!(
            "exit status {code} though the command ended with {status}; the figures are those of \
             the time until then"
        );
    }
    flood.stop();
    trust::says("disk full while a command runs", &said);
}

#[test]
fn a_disk_without_room_from_the_start_is_refused() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let disk = Disk::new("4K");
    let output = disk.0.path().join("run");
    let refused = crate::run::command(&[])
        .arg("-o")
        .arg(&output)
        .args(["--", "echo", "ran"])
        .output()
        .expect("estats-record can be started");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("disk full") && said.lines().count() == 1, "{said}");
    assert!(refused.stdout.is_empty(), "the command was not started");
}

#[test]
fn rows_of_connections_that_go_on_are_also_ended_after() {
    // `lossy` stands before `ended_after` in completeness; both facts have columns of their own.
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("besides");
    let listener = listen(&netns);
    let before: Both = open(&netns, &listener);
    let finished = Recorder::start(&["--netns", netns.name()]).stop();
    let rows = finished.with_port(before.client.local().port());
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(row.identity.get("begun_before"), Some(&Value::Bool(true)));
        assert_eq!(row.identity.get("ended_after"), Some(&Value::Bool(true)));
    }
}
