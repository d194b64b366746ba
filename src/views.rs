// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What is made of tables or of a replay for a reader: text, pages, comparisons, formats of other tools.

pub mod compare;
pub mod diff;
pub mod export;
pub mod manual;
#[cfg(feature = "query")]
#[allow(clippy::disallowed_methods, reason = "reads the tables")]
pub mod query;
pub mod report;
#[allow(clippy::disallowed_methods, reason = "reads the tables")]
pub mod summary;
pub mod three_ways;
pub mod traffic;
