// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What a replay finds beside its rows.

use super::{Run, lost_by_totals, without_row};
use crate::engine::estats::EngineCounts;
use crate::engine::packets::PacketCounts;
use crate::engine::time::order::OrderCounts;
use crate::engine::time::timeline::Timeline;
use crate::log::Manifest;

/// What a replay found beside its rows. Rows that lack something are marked; these are the sums.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Counts of the ordering.
    pub order: OrderCounts,
    /// Counts of the engine.
    pub counts: EngineCounts,
    /// Counts of making connections from packets; none if hooks made them.
    pub packets: Option<PacketCounts>,
    /// Records the recorder lost, and what no hook saw as connections show ([`EngineCounts::missed`]).
    pub lost: u64,
    /// Connections without any record, so that they have no row; none if their number is not known.
    pub without_row: Option<u64>,
    /// Whether the recorder ended by itself; if not, the end of the recording may be missing.
    pub closed: bool,
    /// Operations that this build has no name for, left out.
    pub unknown_operations: u64,
}

impl Findings {
    /// Those of a replay of the recording that has this manifest.
    pub(crate) fn of<O>(manifest: &Manifest, timeline: &Timeline, run: &Run<O>) -> Self {
        let lost = timeline.lost().max(lost_by_totals(manifest));
        Self {
            order: run.order,
            counts: run.counts,
            packets: run.packets,
            lost: lost.saturating_add(run.counts.missed),
            without_row: without_row(manifest, run.counts, lost),
            closed: manifest.totals.is_some(),
            unknown_operations: run.unknown_operations,
        }
    }

    /// The number of everything that rows lack: 0 if nothing.
    pub fn missing(&self) -> u64 {
        let lacking = self.packets.map_or(0, |packets| packets.lacking());
        [self.counts.discarded, self.counts.silent, lacking]
            .into_iter()
            .fold(self.lost, u64::saturating_add)
    }
}
