// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Whether a relation of the schema holds between two rows.

use super::Values;
use super::followed::Followed;
use crate::schema::Var;
use crate::schema::reference::{How, Linear, Relation, Signal};

/// A value that the relation needs and one side has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Ours(Var),
    Reference(Var),
}

/// Timer frequencies of the kernels that are built: 300 has no whole number of microseconds, and is
/// not built by distributions.
const HZ: [i128; 3] = [100, 250, 1000];

/// 2^32 - 1, the neutral element of a minimum: not a time.
const NO_MINIMUM: i128 = 0xffff_ffff;

/// All of ours that a relation may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ours<'a> {
    /// Values.
    pub values: &'a Values,
    /// The facts followed through the log beside them.
    pub followed: &'a Followed,
    /// When the reference was read, microseconds since the epoch.
    pub read_us: Option<u64>,
}

/// Whether the relation holds for the variable.
pub(super) fn holds(
    relation: &Relation,
    var: Var,
    ours: Ours<'_>,
    reference: &Values,
) -> Result<bool, Missing> {
    if let How::All(relations) = relation.how {
        // A missing input does not matter if another condition is broken.
        let mut missing = None;
        for relation in relations {
            match holds(relation, var, ours, reference) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(what) => missing = missing.or(Some(what)),
            }
        }
        return missing.map_or(Ok(true), Err);
    }
    let this = [(1, var)];
    let of = if relation.of.is_empty() { &this } else { relation.of };
    let mine = |v| ours.values.get(v).ok_or(Missing::Ours(v));
    let theirs = |v| reference.get(v).ok_or(Missing::Reference(v));
    let r = sum(of, theirs)?;
    let o = || sum(of, mine);
    let linear = |l: &Linear| Ok(sum(l.of, mine)? + i128::from(l.constant));
    let ends = |least: &Option<Linear>, most: &Option<Linear>| {
        Ok((least.as_ref().map(linear).transpose()?, most.as_ref().map(linear).transpose()?))
    };
    let low = |value: i128| low(value, relation.bits);
    let away = |value: i128| signed(value, relation.bits);
    Ok(match relation.how {
        How::Same => low(r) == low(o()?),
        How::FlooredToMs => match o()? {
            NO_MINIMUM => r == NO_MINIMUM,
            o => low(r) == low(o.div_euclid(1000)),
        },
        How::SumOfFloors { sum, count } => {
            let (least, most) = floors(mine(sum)?, mine(count)?);
            (0..=most - least).contains(&low(r - least))
        }
        How::Is(l) => low(r) == low(linear(&l)?),
        How::Between { least, most } => {
            let difference = away(r - o()?);
            let (least, most) = ends(&least, &most)?;
            least.is_none_or(|l| difference >= l) && most.is_none_or(|m| difference <= m)
        }
        How::Within { least, most } => {
            let (least, most) = ends(&least, &most)?;
            least.is_none_or(|l| away(r - l) >= 0) && most.is_none_or(|m| away(r - m) <= 0)
        }
        How::SameOr(other) => low(r) == low(o()?) || low(r) == low(i128::from(other)),
        How::SumOfTerms { count, unit, least, most } => {
            let (count, unit) = (theirs(count)?, i128::from(unit));
            let least = count.saturating_mul(linear(&least)?.div_euclid(unit));
            let most = count.saturating_mul(linear(&most)?.div_euclid(unit));
            // A sum that went round is one of these, less a multiple of 2^bits.
            (least..=most).contains(&r) || {
                relation.bits < 64
                    && least <= most
                    && low(r.saturating_sub(least)) <= most.saturating_sub(least)
            }
        }
        How::SumOverSignals(signal) => {
            let recoveries = theirs(Var::FastRetran)?;
            ours.followed.sum_at_signals(signal, recoveries).has(r, relation.bits)
        }
        How::NotBeforeReceived(slack) => {
            ours.followed.received_us.is_none_or(|at| r >= i128::from(at) - i128::from(slack))
        }
        How::BeforeReading(slack) => {
            ours.read_us.is_none_or(|at| away(r - i128::from(at)) <= i128::from(slack))
        }
        How::MicrosecondsAsJiffies => {
            let o = o()?;
            let us = |x: i128, hz: i128| low_bits(x * (1_000_000 / hz), 32) >> 3;
            HZ.iter().any(|&hz| (8 * o..8 * o + 8).any(|x| us(x, hz) == r))
        }
        How::All(_) => true,
    })
}

