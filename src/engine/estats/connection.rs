// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A connection as long as it lives.

use super::peers;
use super::rules::RowContext;
use super::silent::{Heard, Silent};
use super::states::States;
use super::witness::Received;
use super::{Bits, ConnectionKey, KernelValues, Plan, Slot};
use crate::engine::identity::Identity;
use crate::engine::limits::Limits;
use crate::engine::time::timeline::{Of, Timeline};
use crate::schema::{Hook, Why};
use crate::wire::Snapshot;

/// How the beginning of a connection was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Not: an operation came first.
    Unseen,
    /// As it happened.
    Open,
    /// By the baseline of what was open before the recording.
    Baseline,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) conn_id: u64,
    pub(super) key: ConnectionKey,
    pub(super) slot: Slot,
    pub(super) identity: Identity,
    pub(super) limits: Limits,
    pub(super) states: States,
    /// As its peer finds it.
    pub(super) peer_ends: Option<peers::PeerKey>,
    pub(super) first_ns: u64,
    pub(super) begin: Begin,
    /// The values contain what the kernel counted before the first record.
    pub(super) has_baseline: bool,
    pub(super) late_records: u64,
    pub(super) heard: Heard,
    /// Variables that follow from what the capture has cut.
    pub(super) unread: Bits,
    /// Packets, segments, or its end that the recording lacks, as other records show.
    pub(super) missed: u64,
    pub(super) received: Received,
    /// Time of its last record.
    pub(super) last_ns: u64,
    /// Time of the record before that.
    pub(super) before_last_ns: u64,
    /// Something came since the last row of the series.
    pub(super) dirty: bool,
    /// Time of its last row in the series.
    pub(super) sampled_ns: Option<u64>,
    /// What the kernel had of it at its end.
    pub(super) kernel: Option<Box<KernelValues>>,
    /// It ended at this time of the total order; the row is made when time goes on.
    pub(super) ends: Option<Closing>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    pub(super) at_ns: u64,
    pub(super) ended_after: bool,
    /// The socket is gone too: its key need not be kept.
    pub(super) gone: bool,
}

impl Connection {
    /// Whether the record has the values of a connection that was open before the recording, or before
    /// it was recorded: the first record, of whatever hook. A record of the iterator shows that itself,
    /// where the lifecycle record was lost. Packets know nothing of what was before.
    pub(super) fn is_baseline(&self, hook: Hook) -> bool {
        let is_first = match self.begin {
            Begin::Open => false,
            Begin::Baseline => !hook.is_packet(),
            Begin::Unseen => hook.is_baseline(),
        };
        is_first && !self.has_baseline
    }

    /// Takes what the kernel has of it.
    pub(super) fn polled(&mut self, snapshot: &Snapshot) {
        self.limits.kernel_values(&snapshot.values);
        match snapshot.why {
            Why::Close | Why::End => {
                let (ts_ns, values) = (snapshot.header.ts_ns, snapshot.values.clone());
                self.kernel = Some(Box::new(KernelValues { ts_ns, values }));
            }
            Why::Open | Why::Poll | Why::Baseline | Why::Listener | Why::Drop => {}
        }
    }

    pub(super) fn begin_ns(&self) -> u64 {
        match (self.identity.start_ns(), self.begin) {
            (None, Begin::Unseen | Begin::Open | Begin::Baseline) => self.first_ns,
            (Some(start), Begin::Open) => start,
            (Some(start), Begin::Unseen | Begin::Baseline) => start.min(self.first_ns),
        }
    }

    /// When it began; none if no record shows it. The time of its first record is not its beginning.
    pub(super) fn seen_begin_ns(&self) -> Option<u64> {
        let is_unseen = self.begin == Begin::Unseen && self.identity.start_ns().is_none();
        (!is_unseen).then(|| self.begin_ns())
    }

    /// Since when the recorder counted; none if no record shows it. A connection that was open before has it from its
    /// first record, which in a cut, or after a key frame, is later than what is known of its beginning.
    pub(super) fn counted_since_ns(&self) -> Option<u64> {
        match self.begin {
            Begin::Unseen => None,
            Begin::Open => Some(self.begin_ns()),
            Begin::Baseline => Some(self.first_ns),
        }
    }

    pub(super) fn begun_before(&self) -> bool {
        self.begin != Begin::Open
    }

    pub(super) fn ends_of(&self) -> Option<peers::PeerKey> {
        let known = self.identity.lifecycle()?;
        peers::ends_of(&self.slot, known.local_port, known.remote_port)
    }

    /// Records lost on any CPU up to now, and those of its own that are known to be missing.
    pub(super) fn lost(&self, timeline: &Timeline, of: Of, now_ns: u64) -> u64 {
        // If not even a baseline was seen, the beginning may have been lost. A baseline made from
        // packets only means that no SYN was seen.
        let is_seen = match self.begin {
            Begin::Open => true,
            Begin::Baseline => of != Of::Packets,
            Begin::Unseen => false,
        };
        // Of one that was carried over the beginning of a cut or by a key frame, losses before that count too: its end may
        // be among them.
        let from_ns = if is_seen { self.begin_ns() } else { 0 };
        timeline.lost_between(of, from_ns, now_ns).saturating_add(self.missed)
    }

    /// The facts that a row at this time needs besides the values.
    pub(super) fn context<'a>(
        &'a self,
        plan: &Plan,
        timeline: &'a Timeline,
        of: Of,
        now_ns: u64,
    ) -> RowContext<'a> {
        let lost = self.lost(timeline, of, now_ns);
        // Events that no hook saw are in `missed`: they are not missing records.
        let records_missing =
            self.begin == Begin::Unseen || self.late_records > 0 || lost > self.missed;
        // A hook whose records are missing was not silent.
        let silent = if records_missing {
            Silent::default()
        } else {
            self.heard.silent(plan.attached(), &self.slot)
        };
        // An impossible value shows that something was missed.
        let lossy = records_missing || lost > 0 || self.slot.discards() > 0;
        RowContext {
            conn_id: self.conn_id,
            now_ns,
            begin_ns: self.begin_ns(),
            begun_before: self.begun_before(),
            lossy,
            silent,
            identity: &self.identity,
            timeline,
        }
    }
}
