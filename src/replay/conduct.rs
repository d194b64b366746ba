// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Rows that follow from other rows: the comparisons of the audit, and RTTs by prefix and interval.
//!
//! They are made between the engine and the output. So an output takes rows, and calls nothing that makes
//! rows.

use super::{ReplayOptions, Run, run};
use crate::engine::audit::{AuditCounts, Auditor, Comparison};
use crate::engine::estats::{ConnectionRows, Ended, Polled, Sample, Slot};
use crate::engine::flows::PacketTotals;
use crate::engine::rows::{FlowRow, Output, PacketSeen, RttSample};
use crate::engine::rtt::aggregate::{AggregateInterval, AggregateOptions, Aggregator};
use crate::engine::time::timeline::Timeline;
use crate::log::{LogError, Recording};
use crate::wire::{Header, Snapshot};

/// The results of [`conduct`].
#[derive(Clone, Debug)]
pub(crate) struct Conducted<O> {
    /// Those of the replay.
    pub run: Run<O>,
    /// All results of the audit.
    pub audit: AuditCounts,
}

/// Replays a recording into an output that also gets [`Output::compared`] and, with the options of
/// `aggregate`, [`Output::interval`]: these cost something for each packet.
///
/// # Errors
/// Those of reading, and the output's.
pub(crate) fn conduct<O, E>(
    recording: &Recording,
    timeline: &Timeline,
    options: &ReplayOptions,
    aggregate: Option<AggregateOptions>,
    output: O,
) -> Result<Conducted<O>, E>
where
    O: Output,
    E: From<LogError> + From<O::Error>,
{
    let auditor = Auditor::new(recording.manifest());
    let aggregator = aggregate.map(Aggregator::new);
    let conductor = Conductor { auditor, aggregator, output };
    let Run { output, order, counts, packets, unknown_operations } =
        run::<_, E>(recording, timeline, options, conductor)?;
    let Conductor { auditor, aggregator, mut output } = output;
    if let Some(interval) = aggregator.and_then(|mut aggregator| aggregator.take()) {
        output.interval(&interval)?;
    }
    let run = Run { output, order, counts, packets, unknown_operations };
    Ok(Conducted { run, audit: auditor.counts() })
}

/// Hands all rows on, and makes those that follow from them.
#[derive(Debug)]
struct Conductor<O> {
    auditor: Auditor,
    aggregator: Option<Aggregator>,
    output: O,
}

// A row that is not handed on would be missing without a word.
#[deny(clippy::missing_trait_methods)]
impl<O: Output> ConnectionRows for Conductor<O> {
    type Error = O::Error;

    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), O::Error> {
        self.output.ended(ended)?;
        let comparisons = self.auditor.ended(ended);
        if comparisons.is_empty() { Ok(()) } else { self.output.compared(ended, &comparisons) }
    }

    fn wants(&self, conn_id: u64) -> bool {
        self.output.wants(conn_id)
    }

    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), O::Error> {
        self.output.sampled(sample)
    }

    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), O::Error> {
        self.auditor.polled(polled);
        self.output.polled(polled)
    }

    fn applied(&mut self, conn_id: u64, header: &Header, slot: &Slot) {
        self.output.applied(conn_id, header, slot);
    }
}

#[deny(clippy::missing_trait_methods)]
impl<O: Output> Output for Conductor<O> {
    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), O::Error> {
        self.output.flow(row)
    }

    fn packet(&mut self, seen: &PacketSeen<'_>) -> Result<(), O::Error> {
        if let Some(aggregator) = &mut self.aggregator {
            if let Some(interval) = aggregator.reached(seen.packet.ts_ns) {
                self.output.interval(&interval)?;
            }
            aggregator.packet(seen.packet);
            for sample in seen.answers {
                aggregator.rtt(seen.packet, sample);
            }
        }
        self.output.packet(seen)
    }

    fn listener(&mut self, snapshot: &Snapshot) -> Result<(), O::Error> {
        self.output.listener(snapshot)
    }

    fn dropped(&mut self, snapshot: &Snapshot, conn_id: Option<u64>) -> Result<(), O::Error> {
        self.output.dropped(snapshot, conn_id)
    }

    fn rtt(&mut self, sample: &RttSample) -> Result<(), O::Error> {
        self.output.rtt(sample)
    }

    fn packets(&mut self, conn_id: u64, totals: &PacketTotals, lost: u64) -> Result<(), O::Error> {
        self.auditor.packets(conn_id, totals, lost);
        self.output.packets(conn_id, totals, lost)
    }

    fn compared(&mut self, ended: &Ended<'_>, comparisons: &[Comparison]) -> Result<(), O::Error> {
        self.output.compared(ended, comparisons)
    }

    fn interval(&mut self, interval: &AggregateInterval) -> Result<(), O::Error> {
        self.output.interval(interval)
    }
}
