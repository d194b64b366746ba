//! The state of one connection: a value for each variable, and whether it is known.

use super::bits::Bits;
use super::plan::Plan;
use crate::schema::Var;

/// The values of one live connection, dense, by [`Var::index`].
///
/// Values are what the stream says; what is only a view of them (low 32 bits, wall-clock times,
/// open intervals) is added when a row is made ([`Plan::row`]).
#[derive(Clone, Debug)]
pub struct Slot {
    values: Box<[u64; Var::COUNT]>,
    valid: Bits,
    /// Rules that wait for something ("since established", "first after") are armed here, by target.
    armed: Bits,
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
        Row { values: *self.values, valid: self.valid }
    }
}

/// The values of one connection at one moment, as they stand in the tables.
#[derive(Clone, Debug)]
pub struct Row {
    values: [u64; Var::COUNT],
    pub(super) valid: Bits,
}

impl Row {
    /// The value; none if it is not known, which is NULL in the tables and never 0.
    pub fn get(&self, var: Var) -> Option<u64> {
        self.valid.has(var).then(|| self.values[var.index()])
    }

    pub(super) fn put(&mut self, var: Var, value: Option<u64>) {
        match value {
            Some(value) => {
                self.values[var.index()] = value;
                self.valid.insert(var);
            }
            None => self.valid.remove(var),
        }
    }
}
