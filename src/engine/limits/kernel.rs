// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The kernel's values of the socket, as snapshots have them: its clock of a full send buffer, and whose pace was in
//! force.

use crate::schema::SocketField;
use crate::wire::SocketValues;

/// BBR's estimate is the application's own pace if it comes to within this part of it. The estimate counts payload,
/// and the pace whole frames: 1448 of 1514 octets are 0.956.
const ESTIMATED_WITHIN: u64 = 20;

/// What the snapshots of a connection had so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KernelReadings {
    /// tcpi_sndbuf_limited of the first reading, or 0 at the connection's beginning; microseconds.
    sndbuf_from_us: Option<u64>,
    sndbuf_us: Option<u64>,
    /// The most that the send buffer may hold (skmem_sndbuf): it only grows.
    sndbuf: Option<u64>,
    /// Whether the application's own pace was in force at the last reading.
    capped: Option<bool>,
    /// The application had set a pace (SO_MAX_PACING_RATE) at some reading.
    has_pace: bool,
    /// The part of the paced time, up to the last reading, in which the application's own rate was the
    /// limit.
    capped_ns: u64,
    paced_ns: u64,
}

impl KernelReadings {
    /// The connection begins in the recording, so its clocks do.
    pub(super) fn begun(&mut self) {
        self.sndbuf_from_us.get_or_insert(0);
    }

    /// Takes the values of a snapshot, before which the sender was paced for `paced_ns`.
    pub(super) fn read(&mut self, values: &SocketValues, paced_ns: u64) {
        if let Some(us) = values.get(SocketField::tcpi_sndbuf_limited) {
            self.sndbuf_from_us.get_or_insert(us);
            self.sndbuf_us = Some(us);
        }
        self.sndbuf = self.sndbuf.max(values.get(SocketField::skmem_sndbuf));
        // The pace in force is the least of the congestion control's and the application's
        // (tcp_update_pacing_rate(), bbr_set_pacing_rate()). BBR's own is below its estimate of the bandwidth most of the
        // time, and that estimate cannot exceed the application's.
        let set = |field: SocketField| values.get(field).filter(|rate| !field.is_unset(*rate));
        let own = set(SocketField::tcpi_max_pacing_rate);
        self.has_pace |= own.is_some();
        let capped = own.is_some_and(|cap| {
            let reached = |field, least| set(field).is_some_and(|rate| rate >= least);
            reached(SocketField::tcpi_pacing_rate, cap)
                || reached(SocketField::bbr_bw, cap - cap / ESTIMATED_WITHIN)
        });
        if capped {
            let since = paced_ns.saturating_sub(self.paced_ns);
            self.capped_ns = self.capped_ns.saturating_add(since);
        }
        self.paced_ns = paced_ns;
        self.capped = Some(capped);
    }

    /// So much of the paced time was the path's.
    pub(super) const fn was_dead(&mut self, paced_ns: u64) {
        self.paced_ns = self.paced_ns.saturating_sub(paced_ns);
    }

    /// How long the kernel counted the send buffer as the limit.
    pub(super) fn sndbuf_limited_ns(&self) -> Option<u64> {
        let clock = self.sndbuf_us.zip(self.sndbuf_from_us);
        clock.map(|(us, from)| us.saturating_sub(from).saturating_mul(1_000))
    }

    /// The most that the send buffer may hold, in octets.
    pub(super) const fn sndbuf(&self) -> Option<u64> {
        self.sndbuf
    }

    /// Whether there was a snapshot.
    pub(super) const fn was_read(&self) -> bool {
        self.capped.is_some()
    }

    /// Whether the application had set a pace.
    pub(super) const fn has_pace(&self) -> bool {
        self.has_pace
    }

    /// How long the application's own rate was the limit, of so much paced time.
    pub(super) fn capped_ns(&self, paced_ns: u64) -> u64 {
        let since = paced_ns.saturating_sub(self.paced_ns);
        self.capped_ns.saturating_add(if self.capped == Some(true) { since } else { 0 })
    }
}
