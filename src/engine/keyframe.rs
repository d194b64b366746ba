// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The connections that are open at a time, with their last values: what a recorder that started at that time
//! would have found.
//!
//! A key frame holds them at the beginning of a segment, and a cut at its own. Only values that were set are carried
//! over: the kernel keeps them, so a baseline at that time would have the same values. Counts of events (`inc`, `add`)
//! and everything that replay derives from sets begin anew, as they do in any recording of a connection that was open
//! before it.
//!
//! Two things differ from such a recording, whose recorder begins with the connection's state. Here
//! the recorder had a state already, and sends only what is new to it:
//!
//! * an extreme, when it passes all values before, those of earlier times too. Replay does not know it
//!   until then, so it is NULL;
//! * a TTL or TOS octet that a hook sees, once. That a hook is not heard later proves nothing.
//!
//! Replay knows the carried record by its hook, `baseline`, and its CPU, none.

use std::collections::BTreeMap;

use crate::engine::estats::Bits;
use crate::engine::identity::Identity;
use crate::engine::time::order::{Consumer, HookRecords, OrderCounts, merge};
use crate::engine::time::{Reorder, SLACK_NS, key};
use crate::log::{KeyFrame, LogError, RecordingWriter};
use crate::schema::{Apply, Hook, Op, Var};
use crate::wire::{Event, Header, HookRecord, Lifecycle, NO_CPU, Operation};

/// A connection: cookie and generation.
pub type ConnectionKey = (u64, u16);

struct Known {
    identity: Identity,
    values: Box<[u64; Var::COUNT]>,
    set: Bits,
    /// Variables that something else than `set` has changed, or of which the last value is not certain.
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

/// How long a socket is remembered whose connection has ended. An application may keep one for longer; if a hook still
/// sees that, it is a connection of which nothing is known, and its row is lossy.
const OVER_NS: u64 = 3_600_000_000_000;

/// What is known of each connection that is open, as the records come in their order.
#[derive(Default)]
pub struct OpenConnections {
    open: BTreeMap<ConnectionKey, Known>,
    /// The connection is over, its socket still there.
    over: BTreeMap<ConnectionKey, Lifecycle>,
}

impl std::fmt::Debug for OpenConnections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenConnections")
            .field("open", &self.open.len())
            .field("over", &self.over.len())
            .finish()
    }
}

impl OpenConnections {
    fn known(&mut self, key @ (cookie, generation): ConnectionKey) -> Option<&mut Known> {
        if cookie == 0 || self.over.contains_key(&key) {
            return None;
        }
        // A socket has one connection at a time. Its end frees the last one only.
        if let Some(before) = generation.checked_sub(1) {
            self.open.remove(&(cookie, before));
            self.over.remove(&(cookie, before));
        }
        Some(self.open.entry(key).or_default())
    }

    /// A hook's record; `late` if it came too late for its place in the order.
    pub fn hook(&mut self, header: &Header, ops: impl Iterator<Item = Operation>, late: bool) {
        let key = (header.cookie, header.generation);
        if header.hook.ends_socket() {
            self.open.remove(&key);
            self.over.remove(&key);
            return;
        }
        let Some(known) = self.known(key) else { return };
        for Operation { var, op, value } in ops {
            match op {
                Op::Set => {
                    known.values[var.index()] = value;
                    known.set.insert(var);
                    if late {
                        // A later value may have come before it.
                        known.changed.insert(var);
                    }
                }
                Op::Add | Op::Inc | Op::Dec | Op::Max | Op::Min => known.changed.insert(var),
                Op::Void => known.void.insert(var),
                // Events missed before are before the basis of the rows that follow.
                Op::Missed => {}
            }
        }
    }

    /// Whether something is known of the connection of a record.
    pub fn knows(&self, header: &Header) -> bool {
        let key = (header.cookie, header.generation);
        self.open.contains_key(&key) || self.over.contains_key(&key)
    }

    /// Forgets sockets whose connection ended long before: the record of their own end was lost.
    fn forget_over(&mut self, ts_ns: u64) {
        self.over.retain(|_, row| row.header.ts_ns.saturating_add(OVER_NS) >= ts_ns);
    }

