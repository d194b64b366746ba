// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! All rows of a replay: those of connections, which the engine makes, those that packets make beside it,
//! and those that follow from both: comparisons, and RTTs by prefix.

use crate::engine::audit::Comparison;
use crate::engine::estats::{Completeness, ConnectionRows, Ended};
use crate::engine::flows::{self, PacketTotals};
use crate::engine::rtt::{self, aggregate::AggregateInterval};
use crate::wire::{Packet, Snapshot};

/// A flow, at its end, or after an interval in which something came.
#[derive(Clone, Copy, Debug)]
pub struct FlowRow<'a> {
    /// The flow.
    pub flow: &'a flows::Flow,
    /// The traffic of this row: each packet is in one row.
    pub span: &'a flows::FlowSpan,
    /// It is over.
    pub ended: bool,
    /// Packets lost on any CPU while it lived: some may have been its own.
    pub lost_packets: u64,
}

impl FlowRow<'_> {
    /// Its beginning was not seen; of protocols without one, the first packet is.
    pub fn begun_before(&self) -> bool {
        self.flow.begun_before()
    }

    /// It did not end while it was recorded.
    pub fn ended_after(&self) -> bool {
        self.flow.closing == Some(flows::Closing::EndOfRecording)
    }

    /// How complete the row is.
    pub fn completeness(&self) -> Completeness {
        if self.lost_packets > 0 || self.flow.late > 0 || self.flow.copies > 0 {
            Completeness::Lossy
        } else if self.begun_before() {
            Completeness::BegunBefore
        } else if self.ended_after() {
            Completeness::EndedAfter
        } else {
            Completeness::Complete
        }
    }
}

/// A packet with its flow. Each comes once.
#[derive(Clone, Copy, Debug)]
pub struct PacketSeen<'a> {
    /// The packet.
    pub packet: &'a Packet,
    /// From the flow's first end to its second.
    pub forward: bool,
    /// Its flow, which has counted it.
    pub flow: &'a flows::Flow,
    /// The packets that it answers. They come again as [`Output::rtt`], when their connection is known.
    pub answers: &'a [rtt::MeasuredRtt],
}

/// A sample of passive RTT: the time from a packet to the first that answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RttSample {
    /// Number of the connection, for a flow that is one.
    pub conn_id: Option<u64>,
    /// Number of the flow.
    pub flow: u64,
    /// Time of the flow's first packet.
    pub begin_ns: u64,
    /// IP protocol number.
    pub protocol: u8,
    /// The ends of the flow; [`rtt::Way::Forth`] is from the first to the second.
    pub ends: flows::Ends,
    /// The sample.
    pub sample: rtt::MeasuredRtt,
}

/// Takes all rows.
pub trait Output: ConnectionRows {
    /// A flow is over, or an interval of it. In order of the end; that of an interval comes
    /// when the next packet does.
    fn flow(&mut self, row: &FlowRow<'_>) -> Result<(), Self::Error> {
        let _ = row;
        Ok(())
    }

    /// A packet. In their order.
    fn packet(&mut self, seen: &PacketSeen<'_>) -> Result<(), Self::Error> {
        let _ = seen;
        Ok(())
    }

    /// A poll of a listening socket. In order of time.
    fn listener(&mut self, snapshot: &Snapshot) -> Result<(), Self::Error> {
        let _ = snapshot;
        Ok(())
    }

    /// A packet that the kernel dropped, with the number of its connection if it is one of the live ones. In
    /// order of time.
    fn dropped(&mut self, snapshot: &Snapshot, conn_id: Option<u64>) -> Result<(), Self::Error> {
        let _ = (snapshot, conn_id);
        Ok(())
    }

    /// A sample of passive RTT. In order of time.
    fn rtt(&mut self, sample: &RttSample) -> Result<(), Self::Error> {
        let _ = sample;
        Ok(())
    }

    /// The totals of a connection's packets at its end, and how many packets were lost on any CPU
    /// meanwhile. Comes before the end.
    fn packets(
        &mut self,
        conn_id: u64,
        totals: &PacketTotals,
        lost: u64,
    ) -> Result<(), Self::Error> {
        let _ = (conn_id, totals, lost);
        Ok(())
    }

    /// The comparisons of a connection with the kernel's values, and with its packets. Comes after
    /// [`ConnectionRows::ended`], if there are any, to an output that is conducted (`replay::conduct`).
    fn compared(
        &mut self,
        ended: &Ended<'_>,
        comparisons: &[Comparison],
    ) -> Result<(), Self::Error> {
        let _ = (ended, comparisons);
        Ok(())
    }

    /// An interval of RTTs by prefix is over. In order of time, to an output that is conducted.
    fn interval(&mut self, interval: &AggregateInterval) -> Result<(), Self::Error> {
        let _ = interval;
        Ok(())
    }
}
