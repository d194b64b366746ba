// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How often RTT samples of each length came: logarithmic classes, so that nothing is held back.

use serde::Serialize;

/// Classes per doubling: each is 2.2 % wide, so a quantile is off by about one per cent at most.
const PER_OCTAVE: f64 = 32.0;

/// Counts by class.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// From class 0 (1 us) on.
    counts: Vec<u64>,
    total: u64,
}

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

fn bound(class: usize) -> f64 {
    (class as f64 / PER_OCTAVE).exp2()
}

impl Histogram {
    /// Takes a sample in microseconds.
    pub fn push(&mut self, us: u64) {
        let class = ((us.max(1) as f64).log2() * PER_OCTAVE) as usize;
        if self.counts.len() <= class {
            self.counts.resize(class + 1, 0);
        }
        self.counts[class] += 1;
        self.total += 1;
    }

    /// What came of it.
    pub fn finish(&self) -> Distribution {
        let Some(first) = self.counts.iter().position(|n| *n > 0) else {
            return Distribution::default();
        };
        Distribution {
            samples: self.total,
            from_us: bound(first),
            ratio: bound(1),
            counts: self.counts[first..].to_vec(),
            quantiles: [50.0, 90.0, 99.0].map(|p| (p, self.quantile(p))).to_vec(),
        }
    }

    /// The middle of the class in which the quantile lies.
    fn quantile(&self, percent: f64) -> f64 {
        let rank = (self.total as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        let class = self.counts.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        class.map_or(0.0, |class| (bound(class) * bound(class + 1)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_true_to_a_class() {
        let mut histogram = Histogram::default();
        (1..=10_000).for_each(|us| histogram.push(us));
        let done = histogram.finish();
        assert_eq!((done.samples, done.counts.iter().sum::<u64>()), (10_000, 10_000));
        for (percent, us) in done.quantiles {
            let truth = percent * 100.0;
            // Half a class of 1/32 octave.
            assert!((us / truth - 1.0).abs() < 0.011, "{percent}: {us} and {truth}");
        }
        assert_eq!(Histogram::default().finish(), Distribution::default());
    }
}