    /// A lifecycle record.
    pub fn lifecycle(&mut self, record: &Lifecycle) {
        let key = (record.header.cookie, record.header.generation);
        match record.event {
            Event::Over => {
                self.open.remove(&key);
                self.over.insert(key, record.clone());
                return;
            }
            Event::Drain => return,
            Event::Open | Event::Baseline | Event::Close | Event::End => {}
        }
        let Some(known) = self.known(key) else { return };
        known.identity.learn(record);
        if matches!(record.event, Event::Close | Event::End) {
            let last = known.identity.lifecycle().unwrap_or(record).clone();
            self.open.remove(&key);
            self.over.insert(key, last);
        }
    }

    /// The key frame of this time: rows of the recorder's own kind (CPU 65535), at the last instant before it.
    pub fn frame(&self, from_ns: u64) -> KeyFrame {
        let ts_ns = from_ns.saturating_sub(1);
        let counted: Bits = Var::ALL.iter().copied().filter(|v| is_counted_by_sets(*v)).collect();
        let mut out = KeyFrame { from_ns, lifecycles: Vec::new(), hooks: Vec::new() };
        let mut seq = 0;
        let mut header = |(cookie, generation): ConnectionKey| {
            seq += 1;
            Header { ts_ns, seq: seq - 1, cookie, generation, cpu: NO_CPU, hook: Hook::Baseline }
        };
        for (key, known) in &self.open {
            if let Some(lifecycle) = known.identity.lifecycle() {
                out.lifecycles.push(Lifecycle {
                    header: header(*key),
                    event: Event::Baseline,
                    // As a baseline of an open connection has it.
                    old_state: lifecycle.new_state,
                    ..lifecycle.clone()
                });
            }
            let carried =
                |var: &Var| known.set.has(*var) && !known.changed.has(*var) && !counted.has(*var);
            let set = |var: Var| Operation { var, op: Op::Set, value: known.values[var.index()] };
            let void = |var: Var| Operation { var, op: Op::Void, value: 0 };
            let sets = Var::ALL.iter().copied().filter(carried).map(set);
            let ops: Vec<_> = sets.chain(known.void.iter().map(void)).collect();
            if !ops.is_empty() {
                out.hooks.push(HookRecord { header: header(*key), ops });
            }
        }
        for (key, lifecycle) in &self.over {
            out.lifecycles.push(Lifecycle {
                header: header(*key),
                event: Event::Over,
                ..lifecycle.clone()
            });
        }
        out
    }
}

#[derive(Debug)]
enum Held {
    Hook(HookRecord),
    Lifecycle(Box<Lifecycle>),
}

/// Makes the key frames of a recording that is being written.
///
/// A record may come up to the slack later than others of its time, and from another CPU's ring. So records
/// are held that long, and taken in in their order; a key frame is written once all that is older than its time
/// has come.
#[derive(Debug, Default)]
pub struct KeyFrames {
    held: Reorder<Held>,
    known: OpenConnections,
    /// What is older has been taken in.
    taken_ns: u64,
}

impl KeyFrames {
    /// Takes a hook's record.
    pub fn hook(&mut self, header: &Header, ops: &[Operation]) {
        if header.ts_ns >= self.taken_ns {
            let record = HookRecord { header: *header, ops: ops.to_vec() };
            self.held.hold(key(header), Held::Hook(record));
        } else if self.known.knows(header) {
            self.known.hook(header, ops.iter().copied(), true);
        }
    }

    /// Takes a lifecycle record.
    pub fn lifecycle(&mut self, row: &Lifecycle) {
        if row.header.ts_ns >= self.taken_ns {
            self.held.hold(key(&row.header), Held::Lifecycle(Box::new(row.clone())));
        } else if self.known.knows(&row.header) {
            self.known.lifecycle(row);
        }
    }

