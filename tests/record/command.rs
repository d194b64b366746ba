// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A command that ends before its connections or its children do, and one that is ended.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::run::Recorder;
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::tcp::{Listener, Options, Stream};
use crate::support::trust;
use crate::traffic::{loopback, until};
use crate::{PERL, SUITE};

/// Octets that a command puts into its send buffer before it ends.
const OCTETS: u64 = 300_000;

/// A Perl program that connects to a port, fills its send buffer and ends.
fn writes_and_ends(port: u16) -> String {
    format!(
        "use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0) or die $!; \
         setsockopt($s, SOL_SOCKET, SO_SNDBUF, 1_000_000) or die $!; \
         connect($s, pack_sockaddr_in({port}, inet_aton('127.0.0.1'))) or die $!; \
         my $data = 'x' x {OCTETS}; my $n = syswrite($s, $data); die $! if $n != {OCTETS}"
    )
}

/// Listens with a receive buffer that holds a fraction of it.
fn listen_narrow(netns: &Netns) -> Listener {
    let options = Options { receive_buffer: Some(4096), ..Options::default() };
    Listener::bind(netns, loopback(), options)
}

fn start(netns: &Netns, options: &[&str], program: &str) -> Recorder {
    let command = ["--", "ip", "netns", "exec", netns.name(), "perl", "-e", program];
    Recorder::start(&[options, &command[..]].concat())
}

#[test]
fn data_queued_when_the_command_ends_is_recorded() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("linger");
    let listener = listen_narrow(&netns);
    let recorder = start(&netns, &["--linger", "20s"], &writes_and_ends(listener.address().port()));
    let server: Stream = listener.accept();
    // Most of it is still in the command's send buffer when it has ended.
    std::thread::sleep(Duration::from_millis(1500));
    server.receive(OCTETS);
    server.receive_end();
    drop(server);
    let finished = recorder.wait();
    finished.assert_code(0);
    assert!(!finished.stderr.contains("still open"), "{}", finished.stderr);
    let rows = finished.connections();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].completeness(), "complete");
    for name in ["HCDataOctetsOut", "HCThruOctetsAcked"] {
        // SYN and FIN have sequence numbers, which the kernel counts as acknowledged.
        let octets = rows[0].values.int(name) as u64;
        assert!((OCTETS..=OCTETS + 2).contains(&octets), "{name} {octets}");
    }
    trust::says(
        "a command ends while its data is still queued",
        &format!(
            "recorded until the connection has closed, `{}`, with all octets",
            rows[0].completeness()
        ),
    );
}

#[test]
fn linger_ends_and_the_row_is_ended_after() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("linger-end");
    let listener = listen_narrow(&netns);
    let program = writes_and_ends(listener.address().port());
    let recorder = start(&netns, &["--linger", "700ms"], &program);
    let server = listener.accept();
    let finished = recorder.wait();
    finished.assert_code(0);
    let said = &finished.stderr;
    assert!(said.contains("still open 700ms after its end: 1;"), "{said}");
    let rows = finished.connections();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].completeness(), "ended_after");
    assert!(rows[0].values.int("HCThruOctetsAcked") < OCTETS as i64);
    trust::says(
        "a command's connection that is open longer than `--linger`",
        &format!("`{}`, and a sentence on stderr", rows[0].completeness()),
    );
    drop(server);
}

#[test]
fn a_command_without_connections_does_not_wait() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    for (linger, least) in [("30s", 200), ("0s", 0)] {
        let finished = Recorder::start(&["--linger", linger, "--", "true"]).wait();
        finished.assert_code(0);
        let ns = finished.manifest()["totals"]["duration_ns"].as_u64().expect("a duration");
        let ms = ns / 1_000_000;
        assert!((least..15_000).contains(&ms), "{ms} ms with --linger {linger}");
    }
}

#[test]
fn children_that_outlive_the_command_are_named() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // The second is a daemon: in a session of its own, and its parent is gone.
    let script = "sleep 4 & echo $!; setsid sh -c 'sleep 4 & echo $!'; exit 6";
    let recorder = Recorder::start(&["--", "sh", "-c", script]);
    let finished = recorder.wait();
    finished.assert_code(6);
    let pids: Vec<&str> = finished.stdout.lines().collect();
    assert_eq!(pids.len(), 2);
    let line = finished.stderr.lines().find(|l| l.contains("outlive")).expect("a sentence");
    for pid in pids {
        assert!(line.contains(&format!("{pid} (sleep)")), "{line}");
    }
    let words = line.split(':').next().expect("the sentence's begin");
    trust::says(
        "processes that outlive the command",
        &format!("\"{words}: ID (NAME), ...\" on stderr; recorded until the end of the recording"),
    );
}

#[test]
fn a_signal_to_the_recorder_reaches_the_whole_process_group_of_the_command() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // A shell ignores SIGINT for its background jobs: they are then asked by SIGTERM.
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let script = "sleep 100 & echo $!; sleep 100 & echo $!; setsid sleep 5 & echo $!; wait";
        let recorder = Recorder::start(&["--", "sh", "-c", script]);
        std::thread::sleep(Duration::from_millis(500));
        let begun = Instant::now();
        recorder.signal(signal);
        let finished = recorder.wait();
        assert!(begun.elapsed() < Duration::from_secs(20));
        finished.assert_code(128 + signal);
        let pids: Vec<&str> = finished.stdout.lines().collect();
        let there = |pid: &str| Path::new("/proc").join(pid).exists();
        for pid in &pids[..2] {
            until("a process of the group lives", || !there(pid));
            assert!(!finished.stderr.contains(&format!("{pid} (")), "{}", finished.stderr);
        }
        // It has left the group, as a daemon does.
        assert!(finished.stderr.contains(&format!("{} (sleep)", pids[2])), "{}", finished.stderr);
    }
}
