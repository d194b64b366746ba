// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Each rule by itself: what it gives, and what it must not give.

use super::*;

const RTT: Var = Var::SampleRTT;

/// The final row of a connection opened at 1000 and closed at 9000 (ns), each list one record, the
/// first at 2000, one every 1000.
fn row_with(setup: &Setup, records: &[&[(Var, Op, u64)]]) -> Row {
    let mut all = vec![L(lifecycle(Event::Open, 1000, 7))];
    for (i, ops) in records.iter().enumerate() {
        all.push(H(hook(Hook::SetState, 2000 + i as u64 * 1000, 7, ops)));
    }
    all.push(L(lifecycle(Event::Close, 9000, 7)));
    setup.run(all).0.ended.remove(0).row
}

fn row(records: &[&[(Var, Op, u64)]]) -> Row {
    row_with(&Setup::default(), records)
}

#[track_caller]
fn check(records: &[&[(Var, Op, u64)]], expected: &[(Var, Option<u64>)]) {
    let row = row(records);
    for &(var, value) in expected {
        assert_eq!(row.get(var), value, "{}", var.name());
    }
}

#[test]
fn stream_operations() {
    check(
        &[
            &[(Var::SegsIn, Op::Set, 5), (Var::SegsIn, Op::Add, 3), (Var::SegsIn, Op::Inc, 0)],
            &[(Var::SegsIn, Op::Dec, 0)],
            &[set(Var::State, 5), (Var::MaxPipeSize, Op::Max, 7), (Var::MaxPipeSize, Op::Max, 3)],
            &[(Var::MinSsthresh, Op::Min, 7), (Var::MinSsthresh, Op::Min, 9)],
        ],
        &[(Var::SegsIn, Some(8)), (Var::MaxPipeSize, Some(7)), (Var::MinSsthresh, Some(7))],
    );
}

#[test]
fn counters_wrap_at_the_width_of_their_type() {
    check(
        &[&[
            (Var::CongSignals, Op::Set, 0xffff_ffff),
            (Var::CongSignals, Op::Inc, 0),
            (Var::HCDataOctetsIn, Op::Add, 0xffff_ffff),
            (Var::HCDataOctetsIn, Op::Add, 2),
        ]],
        &[
            (Var::CongSignals, Some(0)),
            (Var::HCDataOctetsIn, Some(0x1_0000_0001)),
            (Var::DataOctetsIn, Some(1)),
        ],
    );
}

#[test]
fn before_the_first_operation() {
    check(
        &[],
        &[
            (Var::DupAcksIn, Some(0)),      // events are counted from 0
            (Var::HCDataOctetsIn, Some(0)), // by add too
            (Var::SegsOut, None),           // the kernel's own counter is not known yet
            (Var::CurCwnd, None),           // nor is a gauge
            (RTT, None),
            // Extremes of nothing.
            (Var::MaxRTT, None),
            (Var::MinRTT, None),
            (Var::MaxPipeSize, None),
            (Var::MinSsthresh, None),
            (Var::MinMSS, None),
            (Var::MinRTO, None),
            (Var::NormalRttm, None), // without a limit
            (Var::CountRTT, Some(0)),
            (Var::HCSumRTT, Some(0)),
            (Var::SndMax, None),
            (Var::CurrentTs, None),
            (Var::ElapsedSecs, None),
            (Var::SndLimTimeStartup, None),
            (Var::LimstateTs, None),
            (Var::EarlyRetrans, Some(0)),
            (Var::LimSsthresh, Some(0xffff_ffff)),
            (Var::StartTs, Some(1000)),
        ],
    );
}

#[test]
fn uncovered_variables_and_those_derived_from_them_are_null() {
    let mut setup = Setup::default();
    setup.covered.remove(RTT);
    setup.covered.remove(Var::Limstate);
    setup.covered.remove(Var::DupAcksIn);
    setup.covered.remove(Var::EarlyRetrans);
    let row = row_with(
        &setup,
        &[&[set(RTT, 5), inc(Var::DupAcksIn), set(Var::CurRTO, 9), inc(Var::CongSignals)]],
    );
    for var in [
        RTT,
        Var::MaxRTT,
        Var::MinRTT,
        Var::SumRTT,
        Var::HCSumRTT,
        Var::CountRTT,
        Var::MaxRTO,
        Var::MinRTO,
        Var::PreCongSumRTT,
        Var::PostCongSumRTT,
        Var::PostCongCountRTT,
        Var::NormalRttm,
        Var::HighRttm,
        Var::Limstate,
        Var::LimstateTs,
        Var::SndLimTransSnd,
        Var::SndLimTimeSnd,
        Var::DupAcksIn,
    ] {
        assert_eq!(row.get(var), None, "{}", var.name());
    }
    assert_eq!(row.get(Var::CongSignals), Some(1));
    assert_eq!(row.get(Var::CurRTO), Some(9));
    // A constant of kernels: it is not known for a host that was seen only from outside.
    assert_eq!(row.get(Var::EarlyRetrans), None);
    assert_eq!(row.get(Var::EarlyRetransDelay), Some(0), "a constant needs no hook");
}

