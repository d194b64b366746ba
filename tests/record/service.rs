// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder as a service: its file with options, what its manager hears, SIGHUP, its metrics, and its
//! words in the journal.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use crate::SUITE;
use crate::openmetrics::OpenMetrics;
use crate::run::{Recorder, scratch};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::traffic::{listen, open, talk, until};

#[test]
fn a_file_gives_the_options_and_the_command_line_comes_first() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("file");
    let listener = listen(&netns);
    let scratch = scratch();
    let file = scratch.path().join("record.toml");
    let text = format!(
        "netns = [\"{}\"]\nmax-size = \"1G\"\nkeep = \"24h\"\nquiet = true\nresolution = \"5ms\"\n",
        netns.name()
    );
    fs::write(&file, text).expect("a file");
    let config = ["--config", file.to_str().expect("UTF-8"), "--keep", "1h"];
    let recorder = Recorder::start(&config);
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let options = finished.manifest()["options"].clone();
    assert_eq!(options["netns"][0], netns.name());
    assert_eq!(options["max_bytes"], 1_u64 << 30);
    assert_eq!(options["keep_ns"], 3_600_000_000_000_u64);
    assert_eq!(options["resolution_ns"], 5_000_000);
    assert_eq!(finished.connections().len(), 2);
}

/// A service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    /// What comes until this returns true, at most for a time that is long.
    fn hear(&self, mut is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let (begun, mut all) = (Instant::now(), Vec::new());
        let mut bytes = [0; 500];
        self.0.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        while begun.elapsed() < Duration::from_secs(60) {
            let Ok(size) = self.0.recv(&mut bytes) else { continue };
            let text = String::from_utf8(bytes[..size].to_vec()).expect("text");
            all.push(text);
            if is_last(all.last().expect("just pushed")) {
                return all;
            }
        }
        panic!("the manager heard only {all:?}");
    }
}

#[test]
fn a_service_manager_hears_of_readiness_life_and_end() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("notify");
    let scratch = scratch();
    let path = scratch.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("a socket"));
    let socket = format!("NOTIFY_SOCKET={}", path.display());
    // A sign of life each 200 ms.
    let environment = ["env", &socket, "WATCHDOG_USEC=400000"];
    let recorder = Recorder::under(&environment, &["--netns", netns.name()]);
    let first = manager.hear(|text| text.starts_with("READY=1\n"));
    assert_eq!(first.len(), 1, "nothing is said before: {first:?}");
    assert!(first[0].contains("STATUS=recording to "), "{first:?}");
    let begun = Instant::now();
    let mut signs = 0;
    let heard = manager.hear(|text| {
        signs += usize::from(text == "WATCHDOG=1");
        signs == 5
    });
    assert!(begun.elapsed() >= Duration::from_millis(700), "not more often than asked for");
    assert!(
        heard.iter().all(|text| text == "WATCHDOG=1" || text.starts_with("STATUS=00:")),
        "{heard:?}"
    );
    if !heard.iter().any(|text| text.starts_with("STATUS=")) {
        manager.hear(|text| text.starts_with("STATUS=00:"));
    }
    // A recorder that reads no rings gives no sign, and the manager would end it.
    recorder.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_millis(100));
    manager.0.set_nonblocking(true).expect("a mode");
    while manager.0.recv(&mut [0; 500]).is_ok() {}
    std::thread::sleep(Duration::from_secs(1));
    assert!(manager.0.recv(&mut [0; 500]).is_err(), "a stopped recorder is silent");
    manager.0.set_nonblocking(false).expect("a mode");
    recorder.signal(libc::SIGCONT);
    manager.hear(|text| text == "WATCHDOG=1");
    recorder.signal(libc::SIGTERM);
    manager.hear(|text| text.starts_with("STOPPING=1"));
    recorder.wait().assert_code(0);
}

#[test]
fn without_the_managers_socket_a_recording_goes_on() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("nobody");
    let listener = listen(&netns);
    let nobody = ["env", "NOTIFY_SOCKET=/nonexistent/notify"];
    let recorder = Recorder::under(&nobody, &["--netns", netns.name()]);
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(0);
    assert!(finished.stderr.contains("hears nothing of this recording"), "{}", finished.stderr);
    assert_eq!(finished.connections().len(), 2);
}

#[test]
fn sighup_reads_the_options_again_and_never_ends_a_recording() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("hup");
    let listener = listen(&netns);
    let scratch = scratch();
    let file = scratch.path().join("record.toml");
    let write = |text: &str| fs::write(&file, text).expect("a file");
    write("max-size = \"1G\"\nport = [1, 2]\n");
    let config = ["--config", file.to_str().expect("UTF-8")];
    // The command line comes first the second time, too.
    let own = ["--netns", netns.name(), "--rotate", "64M", "--port"];
    let port = listener.address().port().to_string();
    let recorder = Recorder::start(&[&config[..], &own, &[&port]].concat());
    let bound = |bytes: u64, keep: Option<u64>| {
        recorder.signal(libc::SIGHUP);
        until("the manifest does not have the new bounds", || {
            let text = fs::read(recorder.dir().join("manifest.json")).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
            let options = &manifest["options"];
            options["max_bytes"] == bytes && options["keep_ns"].as_u64() == keep
        });
        talk(&netns, &listener, 100);
    };
    write("max-size = \"512M\"\nkeep = \"1h\"\nring = \"8M\"\nport = 3\nrotate = \"1s\"\n");
    bound(512 << 20, Some(3_600_000_000_000));
    // What is wrong changes nothing, and what no longer bounds is for another recording.
    for (text, words) in [
        ("max-size = 1.5\n", "max-size takes a text or a number"),
        ("netns = [\n", "is not TOML: line "),
        ("sample = 2\n", "had: the following required arguments were not provided: --snapshots"),
        ("", "read again; not before the recorder is started again: keep, max-size\n"),
    ] {
        write(text);
        recorder.signal(libc::SIGHUP);
        until(words, || recorder.said().contains(words));
    }
    write("max-size = \"256M\"\n");
    bound(256 << 20, None);
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    assert_eq!(finished.connections().len(), 4);
    let options = &finished.manifest()["options"];
    assert_eq!(options["rotate_bytes"], 64 << 20);
    assert_eq!(options["max_bytes"], 256 << 20);
    let path = file.display();
    for words in [
        format!(
            "the options in {path} were read again; changed now: keep, max-size; \
             not before the recorder is started again: ring\n"
        ),
        "the recording goes on with the options that it had: ".to_owned(),
        "read again; changed now: keep, max-size\n".to_owned(),
    ] {
        assert!(finished.stderr.contains(&words), "{words:?} is missing: {}", finished.stderr);
    }
}

