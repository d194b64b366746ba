// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings that no recorder made: of captures of other tools, and of other recordings.

#[allow(clippy::disallowed_methods, reason = "reads captures; still no clock")]
pub mod import;
pub mod transform;