#[test]
fn extremes_sum_and_count_of_samples() {
    const HALF: u64 = 0x7fff_fff8;
    let samples = [set(RTT, 30), set(RTT, 10), set(RTT, HALF), set(RTT, HALF), set(RTT, 20)];
    let (out, _) = run(vec![
        L(lifecycle(Event::Open, 1000, 7)),
        H(hook(Hook::TcpProbe, 2000, 7, &samples)),
        // An hour later: no round trip took longer than the connection lived.
        L(lifecycle(Event::Close, 3_600_000_000_000, 7)),
    ]);
    for (var, value) in [
        (RTT, 20),
        (Var::MaxRTT, HALF),
        (Var::MinRTT, 10),
        (Var::CountRTT, 5),
        (Var::HCSumRTT, 0x1_0000_002c),
        (Var::SumRTT, 0x2c),
    ] {
        assert_eq!(out.ended[0].row.get(var), Some(value), "{}", var.name());
    }
}

#[test]
fn since_established_counts_from_the_value_in_force() {
    let mss = Var::CurMSS;
    check(
        &[&[set(mss, 9000)], &[set(mss, 536)], &[set(Var::State, 3)]],
        &[(Var::MaxMSS, None), (Var::MinMSS, None)],
    );
    check(
        &[&[set(mss, 9000)], &[set(mss, 536)], &[set(Var::State, 5)]],
        &[(Var::MaxMSS, Some(536)), (Var::MinMSS, Some(536))],
    );
    check(
        &[
            &[set(mss, 9000), set(mss, 1448), set(Var::State, 5), set(mss, 1400)],
            &[set(mss, 1460)],
            // The state changes again: nothing begins anew.
            &[set(mss, 100), set(Var::State, 6), set(Var::State, 5)],
        ],
        &[(Var::MaxMSS, Some(1460)), (Var::MinMSS, Some(100))],
    );
}

#[test]
fn an_open_or_baseline_record_can_establish_a_connection() {
    for event in [Event::Open, Event::Baseline] {
        let mut begin = lifecycle(event, 1000, 7);
        begin.established = 1;
        let (out, _) = run(vec![
            L(begin),
            H(hook(Hook::Egress, 2000, 7, &[set(Var::CurRwinSent, 77)])),
            L(lifecycle(Event::Close, 9000, 7)),
        ]);
        assert_eq!(out.ended[0].row.get(Var::MaxRwinSent), Some(77));
    }
}

#[test]
fn zero_transitions_count_changes_only() {
    let w = Var::CurRwinSent;
    let established = set(Var::State, 5);
    check(&[&[established], &[set(w, 5)], &[set(w, 3)]], &[(Var::ZeroRwinSent, Some(0))]);
    check(
        &[&[established], &[set(w, 0)], &[set(w, 0)], &[set(w, 7)], &[set(w, 0)]],
        &[(Var::ZeroRwinSent, Some(2))],
    );
    // An active open knows no window of its peer in SYN-SENT; established with zero is one.
    check(&[&[set(w, 0)], &[set(w, 7), established]], &[(Var::ZeroRwinSent, Some(0))]);
    check(&[&[set(w, 0), established], &[set(w, 7)]], &[(Var::ZeroRwinSent, Some(1))]);
}

#[test]
fn serial_max_follows_the_wrap() {
    let v = Var::SndNxt;
    check(
        &[&[set(v, 0xffff_fff0)], &[set(v, 5)], &[set(v, 0xffff_fffe)], &[set(v, 4)]],
        &[(Var::SndMax, Some(5))],
    );
}