#[test]
fn sighup_without_a_file_is_ignored_with_a_sentence() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("hupless");
    let listener = listen(&netns);
    let recorder = Recorder::start(&["--netns", netns.name()]);
    recorder.signal(libc::SIGHUP);
    let words = "SIGHUP is ignored: there is no file with options (--config) to read again\n";
    until(words, || recorder.said().contains(words));
    talk(&netns, &listener, 100);
    let finished = recorder.stop();
    finished.assert_code(0);
    assert_eq!(finished.connections().len(), 2);
}

#[test]
fn metrics_are_the_counters_of_the_recording() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("metrics");
    let listener = listen(&netns);
    let scratch = scratch();
    let file = scratch.path().join("estats.prom");
    let path = file.to_str().expect("UTF-8");
    let own = ["--netns", netns.name(), "--metrics", path, "--metrics-interval", "1s"];
    let recorder = Recorder::start(&own);
    let flow = open(&netns, &listener);
    flow.upload(100_000);
    talk(&netns, &listener, 100);
    let read = || OpenMetrics::parse(&fs::read_to_string(&file).expect("the metrics"));
    until("the metrics do not have the connections", || {
        file.exists() && read().value("estats_connections_total", &[]) == 4.0
    });
    let now = read();
    assert_eq!(now.value("estats_recording", &[]), 1.0);
    assert_eq!(now.value("estats_open_connections", &[]), 2.0);
    let finished = recorder.stop();
    finished.assert_code(0).assert_account();
    let last = read();
    assert_eq!(last.value("estats_recording", &[]), 0.0);
    let totals = finished.manifest()["totals"].clone();
    let cpus = totals["per_cpu"].as_array().expect("CPUs").clone();
    let logged: u64 = cpus.iter().map(|cpu| cpu["logged"].as_u64().expect("a count")).sum();
    assert_eq!(last.sum("estats_records_total"), logged as f64);
    assert!(last.value("estats_records_total", &[("ring", "hooks")]) > 0.0);
    // Two connections have two ends, each with a beginning and an end.
    assert!(last.value("estats_records_total", &[("ring", "lifecycle")]) >= 8.0);
    assert_eq!(last.value("estats_records_total", &[("ring", "packets")]), 0.0);
    assert_eq!(last.sum("estats_lost_records_total"), 0.0);
    assert_eq!(last.value("estats_lost_records_total", &[("hook", "set_state")]), 0.0);
    assert_eq!(last.value("estats_disk_bytes", &[]), totals["bytes"].as_f64().expect("a size"));
    assert!(last.value("estats_elapsed_seconds", &[]) >= now.value("estats_elapsed_seconds", &[]));
    let beside: Vec<_> = fs::read_dir(scratch.path()).expect("a directory").flatten().collect();
    assert_eq!(beside.len(), 1, "nothing is left beside the file: {beside:?}");
}

#[test]
fn losses_and_late_drains_are_in_the_metrics() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("lossy");
    let listener = listen(&netns);
    let scratch = scratch();
    let file = scratch.path().join("estats.prom");
    let path = file.to_str().expect("UTF-8");
    let small =
        ["--netns", netns.name(), "--metrics", path, "--ring", "64K", "--resolution", "1us"];
    let recorder = Recorder::start(&small);
    let flow = open(&netns, &listener);
    recorder.stopped(Duration::from_secs(2), || flow.upload(100_000));
    drop(flow);
    let finished = recorder.stop();
    finished.assert_code(3).assert_account();
    let last = OpenMetrics::parse(&fs::read_to_string(&file).expect("the metrics"));
    assert!(finished.lost() > 0);
    assert_eq!(last.sum("estats_lost_records_total"), finished.lost() as f64);
    assert!(last.value("estats_late_drains_total", &[]) >= 1.0);
}

#[test]
fn lines_of_the_journal_have_their_priority() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["stat"], ..Needs::BPF }) else {
        return;
    };
    let netns = Netns::new("journal");
    // As systemd does it: the device and the inode of standard error.
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";
    let recorder = Recorder::under(&["sh", "-c", script], &["--netns", netns.name()]);
    let finished = recorder.stop();
    finished.assert_code(0);
    let lines: Vec<&str> = finished.stderr.lines().collect();
    assert!(lines.iter().all(|l| l.starts_with("<4>") || l.starts_with("<6>")), "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with("<6>recorded ")), "{lines:?}");
    assert!(lines.iter().any(|l| l.starts_with("<4>no connection matched --netns ")), "{lines:?}");
    // Another file is no journal: what a shell has redirected, or a child's.
    let other = ["env", "JOURNAL_STREAM=1:1"];
    let finished = Recorder::under(&other, &["--netns", netns.name()]).stop();
    assert!(!finished.stderr.contains("<6>"), "{}", finished.stderr);
}
