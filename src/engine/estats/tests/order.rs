// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Rows do not depend on how the log was cut into batches. They do not depend on the order in which the
//! rings were read either, as long as the markers are correct.

use proptest::prelude::*;

use super::*;
use crate::engine::time::SLACK_NS;
use crate::engine::time::order::merge;
use crate::wire::NO_CPU;

/// One thing that happens: when within its round, on which CPU, to which connection, and what.
type Happening = (u64, u16, u64, u8);

fn happenings() -> impl Strategy<Value = Vec<Vec<Happening>>> {
    let one = (0..3 * SLACK_NS / 2, 0_u16..3, 1_u64..4, 0_u8..12);
    prop::collection::vec(prop::collection::vec(one, 0..20), 1..6)
}

struct Log {
    hooks: Vec<HookRecord>,
    lifecycles: Vec<Lifecycle>,
}

/// The streams of a log; `random` gives the order of delivery within a round, none for as made.
fn log(rounds: &[Vec<Happening>], mut random: Option<u64>) -> Log {
    let mut log = Log { hooks: Vec::new(), lifecycles: Vec::new() };
    let mut seq = 0;
    for (number, round) in rounds.iter().enumerate() {
        let before = number as u64 * SLACK_NS;
        let (mut hooks, mut lifecycles) = (Vec::new(), Vec::new());
        for &(offset, cpu, cookie, what) in round {
            let ts = before.saturating_sub(SLACK_NS) + offset;
            seq += 1;
            let mut record = |kind, ops: &[_]| {
                let mut record = hook(kind, ts, cookie, ops);
                (record.header.cpu, record.header.seq) = (cpu, seq);
                hooks.push(record);
            };
            match what {
                0 | 1 => {
                    let event = if what == 0 { Event::Open } else { Event::Close };
                    let mut row = lifecycle(event, ts, cookie);
                    (row.header.cpu, row.header.seq) = (cpu, seq);
                    lifecycles.push(row);
                }
                2 => record(Hook::Destroy, &[]),
                3 => record(Hook::SetState, &[set(Var::State, 5)]),
                4 => record(Hook::CongState, &[set(Var::CurCwnd, offset), inc(Var::CongSignals)]),
                5 => record(Hook::Egress, &[set(Var::CurRwinSent, offset % 2)]),
                _ => record(Hook::TcpProbe, &[set(Var::SampleRTT, offset), set(Var::CurRTO, ts)]),
            }
        }
        if let Some(state) = &mut random {
            shuffle(&mut hooks, state);
            shuffle(&mut lifecycles, state);
        }
        log.hooks.extend(hooks);
        log.lifecycles.extend(lifecycles);
        let mut marker = lifecycle(Event::Drain, before + SLACK_NS, 0);
        (marker.header.cpu, marker.header.hook) = (NO_CPU, Hook::Drain);
        log.hooks.push(HookRecord { header: marker.header, ops: Vec::new() });
        log.lifecycles.push(marker);
    }
    log
}

/// Fisher and Yates with a 64-bit LCG.
fn shuffle<T>(items: &mut [T], state: &mut u64) {
    for i in (1..items.len()).rev() {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        items.swap(i, (*state >> 33) as usize % (i + 1));
    }
}

/// All rows as text, and what was counted.
fn rows(log: Log, cuts: &[usize]) -> (Vec<String>, EngineCounts) {
    let mut batches = Vec::new();
    let mut rest = log.hooks;
    for &cut in cuts {
        let tail = rest.split_off(cut.min(rest.len()));
        batches.push(Ok::<_, std::convert::Infallible>(std::mem::replace(&mut rest, tail)));
    }
    batches.push(Ok(rest));
    let plan = Plan::new(&Var::ALL.iter().copied().collect(), RuleOptions::default());
    let timeline = Timeline::default();
    let interval = Interval::Every(NonZeroU64::new(SLACK_NS / 10).unwrap());
    let mut out = Collect::default();
    let mut engine = Engine::new(&plan, &timeline, interval, &mut out);
    let order =
        merge(batches.into_iter(), log.lifecycles.into_iter().map(Ok), &mut engine).unwrap();
    assert_eq!(order.late, 0);
    let (_, counts) = engine.finish().unwrap();
    let ended = out.ended.iter().map(|o| {
        format!("{} {:?} {} {} {:?} {:?}", o.conn_id, o.key, o.begin_ns, o.end_ns, o.row, o.remote)
    });
    let sampled = out.sampled.iter().map(|sample| format!("{sample:?}"));
    (ended.chain(sampled).collect(), counts)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn rows_are_the_same(
        rounds in happenings(),
        cuts in prop::collection::vec(0_usize..15, 0..20),
        seed in any::<u64>(),
    ) {
        let expected = rows(log(&rounds, None), &[]);
        prop_assert_eq!(expected, rows(log(&rounds, Some(seed)), &cuts));
    }
}
