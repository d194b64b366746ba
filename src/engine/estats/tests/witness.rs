// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Events that no hook saw, shown by the connection's own counters.

use super::*;

const OPEN: u64 = 5;
const CLOSE_WAIT: u64 = 8;

type Step = (Var, Op, u64);

fn add(octets: u64) -> Step {
    (Var::HCDataOctetsIn, Op::Add, octets)
}

fn missed(var: Var, n: u64) -> Step {
    (var, Op::Missed, n)
}

/// A passive connection that has received `octets` in sequence by the time of its first reading.
fn opened(octets: u64) -> Vec<Rec> {
    let rcv_nxt = 1000 + octets;
    vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(
            Hook::SetState,
            20,
            7,
            &[set(Var::RcvNxt, 1000), set(Var::State, OPEN), set(Var::RecInitial, 1000)],
        )),
        H(hook(
            Hook::TcpProbe,
            30,
            7,
            &[set(Var::RcvNxt, rcv_nxt), set(Var::CurReasmQueue, 0), add(octets)],
        )),
    ]
}

fn received(out: &Collect) -> (Option<u64>, u64, Completeness) {
    let row = &out.ended[0];
    (row.row.get(Var::HCDataOctetsIn), row.lost, row.completeness)
}

#[test]
fn octets_that_no_hook_saw_are_counted_and_mark_the_row() {
    let mut items = opened(100);
    // Two segments of 100 octets, of which one was seen; the second reading is after a send.
    items.push(H(hook(Hook::Egress, 40, 7, &[set(Var::RcvNxt, 1300), add(100)])));
    items.push(L(lifecycle(Event::Close, 50, 7)));
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(300), 1, Completeness::Lossy));
    assert_eq!(counts.missed, 1);
}

#[test]
fn data_received_twice_does_not_hide_data_that_was_not_seen() {
    let mut items = opened(100);
    let reading = |ts, rcv_nxt, octets| {
        H(hook(Hook::TcpProbe, ts, 7, &[set(Var::RcvNxt, rcv_nxt), add(octets)]))
    };
    // 500 octets too many, then 200 too few.
    items.extend([reading(40, 1200, 600), reading(50, 1500, 100)]);
    items.push(L(lifecycle(Event::Close, 60, 7)));
    let (out, _) = run(items);
    assert_eq!(received(&out), (Some(100 + 600 + 300), 1, Completeness::Lossy));
}

#[test]
fn data_behind_a_filled_hole_is_not_missing() {
    let mut items = opened(100);
    items.push(H(hook(Hook::TcpProbe, 40, 7, &[set(Var::CurReasmQueue, 500), add(400)])));
    items.push(H(hook(
        Hook::TcpProbe,
        50,
        7,
        &[set(Var::RcvNxt, 1600), set(Var::CurReasmQueue, 0), add(100)],
    )));
    items.push(L(lifecycle(Event::Close, 60, 7)));
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(600), 0, Completeness::Complete));
    assert_eq!(counts.missed, 0);
}

#[test]
fn neither_a_fin_nor_the_handshake_is_a_loss() {
    let mut items = opened(100);
    items.insert(1, H(hook(Hook::Egress, 12, 7, &[set(Var::RcvNxt, 0)])));
    items.push(H(hook(
        Hook::SetState,
        40,
        7,
        &[set(Var::RcvNxt, 1201), add(100), set(Var::State, CLOSE_WAIT)],
    )));
    items.push(L(lifecycle(Event::Close, 50, 7)));
    let (out, _) = run(items);
    assert_eq!(received(&out), (Some(200), 0, Completeness::Complete));
}

#[test]
fn data_in_a_syn_that_was_accepted_is_not_counted_twice() {
    // Fast Open: 500 octets before the handshake is over, counted with the segment that follows.
    let at = |hook_of, ts, ops: &[Step]| H(hook(hook_of, ts, 7, ops));
    let items = vec![
        L(lifecycle(Event::Open, 10, 7)),
        at(Hook::Egress, 15, &[set(Var::CurReasmQueue, 0), set(Var::RcvNxt, 1500)]),
        at(Hook::SetState, 20, &[set(Var::State, OPEN), set(Var::RecInitial, 1000)]),
        at(Hook::TcpProbe, 30, &[add(500)]),
        at(Hook::TcpProbe, 40, &[set(Var::RcvNxt, 3000), add(1500)]),
        L(lifecycle(Event::Close, 50, 7)),
    ];
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(2000), 0, Completeness::Complete));
    assert_eq!(counts.missed, 0);
}