    /// The recording has a mark of this time: every record made before, but for the slack, has come. Writes the key frames
    /// that are due. Replay knows by the marks which records came too late, so no other time will do.
    ///
    /// # Errors
    /// If one could not be written.
    pub fn reached(&mut self, mark_ns: u64, writer: &mut RecordingWriter) -> Result<(), LogError> {
        let until_ns = mark_ns.saturating_sub(SLACK_NS);
        while let Some((_, from_ns)) = writer.wanted_key_frame() {
            if from_ns > until_ns {
                break;
            }
            self.take_in(from_ns);
            self.known.forget_over(from_ns);
            writer.key_frame(&self.known.frame(from_ns))?;
        }
        let next_ns = writer.wanted_key_frame().map_or(u64::MAX, |(_, from_ns)| from_ns);
        self.take_in(until_ns.min(next_ns));
        Ok(())
    }

    fn take_in(&mut self, until_ns: u64) {
        while let Some(held) = self.held.before(until_ns) {
            match held {
                Held::Hook(record) => {
                    self.known.hook(&record.header, record.ops.iter().copied(), false);
                }
                Held::Lifecycle(row) => self.known.lifecycle(&row),
            }
        }
        self.taken_ns = self.taken_ns.max(until_ns);
    }
}

/// A consumer that can be asked whether it knows the connection of a record.
pub trait Knows: Consumer {
    /// Whether it does.
    fn knows(&self, header: &Header) -> bool;
}

/// Merges the records of a recording as [`merge`] does, and begins with its key frame, if it has one: that stands for all
/// records that are older.
///
/// # Errors
/// As [`merge`].
pub fn merge_since<B, C, E>(
    frame: Option<&KeyFrame>,
    hooks: impl Iterator<Item = Result<B, E>>,
    lifecycles: impl Iterator<Item = Result<Lifecycle, E>>,
    consumer: &mut C,
) -> Result<OrderCounts, E>
where
    B: HookRecords,
    C: Knows,
    E: From<C::Error>,
{
    if let Some(frame) = frame {
        frame.give(consumer)?;
    }
    let since_ns = frame.map_or(0, |frame| frame.from_ns);
    merge(hooks, lifecycles, &mut Since { consumer, since_ns })
}

/// Passes on what a key frame does not stand for. What came too late for its place may have come too late for the key frame,
/// too: then its connection is marked as any with a late record.
struct Since<'c, C> {
    consumer: &'c mut C,
    since_ns: u64,
}

impl<C: Knows> Since<'_, C> {
    fn passes(&self, header: &Header, late: bool) -> bool {
        header.ts_ns >= self.since_ns || (late && self.consumer.knows(header))
    }
}

impl<C: Knows> Consumer for Since<'_, C> {
    type Error = C::Error;

    fn hook(
        &mut self,
        header: &Header,
        ops: impl Iterator<Item = Operation>,
        late: bool,
    ) -> Result<(), C::Error> {
        if self.passes(header, late) { self.consumer.hook(header, ops, late) } else { Ok(()) }
    }

    fn lifecycle(&mut self, record: &Lifecycle, late: bool) -> Result<(), C::Error> {
        let passes = self.passes(&record.header, late);
        if passes { self.consumer.lifecycle(record, late) } else { Ok(()) }
    }

    fn missed(&mut self, header: &Header, packets: u64) {
        self.consumer.missed(header, packets);
    }

    fn unread(&mut self, header: &Header, vars: &[Var]) {
        self.consumer.unread(header, vars);
    }

    fn reached(&mut self, ts_ns: u64) {
        self.consumer.reached(ts_ns);
    }
}

impl KeyFrame {
    /// Gives the rows to a consumer, in their order.
    ///
    /// # Errors
    /// The consumer's.
    fn give<C: Consumer>(&self, consumer: &mut C) -> Result<(), C::Error> {
        let mut hooks = self.hooks.iter().peekable();
        for row in &self.lifecycles {
            while let Some(record) = hooks.next_if(|record| record.header.seq < row.header.seq) {
                consumer.hook(&record.header, record.ops.iter().copied(), false)?;
            }
            consumer.lifecycle(row, false)?;
        }
        for record in hooks {
            consumer.hook(&record.header, record.ops.iter().copied(), false)?;
        }
        Ok(())
    }
}

/// Whether a set of the variable is an event for another variable: repeated, it would count twice.
fn is_counted_by_sets(var: Var) -> bool {
    let counts = |apply| matches!(apply, Apply::Derived(rule) if rule.def().each_set == Some(var));
    Var::ALL.iter().any(|v| counts(v.def().apply))
}
