// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Passive RTT against others' account of the same packets: tshark's, tcptrace's, and ePPing's rules
//! carried out by the book over what tshark reads. Where a program is missing the tests say so; with
//! `ESTATS_REQUIRE_LIVE=1` they fail. What is compared live is in `tests/record/rtt.rs`.

mod captures;
mod command;
mod epping;
mod tcptrace;
mod tshark;

const SUITE: &str = "RTT tests";