/// Between which a sum lies whose terms are rounded down to milliseconds: each floor takes 999 us at
/// most.
pub(super) fn floors(sum: i128, count: i128) -> (i128, i128) {
    let most = sum.div_euclid(1000);
    ((sum - 999 * count + 999).div_euclid(1000).clamp(0, most), most)
}

/// The end of a range outside of which the values are, by the variables that this end alone takes:
/// then it does not matter that the other end takes one that is not known, or only estimated.
pub(super) fn broken_end(
    relation: &Relation,
    var: Var,
    ours: Ours<'_>,
    reference: &Values,
) -> Option<Vec<Var>> {
    let make = |(least, most): (Option<Linear>, Option<Linear>)| {
        if matches!(relation.how, How::Within { .. }) {
            How::Within { least, most }
        } else {
            How::Between { least, most }
        }
    };
    let (least, most) = match relation.how {
        How::Between { least, most } | How::Within { least, most } => (least, most),
        How::All(relations) => {
            return relations.iter().find_map(|r| {
                broken_end(r, var, ours, reference).or_else(|| {
                    (holds(r, var, ours, reference) == Ok(false)).then(|| inputs(r).collect())
                })
            });
        }
        How::Same
        | How::FlooredToMs
        | How::SumOfFloors { .. }
        | How::Is(_)
        | How::SameOr(_)
        | How::SumOfTerms { .. }
        | How::SumOverSignals(_)
        | How::NotBeforeReceived(_)
        | How::BeforeReading(_)
        | How::MicrosecondsAsJiffies => return None,
    };
    let ends = [least.map(|l| (Some(l), None)), most.map(|m| (None, Some(m)))];
    ends.into_iter().flatten().find_map(|ends| {
        let end = Relation { how: make(ends), ..*relation };
        (holds(&end, var, ours, reference) == Ok(false)).then(|| inputs(&end).collect())
    })
}

/// The variables of ours that a relation takes besides the one it is of.
pub(super) fn inputs(relation: &Relation) -> Box<dyn Iterator<Item = Var>> {
    let of = |l: Option<Linear>| l.map_or(&[][..], |l| l.of);
    let (first, second, pair) = match relation.how {
        How::SumOfFloors { sum, count } => (&[][..], &[][..], [Some(sum), Some(count)]),
        How::Is(l) => (l.of, &[][..], [None, None]),
        How::Between { least, most } | How::Within { least, most } => {
            (of(least), of(most), [None, None])
        }
        How::SumOfTerms { least, most, .. } => (least.of, most.of, [None, None]),
        How::SumOverSignals(_) => {
            (&[][..], &[][..], [Some(Var::CongSignals), Some(Var::FastRetran)])
        }
        How::All(relations) => return Box::new(relations.iter().flat_map(inputs)),
        How::Same
        | How::FlooredToMs
        | How::SameOr(_)
        | How::NotBeforeReceived(_)
        | How::BeforeReading(_)
        | How::MicrosecondsAsJiffies => (&[][..], &[][..], [None, None]),
    };
    let terms = relation.of.iter().chain(first).chain(second).map(|&(_, var)| var);
    Box::new(terms.chain(pair.into_iter().flatten()))
}

/// Whether both values are in the same unit, so that equal numbers are equal values.
pub(super) const fn same_unit(relation: &Relation) -> bool {
    match relation.how {
        How::FlooredToMs
        | How::SumOfFloors { .. }
        | How::SumOfTerms { unit: 1_000, .. }
        | How::SumOverSignals(Signal::RoundTrip) => false,
        How::Same
        | How::Is(_)
        | How::Between { .. }
        | How::Within { .. }
        | How::SameOr(_)
        | How::SumOfTerms { .. }
        | How::SumOverSignals(Signal::Window)
        | How::NotBeforeReceived(_)
        | How::BeforeReading(_)
        | How::All(_)
        | How::MicrosecondsAsJiffies => true,
    }
}

