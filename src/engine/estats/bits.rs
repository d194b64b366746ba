// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A set of variables, one bit each.

use crate::schema::Var;

const WORDS: usize = Var::COUNT.div_ceil(64);

/// A set of variables: which values of a slot are known, which variables a recording covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bits([u64; WORDS]);

impl Bits {
    /// Whether the variable is in the set.
    pub const fn has(&self, var: Var) -> bool {
        let i = var.index();
        self.0[i / 64] & (1 << (i % 64)) != 0
    }

    /// Puts the variable in.
    pub const fn insert(&mut self, var: Var) {
        let i = var.index();
        self.0[i / 64] |= 1 << (i % 64);
    }

    /// Takes the variable out.
    pub const fn remove(&mut self, var: Var) {
        let i = var.index();
        self.0[i / 64] &= !(1 << (i % 64));
    }

    /// Whether the two sets have a variable in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    /// Whether there is none in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// Its variables, in the order of the specification.
    pub fn iter(&self) -> impl Iterator<Item = Var> {
        Var::ALL.iter().copied().filter(|&var| self.has(var))
    }

    /// The variables in either set.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
        self
    }

    /// The variables that are not in the other set.
    #[must_use]
    pub fn without(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= !b;
        }
        self
    }

    /// The variables in both sets.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a &= b;
        }
        self
    }
}

impl FromIterator<Var> for Bits {
    fn from_iter<I: IntoIterator<Item = Var>>(vars: I) -> Self {
        let mut bits = Self::default();
        for var in vars {
            bits.insert(var);
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_has_its_own_bit() {
        for &var in Var::ALL {
            let mut bits: Bits = Var::ALL.iter().copied().collect();
            bits.remove(var);
            for &other in Var::ALL {
                assert_eq!(bits.has(other), other != var, "{} {}", var.name(), other.name());
            }
            let single: Bits = [var].into_iter().collect();
            assert!(!bits.meets(&single));
            assert_eq!(bits.and(&single), Bits::default());
        }
    }
}
