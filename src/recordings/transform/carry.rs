// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connections that are open at the beginning of a cut ([`OpenConnections`]), of those that the cut keeps.

use std::num::NonZeroUsize;

use rustc_hash::FxHashSet;

use super::TransformError;
use super::select::Selection;
use crate::engine::keyframe::{ConnectionKey, OpenConnections};
use crate::engine::time::SLACK_NS;
use crate::engine::time::order::{Consumer, merge};
use crate::log::{HookBatch, KeyFrame, LogError, Recording};
use crate::schema::Var;
use crate::wire::{Event, Header, Lifecycle, Operation};

struct CarriedState<'a> {
    /// The recording has all records from this time on.
    since_ns: u64,
    until_ns: u64,
    selection: &'a Selection,
    connections: OpenConnections,
}

impl CarriedState<'_> {
    /// Whether the key frame does not stand for it: one that came too late may have come too late for that, too.
    fn takes(&self, header: &Header, late: bool) -> bool {
        header.ts_ns < self.until_ns
            && (header.ts_ns >= self.since_ns || late)
            && self.selection.has_key((header.cookie, header.generation))
    }
}

impl Consumer for CarriedState<'_> {
    type Error = TransformError;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), TransformError> {
        if self.takes(header, late) {
            if late && header.ts_ns < self.since_ns {
                self.connections.hook_too_late(header, &ops.collect::<Vec<_>>());
            } else {
                self.connections.hook(header, ops, late);
            }
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), TransformError> {
        if self.takes(&record.header, late) {
            if late && record.header.ts_ns < self.since_ns {
                self.connections.lifecycle_too_late(record);
            } else {
                self.connections.lifecycle(record);
            }
        }
        Ok(())
    }

    fn missed(&mut self, _: &Header, _: u64) {}

    fn unread(&mut self, _: &Header, _: &[Var]) {}

    fn reached(&mut self, _: u64) {}
}

/// The facts known of the connections of a recording at a time.
pub(super) fn carried(
    recording: &Recording,
    selection: &Selection,
    from_ns: u64,
) -> Result<KeyFrame, TransformError> {
    // Marks vouch for what is older by the slack.
    let enough = from_ns.saturating_add(SLACK_NS);
    let mut over = false;
    let hooks = recording
        .hooks(NonZeroUsize::MIN)
        .take_while(move |batch| {
            let before = over;
            over |= batch.as_ref().is_ok_and(|b| has_mark_after(b, enough));
            !before
        })
        .map(|batch| batch.map_err(TransformError::from));
    let lifecycles = recording
        .lifecycles()
        .take_while(move |row: &Result<Lifecycle, LogError>| {
            !row.as_ref().is_ok_and(|r| r.event == Event::Drain && r.header.ts_ns > enough)
        })
        .map(|row| row.map_err(TransformError::from));
    let mut connections = OpenConnections::default();
    let mut since_ns = 0;
    if let Some(mut frame) = recording.key_frame()? {
        since_ns = frame.from_ns;
        let is_kept = |header: &Header| selection.has_key((header.cookie, header.generation));
        frame.lifecycles.retain(|row| is_kept(&row.header));
        frame.hooks.retain(|record| is_kept(&record.header));
        connections.begin(&frame);
    }
    let mut state = CarriedState { since_ns, until_ns: from_ns, selection, connections };
    merge(hooks, lifecycles, &mut state)?;
    Ok(state.connections.frame(from_ns))
}

fn has_mark_after(batch: &HookBatch, ts_ns: u64) -> bool {
    (0..batch.len()).map(|row| batch.header(row)).any(|h| h.hook.is_mark() && h.ts_ns > ts_ns)
}

/// Keys of connections, looked up and never walked.
pub(super) type Keys = FxHashSet<ConnectionKey>;
