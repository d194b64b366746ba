// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The difference of two samples of a number, and how certain it is.
//!
//! For pairs, the interval of the median difference is the sign test's: two of the ordered differences
//! themselves, chosen by the binomial distribution, so it assumes only that the pairs are independent,
//! and needs no random numbers. It needs at least six pairs: with five, even the smallest and the
//! largest enclose the median with 94 % only.
//!
//! For repeats, it is that of Welch's t for the difference of two means (Welch, Biometrika 34, 1947;
//! degrees of freedom after Satterthwaite). It assumes that repeats do not depend on each other and that
//! their values are about normal. Two repeats on each side are the least. An interval that assumes
//! nothing of the distribution needs four repeats on each side; a bootstrap of three values has only ten
//! different samples, so its interval would be too narrow.

use crate::views::summary::percentile;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF as _, StudentsT};

/// An interval misses the median this often at most.
const MISS: f64 = 0.05;
/// Cliff's delta from which on an effect is called large (Romano et al., 2006).
const LARGE: f64 = 0.474;
/// Less than this part of the first is not worth a person's time.
const SMALL: f64 = 0.05;
/// The binomial distribution is summed up to here, and taken for normal beyond.
const SUMMED: usize = 1000;

/// Two samples of the same quantity: pairs, or repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// Values of the first.
    pub n_a: usize,
    /// Values of the second; of pairs, as many.
    pub n_b: usize,
    /// Median of the first; of repeats the mean.
    pub a: f64,
    /// Median of the second; of repeats the mean.
    pub b: f64,
    /// Median of the differences, second less first; of repeats the difference of the means.
    pub difference: f64,
    /// (b - a) / a; none where a is 0.
    pub change: Option<f64>,
    /// Interval of the difference, at least 95 %; absent below six pairs, or two repeats of each.
    pub interval: Option<(f64, f64)>,
    /// Cliff's delta: how much oftener one of the second is larger than one of the first than
    /// smaller, from -1 to 1.
    pub cliffs_delta: f64,
    /// The effect is large, the difference is not small, and the interval, if there is one, excludes
    /// zero.
    pub notable: bool,
}

impl Contrast {
    /// The contrast of pairs; none if there are none.
    pub fn of_pairs(pairs: &[(f64, f64)]) -> Option<Self> {
        let sorted = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (a, b) = (sorted(&|p| p.0), sorted(&|p| p.1));
        let differences = sorted(&|p| p.1 - p.0);
        let centers = (median(&a)?, median(&b)?);
        Some(Self::new((&a, &b), centers, median(&differences)?, interval(&differences)))
    }

    /// The contrast of repeats, one value for each recording; none if one side has none.
    pub fn of_repeats(a: &[f64], b: &[f64]) -> Option<Self> {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let centers = (mean(a)?, mean(b)?);
        let difference = centers.1 - centers.0;
        let interval = welch(a, b).map(|half| (difference - half, difference + half));
        Some(Self::new((&sorted(a), &sorted(b)), centers, difference, interval))
    }

    /// The contrast of sorted values.
    fn new(
        (values_a, values_b): (&[f64], &[f64]),
        (a, b): (f64, f64),
        difference: f64,
        interval: Option<(f64, f64)>,
    ) -> Self {
        let change = (a != 0.0).then(|| (b - a) / a);
        let cliffs_delta = cliffs_delta(values_a, values_b);
        let excludes_zero = interval.is_none_or(|(low, high)| low > 0.0 || high < 0.0);
        let is_small = change.map_or(b == 0.0, |change| change.abs() < SMALL);
        let notable = cliffs_delta.abs() >= LARGE && !is_small && excludes_zero;
        let (n_a, n_b) = (values_a.len(), values_b.len());
        Self { n_a, n_b, a, b, difference, change, interval, cliffs_delta, notable }
    }

