// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats-record at its edges: what it leaves out, how it ends, what it does when there is no room, and
//! its errors when it cannot begin. tests/live is about the contents of a recording.
//!
//! Needs root and BPF; without them every test here is counted as skipped on standard error, and
//! with `ESTATS_REQUIRE_LIVE=1` it fails.

#![cfg(feature = "record")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../common/hostile.rs"]
mod hostile;

mod command;
mod drops;
mod ends;
mod errors;
mod filters;
mod flows;
mod killed;
mod life;
mod limits;
mod listeners;
mod loss;
mod malformed;
mod mptcp;
mod names;
mod openmetrics;
mod packets;
mod processes;
mod provenance;
mod rare;
mod reach;
mod refused;
mod refused_after_close;
mod refused_segments;
mod rtt;
mod run;
mod service;
mod sight;
mod snapshots;
mod timens;
mod traffic;
mod witness;

use support::gate::Needs;

const SUITE: &str = "recorder tests";
/// Processes with sockets of their own are Perl one-liners: every Debian has it.
const PERL: Needs = Needs { lab: true, bpf: true, programs: &["perl"] };
