// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Time: the total order of what a recording holds, its clocks, and the intervals in which something was
//! lost.
//!
//! Each stream of a recording is nearly sorted. The recorder's marks state up to which time all has been
//! delivered, less [`SLACK_NS`]; what comes later than that is late.

pub(crate) mod order;
pub(crate) mod packets;
mod reorder;
mod snapshots;
pub mod timeline;

use crate::wire::Header;

pub use reorder::Reorder;
pub use snapshots::snapshots;

/// A task can be preempted between reading the clock in the hook and submitting the record, so the
/// marker's time vouches only for records somewhat older: 100 ms, the worst scheduling delay that
/// the recorder allows for.
pub const SLACK_NS: u64 = 100_000_000;

/// Where something stands in the total order: time, CPU, sequence number.
pub type OrderKey = (u64, u16, u64);

/// Where a record or a snapshot stands.
pub const fn key(header: &Header) -> OrderKey {
    (header.ts_ns, header.cpu, header.seq)
}
