// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The state of one connection: a value for each variable, and whether it is known.

use super::bits::Bits;
use super::plan::Plan;
use crate::schema::Var;

/// The values of one live connection, dense, by [`Var::index`].
///
/// Values are those of the stream; what is only a view of them (low 32 bits, wall-clock times, open
/// intervals) is added when a row is made ([`Plan::row`]).
#[derive(Clone, Debug)]
pub struct Slot {
    values: Box<[u64; Var::COUNT]>,
    valid: Bits,
    /// Rules that wait for something ("since established", "first after") are armed here, by target.
    armed: Bits,
    /// Variables with an operation, or a result, that could not be.
    discarded: Bits,
    /// How often that was.
    discards: u64,
    /// Variables that depend on such an operation, and are no longer known.
    lost: Bits,
    /// Since the connection is established: extremes are followed from then on.
    pub(super) established: bool,
    /// Begin of the interval now running, for the rules that measure time in a state.
    pub(super) marks: Box<[u64]>,
}

impl Slot {
    /// The state at the beginning of a connection.
    pub fn new(plan: &Plan) -> Self {
        Self {
            values: Box::new(*plan.initial_values()),
            valid: *plan.initial_valid(),
            armed: Bits::default(),
            discarded: Bits::default(),
            discards: 0,
            lost: Bits::default(),
            established: false,
            marks: vec![0; plan.marks()].into_boxed_slice(),
        }
    }

    /// The value, if it is known.
    pub fn get(&self, var: Var) -> Option<u64> {
        self.valid.has(var).then(|| self.values[var.index()])
    }

    /// Makes the value known.
    pub fn put(&mut self, var: Var, value: u64) {
        self.values[var.index()] = value;
        self.valid.insert(var);
    }

    /// Adds to the value; one that was not known counts from 0.
    pub fn add(&mut self, var: Var, value: u64, mask: u64) {
        self.put(var, self.get(var).unwrap_or(0).wrapping_add(value) & mask);
    }

    /// Keeps the larger one.
    pub fn raise(&mut self, var: Var, value: u64) {
        if self.get(var).is_none_or(|old| value > old) {
            self.put(var, value);
        }
    }

    /// Keeps the smaller one.
    pub fn lower(&mut self, var: Var, value: u64) {
        if self.get(var).is_none_or(|old| value < old) {
            self.put(var, value);
        }
    }

    /// An operation on the variable, or its result, could not be: what it and those that `follow`
    /// from it have counted is not known any more.
    pub(super) fn discard(&mut self, var: Var, follow: &Bits) {
        self.discarded.insert(var);
        self.discards += 1;
        self.valid.remove(var);
        self.lost = self.lost.or(follow);
    }

    /// The value is not known, because the count before the recording is not known.
    pub(super) const fn lose(&mut self, var: Var) {
        self.lost.insert(var);
    }

    /// How often a value was discarded.
    pub const fn discards(&self) -> u64 {
        self.discards
    }

    /// Whether an operation on the variable was.
    pub(super) const fn has_discarded(&self, var: Var) -> bool {
        self.discarded.has(var)
    }

    /// The value is not known any more.
    pub fn forget(&mut self, var: Var) {
        self.valid.remove(var);
    }

    pub(super) fn arm(&mut self, target: Var) {
        self.armed.insert(target);
    }

    pub(super) fn is_armed(&self, target: Var) -> bool {
        self.armed.has(target)
    }

    /// Whether it was armed; afterwards it is not.
    pub(super) fn disarm(&mut self, target: Var) -> bool {
        let was = self.armed.has(target);
        self.armed.remove(target);
        was
    }

    pub(super) fn snapshot(&self) -> Row {
        let valid = self.valid.without(&self.lost);
        Row {
            values: *self.values,
            valid,
            unset: Bits::default(),
            discarded: self.discarded,
            lost: self.lost,
        }
    }
}

/// The values of one connection at one moment, as they stand in the tables.
#[derive(Clone, Debug)]
pub struct Row {
    values: [u64; Var::COUNT],
    pub(super) valid: Bits,
    /// There is no value yet.
    pub(super) unset: Bits,
    pub(super) discarded: Bits,
    pub(super) lost: Bits,
}

impl Row {
    /// A slot of which nothing is known.
    #[cfg(test)]
    pub(crate) fn unknown() -> Self {
        let none = Bits::default;
        let values = [0; Var::COUNT];
        Self { values, valid: none(), unset: none(), discarded: none(), lost: none() }
    }

    /// The value; none if it is not known, which is NULL in the tables and never 0.
    pub fn get(&self, var: Var) -> Option<u64> {
        self.valid.has(var).then(|| self.values[var.index()])
    }

    /// The sum of these; none if one of them is not known.
    pub fn sum(&self, vars: &[Var]) -> Option<u64> {
        vars.iter().try_fold(0_u64, |sum, var| Some(sum.saturating_add(self.get(*var)?)))
    }

    /// The value as the kernel or RFC 4898 shows it: where there is none yet, what they have in its
    /// place. None if it is not known.
    pub fn raw(&self, var: Var) -> Option<u64> {
        let held = self.values[var.index()];
        if self.unset.has(var) { Some(held) } else { self.get(var) }
    }

    /// Variables of which a value was discarded, because it could not be.
    pub const fn discarded(&self) -> &Bits {
        &self.discarded
    }

    /// There is no value yet, and `raw` shows this in its place.
    pub(super) fn unset(&mut self, var: Var, raw: u64) {
        self.values[var.index()] = raw;
        self.valid.remove(var);
        self.unset.insert(var);
    }

    /// The value is not known.
    pub(super) fn forget(&mut self, var: Var) {
        self.valid.remove(var);
        self.unset.remove(var);
    }

    /// The value cannot be.
    pub(super) fn discard(&mut self, var: Var) {
        self.forget(var);
        self.discarded.insert(var);
    }

    pub(super) fn put(&mut self, var: Var, value: Option<u64>) {
        match value.filter(|_| !self.lost.has(var)) {
            Some(value) => {
                self.values[var.index()] = value;
                self.valid.insert(var);
            }
            None => self.valid.remove(var),
        }
    }
}