/// Between which the reference's value lies if the variable, which never falls, went from one row of
/// ours to another while it was read; none if the relation is not of the variable alone.
pub(super) fn grown(
    relation: &Relation,
    var: Var,
    from: &Values,
    to: &Values,
) -> Option<(Option<i128>, Option<i128>)> {
    if !relation.of.is_empty() || !var.grows() {
        return None;
    }
    let value = |values: &Values, l: Option<Linear>| match l {
        None => None,
        Some(l) => Some(
            values.get(var)?
                + sum(l.of, |v| values.get(v).ok_or(Missing::Ours(v))).ok()?
                + i128::from(l.constant),
        ),
    };
    match relation.how {
        How::Same => Some((Some(from.get(var)?), Some(to.get(var)?))),
        How::FlooredToMs => {
            Some((Some(from.get(var)?.div_euclid(1000)), Some(to.get(var)?.div_euclid(1000))))
        }
        How::SumOfFloors { sum, count } => {
            let (least, _) = floors(from.get(sum)?, from.get(count)?);
            let (_, most) = floors(to.get(sum)?, to.get(count)?);
            Some((Some(least), Some(most)))
        }
        How::Between { least, most } => Some((value(from, least), value(to, most))),
        How::Is(_)
        | How::Within { .. }
        | How::SameOr(_)
        | How::SumOfTerms { .. }
        | How::SumOverSignals(_)
        | How::NotBeforeReceived(_)
        | How::BeforeReading(_)
        | How::All(_)
        | How::MicrosecondsAsJiffies => None,
    }
}

/// Whether a value of `bits` bits lies between these, ends included, and either way round.
pub(super) fn lies(value: i128, (least, most): (Option<i128>, Option<i128>), bits: u32) -> bool {
    least.is_none_or(|l| signed(value - l, bits) >= 0)
        && most.is_none_or(|m| signed(value - m, bits) <= 0)
}

fn sum(of: &[(i64, Var)], value: impl Fn(Var) -> Result<i128, Missing>) -> Result<i128, Missing> {
    of.iter().try_fold(0, |sum, &(factor, var)| Ok(sum + i128::from(factor) * value(var)?))
}

fn low(value: i128, bits: u32) -> i128 {
    if bits < 64 { low_bits(value, bits) } else { value }
}

fn low_bits(value: i128, bits: u32) -> i128 {
    value.rem_euclid(1 << bits)
}

