// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tshark's `tcp.analysis.ack_rtt` against sequence numbers and handshakes.
//!
//! Both take an acknowledgment of exactly the end of a segment. tshark does so for any; we refuse one
//! that may not be of this segment. So tshark must have every sample of ours. Every further sample of
//! tshark must have one of the reasons for which we refuse, found here from the frames alone.

use std::collections::BTreeMap;

use estats::engine::rtt::{Method, RttOptions};

use super::SUITE;
use super::captures::{self, End, Frame, RST};
use crate::support::gate::{self, Needs};

fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The data of one direction of one connection: numbers of its frames, and of those that answer.
struct Way {
    sent: Vec<usize>,
    answers: Vec<usize>,
}

/// Why the acknowledgment in `at` of the segment in `sent` may not be its own.
fn doubt(frames: &[Frame], way: &Way, sent: usize, at: usize) -> Option<&'static str> {
    let (segment, ack) = (&frames[sent], &frames[at]);
    if ack.has(RST) {
        return Some("a reset");
    }
    let upto = |list: &[usize], end: usize| list.partition_point(|i| *i < end);
    let data = |from: usize, to: usize| {
        let range = upto(&way.sent, from)..upto(&way.sent, to);
        way.sent[range].iter().map(|i| &frames[*i])
    };
    let overlaps = |f: &Frame| before(f.seq, segment.end()) && before(segment.seq, f.end());
    if data(0, sent).any(overlaps) || data(sent + 1, at).any(overlaps) {
        return Some("sent twice");
    }
    // Sent after something that came later in sequence space.
    if data(0, sent).any(|f| !before(f.seq, segment.end())) {
        return Some("filled a hole");
    }
    let covers = |s: &(u32, u32)| !before(segment.seq, s.0) && !before(s.1, segment.end());
    let answers = &way.answers[upto(&way.answers, sent)..=upto(&way.answers, at)];
    if answers.iter().any(|i| frames[*i].sack.iter().any(covers)) {
        return Some("had been acknowledged by SACK");
    }
    // Since the segment was sent, an octet below the acknowledgment was sent that was not new.
    let mut highest = segment.end();
    for f in data(sent + 1, at) {
        if before(f.seq, highest) && before(f.seq, ack.ack) {
            return Some("waited for a retransmission");
        }
        if before(highest, f.end()) {
            highest = f.end();
        }
    }
    None
}

fn way(frames: &[Frame], (src, dst): (&End, &End)) -> Way {
    let of = |keep: &dyn Fn(&Frame) -> bool| {
        frames.iter().enumerate().filter(|(_, f)| keep(f)).map(|(i, _)| i).collect()
    };
    Way {
        sent: of(&|f| (&f.src, &f.dst) == (src, dst) && f.end() != f.seq),
        answers: of(&|f| (&f.src, &f.dst) == (dst, src)),
    }
}

#[test]
fn sequence_samples_are_tsharks_without_ambiguous_ones() {
    let needs = Needs { programs: &["tshark"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    let mut refused: BTreeMap<&str, usize> = BTreeMap::new();
    let mut equal = 0;
    for (name, file) in captures::all() {
        let frames = captures::frames(&file);
        let samples = captures::ours(&file, RttOptions::default());
        let methods = [Method::TcpSequence, Method::TcpHandshake];
        let ours = captures::by_frame(&samples, &methods);
        for (frame, rtt_ns) in &ours {
            let theirs = frames[*frame].acks.map(|(_, rtt_ns)| rtt_ns);
            assert_eq!(Some(*rtt_ns), theirs, "{name}, frame {}", frame + 1);
            equal += 1;
        }
        let mut ways = BTreeMap::new();
        for (at, frame) in frames.iter().enumerate() {
            let Some((sent, _)) = frame.acks else { continue };
            if ours.contains_key(&at) {
                continue;
            }
            let from = (&frames[sent].src, &frames[sent].dst);
            let way = ways.entry(from).or_insert_with(|| way(&frames, from));
            let reason = doubt(&frames, way, sent, at);
            let segment = &frames[sent];
            let reason = reason.unwrap_or_else(|| {
                panic!("{name}, frame {} acknowledges {}: {segment:?}", at + 1, sent + 1)
            });
            *refused.entry(reason).or_default() += 1;
        }
    }
    println!("{equal} samples are equal; refused: {refused:?}");
    assert!(equal > 10_000, "{equal} are too few to say anything");
}
