// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#![no_main]

#[path = "../../tests/fuzzed/mod.rs"]
mod fuzzed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::captures(data));
