// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What is done with hostile input. It must end by itself, and must not panic.

#![allow(dead_code, reason = "each program uses its part")]

mod used;

pub use used::use_everything;

/// An error is one line of text.
fn one_sentence(e: &dyn std::error::Error) {
    let text = e.to_string();
    assert!(!text.is_empty() && text.lines().count() == 1, "{text:?}");
}
