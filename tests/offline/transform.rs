// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings made from recordings: they verify, replay, and name what they lack.

mod anonymize;
mod carried;
mod cut;
mod keyframe;
mod ledger;
mod merge;
mod source;
