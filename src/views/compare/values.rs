// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The values of one connection as numbers that can be compared.

use crate::engine::estats::Row;
use crate::schema::{Type, Var};

/// A number for each variable that is known: codes for enumerations, 1 and 2 for truth values, signed
/// where the type is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Values(Box<[Option<i128>]>);

impl Default for Values {
    fn default() -> Self {
        Self(vec![None; Var::COUNT].into_boxed_slice())
    }
}

impl Values {
    /// The value; none if it is not known.
    pub fn get(&self, var: Var) -> Option<i128> {
        self.0[var.index()]
    }

    /// Makes it known.
    pub fn set(&mut self, var: Var, value: i128) {
        self.0[var.index()] = Some(value);
    }

    /// Gives each of two the value of the other.
    pub fn swap(&mut self, one: Var, other: Var) {
        self.0.swap(one.index(), other.index());
    }
}

impl FromIterator<(Var, i128)> for Values {
    fn from_iter<I: IntoIterator<Item = (Var, i128)>>(values: I) -> Self {
        let mut all = Self::default();
        for (var, value) in values {
            all.set(var, value);
        }
        all
    }
}

impl From<&Row> for Values {
    fn from(row: &Row) -> Self {
        Var::ALL
            .iter()
            .filter_map(|&var| {
                // A reference has what RFC 4898 shows before there is a value.
                let value = row.raw(var)?;
                match var.def().ty {
                    // Text, whose bytes the row has not.
                    Type::Address => None,
                    Type::I32 => Some((var, i128::from(value as i32))),
                    Type::U8
                    | Type::U16
                    | Type::U32
                    | Type::U64
                    | Type::Truth
                    | Type::Enum(_)
                    | Type::MonotonicNs
                    | Type::WallUs => Some((var, i128::from(value))),
                }
            })
            .collect()
    }
}