#[test]
fn limitation_transitions_and_times() {
    let l = Var::Limstate;
    // startup at 2000, sender 3000..4000 and (confirmed) ..5000, congestion ..6000, sender to 9000.
    check(
        &[&[set(l, 3)], &[set(l, 0)], &[set(l, 0)], &[set(l, 1)], &[set(l, 0)]],
        &[
            (Var::SndLimTransSnd, Some(2)),
            (Var::SndLimTransCwnd, Some(1)),
            (Var::SndLimTransRwin, Some(0)),
            (Var::SndLimTimeSnd, Some(2 + 3)),
            (Var::SndLimTimeCwnd, Some(1)),
            (Var::SndLimTimeRwin, Some(0)),
            (Var::LimstateTs, Some(6000)),
        ],
    );
}

#[test]
fn times_in_a_state_keep_their_fractions() {
    let mut all = vec![L(lifecycle(Event::Open, 0, 7))];
    for i in 0..10_u64 {
        all.push(H(hook(Hook::Egress, 1000 + i * 600, 7, &[set(Var::Limstate, i % 2)])));
    }
    all.push(L(lifecycle(Event::Close, 7000, 7)));
    let (out, _) = run(all);
    assert_eq!(out.ended[0].row.get(Var::SndLimTimeSnd), Some(3), "5 times 600 ns");
}

#[test]
fn time_to_established() {
    check(
        &[&[set(Var::State, 3)], &[set(Var::State, 5)], &[set(Var::State, 5)]],
        &[(Var::SndLimTimeStartup, Some(2))],
    );
    // Begun before the recording: how long it took was not seen.
    let (out, _) = run(vec![H(hook(Hook::SetState, 2000, 7, &[set(Var::State, 5)]))]);
    assert_eq!(out.ended[0].row.get(Var::SndLimTimeStartup), None);
}

#[test]
fn rto_extremes_take_the_value_at_the_end_of_the_record() {
    check(
        &[
            &[set(Var::CurRTO, 1000)], // no sample: does not count
            &[set(RTT, 1), set(Var::CurRTO, 300)],
            &[set(Var::CurRTO, 200), set(RTT, 1)],
            &[set(RTT, 1)],
            &[set(Var::CurRTO, 100)],
        ],
        &[(Var::MaxRTO, Some(300)), (Var::MinRTO, Some(200))],
    );
    check(&[&[set(RTT, 1)]], &[(Var::MaxRTO, None), (Var::MinRTO, None)]);
}

#[test]
fn congestion_signals_take_the_values_before_them() {
    let (s, c) = (inc(Var::CongSignals), Var::CurCwnd);
    check(
        &[
            &[s], // nothing known yet: adds nothing
            &[set(RTT, 10), set(c, 1000), s, set(c, 500)],
            &[s],
        ],
        &[(Var::PreCongSumCwnd, Some(1500)), (Var::PreCongSumRTT, Some(20))],
    );
    check(&[&[set(c, 1000), (Var::CongSignals, Op::Add, 0)]], &[(Var::PreCongSumCwnd, Some(0))]);
}

#[test]
fn the_first_sample_after_a_signal() {
    let s = inc(Var::CongSignals);
    check(
        &[
            &[set(RTT, 1)],
            &[set(RTT, 2), s], // before the signal, in its own record
            &[set(RTT, 30)],
            &[set(RTT, 400)], // the second after it
            &[s, s],          // two signals, one sample
            &[set(RTT, 5000)],
        ],
        &[(Var::PostCongSumRTT, Some(5030)), (Var::PostCongCountRTT, Some(2))],
    );
}

#[test]
fn latency_limit() {
    let samples: &[&[_]] = &[&[set(RTT, 99)], &[set(RTT, 100)], &[set(RTT, 101)]];
    check(samples, &[(Var::NormalRttm, None), (Var::HighRttm, None)]);
    let setup = Setup { options: RuleOptions { latency_limit_us: 100 }, ..Setup::default() };
    let row = row_with(&setup, samples);
    assert_eq!((row.get(Var::NormalRttm), row.get(Var::HighRttm)), (Some(2), Some(1)));
}

#[test]
fn last_segment_elapsed_and_wall_clock() {
    let setup =
        Setup { timeline: Timeline::new([(0, 1_700_000_000_000_000_000)], []), ..Setup::default() };
    let end = 1000 + 3_000_250_000;
    let (out, _) = setup.run(vec![
        L(lifecycle(Event::Open, 1000, 7)),
        H(hook(Hook::TcpProbe, end, 7, &[])),
        // Not a segment.
        H(hook(Hook::CongState, end + 5000, 7, &[])),
        L(lifecycle(Event::Close, end + 9000, 7)),
    ]);
    let row = &out.ended[0].row;
    assert_eq!(row.get(Var::CurrentTs), Some(end));
    assert_eq!(row.get(Var::ElapsedSecs), Some(3));
    assert_eq!(row.get(Var::ElapsedMicroSecs), Some(250));
    assert_eq!(row.get(Var::StartTv), Some(1_700_000_000_000_001));
    assert_eq!(row.get(Var::StartTimeStamp), row.get(Var::StartTv));
}

