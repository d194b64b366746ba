// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A buffer that sorts what is nearly sorted.

use std::collections::BTreeMap;

use super::OrderKey;

/// Holds what is nearly sorted until nothing can come before it. Used where few are held at once; the
/// merge of the records ([`super::order`]) holds many, as runs that it sorts.
#[derive(Debug)]
pub struct Reorder<T> {
    held: BTreeMap<OrderKey, T>,
}

impl<T> Default for Reorder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Reorder<T> {
    /// Empty.
    pub const fn new() -> Self {
        Self { held: BTreeMap::new() }
    }

    /// Holds this.
    pub fn hold(&mut self, key: OrderKey, item: T) {
        self.held.insert(key, item);
    }

    /// Takes the first out, if its time is before `ns`.
    pub fn before(&mut self, ns: u64) -> Option<T> {
        let first = self.held.first_entry()?;
        (first.key().0 < ns).then(|| first.remove())
    }

    /// Takes the first out.
    pub fn pop(&mut self) -> Option<T> {
        self.held.pop_first().map(|(_, item)| item)
    }

    /// How many it holds.
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.held.clear();
    }
}