    /// The key by which differences are sorted; a change from 0 comes first.
    pub fn rank(&self) -> (bool, f64, f64) {
        let all = if self.b == 0.0 { 0.0 } else { f64::INFINITY };
        (self.notable, self.cliffs_delta.abs(), self.change.map_or(all, f64::abs))
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Half the length of the interval of the difference of two means. None of less than two values, and none
/// where no value differs from another of its side: how repeats vary is then not known.
fn welch(a: &[f64], b: &[f64]) -> Option<f64> {
    // Variance of the mean, and the degrees of freedom that it is known with.
    let of = |values: &[f64]| {
        let (n, mean) = (values.len() as f64, mean(values)?);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        // Equal values have no variance, though their mean may be rounded.
        let squares = if values.iter().all(|value| *value == values[0]) { 0.0 } else { squares };
        (n > 1.0).then(|| (squares / (n - 1.0) / n, n - 1.0))
    };
    let ((a, free_a), (b, free_b)) = (of(a)?, of(b)?);
    let variance = a + b;
    if variance <= 0.0 {
        return None;
    }
    let freedom = variance.powi(2) / (a.powi(2) / free_a + b.powi(2) / free_b);
    let t = StudentsT::new(0.0, 1.0, freedom).ok()?.inverse_cdf(1.0 - MISS / 2.0);
    t.is_finite().then(|| t * variance.sqrt())
}

/// The median of sorted values.
pub(super) fn median(sorted: &[f64]) -> Option<f64> {
    percentile(sorted, 0.5)
}

/// The order statistics that enclose the median of sorted values.
fn interval(sorted: &[f64]) -> Option<(f64, f64)> {
    let n = sorted.len();
    let outside = ranks_outside(n)?;
    Some((sorted[outside - 1], sorted[n - outside]))
}

/// The largest k for which the k-th smallest and the k-th largest of n enclose the median often enough.
fn ranks_outside(n: usize) -> Option<usize> {
    if n > SUMMED {
        // 1.96 standard deviations; the continuity correction makes it no shorter than it should be.
        let k = (n as f64 / 2.0 - 0.98 * (n as f64).sqrt()).floor();
        return Some(k as usize);
    }
    // P(at most k - 1 of n on one side), summed while both tails stay within the limit.
    let mut term = 0.5_f64.powi(n as i32);
    let mut tail = 0.0;
    let mut k = 0;
    while tail + term <= MISS / 2.0 {
        tail += term;
        term *= (n - k) as f64 / (k + 1) as f64;
        k += 1;
    }
    (k > 0).then_some(k)
}

/// By ranks: for each of the first, how many of the second are smaller and how many are larger.
fn cliffs_delta(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for x in a {
        let smaller = b.partition_point(|y| y < x);
        let not_larger = b.partition_point(|y| y <= x);
        sum += (b.len() - not_larger) as f64 - smaller as f64;
    }
    sum / (a.len() as f64 * b.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // Conover, Practical Nonparametric Statistics, table A3, p = 0.5.
        for (n, k) in
            [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (10, Some(2)), (20, Some(6))]
        {
            assert_eq!(ranks_outside(n), k, "{n}");
        }
        // Where the sum ends, the normal distribution goes on.
        let (summed, normal) = (ranks_outside(SUMMED).unwrap(), ranks_outside(SUMMED + 1).unwrap());
        assert!(summed.abs_diff(normal) <= 1, "{summed} {normal}");
    }

    #[test]
    fn one_pair_has_no_interval() {
        let one = Contrast::of_pairs(&[(10.0, 30.0)]).unwrap();
        assert_eq!((one.n_a, one.n_b, one.interval, one.cliffs_delta), (1, 1, None, 1.0));
        assert_eq!((one.a, one.b, one.difference), (10.0, 30.0, 20.0));
        assert!(one.notable);
        assert_eq!(Contrast::of_pairs(&[]), None);
    }

    #[test]
    fn change_is_relative_to_the_first_recording() {
        let change = |a, b| Contrast::of_pairs(&[(a, b)]).unwrap().change;
        assert_eq!(change(10.0, 30.0), Some(2.0));
        assert_eq!(change(30.0, 10.0), Some(-2.0 / 3.0));
        assert_eq!(change(50.0, 0.0), Some(-1.0));
        // Nothing is a part of nothing.
        assert_eq!((change(0.0, 3.0), change(0.0, 0.0)), (None, None));
        assert!(Contrast::of_pairs(&[(0.0, 3.0)]).unwrap().notable);
        assert!(!Contrast::of_pairs(&[(0.0, 0.0)]).unwrap().notable);
    }

    #[test]
    fn the_interval_of_repeats_is_welchs() {
        // Two samples whose t has 4 degrees of freedom: both variances and numbers are the same.
        let three = Contrast::of_repeats(&[10.0, 11.0, 12.0], &[20.0, 21.0, 22.0]).unwrap();
        let (low, high) = three.interval.unwrap();
        // t(4, 97.5 %) = 2.776445, times sqrt(1/3 + 1/3).
        assert!((high - 10.0 - 2.266958).abs() < 1e-5 && (10.0 - low - 2.266958).abs() < 1e-5);
        assert_eq!((three.a, three.b, three.change), (11.0, 21.0, Some(10.0 / 11.0)));
        assert!(three.notable);
        // Variances 1 and 100, three and five values: Satterthwaite's 4.1318 degrees of freedom.
        let b = [20.0, 30.0, 40.0, 30.0 + 150f64.sqrt(), 30.0 - 150f64.sqrt()];
        let unequal = Contrast::of_repeats(&[10.0, 11.0, 12.0], &b).unwrap();
        let half = (unequal.interval.unwrap().1 - unequal.interval.unwrap().0) / 2.0;
        let variance: f64 = 1.0 / 3.0 + 125.0 / 5.0;
        let freedom = variance.powi(2) / ((1f64 / 3.0).powi(2) / 2.0 + 25f64.powi(2) / 4.0);
        let t = half / variance.sqrt();
        // Between the t of 4 and of 5 degrees of freedom: 2.776445 and 2.570582.
        assert!(freedom > 4.0 && freedom < 4.2 && t < 2.776445 && t > 2.7, "{freedom} {t}");
    }

    #[test]
    fn one_repeat_has_no_interval_and_two_have_a_long_one() {
        let one = Contrast::of_repeats(&[10.0], &[20.0, 21.0, 22.0]).unwrap();
        assert_eq!((one.n_a, one.n_b, one.interval), (1, 3, None));
        let two = Contrast::of_repeats(&[10.0, 12.0], &[20.0, 22.0]).unwrap();
        // t(2, 97.5 %) = 4.302653, times sqrt(2).
        let (low, high) = two.interval.unwrap();
        assert!((high - low - 2.0 * 6.084870).abs() < 1e-4, "{low} {high}");
        // Nothing shows how these vary.
        let same = Contrast::of_repeats(&[1448.0, 1448.0], &[9000.0, 9000.0]).unwrap();
        assert_eq!(same.interval, None);
        // The mean of three values 0.1 is rounded, and is not 0.1.
        let same = Contrast::of_repeats(&[0.1; 3], &[0.2; 3]).unwrap();
        assert_eq!(same.interval, None);
        assert_eq!(Contrast::of_repeats(&[], &[1.0]), None);
    }

    #[test]
    fn overlapping_samples_are_not_notable() {
        let pairs: Vec<_> = (0..20).map(|i| (f64::from(i), f64::from((i * 7 + 3) % 20))).collect();
        let same = Contrast::of_pairs(&pairs).unwrap();
        assert_eq!((same.cliffs_delta, same.notable), (0.0, false));
        let apart: Vec<_> = pairs.iter().map(|(a, b)| (*a, b + 100.0)).collect();
        let apart = Contrast::of_pairs(&apart).unwrap();
        assert_eq!((apart.cliffs_delta, apart.notable), (1.0, true));
        let (low, high) = apart.interval.unwrap();
        assert!(low > 80.0 && low <= apart.difference && apart.difference <= high);
    }
}
