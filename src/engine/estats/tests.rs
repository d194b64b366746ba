// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The engine: how connections begin and end, and what their rows contain.

use std::num::NonZeroU64;

use super::*;
use crate::engine::time::timeline::{Loss, Of};
use crate::schema::{Hook, Op, Var};
use crate::testing::{hook, lifecycle};
use crate::wire::HookRecord;

mod order;
mod rules;
mod series;
mod witness;

/// A row as it came out.
struct Out {
    conn_id: u64,
    key: ConnectionKey,
    row: Row,
    begin_ns: u64,
    end_ns: u64,
    begun_before: bool,
    ended_after: bool,
    completeness: Completeness,
    lost: u64,
    remote: Option<String>,
}

/// Number and beginning of a connection, as a snapshot has them.
type Known = (u64, Option<u64>);

#[derive(Default)]
struct Collect {
    ended: Vec<Out>,
    sampled: Vec<(u64, u64, Row)>,
    polled: Vec<(u64, Option<Known>)>,
}

impl ConnectionRows for &mut Collect {
    type Error = std::convert::Infallible;

    fn ended(&mut self, e: &Ended<'_>) -> Result<(), Self::Error> {
        self.ended.push(Out {
            conn_id: e.conn_id,
            key: (e.cookie, e.generation),
            row: e.row.clone(),
            begin_ns: e.begin_ns,
            end_ns: e.end_ns,
            begun_before: e.begun_before,
            ended_after: e.ended_after,
            completeness: e.completeness(),
            lost: e.lost_records,
            remote: e.identity.text(Var::RemAddress),
        });
        Ok(())
    }

    fn sampled(&mut self, s: &Sample<'_>) -> Result<(), Self::Error> {
        self.sampled.push((s.ts_ns, s.conn_id, s.row.clone()));
        Ok(())
    }

    fn polled(&mut self, p: &Polled<'_>) -> Result<(), Self::Error> {
        self.polled.push((p.snapshot.header.ts_ns, p.connection));
        Ok(())
    }
}

enum Rec {
    H(HookRecord),
    L(Lifecycle),
    Late(HookRecord),
}
use Rec::{H, L, Late};

struct Setup {
    covered: Bits,
    options: RuleOptions,
    timeline: Timeline,
    interval: Interval,
    hooks: Vec<Hook>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            covered: Var::ALL.iter().copied().collect(),
            options: RuleOptions::default(),
            timeline: Timeline::default(),
            interval: Interval::Every(NonZeroU64::new(1_000_000_000).unwrap()),
            hooks: Vec::new(),
        }
    }
}

impl Setup {
    fn run(&self, records: Vec<Rec>) -> (Collect, EngineCounts) {
        let plan = Plan::new(&self.covered, self.options).with_hooks(self.hooks.clone());
        let mut out = Collect::default();
        let mut engine = Engine::new(&plan, &self.timeline, self.interval, &mut out);
        for record in records {
            match record {
                H(r) => engine.hook(&r.header, r.ops.into_iter(), false).unwrap(),
                Late(r) => engine.hook(&r.header, r.ops.into_iter(), true).unwrap(),
                L(r) => engine.lifecycle(&r, false).unwrap(),
            }
        }
        let (_, counts) = engine.finish().unwrap();
        (out, counts)
    }
}

fn run(records: Vec<Rec>) -> (Collect, EngineCounts) {
    Setup::default().run(records)
}

fn set(var: Var, value: u64) -> (Var, Op, u64) {
    (var, Op::Set, value)
}

fn inc(var: Var) -> (Var, Op, u64) {
    (var, Op::Inc, 0)
}

#[test]
fn a_connection_from_open_to_close() {
    let (out, counts) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(Hook::Egress, 20, 7, &[set(Var::SegsOut, 1)])),
        H(hook(Hook::SetState, 30, 7, &[set(Var::SegsOut, 5)])),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    let [row] = &out.ended[..] else { panic!("one row") };
    assert_eq!((row.conn_id, row.key, row.begin_ns, row.end_ns), (1, (7, 0), 10, 30));
    assert_eq!(row.completeness, Completeness::Complete);
    assert_eq!(row.row.get(Var::SegsOut), Some(5));
    assert_eq!(row.row.get(Var::StartTs), Some(10));
    assert_eq!(row.row.get(Var::CurrentTs), Some(20));
    assert_eq!(row.row.get(Var::ConnectIndex), Some(1));
    assert_eq!(row.remote.as_deref(), Some("10.0.0.2"));
    assert_eq!((counts.connections, counts.operations, counts.live), (1, 2, 1));
}

