// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The results of the engine: rows of connections that ended, and samples of those that are open.

use std::num::NonZeroU64;

use super::{Row, Silent, Slot, States};
use crate::engine::identity::Identity;
use crate::engine::limits::Limits;
use crate::schema::{Basis, Var};
use crate::wire::{Header, Snapshot, SocketValues};

/// When a connection's values are sampled for the series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// At each multiple of this many nanoseconds of CLOCK_MONOTONIC, if a record came since the row
    /// before.
    Every(NonZeroU64),
    /// After each hook record.
    Event,
}

/// How complete a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Records were lost, or came too late to be put in order, while it lived; or what there is of it
    /// proves that something is missing: values that cannot be, hooks that were silent.
    Lossy,
    /// It was open before the recording, or its beginning was not seen.
    BegunBefore,
    /// It was still open when the recording ended.
    EndedAfter,
    /// Everything from its beginning to its end.
    Complete,
}

impl Completeness {
    /// The word in the tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lossy => "lossy",
            Self::BegunBefore => "begun_before",
            Self::EndedAfter => "ended_after",
            Self::Complete => "complete",
        }
    }
}

/// What the kernel had of a connection at its end.
#[derive(Clone, Debug)]
pub struct KernelValues {
    /// CLOCK_MONOTONIC of their reading.
    pub ts_ns: u64,
    /// The values.
    pub values: SocketValues,
}

/// A connection that is over, with its final values.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its number, in order of appearance, from 1.
    pub conn_id: u64,
    /// Socket cookie.
    pub cookie: u64,
    /// Which of the connections of that socket.
    pub generation: u16,
    /// Time of the record before its last one; of the last if there is but one.
    pub before_last_ns: u64,
    /// Identity.
    pub identity: &'a Identity,
    /// Final values.
    pub row: &'a Row,
    /// What limited it, from beginning to end.
    pub limits: &'a Limits,
    /// How long it was in each state.
    pub states: &'a States,
    /// How long its other end's application was behind with reading, where that end is in the
    /// recording too.
    pub peer_behind_ns: Option<u64>,
    /// CLOCK_MONOTONIC of its beginning (of what was seen of it).
    pub begin_ns: u64,
    /// CLOCK_MONOTONIC of its end, or of the recording's.
    pub end_ns: u64,
    /// Its beginning was not seen.
    pub begun_before: bool,
    /// Its end was not seen.
    pub ended_after: bool,
    /// Records lost on any CPU while it lived: some may have been its own.
    pub lost_records: u64,
    /// Its records that came too late to be put in order.
    pub late_records: u64,
    /// CLOCK_MONOTONIC since which the recorder counted: the beginning of what was seen; none if that
    /// was not seen either.
    pub counted_since_ns: Option<u64>,
    /// Records may be missing, or are, as values that cannot be show: counts are lower bounds, extremes
    /// and times are not known.
    pub lossy: bool,
    /// Hooks that saw nothing although the counters changed.
    pub silent: Silent,
    /// The kernel's own values of its end, if they were recorded.
    pub kernel: Option<&'a KernelValues>,
}

impl Ended<'_> {
    /// How complete the row is.
    pub fn completeness(&self) -> Completeness {
        let proved = !self.row.discarded().is_empty() || !self.silent.is_none();
        if self.lost_records > 0 || self.late_records > 0 || proved {
            Completeness::Lossy
        } else if self.begun_before {
            Completeness::BegunBefore
        } else if self.ended_after {
            Completeness::EndedAfter
        } else {
            Completeness::Complete
        }
    }
}

/// The values of a live connection at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Number of the connection.
    pub conn_id: u64,
    /// CLOCK_MONOTONIC of the sample.
    pub ts_ns: u64,
    /// CLOCK_MONOTONIC of the connection's beginning.
    pub begin_ns: u64,
    /// Its beginning was not seen: the first values are of a time before.
    pub begun_before: bool,
    /// Identity.
    pub identity: &'a Identity,
    /// Values.
    pub row: &'a Row,
    /// What limited it so far.
    pub limits: &'a Limits,
}

impl Sample<'_> {
    /// Where this is the first sample of a connection: the sum of these counters before it, for what happens from
    /// then on. Of what the kernel counted before the recording it is what this sample has, or not known. What
    /// the recorder counts began with 0, also where a lossy row has NULL for it.
    pub fn before(&self, counters: &[Var]) -> Option<u64> {
        let before = |var: &Var| {
            let is_older = self.begun_before && var.basis() != Basis::Recording;
            if is_older { self.row.get(*var) } else { Some(0) }
        };
        counters.iter().try_fold(0_u64, |sum, var| Some(sum.saturating_add(before(var)?)))
    }
}

/// A snapshot with its connection.
#[derive(Clone, Copy, Debug)]
pub struct Polled<'a> {
    /// Number of the connection and CLOCK_MONOTONIC of its beginning, where that was seen; none for
    /// a socket that is not recorded otherwise.
    pub connection: Option<(u64, Option<u64>)>,
    /// What was read.
    pub snapshot: &'a Snapshot,
}

/// Takes the rows of connections.
pub trait ConnectionRows {
    /// The error of the consumer, usually of writing.
    type Error;
    /// A connection is over. In order of the end, then of the number.
    fn ended(&mut self, ended: &Ended<'_>) -> Result<(), Self::Error>;
    /// Whether samples of this connection are wanted: making a row costs more than a record.
    fn wants(&self, _conn_id: u64) -> bool {
        true
    }
    /// A sample of the series. In order of time, then of the number.
    fn sampled(&mut self, sample: &Sample<'_>) -> Result<(), Self::Error>;
    /// A snapshot of a socket. In order of time.
    fn polled(&mut self, polled: &Polled<'_>) -> Result<(), Self::Error>;

    /// A record was applied: the connection's state after it, which is not a row. In the total order.
    fn applied(&mut self, conn_id: u64, header: &Header, slot: &Slot) {
        let _ = (conn_id, header, slot);
    }
}

/// What the engine counted beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounts {
    /// All connections.
    pub connections: u64,
    /// Operations applied.
    pub operations: u64,
    /// Largest number of connections live at once.
    pub live: u64,
    /// Records of sockets without a cookie: nothing distinguishes them, so nothing is made of them.
    pub without_cookie: u64,
    /// Records of connections that were already over (their RST, the end of their socket).
    pub after_end: u64,
    /// Values that cannot be, and stand in no table.
    pub discarded: u64,
    /// Connections with a hook that saw nothing although their counters changed.
    pub silent: u64,
    /// Connections whose beginning no record has.
    pub unseen: u64,
    /// Segments, and ends of connections, that no hook saw and the connections themselves show.
    pub missed: u64,
}

impl EngineCounts {
    /// The values of a connection that were discarded: operations, and values of its last row.
    pub(super) fn discarded(&mut self, slot: &Slot, row: &Row) {
        let late = row.discarded().iter().filter(|&var| !slot.has_discarded(var)).count();
        self.discarded += slot.discards() + late as u64;
    }
}
