// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! From rows to files: the tables, and what they are written as.

#[allow(clippy::disallowed_methods, reason = "writes the tables")]
pub mod sink;
pub mod tables;