#[test]
fn final_values_count_on_either_side_of_the_close_record() {
    let (out, counts) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        L(lifecycle(Event::Close, 30, 7)),
        H(hook(Hook::SetState, 30, 7, &[set(Var::SegsOut, 5)])),
        H(hook(Hook::Egress, 31, 7, &[set(Var::SegsOut, 6)])),
    ]);
    assert_eq!(out.ended[0].row.get(Var::SegsOut), Some(5));
    assert_eq!((out.ended.len(), counts.after_end), (1, 1), "what comes later opens nothing");
}

#[test]
fn the_key_is_retired_until_the_socket_is_gone() {
    let (out, counts) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        L(lifecycle(Event::Close, 30, 7)),
        H(hook(Hook::Egress, 40, 7, &[set(Var::SegsOut, 6)])),
        H(hook(Hook::Destroy, 50, 7, &[])),
        // A destroy whose connection was never seen.
        H(hook(Hook::Destroy, 60, 8, &[set(Var::SegsOut, 1)])),
    ]);
    assert_eq!((out.ended.len(), counts.connections, counts.after_end), (1, 1, 3));
}

#[test]
fn keys_of_ended_connections_are_removed() {
    let plan = Plan::new(&Bits::default(), RuleOptions::default());
    let timeline = Timeline::default();
    let mut out = Collect::default();
    let every = Interval::Every(NonZeroU64::MAX);
    let mut engine = Engine::new(&plan, &timeline, every, &mut out);
    for n in 0..1000 {
        let ts = n * 10;
        engine.lifecycle(&lifecycle(Event::Open, ts + 1, n + 1), false).unwrap();
        engine.lifecycle(&lifecycle(Event::Close, ts + 2, n + 1), false).unwrap();
        engine
            .hook(&hook(Hook::Destroy, ts + 3, n + 1, &[]).header, [].into_iter(), false)
            .unwrap();
    }
    assert!(engine.keys.is_empty());
    assert_eq!(engine.connections.len(), 1, "one slot served them all");
    // One socket that connects again and again keeps its last key only.
    for n in 0..1000_u16 {
        let ts = 20_000 + u64::from(n) * 10;
        let mut open = lifecycle(Event::Open, ts, 5);
        open.header.generation = n;
        let mut close = lifecycle(Event::Close, ts + 1, 5);
        close.header.generation = n;
        engine.lifecycle(&open, false).unwrap();
        engine.lifecycle(&close, false).unwrap();
    }
    assert!(engine.keys.len() <= 2, "{:?}", engine.keys);
}

#[test]
fn a_socket_used_again_is_another_connection() {
    let mut again = lifecycle(Event::Open, 40, 7);
    again.header.generation = 1;
    let mut record = hook(Hook::Egress, 50, 7, &[set(Var::SegsOut, 3)]);
    record.header.generation = 1;
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(Hook::Egress, 20, 7, &[set(Var::SegsOut, 9)])),
        L(lifecycle(Event::Close, 30, 7)),
        L(again),
        H(record),
    ]);
    let rows: Vec<_> =
        out.ended.iter().map(|o| (o.conn_id, o.key, o.row.get(Var::SegsOut))).collect();
    assert_eq!(rows, [(1, (7, 0), Some(9)), (2, (7, 1), Some(3))]);
}

