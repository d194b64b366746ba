// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Variables of a connection that cannot be known: the capture has cut the bytes that they depend on.

use super::bits::Bits;
use super::slot::Row;
use crate::schema::{Apply, Var};

/// Adds a variable, and all that follow from it.
pub(super) fn insert(unread: &mut Bits, var: Var) {
    if unread.has(var) {
        return;
    }
    unread.insert(var);
    for &target in Var::ALL {
        let Apply::Derived(rule) = target.def().apply else { continue };
        if rule.def().needs.vars().any(|source| source == var) {
            insert(unread, target);
        }
    }
}

/// Takes them out of a row.
pub(super) fn forget(row: &mut Row, unread: &Bits) {
    for &var in Var::ALL {
        if unread.has(var) {
            row.forget(var);
        }
    }
}
