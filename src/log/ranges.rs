// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The sequence numbers of one CPU that were seen, as ranges.
//!
//! A set of all numbers would grow with the recording; ranges grow with its gaps, and one stream's rows
//! come nearly in order, so almost every insertion extends the last range. The times at the ends of two
//! ranges show when the numbers between them were given out.

/// Numbers from `start` up to, but not with, `end`, and the times of the first and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    start: u64,
    end: u64,
    first_ns: u64,
    last_ns: u64,
}

/// Numbers that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The first of them.
    pub start: u64,
    /// The next that is there, or the end that was asked for.
    pub end: u64,
    /// Time of the number before them; 0 if there is none.
    pub since_ns: u64,
    /// Time of the number after them; the largest if there is none.
    pub until_ns: u64,
}

/// Disjoint, non-adjacent half-open ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    ranges: Vec<Range>,
    /// Numbers that came more than once.
    pub duplicates: u64,
}

impl Ranges {
    /// Adds one number, which was given out at a time.
    pub fn insert(&mut self, n: u64, ts_ns: u64) {
        if let Some(last) = self.ranges.last_mut()
            && last.end == n
            && n != u64::MAX
        {
            last.end += 1;
            last.last_ns = ts_ns;
            return;
        }
        self.insert_out_of_order(n, ts_ns);
    }

    fn insert_out_of_order(&mut self, n: u64, ts_ns: u64) {
        // u64::MAX cannot end a half-open range, and no counter reaches it: such a number is damage
        // that the totals check finds.
        let end = n.saturating_add(1);
        // Ranges before `at` end before n, without touching it.
        let at = self.ranges.iter().rposition(|r| r.end < n).map_or(0, |i| i + 1);
        match self.ranges.get(at).copied() {
            Some(r) if r.start <= n && n < r.end => self.duplicates += 1,
            Some(r) if r.end == n => {
                self.ranges[at].end = end;
                self.ranges[at].last_ns = ts_ns;
                if self.ranges.get(at + 1).is_some_and(|next| next.start == end) {
                    let next = self.ranges.remove(at + 1);
                    self.ranges[at].end = next.end;
                    self.ranges[at].last_ns = next.last_ns;
                }
            }
            Some(r) if r.start == end => {
                self.ranges[at].start = n;
                self.ranges[at].first_ns = ts_ns;
            }
            Some(_) | None => {
                let new = Range { start: n, end, first_ns: ts_ns, last_ns: ts_ns };
                self.ranges.insert(at, new);
            }
        }
    }

    /// Whether one of these numbers is in `other` too.
    pub fn meets(&self, other: &Self) -> bool {
        let is_in = |range: &Range| {
            let at = other.ranges.partition_point(|r| r.end <= range.start);
            other.ranges.get(at).is_some_and(|r| r.start < range.end)
        };
        self.ranges.iter().any(is_in)
    }

    /// The union of several; numbers in more than one count as duplicates.
    pub fn union<'a>(of: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut out = Self::default();
        let mut all: Vec<Range> = Vec::new();
        for ranges in of {
            out.duplicates += ranges.duplicates;
            all.extend(&ranges.ranges);
        }
        all.sort_unstable();
        for range in all {
            match out.ranges.last_mut() {
                Some(last) if range.start <= last.end => {
                    out.duplicates += last.end.min(range.end) - range.start;
                    if range.end > last.end {
                        last.end = range.end;
                        last.last_ns = range.last_ns;
                    }
                }
                Some(_) | None => out.ranges.push(range),
            }
        }
        out
    }

    /// How many different numbers there are.
    pub fn count(&self) -> u64 {
        self.ranges.iter().fold(0, |sum, r| sum.saturating_add(r.end - r.start))
    }

    /// One more than the largest number, 0 if there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last().map_or(0, |r| r.end)
    }

    /// The numbers of 0..`end` that are not there.
    pub fn missing_below(&self, end: u64) -> impl Iterator<Item = Gap> {
        let before = std::iter::once((0, 0)).chain(self.ranges.iter().map(|r| (r.end, r.last_ns)));
        let after = self.ranges.iter().map(|r| (r.start, r.first_ns));
        let after = after.chain(std::iter::once((u64::MAX, u64::MAX)));
        before
            .zip(after)
            .map(move |((start, since_ns), (next, until_ns))| Gap {
                start,
                end: next.min(end),
                since_ns,
                until_ns,
            })
            .filter(|gap| gap.start < gap.end)
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
            a.iter().for_each(|n| left.insert(*n, 1000 + *n));
            b.iter().for_each(|n| right.insert(*n, 1000 + *n));
            let union = Ranges::union([&left, &right]);
            let set: BTreeSet<u64> = a.iter().chain(&b).copied().collect();
            prop_assert_eq!(union.count(), set.len() as u64);
            prop_assert_eq!(left.meets(&right), b.iter().any(|n| a.contains(n)));
            prop_assert_eq!(union.duplicates, (a.len() + b.len() - set.len()) as u64);
            prop_assert_eq!(union.end(), set.last().map_or(0, |n| n + 1));
            for gap in union.missing_below(end) {
                let before = gap.start.checked_sub(1).map_or(0, |n| 1000 + n);
                let next = if set.contains(&gap.end) || set.range(gap.end..).next().is_some() {
                    1000 + set.range(gap.end..).next().expect("one")
                } else {
                    u64::MAX
                };
                prop_assert_eq!((gap.since_ns, gap.until_ns), (before, next));
            }
            let missing: Vec<u64> =
                union.missing_below(end).flat_map(|gap| gap.start..gap.end).collect();
            let expected: Vec<u64> = (0..end).filter(|n| !set.contains(n)).collect();
            prop_assert_eq!(missing, expected);
            prop_assert!(union.ranges.windows(2).all(|w| w[0].end < w[1].start));
        }
    }
}
