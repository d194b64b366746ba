// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connections that a recorder started at a given time would have found open, with their last
//! values.
//!
//! Only values that were set are carried over the beginning of a cut: the kernel keeps them, so a
//! baseline at that time would have the same values. Counts of events (`inc`, `add`) and everything that
//! replay derives from sets begin anew, as they do in any recording of a connection that was open before
//! it.
//!
//! Two things differ from such a recording, whose recorder begins with the connection's state. Here
//! the recorder had a state already, and sends only what is new to it:
//!
//! * an extreme, when it passes all values before, those before the cut too. Replay does not know it
//!   until then, so it is NULL;
//! * a TTL or TOS octet that a hook sees, once. That a hook is not heard after the cut proves nothing.
//!
//! Replay knows the carried record by its hook, `baseline`, and its CPU, none.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use rustc_hash::FxHashSet;

use super::TransformError;
use super::select::{ConnectionKey, Selection};
use crate::engine::estats::Bits;
use crate::engine::identity::Identity;
use crate::engine::time::SLACK_NS;
use crate::engine::time::order::{Consumer, merge};
use crate::log::{HookBatch, LogError, Recording};
use crate::schema::{Apply, Hook, Op, Var};
use crate::wire::{Event, Header, HookRecord, Lifecycle, NO_CPU, Operation};

/// The facts known at the beginning of a cut.
#[derive(Debug)]
pub(super) struct Carried {
    /// Rows of the recorder's own kind (CPU 65535), at the last instant before the cut.
    pub lifecycles: Vec<Lifecycle>,
    pub hooks: Vec<HookRecord>,
}

struct Known {
    identity: Identity,
    values: Box<[u64; Var::COUNT]>,
    set: Bits,
    /// Variables that something else than `set` has changed.
    changed: Bits,
    /// Variables that the connection has not.
    void: Bits,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            values: Box::new([0; Var::COUNT]),
            set: Bits::default(),
            changed: Bits::default(),
            void: Bits::default(),
        }
    }
}

struct CarriedState<'a> {
    until_ns: u64,
    selection: &'a Selection,
    open: BTreeMap<ConnectionKey, Known>,
    /// The connection is over, its socket still there.
    over: BTreeMap<ConnectionKey, Lifecycle>,
}

impl CarriedState<'_> {
    fn known(&mut self, header: &Header) -> Option<&mut Known> {
        let key = (header.cookie, header.generation);
        let is_over = self.over.contains_key(&key);
        if header.ts_ns >= self.until_ns || is_over || !self.selection.has_key(key) {
            return None;
        }
        Some(self.open.entry(key).or_default())
    }
}

impl Consumer for CarriedState<'_> {
    type Error = TransformError;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        _late: bool,
    ) -> Result<(), TransformError> {
        if header.hook.ends_socket() && header.ts_ns < self.until_ns {
            let key = (header.cookie, header.generation);
            self.open.remove(&key);
            self.over.remove(&key);
            return Ok(());
        }
        let Some(known) = self.known(header) else { return Ok(()) };
        for Operation { var, op, value } in ops {
            match op {
                Op::Set => {
                    known.values[var.index()] = value;
                    known.set.insert(var);
                }
                Op::Add | Op::Inc | Op::Dec | Op::Max | Op::Min => known.changed.insert(var),
                Op::Void => known.void.insert(var),
                // Events missed before the cut are before the basis of its rows.
                Op::Missed => {}
            }
        }
        Ok(())
    }

    fn lifecycle(&mut self, record: &Lifecycle, _late: bool) -> Result<(), TransformError> {
        let header = &record.header;
        let key = (header.cookie, header.generation);
        let Some(known) = self.known(header) else { return Ok(()) };
        known.identity.learn(record);
        match record.event {
            Event::Open | Event::Baseline | Event::Drain => {}
            Event::Close | Event::End | Event::Over => {
                let last = known.identity.lifecycle().unwrap_or(record).clone();
                self.open.remove(&key);
                self.over.insert(key, last);
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
) -> Result<Carried, TransformError> {
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
    let mut state =
        CarriedState { until_ns: from_ns, selection, open: BTreeMap::new(), over: BTreeMap::new() };
    merge(hooks, lifecycles, &mut state)?;
    Ok(rows(state, from_ns.saturating_sub(1)))
}

fn has_mark_after(batch: &HookBatch, ts_ns: u64) -> bool {
    (0..batch.len()).map(|row| batch.header(row)).any(|h| h.hook.is_mark() && h.ts_ns > ts_ns)
}

fn rows(state: CarriedState<'_>, ts_ns: u64) -> Carried {
    let mut out = Carried { lifecycles: Vec::new(), hooks: Vec::new() };
    let mut seq = 0;
    let mut header = |(cookie, generation): ConnectionKey| {
        seq += 1;
        Header { ts_ns, seq: seq - 1, cookie, generation, cpu: NO_CPU, hook: Hook::Baseline }
    };
    for (key, known) in state.open {
        if let Some(lifecycle) = known.identity.lifecycle() {
            out.lifecycles.push(Lifecycle {
                header: header(key),
                event: Event::Baseline,
                // As a baseline of an open connection has it.
                old_state: lifecycle.new_state,
                ..lifecycle.clone()
            });
        }
        let carried = |var: &Var| {
            known.set.has(*var) && !known.changed.has(*var) && !is_counted_by_sets(*var)
        };
        let set = |var: Var| Operation { var, op: Op::Set, value: known.values[var.index()] };
        let void = |var: Var| Operation { var, op: Op::Void, value: 0 };
        let sets = Var::ALL.iter().copied().filter(carried).map(set);
        let ops: Vec<_> = sets.chain(known.void.iter().map(void)).collect();
        if !ops.is_empty() {
            out.hooks.push(HookRecord { header: header(key), ops });
        }
    }
    for (key, lifecycle) in state.over {
        out.lifecycles.push(Lifecycle { header: header(key), event: Event::Over, ..lifecycle });
    }
    out
}

/// Whether a set of the variable is an event for another variable: repeated, it would count twice.
fn is_counted_by_sets(var: Var) -> bool {
    let counts = |apply| matches!(apply, Apply::Derived(rule) if rule.def().each_set == Some(var));
    Var::ALL.iter().any(|v| counts(v.def().apply))
}

/// Keys of connections, looked up and never walked.
pub(super) type Keys = FxHashSet<ConnectionKey>;
