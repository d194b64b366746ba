// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What pairs of numbers say, and how sure that is.
//!
//! The interval of the median difference is the sign test's: two of the ordered differences themselves,
//! chosen by the binomial distribution, so it assumes nothing but that the pairs are independent, needs
//! no random numbers, and cannot be made of fewer than six pairs: of five, even the smallest and the
//! largest enclose the median with 94 % only.

use serde::Serialize;

/// An interval misses the median this often at most.
const MISS: f64 = 0.05;
/// Cliff's delta from which on an effect is called large (Romano et al., 2006).
const LARGE: f64 = 0.474;
/// Less than this part of the larger median is not worth a person's time.
const SMALL: f64 = 0.05;
/// The binomial distribution is summed up to here, and taken for normal beyond.
const SUMMED: usize = 1000;

/// Two samples of the same quantity, in pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Contrast {
    /// Pairs in which both are known.
    pub n: usize,
    /// Median of the first.
    pub median_a: f64,
    /// Median of the second.
    pub median_b: f64,
    /// Median of the differences, second less first.
    pub difference: f64,
    /// The difference of the medians, as a part of the larger one; with a sign.
    pub relative: f64,
    /// Interval of the median difference, at least 95 %; absent below six pairs.
    pub interval: Option<(f64, f64)>,
    /// Cliff's delta: how much oftener one of the second is larger than one of the first than
    /// smaller, from -1 to 1.
    pub cliffs_delta: f64,
    /// The effect is large, the difference is not small, and the interval, if there is one, excludes
    /// zero.
    pub notable: bool,
}

impl Contrast {
    /// Of pairs; none if there are none.
    pub fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let sorted = |of: &dyn Fn(&(f64, f64)) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (a, b) = (sorted(&|p| p.0), sorted(&|p| p.1));
        let differences = sorted(&|p| p.1 - p.0);
        let (median_a, median_b) = (median(&a)?, median(&b)?);
        let larger = median_a.abs().max(median_b.abs());
        let relative = if larger > 0.0 { (median_b - median_a) / larger } else { 0.0 };
        let interval = interval(&differences);
        let cliffs_delta = cliffs_delta(&a, &b);
        let excludes_zero = interval.is_none_or(|(low, high)| low > 0.0 || high < 0.0);
        Some(Self {
            n: pairs.len(),
            median_a,
            median_b,
            difference: median(&differences)?,
            relative,
            interval,
            cliffs_delta,
            notable: cliffs_delta.abs() >= LARGE && relative.abs() >= SMALL && excludes_zero,
        })
    }

    /// What comes first.
    pub fn rank(&self) -> (bool, f64, f64) {
        (self.notable, self.cliffs_delta.abs(), self.relative.abs())
    }
}

/// Of sorted values; the mean of the two in the middle if their number is even.
fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    let upper = *sorted.get(n / 2)?;
    Some(if n.is_multiple_of(2) { (sorted[n / 2 - 1] + upper) / 2.0 } else { upper })
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
        let one = Contrast::of(&[(10.0, 30.0)]).unwrap();
        assert_eq!((one.n, one.interval, one.cliffs_delta), (1, None, 1.0));
        assert_eq!((one.median_a, one.median_b, one.difference), (10.0, 30.0, 20.0));
        assert!(one.notable);
        assert_eq!(Contrast::of(&[]), None);
    }

    #[test]
    fn what_overlaps_is_not_notable() {
        let pairs: Vec<_> = (0..20).map(|i| (f64::from(i), f64::from((i * 7 + 3) % 20))).collect();
        let same = Contrast::of(&pairs).unwrap();
        assert_eq!((same.cliffs_delta, same.notable), (0.0, false));
        let apart: Vec<_> = pairs.iter().map(|(a, b)| (*a, b + 100.0)).collect();
        let apart = Contrast::of(&apart).unwrap();
        assert_eq!((apart.cliffs_delta, apart.notable), (1.0, true));
        let (low, high) = apart.interval.unwrap();
        assert!(low > 80.0 && low <= apart.difference && apart.difference <= high);
    }
}
