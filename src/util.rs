// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Small helpers that know nothing of TCP.

pub(crate) mod base64;
#[allow(clippy::disallowed_methods, reason = "makes files")]
pub mod private;
pub(crate) mod steps;
pub mod units;
pub mod visible;
