// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recorder and the analyzer against the kernel: real connections over a link with chosen
//! faults, recorded, replayed, and every row compared with `tcp_info` of the same socket, the MIB
//! counters of its namespace and the packets the link saw.
//!
//! Needs root and BPF; without them every test here is counted as skipped on standard error, and
//! with `ESTATS_REQUIRE_LIVE=1` it fails.

#![cfg(feature = "record")]

#[path = "../support/mod.rs"]
mod support;

mod causes;
mod command;
mod crafted;
mod diff;
mod ends;
mod lab;
mod path;
mod recording;
mod rest;
mod scenario;
mod several;

const SUITE: &str = "live tests";
