// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
use proptest::prelude::*;

use super::*;
use crate::schema::{Hook, Op, Var};
use crate::wire::{HookRecord, NO_CPU};

impl HookRecords for Vec<HookRecord> {
    fn len(&self) -> usize {
        self.len()
    }
    fn header(&self, row: usize) -> Header {
        self[row].header
    }
    fn ops(&self, row: usize) -> impl Iterator<Item = Operation> {
        self[row].ops.iter().copied()
    }
}

type Streams = (Vec<HookRecord>, Vec<Lifecycle>);

/// The records in their order: time, sequence number and whether late.
#[derive(Default)]
struct Output(Vec<(u64, u64, bool)>, u64);

impl Consumer for Output {
    type Error = std::convert::Infallible;
    fn hook(
        &mut self,
        h: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), Self::Error> {
        assert_eq!(ops.map(|o| o.value).collect::<Vec<_>>(), [h.seq], "operations of its own row");
        self.0.push((h.ts_ns, h.seq, late));
        Ok(())
    }
    fn lifecycle(&mut self, l: &Lifecycle, late: bool) -> Result<(), Self::Error> {
        self.0.push((l.header.ts_ns, l.header.seq, late));
        Ok(())
    }
    fn missed(&mut self, _: &Header, _: u64) {}

    fn unread(&mut self, _: &Header, _: &[Var]) {}

    fn reached(&mut self, ts_ns: u64) {
        self.1 = self.1.max(ts_ns);
    }
}

fn header(ts_ns: u64, cpu: u16, seq: u64, hook: Hook) -> Header {
    Header { ts_ns, seq, cookie: 1, generation: 0, cpu, hook }
}

fn hook(ts_ns: u64, cpu: u16, seq: u64) -> HookRecord {
    let ops = vec![Operation { var: Var::SegsOut, op: Op::Set, value: seq }];
    HookRecord { header: header(ts_ns, cpu, seq, Hook::Egress), ops }
}

fn hook_marker(ts_ns: u64) -> HookRecord {
    HookRecord { header: header(ts_ns, NO_CPU, 0, Hook::Drain), ops: vec![] }
}

fn lifecycle(event: Event, ts_ns: u64, seq: u64) -> Lifecycle {
    let mut l = crate::testing::lifecycle(event, ts_ns, 1);
    l.header.seq = seq;
    l
}

fn run((hooks, lifecycles): Streams, cuts: &[usize]) -> (Output, OrderCounts) {
    let mut batches = Vec::new();
    let mut rest = hooks;
    for &cut in cuts {
        let tail = rest.split_off(cut.min(rest.len()));
        batches.push(Ok::<_, std::convert::Infallible>(std::mem::replace(&mut rest, tail)));
    }
    batches.push(Ok(rest));
    let mut seen = Output::default();
    let counts = merge(batches.into_iter(), lifecycles.into_iter().map(Ok), &mut seen).unwrap();
    (seen, counts)
}

#[test]
fn both_streams_come_in_one_order() {
    const S: u64 = SLACK_NS;
    let hooks = vec![
        hook(30, 0, 3),
        hook(10, 0, 1),
        hook(10, 1, 5),
        hook_marker(S + 20),
        hook(25, 1, 6),
        hook_marker(2 * S),
        hook(2 * S, 0, 7),
    ];
    let lifecycles = vec![
        lifecycle(Event::Open, 9, 0),
        lifecycle(Event::Drain, S + 20, 0),
        lifecycle(Event::Close, 28, 9),
        lifecycle(Event::Drain, 2 * S, 0),
    ];
    let (seen, counts) = run((hooks, lifecycles), &[]);
    let order: Vec<_> = seen.0.iter().map(|&(ts, seq, _)| (ts, seq)).collect();
    assert_eq!(order, [(9, 0), (10, 1), (10, 5), (25, 6), (28, 9), (30, 3), (2 * S, 7)]);
    assert_eq!(seen.1, 2 * S);
    assert_eq!((counts.hooks, counts.lifecycles, counts.late), (5, 2, 0));
}

#[test]
fn a_record_behind_the_watermark_is_late_and_still_applied() {
    const S: u64 = SLACK_NS;
    let hooks = vec![hook(10, 0, 1), hook_marker(S + 50), hook(49, 0, 2), hook(50, 0, 3)];
    let (seen, counts) = run((hooks, vec![]), &[]);
    assert_eq!(seen.0, [(10, 1, false), (49, 2, true), (50, 3, false)]);
    assert_eq!(counts.late, 1);
}

#[test]
fn the_number_of_held_records_is_bounded_by_the_markers() {
    let mut hooks = Vec::new();
    for round in 0..100 {
        for i in 0..10 {
            hooks.push(hook(round * SLACK_NS + i, 0, round * 10 + i));
        }
        hooks.push(hook_marker(round * SLACK_NS + 10));
    }
    let markers = (0..100).map(|r| lifecycle(Event::Drain, r * SLACK_NS + 10, 0)).collect();
    let (_, counts) = run((hooks, markers), &[7, 100, 1]);
    assert_eq!(counts.hooks, 1000);
    assert!(counts.held <= 30, "held {}: two rounds and the one being read", counts.held);
}

/// Rounds of records, each record not older than the marker before its round allows.
fn rounds() -> impl Strategy<Value = Vec<Vec<(u64, u16)>>> {
    prop::collection::vec(prop::collection::vec((0..3 * SLACK_NS / 2, 0_u16..3), 0..12), 1..8)
}

proptest! {
    #[test]
    fn batches_and_order_of_delivery_do_not_matter(
        rounds in rounds(),
        cuts in prop::collection::vec(0_usize..9, 0..20),
        seed in any::<u64>(),
    ) {
        let mut seq = 0;
        let mut sorted = Vec::new();
        let mut shuffled = Vec::new();
        let mut markers = Vec::new();
        let mut random = seed | 1;
        for (number, round) in rounds.iter().enumerate() {
            let before = number as u64 * SLACK_NS;
            let mut records: Vec<_> = round.iter().map(|&(offset, cpu)| {
                seq += 1;
                hook(before.saturating_sub(SLACK_NS) + offset, cpu, seq)
            }).collect();
            sorted.extend(records.iter().map(|r| key(&r.header)));
            // Fisher and Yates with a 64-bit LCG: any order within the round is possible.
            for i in (1..records.len()).rev() {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                records.swap(i, (random >> 33) as usize % (i + 1));
            }
            shuffled.extend(records);
            shuffled.push(hook_marker(before + SLACK_NS));
            markers.push(lifecycle(Event::Drain, before + SLACK_NS, 0));
        }
        sorted.sort_unstable();
        let (seen, counts) = run((shuffled, markers), &cuts);
        prop_assert_eq!(counts.late, 0);
        let expected: Vec<_> = sorted.iter().map(|&(ts, _, seq)| (ts, seq, false)).collect();
        prop_assert_eq!(seen.0, expected);
    }
}
