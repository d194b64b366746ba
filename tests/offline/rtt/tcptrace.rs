// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tcptrace's raw RTT samples (`-Z`): a line per segment that was acknowledged, its first sequence
//! number and the RTT in whole milliseconds. After any retransmission, of whatever
//! was sent before it, a segment has no sample there; here it has one where what was retransmitted was
//! acknowledged before it, as a spurious one is. tshark has it too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use estats::engine::rtt::{Method, RttOptions};

use super::SUITE;
use super::captures::{self, Frame};
use crate::support::gate::{self, Needs};

/// Samples in whole milliseconds by first sequence number of the segment; several where sequence
/// numbers of several connections meet.
fn tcptrace(file: &Path) -> BTreeMap<u32, Vec<u64>> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let plain = fs::File::open(file).expect("the capture");
    let plain = zstd::decode_all(plain).expect("it is compressed with zstd");
    fs::write(dir.path().join("pcap"), plain).expect("written");
    let output =
        Command::new("tcptrace").current_dir(dir.path()).args(["-Z", "-n", "pcap"]).output();
    let output = output.expect("tcptrace runs");
    assert!(output.status.success(), "tcptrace: {}", String::from_utf8_lossy(&output.stderr));
    let mut samples: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    for entry in fs::read_dir(dir.path()).expect("the directory") {
        let path = entry.expect("an entry").path();
        // Names are cut after 14 characters: aa2ab_rttraw.d
        if !path.to_string_lossy().contains("_rttraw") {
            continue;
        }
        for line in fs::read_to_string(path).expect("text").lines() {
            let mut fields = line.split_whitespace();
            let seq = fields.next().expect("a sequence number").parse().expect("a number");
            let ms = fields.next().expect("an RTT").parse().expect("a number");
            samples.entry(seq).or_default().push(ms);
        }
    }
    samples
}

/// The segment that ends where this acknowledgment begins, sent before it.
fn acknowledged(frames: &[Frame], at: usize) -> &Frame {
    let ack = &frames[at];
    let is = |f: &&Frame| {
        (&f.src, &f.dst) == (&ack.dst, &ack.src) && f.end() == ack.ack && f.end() != f.seq
    };
    frames[..at].iter().rev().find(is).expect("what a sample is of")
}

#[test]
fn sequence_samples_are_among_tcptraces() {
    let needs = Needs { programs: &["tshark", "tcptrace"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    let (mut equal, mut after_repeats, mut theirs_in_all) = (0, 0, 0);
    for (name, file) in captures::all() {
        let frames = captures::frames(&file);
        let samples = captures::ours(&file, RttOptions::default());
        let methods = [Method::TcpSequence, Method::TcpHandshake];
        let theirs = tcptrace(&file);
        theirs_in_all += theirs.values().map(Vec::len).sum::<usize>();
        for (at, rtt_ns) in captures::by_frame(&samples, &methods) {
            let segment = acknowledged(&frames, at);
            let Some(ms) = theirs.get(&segment.seq) else {
                let again = |f: &&Frame| {
                    f.src == segment.src && f.seq.wrapping_sub(segment.seq) as i32 <= 0 && f.len > 0
                };
                let since = frames[..at].iter().rev().take_while(|f| f.ns > segment.ns);
                assert!(since.filter(again).count() > 0, "{name}, frame {}: {rtt_ns} ns", at + 1);
                after_repeats += 1;
                continue;
            };
            assert!(
                ms.iter().any(|ms| rtt_ns.abs_diff(ms * 1_000_000) <= 1_000_000),
                "{name}, frame {}: {rtt_ns} ns, not {ms:?} ms",
                at + 1
            );
            equal += 1;
        }
    }
    println!(
        "{equal} are among tcptrace's {theirs_in_all}; {after_repeats} after a retransmission are not"
    );
    assert!(equal > 10_000, "{equal} are too few to say anything");
}
