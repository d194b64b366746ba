//! The recorder on stock Debian kernels: QEMU boots each under software emulation, all its hook
//! sets record the same traffic at once, and every recording is held against `tcp_info`, the MIB
//! counters and the other recordings. The guests also say what docs/coverage.md says.
//!
//! Needs QEMU and the network (for the kernels); without them every test here is counted as
//! skipped on standard error, and with `ESTATS_REQUIRE_LIVE=1` it fails. `ESTATS_GUEST=0` skips
//! them by choice.

#![cfg(feature = "record")]

#[path = "../support/mod.rs"]
mod support;

mod agreement;
mod connection;
mod facts;
mod inside;
mod outcome;
mod path;
mod recorder;
mod results;
mod rows;
mod scenario;
mod sets;
mod verify;
mod visit;

const SUITE: &str = "guest tests";

/// Boots the kernel, and fails with every check that failed.
fn kernel(series: &'static str) {
    let Some(_turn) = visit::enter() else { return };
    let visit = visit::to(series);
    let results = verify::all(visit);
    results.write(&visit.dir.join("results.jsonl"));
    results.assert(series);
}

#[test]
fn linux_6_1() {
    kernel("6.1");
}

#[test]
fn linux_6_12() {
    kernel("6.12");
}
