//! The sequence numbers of one CPU that were seen, as ranges.
//!
//! A set of all numbers would grow with the recording; ranges grow with its gaps, and one stream's
//! rows come nearly in order, so almost every insertion extends the last range.

/// Disjoint, non-adjacent half-open ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<(u64, u64)>,
    /// Numbers that came more than once.
    pub duplicates: u64,
}

impl Ranges {
    /// Adds one number.
    pub fn insert(&mut self, n: u64) {
        if let Some(last) = self.ranges.last_mut()
            && last.1 == n
            && n != u64::MAX
        {
            last.1 += 1;
            return;
        }
        self.insert_out_of_order(n);
    }

    fn insert_out_of_order(&mut self, n: u64) {
        // u64::MAX cannot end a half-open range, and no counter reaches it: such a number is damage
        // that the totals check finds.
        let end = n.saturating_add(1);
        // Ranges before `at` end before n, without touching it.
        let at = self.ranges.iter().rposition(|r| r.1 < n).map_or(0, |i| i + 1);
        match self.ranges.get(at).copied() {
            Some((start, stop)) if start <= n && n < stop => self.duplicates += 1,
            Some((_, stop)) if stop == n => {
                self.ranges[at].1 = end;
                if self.ranges.get(at + 1).is_some_and(|next| next.0 == end) {
                    self.ranges[at].1 = self.ranges.remove(at + 1).1;
                }
            }
            Some((start, _)) if start == end => self.ranges[at].0 = n,
            Some(_) | None => self.ranges.insert(at, (n, end)),
        }
    }

    /// The union; numbers in both count as duplicates.
    pub fn union(&self, other: &Self) -> Self {
        let mut all = self.ranges.clone();
        all.extend(&other.ranges);
        all.sort_unstable();
        let mut out = Self { ranges: Vec::new(), duplicates: self.duplicates + other.duplicates };
        for (start, end) in all {
            match out.ranges.last_mut() {
                Some(last) if start <= last.1 => {
                    out.duplicates += last.1.min(end) - start;
                    last.1 = last.1.max(end);
                }
                Some(_) | None => out.ranges.push((start, end)),
            }
        }
        out
    }

    /// How many different numbers there are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|r| r.1 - r.0).sum()
    }

    /// One more than the largest number, 0 if there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.1)
    }

    /// The ranges of 0..`end` that are not there, half-open.
    pub fn missing_below(&self, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let starts = std::iter::once(0).chain(self.ranges.iter().map(|r| r.1));
        let ends = self.ranges.iter().map(|r| r.0).chain(std::iter::once(u64::MAX));
        starts.zip(ends).map(move |(a, b)| (a, b.min(end))).filter(|(a, b)| a < b)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against the plain set, for any order of insertion and any split over two streams.
        #[test]
        fn is_a_set(a in prop::collection::vec(0_u64..60, 0..80),
                    b in prop::collection::vec(0_u64..60, 0..80), end in 0_u64..70) {
            let (mut left, mut right) = (Ranges::default(), Ranges::default());
            a.iter().for_each(|n| left.insert(*n));
            b.iter().for_each(|n| right.insert(*n));
            let union = left.union(&right);
            let set: BTreeSet<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(union.count(), set.len() as u64);
            prop_assert_eq!(union.duplicates, (a.len() + b.len() - set.len()) as u64);
            prop_assert_eq!(union.end(), set.last().map_or(0, |n| n + 1));
            let missing: Vec<u64> = union.missing_below(end).flat_map(|(a, b)| a..b).collect();
            let expected: Vec<u64> = (0..end).filter(|n| !set.contains(n)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert!(union.ranges.windows(2).all(|w| w[0].1 < w[1].0));
        }
    }
}
