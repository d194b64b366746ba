// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A buffer that sorts what is nearly sorted.

use std::collections::{BTreeMap, VecDeque};

use super::OrderKey;

/// Holds what is nearly sorted until nothing can come before it. Used where few are held at once; the
/// merge of the records ([`super::order`]) holds many, as runs that it sorts.
///
/// What comes in order, which is nearly all, is appended to a line. Only what comes behind a later one goes
/// into a tree. Inserting into the line was refused, since a stream in reverse order would take quadratic time.
/// Keys are unique: each CPU numbers its records.
#[derive(Debug)]
pub struct Reorder<T> {
    line: VecDeque<(OrderKey, T)>,
    /// What came behind something later.
    behind: BTreeMap<OrderKey, T>,
}

/// What a line has room for when it is empty.
const USUAL: usize = 1024;

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Reorder<T> {
    /// Empty.
    pub const fn new() -> Self {
        Self { line: VecDeque::new(), behind: BTreeMap::new() }
    }

    /// Holds this.
    pub fn hold(&mut self, key: OrderKey, item: T) {
        if self.line.back().is_none_or(|(last, _)| *last < key) {
            self.line.push_back((key, item));
        } else {
            self.behind.insert(key, item);
        }
    }

    /// Takes the first out, if its time is before `ns`.
    pub fn before(&mut self, ns: u64) -> Option<T> {
        let first = self.first()?;
        if first.0 < ns { self.pop() } else { None }
    }

    /// Takes the first out.
    pub fn pop(&mut self) -> Option<T> {
        let first = self.first()?;
        if self.line.front().is_some_and(|(key, _)| *key == first) {
            let item = self.line.pop_front().map(|(_, item)| item);
            // The room of a burst is not kept for ever.
            if self.line.is_empty() {
                self.line.shrink_to(USUAL);
            }
            item
        } else {
            self.behind.pop_first().map(|(_, item)| item)
        }
    }

    fn first(&self) -> Option<OrderKey> {
        let (line, behind) = (self.line.front(), self.behind.first_key_value());
        line.map(|(key, _)| *key).into_iter().chain(behind.map(|(key, _)| *key)).min()
    }

    /// How many it holds.
    pub fn count(&self) -> usize {
        self.line.len() + self.behind.len()
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.line.clear();
        self.behind.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_something_later_is_put_before_it() {
        let mut held = Reorder::new();
        for (ns, name) in [(5, 'c'), (9, 'e'), (3, 'a'), (9, 'd'), (4, 'b'), (12, 'g'), (11, 'f')] {
            // Of one time, the CPU decides.
            let cpu = if name == 'e' { 1 } else { 0 };
            held.hold((ns, cpu, 0), name);
        }
        assert_eq!(held.count(), 7);
        let before: String = std::iter::from_fn(|| held.before(9)).collect();
        let rest: String = std::iter::from_fn(|| held.pop()).collect();
        assert_eq!((before.as_str(), rest.as_str(), held.count()), ("abc", "defg", 0));
    }
}
