// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Verdicts on pairs of values.

use super::*;
use crate::log::VariableStatus;
use crate::schema::Hook;

fn coverage(quality: &str) -> Coverage {
    let status = |var: &Var| VariableStatus {
        name: var.name().into(),
        quality: quality.into(),
        reason: Some("because".into()),
    };
    Coverage::of(&Manifest {
        variables: Var::ALL.iter().map(status).collect(),
        ..Manifest::default()
    })
}

fn guessed() -> Cover {
    let (quality, reason) = (Some(Quality::Approximate), Some("guessed".into()));
    Cover { quality, reason, recount: None }
}

fn values(values: &[(Var, i128)]) -> Values {
    values.iter().copied().collect()
}

fn exact(var: Var, ours: &[(Var, i128)], reference: &[(Var, i128)]) -> Verdict {
    judge_with(var, ours, reference, &coverage("exact"), None)
}

/// A pair of which nothing more is known.
fn bare<'a>(ours: &'a Values, reference: &'a Values, coverage: &'a Coverage) -> Pair<'a> {
    static NOTHING: std::sync::LazyLock<(Followed, BTreeSet<String>)> =
        std::sync::LazyLock::new(Default::default);
    Pair {
        ours,
        followed: &NOTHING.0,
        reference,
        read_us: None,
        around: None,
        coverage,
        close: None,
        algorithms: &NOTHING.1,
        incomplete: None,
    }
}

fn judge_with(
    var: Var,
    ours: &[(Var, i128)],
    reference: &[(Var, i128)],
    coverage: &Coverage,
    incomplete: Option<&str>,
) -> Verdict {
    let (ours, reference) = (values(ours), values(reference));
    judge(var, &Pair { incomplete, ..bare(&ours, &reference, coverage) })
}

#[test]
fn classes() {
    use Var::*;
    type Side = &'static [(Var, i128)];
    let cases: [(Class, Var, Side, Side); 12] = [
        (Class::Exact, SegsIn, &[(SegsIn, 7)], &[(SegsIn, 7)]),
        (Class::Differs, SegsIn, &[(SegsIn, 7)], &[(SegsIn, 8)]),
        (Class::UnitRounded, MinRTT, &[(MinRTT, 20_500)], &[(MinRTT, 20)]),
        (Class::Exact, CurRTO, &[(CurRTO, 235_000)], &[(CurRTO, 235)]),
        // The number is equal, the value is not.
        (Class::Differs, MinRTT, &[(MinRTT, 20_500)], &[(MinRTT, 20_500)]),
        (Class::Bounded, MaxAppWQueue, &[(MaxAppWQueue, 9)], &[(MaxAppWQueue, 0)]),
        (Class::Differs, MaxAppWQueue, &[(MaxAppWQueue, 9)], &[(MaxAppWQueue, 10)]),
        (Class::KnownFault, LimMSS, &[(LimMSS, 1460)], &[(LimMSS, (5 << 16) + 1460)]),
        (
            Class::KnownFault,
            MaxReasmQueue,
            &[(MaxReasmQueue, 9)],
            &[(MaxReasmQueue, (1 << 32) - 9)],
        ),
        (Class::NotComparable, Limstate, &[(Limstate, 0)], &[]),
        (Class::NotComparable, SegsIn, &[], &[(SegsIn, 0)]),
        (Class::NotComparable, SegsIn, &[(SegsIn, 0)], &[]),
    ];
    for (class, var, ours, reference) in cases {
        let verdict = exact(var, ours, reference);
        assert_eq!(verdict.class, class, "{} {ours:?} {reference:?} {verdict:?}", var.name());
        assert_eq!(verdict.reason.is_empty(), class == Class::Exact, "{verdict:?}");
    }
}

#[test]
fn cases_of_a_relation_are_chosen_by_our_values() {
    use Var::*;
    let active = exact(MSSRcvd, &[(MSSRcvd, 1460), (ActiveOpen, 1)], &[(MSSRcvd, 0)]);
    assert_eq!(active.class, Class::KnownFault);
    assert!(active.fault.is_some_and(|f| f.contains("active end")));
    let passive = exact(MSSRcvd, &[(MSSRcvd, 1460), (ActiveOpen, 2)], &[(MSSRcvd, 1461)]);
    assert_eq!(passive.class, Class::Differs);
    let unknown = exact(MSSRcvd, &[(MSSRcvd, 1460)], &[(MSSRcvd, 0)]);
    assert_eq!(unknown.class, Class::NotComparable);
    assert!(unknown.reason.contains("ActiveOpen"), "{}", unknown.reason);
}

