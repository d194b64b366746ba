// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings made of recordings: they verify, replay, and say what they lack.

mod common;

#[path = "transform/anonymize.rs"]
mod anonymize;
#[path = "transform/carried.rs"]
mod carried;
#[path = "transform/cut.rs"]
mod cut;
#[path = "transform/merge.rs"]
mod merge;
#[path = "transform/source.rs"]
mod source;
