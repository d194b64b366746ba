// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! ePPing's published rules over the packets that tshark reads, with the tables it keeps.

use std::collections::{BTreeMap, BTreeSet};

use estats::engine::rtt::{Method, RttOptions};

use super::SUITE;
use super::captures::{self, ACK, End, FIN, Frame, SYN};
use crate::support::gate::{self, Needs};

/// One direction of a flow.
#[derive(Debug, Default)]
struct Flow {
    /// The newest TSval that was considered.
    last: Option<u32>,
    stamped: bool,
    closed: bool,
}

/// ePPing's samples by frame, and those that it gives up because the timed end has sent its FIN.
fn epping(frames: &[Frame], include_syn: bool) -> (BTreeMap<usize, u64>, BTreeMap<usize, u64>) {
    let mut flows: BTreeMap<(End, End), Flow> = BTreeMap::new();
    let mut stamps: BTreeMap<(End, End, u32), u64> = BTreeMap::new();
    let (mut samples, mut given_up) = (BTreeMap::new(), BTreeMap::new());
    for (i, f) in frames.iter().enumerate() {
        let Some((tsval, tsecr)) = f.ts else { continue };
        if f.has(SYN) && !include_syn {
            continue;
        }
        let forward = (f.src.clone(), f.dst.clone());
        let reverse = (f.dst.clone(), f.src.clone());
        if f.len > 0 || f.has(SYN) {
            let flow = flows.entry(forward.clone()).or_default();
            let wait_for_edge = !flow.stamped && !f.has(SYN);
            let newer = |last: u32| (1..1 << 31).contains(&tsval.wrapping_sub(last));
            let stamp = match flow.last {
                // The first packet makes the flow: a SYN is stamped, any other waits for the edge.
                None => !wait_for_edge,
                Some(last) => newer(last),
            };
            if flow.last.is_none() || stamp {
                flow.last = Some(tsval);
            }
            if stamp {
                flow.stamped = true;
                stamps.entry((forward.0.clone(), forward.1.clone(), tsval)).or_insert(f.ns);
            }
        }
        if f.has(ACK)
            && let Some(sent) = stamps.remove(&(reverse.0.clone(), reverse.1.clone(), tsecr))
        {
            let closed = flows.get(&reverse).is_some_and(|flow| flow.closed);
            let into = if closed { &mut given_up } else { &mut samples };
            into.insert(i, f.ns - sent);
        }
        if f.has(FIN) {
            flows.entry(forward).or_default().closed = true;
        }
    }
    (samples, given_up)
}

/// Sample for sample, to the nanosecond; those after a FIN are ours alone, as documented.
#[test]
fn timestamp_samples_are_eppings_and_those_after_a_fin() {
    let needs = Needs { programs: &["tshark"], ..Needs::PROGRAMS };
    let Some(_turn) = gate::enter(SUITE, needs) else { return };
    let (mut samples, mut after_fin) = (0, 0);
    for (name, file) in captures::all() {
        let frames = captures::frames(&file);
        for include_syn in [false, true] {
            let options = RttOptions { include_syn, ..RttOptions::default() };
            let ours =
                captures::by_frame(&captures::ours(&file, options), &[Method::TcpTimestamps]);
            let (theirs, given_up) = epping(&frames, include_syn);
            samples += theirs.len();
            after_fin += given_up.len();
            let all: BTreeMap<_, _> = theirs.into_iter().chain(given_up).collect();
            let frames: BTreeSet<_> = ours.keys().chain(all.keys()).collect();
            for frame in frames {
                assert_eq!(ours.get(frame), all.get(frame), "{name}, frame {}", frame + 1);
            }
        }
    }
    println!("{samples} samples are equal; ePPing would give up {after_fin} more");
    assert!(samples > 10_000, "{samples} are too few to say anything");
}