#[test]
fn inexact_values_are_never_classed_exact() {
    use Var::*;
    let judge = |quality, theirs| {
        judge_with(SegsIn, &[(SegsIn, 7)], &[(SegsIn, theirs)], &coverage(quality), None)
    };
    assert_eq!(judge("sampled", 7).class, Class::Bounded);
    assert_eq!(judge("sampled", 8).class, Class::NotComparable);
    assert_eq!(judge("approximate", 7).class, Class::NotComparable);
    assert!(judge("approximate", 7).reason.contains("because"));
    assert_eq!(judge("constant", 7).class, Class::Exact);
    let nothing = judge_with(
        SegsIn,
        &[(SegsIn, 7)],
        &[(SegsIn, 7)],
        &Coverage::of(&Manifest::default()),
        None,
    );
    assert_eq!(nothing.class, Class::Bounded, "it is not stated to be exact");
}

#[test]
fn an_approximate_input_makes_only_its_users_approximate() {
    use Var::*;
    let mut coverage = coverage("exact");
    coverage.0[CERcvd.index()] = guessed();
    let ours = [(CERcvd, 34), (ECESent, 23)];
    let judge = |r| judge_with(ECESent, &ours, &[(ECESent, r)], &coverage, None);
    assert_eq!(judge(11).class, Class::NotComparable);
    assert!(judge(11).reason.starts_with("CERcvd is approximate"), "{}", judge(11).reason);
    assert_eq!(judge(23).class, Class::Exact, "equal without it");
}

#[test]
fn a_value_outside_a_partly_known_range_differs() {
    use Var::*;
    let mut coverage = coverage("exact");
    coverage.0[SendStall.index()] = guessed();
    let judge = |ours: &[(Var, i128)], r| {
        judge_with(SegsRetrans, ours, &[(SegsRetrans, r)], &coverage, None).class
    };
    // From SegsRetrans - SendStall to SegsRetrans: above, SendStall does not matter.
    let ours = [(SegsRetrans, 7), (ActiveOpen, 1), (SendStall, 0)];
    assert_eq!((judge(&ours, 8), judge(&ours, 6)), (Class::Differs, Class::NotComparable));
    let unknown = &ours[..2];
    assert_eq!((judge(unknown, 8), judge(unknown, 6)), (Class::Differs, Class::NotComparable));
}

#[test]
fn an_incomplete_row_explains_a_difference_but_not_equality() {
    use Var::*;
    let judge =
        |r| judge_with(SegsIn, &[(SegsIn, 7)], &[(SegsIn, r)], &coverage("exact"), Some("lossy"));
    assert_eq!(judge(7).class, Class::Exact);
    assert_eq!((judge(8).class, judge(8).reason.as_str()), (Class::NotComparable, "lossy"));
}

#[test]
fn a_counter_that_grows_during_the_reading_lies_between_our_values() {
    let (before, at) = (values(&[(Var::SegsIn, 7)]), values(&[(Var::SegsIn, 9)]));
    let coverage = coverage("exact");
    let class = |before, next, theirs| {
        let reference = values(&[(Var::SegsIn, theirs)]);
        let around = Around { before, next, after: &at };
        judge(Var::SegsIn, &Pair { around: Some(around), ..bare(&at, &reference, &coverage) }).class
    };
    assert_eq!(class(&before, &at, 9), Class::Exact);
    assert_eq!(class(&before, &at, 8), Class::Bounded, "it grew from 7 to 9");
    assert_eq!(class(&before, &at, 10), Class::Differs);
    assert_eq!(class(&before, &at, 6), Class::Differs);
    assert_eq!(class(&at, &at, 10), Class::Differs, "it stood still");
    // The effect of the last segment is in the record after it.
    let next = values(&[(Var::SegsIn, 12)]);
    assert_eq!(class(&at, &next, 12), Class::Bounded);
    assert_eq!(class(&at, &next, 13), Class::Differs);
}

#[test]
fn a_gauge_that_moves_while_the_reference_is_read_proves_nothing() {
    let (before, at) = (values(&[(Var::CurCwnd, 7)]), values(&[(Var::CurCwnd, 9)]));
    let coverage = coverage("exact");
    let class = |before, theirs| {
        let reference = values(&[(Var::CurCwnd, theirs)]);
        let around = Around { before, next: &at, after: &at };
        judge(Var::CurCwnd, &Pair { around: Some(around), ..bare(&at, &reference, &coverage) })
            .class
    };
    assert_eq!(class(&before, 8), Class::NotComparable);
    assert_eq!(class(&before, 7), Class::Bounded);
    assert_eq!(class(&at, 8), Class::Differs, "it stood still");
}