#[test]
fn an_operation_on_an_unknown_connection_opens_it() {
    let (out, _) = run(vec![
        H(hook(Hook::TcpProbe, 10, 7, &[inc(Var::DupAcksIn)])),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    let row = &out.ended[0];
    assert!(row.begun_before && !row.ended_after);
    assert_eq!((row.begin_ns, row.completeness), (10, Completeness::BegunBefore));
    assert_eq!(row.row.get(Var::DupAcksIn), Some(1), "counted from what was seen");
    assert_eq!(row.remote.as_deref(), Some("10.0.0.2"), "the close repairs the identity");
}

#[test]
fn operations_may_come_before_the_open_record() {
    // connect(): the change to SYN-SENT comes before the identity is final.
    let (out, _) = run(vec![
        H(hook(Hook::SetState, 10, 7, &[set(Var::State, 3)])),
        L(lifecycle(Event::Open, 12, 7)),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    assert_eq!(out.ended[0].completeness, Completeness::Complete);
    assert_eq!(out.ended[0].begin_ns, 12);
    // And before the baseline: still begun before.
    let (out, _) = run(vec![
        H(hook(Hook::Egress, 10, 7, &[set(Var::SegsOut, 3)])),
        L(lifecycle(Event::Baseline, 12, 7)),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    assert_eq!(out.ended[0].completeness, Completeness::BegunBefore);
    assert_eq!(out.ended[0].begin_ns, 10);
}

#[test]
fn an_open_connection_at_the_end_is_ended_after() {
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        L(lifecycle(Event::Open, 11, 8)),
        L(lifecycle(Event::End, 30, 8)),
        H(hook(Hook::Sweep, 30, 8, &[set(Var::SegsOut, 3)])),
        H(hook(Hook::Egress, 40, 7, &[])),
    ]);
    let rows: Vec<_> = out.ended.iter().map(|o| (o.conn_id, o.end_ns, o.ended_after)).collect();
    assert_eq!(rows, [(2, 30, true), (1, 40, true)], "in order of the end");
    assert_eq!(out.ended[0].row.get(Var::SegsOut), Some(3), "the sweep counts");
    assert!(out.ended.iter().all(|o| o.completeness == Completeness::EndedAfter));
}

#[test]
fn a_destroy_ends_a_connection_whose_close_was_lost() {
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(Hook::Destroy, 40, 7, &[])),
        H(hook(Hook::Egress, 50, 9, &[])),
    ]);
    assert_eq!((out.ended[0].end_ns, out.ended[0].ended_after), (40, false));
}

#[test]
fn connections_that_end_at_one_time_are_sorted_by_number() {
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        L(lifecycle(Event::Open, 11, 8)),
        L(lifecycle(Event::Close, 30, 8)),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    assert_eq!(out.ended.iter().map(|o| o.conn_id).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn losses_mark_the_rows_they_may_have_hit() {
    let loss =
        |since_ns, until_ns, records| Loss { of: Of::Connections, since_ns, until_ns, records };
    let setup = Setup {
        timeline: Timeline::new([], [loss(15, 18, 2), loss(35, 38, 5)]),
        ..Setup::default()
    };
    let (out, _) = setup.run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        L(lifecycle(Event::Open, 20, 8)),
        L(lifecycle(Event::Close, 30, 7)),
        L(lifecycle(Event::Close, 31, 8)),
        // Neither open nor baseline: they may be what was lost.
        H(hook(Hook::Egress, 40, 9, &[])),
    ]);
    let rows: Vec<_> = out.ended.iter().map(|o| (o.conn_id, o.lost, o.completeness)).collect();
    assert_eq!(
        rows,
        [(1, 2, Completeness::Lossy), (2, 0, Completeness::Complete), (3, 7, Completeness::Lossy),]
    );
}

#[test]
fn a_late_record_is_applied_and_flagged() {
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(Hook::Egress, 20, 7, &[set(Var::SegsOut, 9)])),
        Late(hook(Hook::TcpProbe, 15, 7, &[inc(Var::DupAcksIn)])),
        L(lifecycle(Event::Close, 30, 7)),
    ]);
    assert_eq!(out.ended[0].row.get(Var::DupAcksIn), Some(1));
    assert_eq!(out.ended[0].completeness, Completeness::Lossy);
    assert_eq!(out.ended[0].row.get(Var::CurrentTs), Some(20), "time does not go back");
}

#[test]
fn records_without_cookie_are_counted_and_make_no_row() {
    let (out, counts) = run(vec![H(hook(Hook::Egress, 20, 0, &[set(Var::SegsOut, 9)]))]);
    assert_eq!((out.ended.len(), counts.without_cookie), (0, 1));
}
