// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connections that are open at the beginning of a cut ([`OpenConnections`]), of those that the cut keeps.

use std::num::NonZeroUsize;

use rustc_hash::FxHashSet;

use super::TransformError;
use super::select::Selection;
use crate::engine::keyframe::{ConnectionKey, Knows, OpenConnections, merge_since};
use crate::engine::time::SLACK_NS;
use crate::engine::time::order::Consumer;
use crate::log::{HookBatch, KeyFrame, LogError, Recording};
use crate::schema::Var;
use crate::wire::{Event, Header, Lifecycle, Operation};

struct CarriedState<'a> {
    until_ns: u64,
    selection: &'a Selection,
    connections: OpenConnections,
}

impl CarriedState<'_> {
    fn takes(&self, header: &Header) -> bool {
        header.ts_ns < self.until_ns && self.selection.has(header)
    }
}

impl Knows for CarriedState<'_> {
    fn knows(&self, header: &Header) -> bool {
        self.connections.knows(header)
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
        if self.takes(header) {
            self.connections.hook(header, ops, late);
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, _late: bool) -> Result<(), TransformError> {
        if self.takes(&record.header) {
            self.connections.lifecycle(record);
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
    let connections = OpenConnections::default();
    let mut state = CarriedState { until_ns: from_ns, selection, connections };
    merge_since(recording.key_frame()?.as_ref(), hooks, lifecycles, &mut state)?;
    Ok(state.connections.frame(from_ns))
}

fn has_mark_after(batch: &HookBatch, ts_ns: u64) -> bool {
    (0..batch.len()).map(|row| batch.header(row)).any(|h| h.hook.is_mark() && h.ts_ns > ts_ns)
}

/// Keys of connections, looked up and never walked.
pub(super) type Keys = FxHashSet<ConnectionKey>;