#[test]
fn a_cleared_socket_is_recognised_by_impossible_zeros() {
    use Var::*;
    let ours = values(&[(SmoothedRTT, 20_000), (LimMSS, 1460), (LimRwin, 65_535), (CurRTO, 1)]);
    let cleared = [(SmoothedRTT, 0), (LimMSS, 0), (LimRwin, 0), (CurRTO, 1_000)];
    let coverage = coverage("exact");
    let judge = |close, theirs: &[(Var, i128)], var| {
        let reference = values(theirs);
        judge(var, &Pair { close, ..bare(&ours, &reference, &coverage) })
    };
    let verdict = judge(Some(CloseReason::ResetSent), &cleared, SmoothedRTT);
    assert_eq!(verdict.class, Class::KnownFault, "{verdict:?}");
    assert!(verdict.reason.starts_with("cleared: "), "{verdict:?}");
    assert_eq!(judge(Some(CloseReason::ResetSent), &cleared, CurRTO).class, Class::KnownFault);
    // Another value than what clearing leaves is none of it.
    let mut other = cleared;
    other[3].1 = 999;
    assert_eq!(judge(Some(CloseReason::ResetSent), &other, CurRTO).class, Class::Differs);
    // Nor is one zero a cleared socket, nor one that lives.
    let one = [(SmoothedRTT, 0), (LimMSS, 1460), (LimRwin, 65_535)];
    assert_eq!(judge(Some(CloseReason::ResetSent), &one, SmoothedRTT).class, Class::Differs);
    assert_eq!(judge(None, &cleared, SmoothedRTT).class, Class::Differs);
    // The peer may have ended it before it was cleared.
    let later = judge(Some(CloseReason::ResetReceived), &cleared, SmoothedRTT);
    assert_eq!(later.class, Class::KnownFault);
}

/// A kprobe recording whose programs count as this version does.
fn counted(counting: Option<u32>) -> Coverage {
    let hooks = Hook::ALL.iter().map(|hook| crate::log::HookStatus {
        hook: hook.name().into(),
        attached: true,
        ..Default::default()
    });
    let status = |var: &Var| VariableStatus {
        name: var.name().into(),
        quality: "exact".into(),
        reason: None,
    };
    let mut manifest = Manifest {
        hooks: hooks.collect(),
        variables: Var::ALL.iter().map(status).collect(),
        counting,
        ..Manifest::default()
    };
    manifest.doubt_earlier_counting();
    Coverage::of(&manifest)
}

#[test]
fn counts_of_earlier_programs_are_bounded_by_their_known_fault() {
    use Var::*;
    let ours = values(&[(SlowStart, 10), (SegsIn, 8), (SendStall, 0), (HCDataOctetsOut, 5)]);
    let (reno, cubic) = (["reno".to_owned()].into(), ["cubic".to_owned()].into());
    let judge = |var, theirs, algorithms, coverage: &Coverage| {
        let reference = values(&[(var, theirs)]);
        judge(var, &Pair { algorithms, ..bare(&ours, &reference, coverage) })
    };
    let (first, today) = (counted(None), counted(Some(2)));
    let twice = judge(SlowStart, 5, &reno, &first);
    assert_eq!(twice.class, Class::Bounded, "{twice:?}");
    assert!(twice.reason.contains("tcp_reno_cong_avoid"), "{twice:?}");
    assert_eq!(judge(SlowStart, 10, &reno, &first).class, Class::Bounded, "equal by chance");
    // More than was counted, or fewer than one less for each segment, has no excuse.
    assert_eq!(judge(SlowStart, 11, &reno, &first).class, Class::Differs);
    assert_eq!(judge(SlowStart, 1, &reno, &first).class, Class::Differs);
    // Nor has another algorithm, nor a recorder of today.
    assert_eq!(judge(SlowStart, 5, &cubic, &first).class, Class::Differs);
    assert_eq!(judge(SlowStart, 10, &cubic, &first).class, Class::Exact);
    assert_eq!(judge(SlowStart, 5, &reno, &today).class, Class::Differs);
    // Nothing was refused, so nothing was counted wrongly.
    assert_eq!(judge(HCDataOctetsOut, 5, &reno, &first).class, Class::Exact);
    let refused = values(&[(HCDataOctetsOut, 5), (SendStall, 1), (SegsRetrans, 0)]);
    let reference = values(&[(HCDataOctetsOut, 5)]);
    let verdict = super::judge(HCDataOctetsOut, &bare(&refused, &reference, &first));
    assert_ne!(verdict.class, Class::Exact, "{verdict:?}");
}

#[test]
fn a_sent_reset_is_counted_only_as_sent() {
    let (ours, coverage) = (values(&[(Var::SegsOut, 7)]), coverage("exact"));
    let class = |close, theirs| {
        let reference = values(&[(Var::SegsOut, theirs)]);
        judge(Var::SegsOut, &Pair { close, ..bare(&ours, &reference, &coverage) }).class
    };
    assert_eq!(class(Some(CloseReason::ResetSent), 8), Class::Bounded);
    assert_eq!(class(Some(CloseReason::ResetSent), 9), Class::Differs);
    assert_eq!(class(Some(CloseReason::Fin), 8), Class::Differs);
    assert_eq!(class(None, 8), Class::Differs);
}
