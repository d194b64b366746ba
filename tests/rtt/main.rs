// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Passive RTT against others' account of the same packets: tshark's, tcptrace's, and ePPing's rules
//! carried out by the book over what tshark reads; live, what `ping` and `dig` print, the link's own
//! delay, and a QUIC that spins. Where a program is missing the tests say so; with
//! `ESTATS_REQUIRE_LIVE=1` they fail.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "record")]
#[allow(dead_code, reason = "each test binary uses its part")]
#[path = "../record/run.rs"]
mod run;

mod captures;
mod command;
mod epping;
#[cfg(feature = "record")]
mod live;
mod tcptrace;
mod tshark;

use support::gate;

const SUITE: &str = "RTT tests";
