// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Passive RTT against the results of other tools for the same packets: tshark, tcptrace, and ePPing's
//! rules applied to what tshark reads. If a program is missing, the tests print that; with
//! `ESTATS_REQUIRE_LIVE=1` they fail. Live comparisons are in `tests/record/rtt.rs`.

mod captures;
mod command;
mod epping;
mod tcptrace;
mod tshark;

const SUITE: &str = "RTT tests";