#[test]
fn the_stream_may_know_a_later_last_segment() {
    let segment = |ts, ops: &[(Var, Op, u64)]| H(hook(Hook::Egress, ts, 7, ops));
    let open = || L(lifecycle(Event::Open, 1000, 7));
    let (out, _) = run(vec![open(), segment(2000, &[set(Var::CurrentTs, 2500)])]);
    assert_eq!(out.ended[0].row.get(Var::CurrentTs), Some(2500));
    let (out, _) = run(vec![open(), segment(2000, &[set(Var::CurrentTs, 1500)])]);
    assert_eq!(out.ended[0].row.get(Var::CurrentTs), Some(2000));
}

#[test]
fn a_derived_value_in_the_stream_does_not_replace_the_rule() {
    check(&[&[set(Var::MaxRTT, 7)], &[set(RTT, 3)]], &[(Var::MaxRTT, Some(3))]);
}

#[test]
fn rules_build_only_on_what_is_there_before_them() {
    use super::super::rules::Runs;
    use crate::schema::Apply;
    for &var in Var::ALL {
        let Apply::Derived(rule) = var.def().apply else { continue };
        for source in rule.def().needs.vars() {
            if let Apply::Derived(of) = source.def().apply {
                assert!(Runs::of(rule).of_row && !Runs::of(of).of_row, "{var} from {source}");
            }
        }
    }
}

#[test]
fn a_rule_runs_when_its_inputs_change() {
    use super::super::rules::Runs;
    use crate::schema::Apply;
    for &var in Var::ALL {
        let Apply::Derived(rule) = var.def().apply else { continue };
        let (runs, def) = (Runs::of(rule), rule.def());
        let needs: Vec<_> = def.needs.vars().collect();
        let triggers = runs.at_operation.into_iter().flatten().chain(runs.at_record_end);
        triggers.for_each(|of| assert!(needs.contains(&of), "{var} runs at {of}"));
        assert!(def.each_set.is_none_or(|of| needs.contains(&of)), "{var}");
        // Values that are made for each row keep nothing from one row to the next.
        assert!(runs.keeps() || def.initial.is_none(), "{var}");
        assert!(runs.keeps() || runs.at_segment || runs.at_row, "{var} never runs");
    }
}

#[test]
fn derived_variables_of_packets_need_variables_of_packets() {
    for &var in Var::ALL {
        let def = var.def();
        let crate::schema::Apply::Derived(rule) = def.apply else { continue };
        let given = rule.def().needs.vars().all(|v| v.def().packets.is_some());
        // A constant of kernels is nothing that packets show.
        let constant = matches!(rule, crate::schema::Rule::Constant(_));
        assert_eq!(def.packets.is_some(), given && !constant, "{}", var.name());
    }
}

/// The final row of a connection that was open before, with these values of its baseline.
fn begun_before(baseline: &[(Var, Op, u64)]) -> Row {
    begun_at(Hook::Baseline, baseline)
}

fn begun_at(first: Hook, baseline: &[(Var, Op, u64)]) -> Row {
    let (mut out, _) = run(vec![
        L(lifecycle(Event::Baseline, 1000, 7)),
        H(hook(first, 1000, 7, baseline)),
        H(hook(Hook::TcpProbe, 2000, 7, &[(Var::HCDataOctetsIn, Op::Add, 10)])),
        L(lifecycle(Event::Close, 9000, 7)),
    ]);
    out.ended.remove(0).row
}

#[test]
fn octets_received_before_are_the_kernels_count() {
    let received = set(Var::HCThruOctetsReceived, 500);
    let none_wait = set(Var::CurReasmQueue, 0);
    let octets = |baseline: &[_]| begun_before(baseline).get(Var::HCDataOctetsIn);
    assert_eq!(octets(&[set(Var::State, 5), received, none_wait]), Some(510));
    assert_eq!(octets(&[set(Var::State, 8), received, none_wait]), Some(509), "less the FIN");
    // The octets behind a hole are not known, and variables that an old log lacks are not known either.
    assert_eq!(octets(&[set(Var::State, 5), received, set(Var::CurReasmQueue, 9)]), None);
    assert_eq!(octets(&[set(Var::State, 5), received]), None);
    // A process that was chosen used it: it is recorded from a read, or from its FIN on.
    for first in [Hook::RcvSpace, Hook::SetState] {
        let row = begun_at(first, &[set(Var::State, 5), received, none_wait]);
        assert_eq!(row.get(Var::HCDataOctetsIn), Some(510), "{first:?}");
    }
}