#[test]
fn octets_of_a_connection_open_before_are_compared_from_the_first_agreement() {
    let at = |ts, rcv_nxt, ops: &[Step]| {
        H(hook(Hook::TcpProbe, ts, 7, &[&[set(Var::RcvNxt, rcv_nxt)], ops].concat()))
    };
    // 500 octets waited behind a hole when the recording began: they were not counted.
    let items = vec![
        L(lifecycle(Event::Baseline, 10, 7)),
        H(hook(
            Hook::Baseline,
            10,
            7,
            &[set(Var::RcvNxt, 1000), set(Var::CurReasmQueue, 600), set(Var::State, OPEN)],
        )),
        at(20, 1600, &[set(Var::CurReasmQueue, 0), add(100)]),
        at(30, 1900, &[add(250)]),
        L(lifecycle(Event::Close, 40, 7)),
    ];
    let (out, _) = run(items);
    // How many octets waited is not known, so the sum is not: what was missed after it is counted.
    assert_eq!(received(&out), (None, 1, Completeness::Lossy), "50 of the last 300");
}

#[test]
fn a_lost_record_is_not_counted_twice_and_its_octets_are_known() {
    let mut items = opened(100);
    items.push(H(hook(Hook::TcpProbe, 50, 7, &[set(Var::RcvNxt, 1400), add(50)])));
    items.push(L(lifecycle(Event::Close, 60, 7)));
    let loss = Loss { of: Of::Connections, since_ns: 35, until_ns: 45, records: 3 };
    let setup = Setup { timeline: Timeline::new([], [loss]), ..Setup::default() };
    let (out, counts) = setup.run(items);
    assert_eq!(received(&out), (Some(400), 3, Completeness::Lossy));
    assert_eq!(counts.missed, 0);
}

#[test]
fn missed_events_mark_only_their_own_connection() {
    let mut items = opened(100);
    items.push(H(hook(Hook::Egress, 40, 7, &[missed(Var::HCDataOctetsIn, 5)])));
    items.push(H(hook(Hook::Egress, 41, 7, &[missed(Var::SegsOut, 2)])));
    items.push(H(hook(Hook::Egress, 45, 8, &[set(Var::SegsOut, 3)])));
    items.push(L(lifecycle(Event::Close, 50, 7)));
    items.push(L(lifecycle(Event::Close, 60, 8)));
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(100), 7, Completeness::Lossy));
    assert_eq!(out.ended[1].lost, 0);
    assert_eq!(counts.missed, 7);
}

#[test]
fn a_missing_close_record_marks_the_row_lossy() {
    let mut items = opened(100);
    items.push(H(hook(Hook::Destroy, 50, 7, &[set(Var::State, 12)])));
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(100), 1, Completeness::Lossy));
    assert_eq!(counts.missed, 1);
}

#[test]
fn a_fin_acknowledged_before_the_state_change_is_not_an_octet() {
    const FIN_WAIT_2: u64 = 7;
    let mut items = opened(100);
    items.push(H(hook(Hook::SetState, 35, 7, &[set(Var::State, FIN_WAIT_2)])));
    items.push(H(hook(Hook::Egress, 40, 7, &[set(Var::RcvNxt, 1101)])));
    items.push(L(lifecycle(Event::Close, 50, 7)));
    let (out, counts) = run(items);
    assert_eq!(received(&out), (Some(100), 0, Completeness::Complete));
    assert_eq!(counts.missed, 0);
}

#[test]
fn a_segment_that_the_ledger_counts_is_not_counted_twice() {
    let mut items = opened(100);
    items.push(H(hook(Hook::TcpProbe, 50, 7, &[missed(Var::SegsIn, 2)])));
    items.push(L(lifecycle(Event::Close, 60, 7)));
    let skipped = Loss { of: Of::Connections, since_ns: 35, until_ns: 45, records: 2 };
    let setup = Setup { timeline: Timeline::new([], [skipped]), ..Setup::default() };
    let (out, counts) = setup.run(items);
    assert_eq!(received(&out), (Some(100), 2, Completeness::Lossy));
    assert_eq!(counts.missed, 0);
}

/// Without the hook of sent segments, the missing values of this hook prove nothing about the other
/// hooks.
#[test]
fn a_hook_that_is_not_attached_proves_nothing() {
    let counters = |segs_out| {
        [
            set(Var::SegsOut, segs_out),
            set(Var::DataSegsIn, 0),
            set(Var::HCThruOctetsReceived, 0),
            set(Var::HCThruOctetsAcked, 0),
        ]
    };
    let items = || {
        let state = [&[set(Var::State, OPEN)], &counters(1)[..]].concat();
        vec![
            L(lifecycle(Event::Open, 10, 7)),
            H(hook(Hook::SetState, 20, 7, &state)),
            H(hook(Hook::TcpProbe, 30, 7, &counters(2))),
            L(lifecycle(Event::Close, 40, 7)),
        ]
    };
    let others = vec![Hook::SetState, Hook::TcpProbe, Hook::ParseHdr, Hook::Handshake];
    let all = [&others[..], &[Hook::Egress]].concat();
    let completeness = |hooks| {
        let setup = Setup { hooks, ..Setup::default() };
        setup.run(items()).0.ended[0].completeness
    };
    assert_eq!(completeness(others), Completeness::Complete);
    assert_eq!(completeness(all), Completeness::Lossy);
}