/// A difference modulo 2^bits, the nearer way round.
fn signed(difference: i128, bits: u32) -> i128 {
    if bits >= 64 {
        return difference;
    }
    let low = low_bits(difference, bits);
    if low >= 1 << (bits - 1) { low - (1 << bits) } else { low }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Reference;
    use crate::schema::reference::TIMEOUTS;

    fn with(
        relation: &Relation,
        var: Var,
        ours: &Values,
        reference: &Values,
    ) -> Result<bool, Missing> {
        let ours = Ours { values: ours, followed: &Followed::default(), read_us: None };
        holds(relation, var, ours, reference)
    }

    fn check(
        relation: Relation,
        var: Var,
        ours: &[(Var, i128)],
        reference: &[(Var, i128)],
    ) -> Result<bool, Missing> {
        let of = |values: &[(Var, i128)]| values.iter().copied().collect::<Values>();
        with(&relation, var, &of(ours), &of(reference))
    }

    fn schema(var: Var) -> Relation {
        match var.def().reference {
            Reference::Is(relation)
            | Reference::Bounded { relation, .. }
            | Reference::Fault { relation, .. } => relation,
            Reference::NotComparable(_) | Reference::Cases(_) => panic!("{}", var.name()),
        }
    }

    #[test]
    fn milliseconds_are_floored() {
        let rtt = |o, r| {
            check(schema(Var::MinRTT), Var::MinRTT, &[(Var::MinRTT, o)], &[(Var::MinRTT, r)])
        };
        assert_eq!(rtt(20_999, 20), Ok(true));
        assert_eq!(rtt(20_999, 21), Ok(false));
        assert_eq!(rtt(0xffff_ffff, 0xffff_ffff), Ok(true), "no sample on both sides");
    }

    #[test]
    fn a_sum_of_floors_lies_between_the_floor_and_999_us_less_for_each() {
        let ours = [(Var::HCSumRTT, 10_500), (Var::CountRTT, 3)];
        for (r, holds) in [(7, false), (8, true), (10, true), (11, false)] {
            let found = check(schema(Var::HCSumRTT), Var::HCSumRTT, &ours, &[(Var::HCSumRTT, r)]);
            assert_eq!(found, Ok(holds), "{r}");
        }
    }

    #[test]
    fn the_low_words_of_a_sum_wrap_each_in_its_own_unit() {
        // 2^32 ms and 5 ms, in microseconds: ours wrapped a thousand times, the reference once.
        let sum: i128 = ((1 << 32) + 5) * 1000;
        let ours = [(Var::SumRTT, sum % (1 << 32)), (Var::HCSumRTT, sum), (Var::CountRTT, 1)];
        for (r, holds) in [(5, true), (6, false)] {
            let found = check(schema(Var::SumRTT), Var::SumRTT, &ours, &[(Var::SumRTT, r)]);
            assert_eq!(found, Ok(holds), "{r}");
        }
    }

    #[test]
    fn a_sum_of_terms_wraps_as_a_whole() {
        let (var, count) = (Var::PreCongSumCwnd, Var::CongSignals);
        let terms = |least, most| {
            Relation::sum_of_terms(count, 1, Linear::constant(least), Linear::constant(most))
                .low(32)
        };
        let check = |relation, n, r| check(relation, var, &[], &[(count, n), (var, r)]);
        // Three terms of 2^31 at most, which may have gone round once: up to 2^31 less than a round.
        let narrow = terms((1 << 31) - 10, 1 << 31);
        assert_eq!(check(narrow, 3, 1 << 31), Ok(true));
        assert_eq!(check(narrow, 3, (1 << 31) - 30), Ok(true));
        assert_eq!(check(narrow, 3, (1 << 31) - 31), Ok(false));
        assert_eq!(check(narrow, 3, (1 << 31) + 1), Ok(false));
        // Two, on both sides of the end of a round.
        assert_eq!(check(narrow, 2, 0), Ok(true));
        assert_eq!(check(narrow, 2, 0xffff_ffec), Ok(true));
        assert_eq!(check(narrow, 2, 0xffff_ffeb), Ok(false));
        // A whole round is possible, and then every value.
        assert_eq!(check(terms(0, 1 << 31), 2, 0x1234_5678), Ok(true));
        assert_eq!(check(terms(0, 5), 2, 11), Ok(false));
    }

    #[test]
    fn the_references_ecesent_is_cercvd_less_our_ecesent() {
        let ours = [(Var::CERcvd, 34), (Var::ECESent, 23)];
        let check = |r| check(schema(Var::ECESent), Var::ECESent, &ours, &[(Var::ECESent, r)]);
        assert_eq!((check(11), check(12)), (Ok(true), Ok(false)));
        let nothing = with(
            &schema(Var::ECESent),
            Var::ECESent,
            &[(Var::ECESent, 23)].into_iter().collect(),
            &[(Var::ECESent, 11)].into_iter().collect(),
        );
        assert_eq!(nothing, Err(Missing::Ours(Var::CERcvd)));
    }

    #[test]
    fn timeouts_agree_as_a_sum() {
        let relation = Relation::SAME.together(TIMEOUTS);
        let ours = [(Var::Timeouts, 2), (Var::SubsequentTimeouts, 1)];
        let reference = |n| [(Var::Timeouts, 0), (Var::SubsequentTimeouts, n)];
        assert_eq!(check(relation, Var::Timeouts, &ours, &reference(3)), Ok(true));
        assert_eq!(check(relation, Var::Timeouts, &ours, &reference(2)), Ok(false));
    }

    #[test]
    fn microseconds_taken_for_jiffies_at_each_hz() {
        // srtt-like field of 270738: 33842 us, shown by a kernel with HZ 1000 as 33842250.
        let rtt = |o, r| {
            check(schema(Var::RcvRTT), Var::RcvRTT, &[(Var::RcvRTT, o)], &[(Var::RcvRTT, r)])
        };
        assert_eq!(rtt(33_842, 33_842_250), Ok(true));
        assert_eq!(rtt(33_842, 33_842_250 * 4), Ok(true), "HZ 250");
        assert_eq!(rtt(33_843, 33_842_250), Ok(false));
        // 600 ms: the product does not fit into 32 bits.
        assert_eq!(rtt(600_000, (600_000 * 8 * 1000 % (1 << 32)) >> 3), Ok(true));
    }

    #[test]
    fn differences_wrap_where_the_reference_does() {
        let relation = Relation::between(Linear::constant(0), Linear::constant(2)).low(32);
        let var = Var::DataOctetsOut;
        let check = |o, r| check(relation, var, &[(var, o)], &[(var, r)]);
        assert_eq!(check(0xffff_ffff, 1), Ok(true));
        assert_eq!(check(1, 0xffff_ffff), Ok(false));
        assert_eq!(check(5, 8), Ok(false));
    }

    #[test]
    fn the_references_reassembly_queue_has_the_opposite_sign() {
        let var = Var::CurReasmQueue;
        let check = |o, r| check(schema(var), var, &[(var, o)], &[(var, r)]);
        // One segment of 1448, behind a hole of 1448.
        assert_eq!(check(2896, 4_294_965_848), Ok(true));
        assert_eq!(check(0, 0), Ok(true));
        assert_eq!(check(1000, 4_294_965_848), Ok(false));
    }
}