#[test]
fn contradicting_values_are_unknown() {
    let ops = [set(Var::State, 5), set(Var::DataSegsIn, 5), set(Var::SegsIn, 3)];
    let row = row(&[&ops]);
    // The kernel keeps both, so neither is known to be right.
    assert_eq!((row.get(Var::DataSegsIn), row.get(Var::SegsIn)), (None, None));
    assert_eq!(row.discarded().iter().collect::<Vec<_>>(), [Var::SegsIn, Var::DataSegsIn]);
}

/// Accurate ECN has no echo. That takes the value, and what comes of it later, and nothing else.
#[test]
fn a_value_that_a_connection_does_not_have_is_null_and_not_a_loss() {
    let void = (Var::ECESent, Op::Void, 0);
    let ops = [set(Var::State, 5), (Var::CERcvd, Op::Add, 3), void];
    let later = [(Var::ECESent, Op::Inc, 1), (Var::CERcvd, Op::Inc, 1)];
    let items = vec![
        L(lifecycle(Event::Open, 10, 7)),
        H(hook(Hook::SetState, 20, 7, &ops)),
        H(hook(Hook::TcpProbe, 30, 7, &later)),
        L(lifecycle(Event::Close, 40, 7)),
    ];
    let (out, counts) = Setup::default().run(items);
    let ended = &out.ended[0];
    assert_eq!((ended.row.get(Var::ECESent), ended.row.get(Var::CERcvd)), (None, Some(4)));
    assert!(ended.row.discarded().is_empty());
    assert_eq!((ended.lost, ended.completeness, counts.missed), (0, Completeness::Complete, 0));
}

#[test]
fn the_last_soft_error_is_none_where_none_was_missed() {
    let reason = Var::SoftErrorReason;
    check(&[&[set(Var::State, 5)]], &[(reason, Some(0))]);
    check(&[&[(Var::SoftErrors, Op::Inc, 1), set(reason, 3)]], &[(reason, Some(3))]);
    // For a connection that was open before, and for one that lacks records, it is not known.
    let before = vec![
        L(lifecycle(Event::Baseline, 1000, 7)),
        H(hook(Hook::Baseline, 1001, 7, &[set(Var::State, 5)])),
        L(lifecycle(Event::Close, 9000, 7)),
    ];
    let row = Setup::default().run(before).0.ended.remove(0).row;
    assert_eq!(row.get(reason), None);
    check(&[&[set(Var::State, 5), (Var::SegsOut, Op::Missed, 1)]], &[(reason, None)]);
}

/// A variable that programs of an earlier recorder counted wrongly proves nothing: they counted two slow
/// starts for each ACK of a Reno sender.
#[test]
fn counts_of_an_earlier_recorder_are_not_compared_with_each_other() {
    let covered = Var::ALL.iter().copied().collect();
    let ended = |recounted: &[Var]| {
        let plan = Plan::new(&covered, RuleOptions::default());
        let plan = plan.with_recounted(recounted.iter().copied());
        let timeline = Timeline::default();
        let mut out = Collect::default();
        let interval = Interval::Every(NonZeroU64::MAX);
        let mut engine = Engine::new(&plan, &timeline, interval, &mut out);
        let first = lifecycle(Event::Open, 10, 7);
        engine.lifecycle(&first, false).unwrap();
        let r = hook(
            Hook::SetState,
            20,
            7,
            &[set(Var::State, 5), set(Var::SegsIn, 11), set(Var::SlowStart, 20)],
        );
        engine.hook(&r.header, r.ops.into_iter(), false).unwrap();
        engine.lifecycle(&lifecycle(Event::Close, 50, 7), false).unwrap();
        engine.finish().unwrap();
        (out.ended[0].row.get(Var::SlowStart), out.ended[0].completeness)
    };
    assert_eq!(ended(&[]), (None, Completeness::Lossy));
    assert_eq!(ended(&[Var::SlowStart]), (Some(20), Completeness::Complete));
}
