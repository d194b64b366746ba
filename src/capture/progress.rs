// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What a recorder has done so far.

use std::time::Duration;

use super::drain::Drain;
use crate::log::Ring;
use crate::schema::Hook;

/// The progress of a recording, once a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since the hooks were attached.
    pub elapsed: Duration,
    /// Connections seen.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Records logged.
    pub records: u64,
    /// Packets logged; none where none are recorded.
    pub packets: Option<u64>,
    /// Bytes written.
    pub bytes: u64,
    /// Records lost.
    pub lost: u64,
    /// Hook activations for which the kernel did not run the program.
    pub skipped: u64,
    /// Packets with malformed IP headers: they have no digest.
    pub malformed: u64,
    /// Polls of sockets that took more than 80 % of their interval.
    pub slow_polls: u64,
}

impl Progress {
    /// Takes what the drain has counted.
    pub(super) fn update(&mut self, drain: &Drain<'_>) {
        let packets;
        [
            self.records,
            self.connections,
            self.open,
            self.bytes,
            self.lost,
            self.skipped,
            packets,
            self.malformed,
        ] = drain.counts();
        self.packets = self.packets.map(|_| packets);
    }
}

/// What a recorder has counted of itself, beside [`Progress`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Records logged, by ring.
    pub records: [u64; Ring::ALL.len()],
    /// Records lost, by hook; also those that lost none.
    pub lost: Vec<(Hook, u64)>,
    /// Rounds of the rings that were so late that the ledger has them.
    pub late_drains: u64,
    /// Packets of TCP that the kernel was seen to drop.
    pub dropped_packets: u64,
}
