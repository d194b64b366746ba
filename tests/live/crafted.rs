// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Connections whose peer is a script (`tests/support/crafted.rs`): what happens to them, and how
//! often, is known, and each variable is compared with that.

use crate::SUITE;
use crate::recording::{Recorder, Recording};
use crate::support::crafted::{Figure, LATENCY_LIMIT_US, Played, SCRIPTS, Script};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::peer::Peer;
use crate::support::proved;

/// Plays a script under a recorder, and holds each row against the figures.
fn record(name: &str) -> Option<(Recording, Vec<Played>)> {
    let script = Script::named(name);
    let needs = Needs { programs: script.programs, ..Needs::BPF };
    gate::record(SUITE, needs, || {
        let peer = Peer::new(script.number());
        let recorder = Recorder::inside(&peer.netns);
        let played = (script.play)(&peer);
        let recording = recorder.stop();
        let mut findings = Vec::new();
        for connection in &played {
            let row = &recording.one(connection.local, connection.remote).values;
            let figures = connection.figures.iter().filter(|f| recording.has(&f.variable));
            findings.extend(figures.filter_map(|figure| figure.finding(row)));
        }
        assert!(findings.is_empty(), "{name}:\n  {}", findings.join("\n  "));
        assert_eq!(recording.all().count(), played.len(), "no other connection");
        (recording, played)
    })
}

/// The same; the list of proofs has the figures of the test.
fn play(name: &str) {
    let Some((recording, played)) = record(name) else { return };
    let figures: Vec<Figure> = played.iter().flat_map(|p| p.figures.clone()).collect();
    let proved = figures.iter().filter(|f| f.is_something()).map(|f| f.variable.as_str());
    let proved: Vec<&str> = proved.filter(|name| !FUNCTIONS.contains(name)).collect();
    let missing = figures
        .iter()
        .find(|f| !recording.has(&f.variable) && !FUNCTIONS.contains(&f.variable.as_str()));
    assert!(missing.is_none(), "not recorded: {missing:?}");
    proved::assert(file!(), name, &proved);
}

/// Variables that only function hooks give, which the running kernel may not allow: guests prove it.
const FUNCTIONS: [&str; 2] = ["LostRetransmitSegs", "RackTimeout"];

#[test]
fn out_of_order() {
    play("out_of_order");
}

#[test]
fn unacknowledged() {
    play("unacknowledged");
}

#[test]
fn timeouts() {
    play("timeouts");
}

#[test]
fn unanswered() {
    play("unanswered");
}

#[test]
fn spurious_timeouts() {
    play("spurious_timeouts");
}

#[test]
fn spurious_recoveries() {
    play("spurious_recoveries");
}

#[test]
fn disorder_without_loss() {
    play("disorder_without_loss");
}

#[test]
fn samples_after_congestion() {
    play("samples_after_congestion");
}

#[test]
fn window_validation() {
    play("window_validation");
}

#[test]
fn local_drops() {
    play("local_drops");
}

#[test]
fn segments_out_of_place() {
    play("segments_out_of_place");
}

#[test]
fn ip_fields() {
    play("ip_fields");
}

#[test]
fn what_limits_the_sender() {
    play("what_limits_the_sender");
}

#[test]
fn paced() {
    play("paced");
}

#[test]
fn negotiation() {
    play("negotiation");
}

#[test]
fn first_sample() {
    play("first_sample");
}

#[test]
fn marks() {
    play("marks");
}

#[test]
fn shut_windows() {
    play("shut_windows");
}

#[test]
fn window_growth() {
    play("window_growth");
}

#[test]
fn lost_repeat() {
    play("lost_repeat");
}

/// Two samples of the script are below the limit, two above.
#[test]
fn samples_by_a_latency_limit() {
    let Some((recording, played)) = record("samples_after_congestion") else { return };
    let limit = LATENCY_LIMIT_US.to_string();
    let [one] = &played[..] else { panic!("one connection") };
    let row = recording.replayed(&["--latency-limit-us", &limit], one.local, one.remote);
    assert_eq!((row.int("NormalRttm"), row.int("HighRttm")), (2, 2));
    proved::assert(file!(), "samples_by_a_latency_limit", &["NormalRttm", "HighRttm"]);
}

/// A script that no test here plays would prove nothing.
#[test]
fn every_script_is_played() {
    let source = include_str!("crafted.rs");
    for script in SCRIPTS {
        let calls = ["play", "record"].map(|how| format!("{how}(\"{}\")", script.name));
        assert!(calls.iter().any(|call| source.contains(call)), "no test plays {}", script.name);
    }
}

/// Where the kernel does not ask for accurate ECN there is nothing to play: the newest guest plays it.
#[test]
fn accurate_marks() {
    let asks = {
        let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
        Netns::new("accurate").asks_for_accurate_ecn()
    };
    if asks {
        play("accurate_marks");
    } else {
        eprintln!("{SUITE}: accurate_marks is skipped: this kernel does not ask for accurate ECN");
    }
}

#[test]
fn late_acknowledgments() {
    play("late_acknowledgments");
}

#[test]
fn beyond_the_window() {
    // How many are refused, if any, differs between kernels: the figures have it.
    record("beyond_the_window");
}
