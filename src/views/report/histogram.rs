// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How often RTT samples of each length came. HdrHistogram counts them, in classes of a thousandth at most;
//! the page draws wider ones, which all look equally wide on a logarithmic axis.

use hdrhistogram::Histogram;
use serde::Serialize;

/// HdrHistogram keeps so many digits: below 2048 us each microsecond has its class, above it a class is
/// 0.05 % to 0.1 % wide.
const DIGITS: u8 = 3;
/// Classes of the page per doubling: each is 2.2 % wide.
const PER_OCTAVE: f64 = 32.0;

/// Counts by class.
#[derive(Clone, Debug)]
pub struct Samples(Histogram<u64>);

/// A histogram as the page has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// Samples.
    pub samples: u64,
    /// Lower bound of the first class in microseconds.
    pub from_us: f64,
    /// Each class reaches this many times as far as the one before.
    pub ratio: f64,
    /// Counts of the classes.
    pub counts: Vec<u64>,
    /// (per cent, microseconds): so much of the samples is not longer.
    pub quantiles: Vec<(f64, f64)>,
}

impl Default for Samples {
    fn default() -> Self {
        // It grows with its largest value; the number of digits is one that there is.
        Self(Histogram::new(DIGITS).expect("a number of digits that HdrHistogram has"))
    }
}

fn bound(class: usize) -> f64 {
    (class as f64 / PER_OCTAVE).exp2()
}

impl Samples {
    /// Takes a sample in microseconds.
    pub fn push(&mut self, us: u64) {
        // It grows by itself, and cannot fail before a counter of 64 bits does.
        let _ = self.0.record(us.max(1));
    }

    /// What came of it.
    pub fn finish(&self) -> Distribution {
        let class = |us: u64| ((us as f64).log2() * PER_OCTAVE) as usize;
        let mut counts: Vec<u64> = Vec::new();
        for value in self.0.iter_recorded() {
            let class = class(self.0.lowest_equivalent(value.value_iterated_to()));
            if counts.len() <= class {
                counts.resize(class + 1, 0);
            }
            counts[class] += value.count_at_value();
        }
        let Some(first) = counts.iter().position(|n| *n > 0) else {
            return Distribution::default();
        };
        let quantile = |percent| self.0.value_at_quantile(percent / 100.0) as f64;
        Distribution {
            samples: self.0.len(),
            from_us: bound(first),
            ratio: bound(1),
            counts: counts[first..].to_vec(),
            quantiles: [50.0, 90.0, 99.0].map(|p| (p, quantile(p))).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_true_to_a_thousandth() {
        let mut samples = Samples::default();
        (1..=10_000).for_each(|us| samples.push(us));
        let done = samples.finish();
        assert_eq!((done.samples, done.counts.iter().sum::<u64>()), (10_000, 10_000));
        for (percent, us) in done.quantiles {
            let truth = percent * 100.0;
            assert!((us / truth - 1.0).abs() <= 0.001, "{percent}: {us} and {truth}");
        }
        assert_eq!(Samples::default().finish(), Distribution::default());
    }

    /// A sample lies between the bounds of the class that the page draws it in.
    #[test]
    fn classes_of_the_page_hold_their_samples() {
        for us in [1, 2, 3, 99, 2047, 2048, 50_000, 3_000_000, u64::from(u32::MAX)] {
            let mut samples = Samples::default();
            samples.push(us);
            let done = samples.finish();
            assert_eq!(done.counts, [1], "{us}");
            let (from, to) = (done.from_us, done.from_us * done.ratio);
            assert!(
                from <= us as f64 * 1.000_001 && us as f64 * 0.999 < to,
                "{us}: {from} to {to}"
            );
        }
    }
}
