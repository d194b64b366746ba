// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! How the rules run by which derived variables follow from others: one arm per rule, in [`visit`], with
//! the moments at which it runs and what it does there. What else is known of a rule is in
//! `src/schema/rule.rs`.
//!
//! The compiler makes one copy of [`visit`] per moment, each with only that moment's code. So a rule runs by
//! one jump, as with a `match` per moment, without a list of rules for each.

use std::ops::RangeInclusive;

use super::plan::Plan;
use super::silent::Silent;
use super::slot::{Row, Slot};
use crate::engine::identity::Identity;
use crate::engine::time::timeline::Timeline;
use crate::schema::{Rule, Var};

/// RFC 4898 number of the established state.
pub(super) const ESTABLISHED: u64 = 5;
/// Those that follow the handshake, established to closing.
pub(super) const SYNCHRONISED: RangeInclusive<u64> = 5..=10;
/// closeWait, lastAck, closing, timeWait: the peer's FIN was received.
pub(super) const PEER_FINISHED: RangeInclusive<u64> = 8..=11;
const NS_PER_US: u64 = 1_000;
const NS_PER_S: u64 = 1_000_000_000;

/// The facts that a row needs besides the values.
#[derive(Clone, Copy, Debug)]
pub struct RowContext<'a> {
    /// Number of the connection.
    pub conn_id: u64,
    /// CLOCK_MONOTONIC of the row.
    pub now_ns: u64,
    /// CLOCK_MONOTONIC at which the connection's row began.
    pub begin_ns: u64,
    /// Whether the beginning was not seen.
    pub begun_before: bool,
    /// Records of the connection may be missing.
    pub lossy: bool,
    /// Hooks that were silent although the connection's counters moved.
    pub silent: Silent,
    /// Identity.
    pub identity: &'a Identity,
    /// Clocks.
    pub timeline: &'a Timeline,
}

/// When a rule runs; its arm in [`visit`] states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Runs {
    /// At each operation on one of these, in the order of the record.
    pub at_operation: [Option<Var>; 2],
    /// At the end of a record that has an operation on this one: the other variable may come after the
    /// one that triggers.
    pub at_record_end: Option<Var>,
    /// At each segment.
    pub at_segment: bool,
    /// When a row is made: the value there is not simply the one in the slot.
    pub at_row: bool,
    /// It follows from other values of the row: it runs after those.
    pub of_row: bool,
    /// It takes a place in `Slot::marks`.
    pub takes_mark: bool,
}

impl Runs {
    const NEVER: Self = Self {
        at_operation: [None, None],
        at_record_end: None,
        at_segment: false,
        at_row: false,
        of_row: false,
        takes_mark: false,
    };

    /// When the rule runs.
    pub(super) fn of(rule: Rule) -> Self {
        visit(rule, Describe)
    }

    /// Whether it counts or keeps something at operations, and is not only a view when a row is made.
    pub(super) const fn keeps(&self) -> bool {
        self.at_operation[0].is_some() || self.at_record_end.is_some()
    }
}

/// How a rule runs: when, and what it does at each moment.
struct How<O, E, R> {
    runs: Runs,
    operation: O,
    record_end: E,
    row: R,
}

/// Does nothing: for rules that have no action at this moment.
type NoOperation = fn(&mut Operation<'_>);
type NoRecordEnd = fn(&mut RecordEnd<'_>);
type Kept = fn(&MakeRow<'_>) -> Option<u64>;

/// Runs at each operation on one of these.
fn operation<O: FnOnce(&mut Operation<'_>)>(
    on: [Option<Var>; 2],
    operation: O,
) -> How<O, NoRecordEnd, Kept> {
    let runs = Runs { at_operation: on, ..Runs::NEVER };
    How { runs, operation, record_end: |_| {}, row: kept }
}

/// Runs at the end of a record that has an operation on this one.
fn record_end<E: FnOnce(&mut RecordEnd<'_>)>(on: Var, record_end: E) -> How<NoOperation, E, Kept> {
    let runs = Runs { at_record_end: Some(on), ..Runs::NEVER };
    How { runs, operation: |_| {}, record_end, row: kept }
}

/// The slot keeps the time of the latest segment.
fn segment() -> How<NoOperation, NoRecordEnd, Kept> {
    let runs = Runs { at_segment: true, ..Runs::NEVER };
    How { runs, operation: |_| {}, record_end: |_| {}, row: kept }
}

/// Runs when a row is made, whatever else is in it.
fn row<R: FnOnce(&MakeRow<'_>) -> Option<u64>>(row: R) -> How<NoOperation, NoRecordEnd, R> {
    let runs = Runs { at_row: true, ..Runs::NEVER };
    How { runs, operation: |_| {}, record_end: |_| {}, row }
}

/// Runs when a row is made, after the values in it from which this one follows.
fn view<R: FnOnce(&MakeRow<'_>) -> Option<u64>>(value: R) -> How<NoOperation, NoRecordEnd, R> {
    let mut how = row(value);
    how.runs.of_row = true;
    how
}

impl<O, E, R> How<O, E, R> {
    /// Another value in a row than the slot's.
    fn with_row<V: FnOnce(&MakeRow<'_>) -> Option<u64>>(self, row: V) -> How<O, E, V> {
        let runs = Runs { at_row: true, ..self.runs };
        How { runs, operation: self.operation, record_end: self.record_end, row }
    }

    /// With a mark of its own.
    fn with_mark(mut self) -> Self {
        self.runs.takes_mark = true;
        self
    }
}

/// A moment at which rules run.
trait Moment: Sized {
    type Out;

    /// Does what the rule does at this moment.
    fn run(
        self,
        how: How<
            impl FnOnce(&mut Operation<'_>),
            impl FnOnce(&mut RecordEnd<'_>),
            impl FnOnce(&MakeRow<'_>) -> Option<u64>,
        >,
    ) -> Self::Out;
}

/// Every rule: when it runs and what it does then.
fn visit<M: Moment>(rule: Rule, m: M) -> M::Out {
    match rule {
        Rule::Constant(value) => m.run(row(|_| Some(value))),
        Rule::Lifecycle => m.run(row(|at| {
            let context = at.context;
            context.identity.value(at.target, context.conn_id, context.begin_ns)
        })),
        Rule::Low32(of) => m.run(view(|at| at.row.get(of).map(|value| value & 0xffff_ffff))),
        Rule::MaxSinceEstablished(of) => m.run(operation(on_both(of, Var::State), |op| {
            if let Some(value) = op.since_established(of) {
                op.slot.raise(op.target, value);
            }
        })),
        Rule::MinSinceEstablished(of) => m.run(operation(on_both(of, Var::State), |op| {
            if let Some(value) = op.since_established(of) {
                op.slot.lower(op.target, value);
            }
        })),
        Rule::MaxOf(of) => m.run(operation(on(of), |op| op.slot.raise(op.target, op.after))),
        Rule::MinOf(of) => m.run(operation(on(of), |op| op.slot.lower(op.target, op.after))),
        Rule::SumOf(of) => m.run(operation(on(of), |op| op.add(op.after))),
        Rule::CountOf(of) => m.run(operation(on(of), |op| op.add(1))),
        Rule::MaxAt(at, of) => m.run(record_end(at, |end| {
            if let Some(value) = end.slot.get(of) {
                end.slot.raise(end.target, value);
            }
        })),
        Rule::MinAt(at, of) => m.run(record_end(at, |end| {
            if let Some(value) = end.slot.get(of) {
                end.slot.lower(end.target, value);
            }
        })),
        Rule::ZeroTransitions(of) => m.run(operation(on_both(of, Var::State), |op| {
            // Setting zero to zero again is not a transition; being established with zero is one.
            if op.since_established(of) == Some(0) && (op.is_step() || op.source != of) {
                op.add(1);
            }
        })),
        Rule::SerialMax(of) => m.run(operation(on(of), |op| {
            // Sequence numbers wrap: later means less than half the space ahead (RFC 9293, 3.4).
            let ahead = |old: u64| (op.after as u32).wrapping_sub(old as u32) as i32 > 0;
            if op.slot.get(op.target).is_none_or(ahead) {
                op.slot.put(op.target, op.after);
            }
        })),
        Rule::TransitionsTo(of, value) => m.run(
            operation(on(of), |op| {
                if op.after == value && op.is_step() {
                    op.add(1);
                }
            })
            .with_row(
                // A variable that was never set has no known change.
                |at| at.slot.get(of).and_then(|_| at.slot.get(at.target)),
            ),
        ),
        Rule::TimeIn(of, value) => m.run(
            operation(on(of), |op| {
                // Kept in nanoseconds, or every interval would lose its fraction of a microsecond.
                if op.before == Some(value) {
                    op.add(op.ts_ns.saturating_sub(op.slot.marks[op.mark]));
                }
                op.slot.marks[op.mark] = op.ts_ns;
            })
            .with_row(
                // A variable that was never set has no known time in a value.
                |at| {
                    let running = match at.slot.get(of)? {
                        now if now == value => {
                            at.context.now_ns.saturating_sub(at.slot.marks[at.mark])
                        }
                        _ => 0,
                    };
                    at.slot.get(at.target).map(|ns| ns.saturating_add(running) / NS_PER_US)
                },
            )
            .with_mark(),
        ),
        Rule::TimeToEstablished => m.run(
            operation(on(Var::State), |op| {
                if op.after == ESTABLISHED && op.slot.get(op.target).is_none() {
                    op.slot.put(op.target, op.ts_ns);
                }
            })
            .with_row(|at| {
                let seen = at.slot.get(at.target).filter(|_| !at.context.begun_before);
                seen.map(|ts_ns| ts_ns.saturating_sub(at.context.begin_ns) / NS_PER_US)
            }),
        ),
        Rule::TimeOfLast(of) => m.run(operation(on(of), |op| op.slot.put(op.target, op.ts_ns))),
        Rule::SumAt(at, of) => m.run(operation(on(at), |op| {
            if let Some(value) = op.slot.get(of).filter(|_| op.is_step()) {
                op.add(value);
            }
        })),
        Rule::FirstAfterSum(step, of) => m.run(operation(on_both(step, of), |op| {
            if op.is_first_after(step) {
                op.add(op.after);
            }
        })),
        Rule::FirstAfterCount(step, of) => m.run(operation(on_both(step, of), |op| {
            if op.is_first_after(step) {
                op.add(1);
            }
        })),
        Rule::WithinLimit(of) => m.run(operation(on(of), |op| {
            let limit = op.plan.options.latency_limit_us;
            if limit > 0 && op.after <= limit {
                op.add(1);
            }
        })),
        Rule::AboveLimit(of) => m.run(operation(on(of), |op| {
            let limit = op.plan.options.latency_limit_us;
            if limit > 0 && op.after > limit {
                op.add(1);
            }
        })),
        Rule::LastSegment => m.run(segment()),
        Rule::WallClock(of) => {
            m.run(view(|at| at.row.get(of).and_then(|ts_ns| at.context.timeline.wall_us(ts_ns))))
        }
        Rule::ElapsedSeconds(from, to) => {
            m.run(view(|at| elapsed(at.row, from, to).map(|ns| ns / NS_PER_S)))
        }
        Rule::ElapsedMicroseconds(from, to) => {
            m.run(view(|at| elapsed(at.row, from, to).map(|ns| ns % NS_PER_S / NS_PER_US)))
        }
    }
}

const fn on(var: Var) -> [Option<Var>; 2] {
    [Some(var), None]
}

const fn on_both(a: Var, b: Var) -> [Option<Var>; 2] {
    [Some(a), Some(b)]
}

/// An operation took `source` from `before` to `after`.
pub(super) struct Operation<'a> {
    pub plan: &'a Plan,
    pub slot: &'a mut Slot,
    /// The derived variable.
    pub target: Var,
    /// Its place in `Slot::marks`.
    pub mark: usize,
    pub source: Var,
    pub before: Option<u64>,
    pub after: u64,
    pub ts_ns: u64,
}

impl Operation<'_> {
    /// An operation that leaves the value as it was (add 0) is not a step of a counter.
    fn is_step(&self) -> bool {
        self.before != Some(self.after)
    }

    /// Adds to the derived value.
    fn add(&mut self, value: u64) {
        self.slot.add(self.target, value, self.plan.mask(self.target));
    }

    /// The value that counts now, if one does. The value in force when the connection becomes
    /// established counts too: a gauge is sent only when it changes, so it may never be set again.
    fn since_established(&mut self, measured: Var) -> Option<u64> {
        if self.source == measured {
            return self.slot.is_armed(self.target).then_some(self.after);
        }
        if self.after != ESTABLISHED || self.slot.is_armed(self.target) {
            return None;
        }
        self.slot.arm(self.target);
        self.slot.get(measured)
    }

    /// Whether this operation is the first on the second variable after a step of the first.
    fn is_first_after(&mut self, first: Var) -> bool {
        if self.source == first {
            if self.is_step() {
                self.slot.arm(self.target);
            }
            return false;
        }
        self.slot.disarm(self.target)
    }

    /// Runs the rule.
    pub(super) fn run(mut self, rule: Rule) {
        visit(rule, &mut self);
    }
}

/// The end of a record that had an operation on the rule's variable.
pub(super) struct RecordEnd<'a> {
    pub slot: &'a mut Slot,
    /// The derived variable.
    pub target: Var,
}

impl RecordEnd<'_> {
    /// Runs the rule.
    pub(super) fn run(mut self, rule: Rule) {
        visit(rule, &mut self);
    }
}

/// A row is made.
pub(super) struct MakeRow<'a> {
    pub slot: &'a Slot,
    /// As far as it is made.
    pub row: &'a Row,
    pub context: &'a RowContext<'a>,
    /// The derived variable.
    pub target: Var,
    /// Its place in `Slot::marks`.
    pub mark: usize,
}

impl MakeRow<'_> {
    /// The value of the derived variable.
    pub(super) fn value(&self, rule: Rule) -> Option<u64> {
        visit(rule, self)
    }
}

/// Not a moment: it asks only when a rule runs.
struct Describe;

impl Moment for &mut Operation<'_> {
    type Out = ();

    fn run(
        self,
        how: How<
            impl FnOnce(&mut Operation<'_>),
            impl FnOnce(&mut RecordEnd<'_>),
            impl FnOnce(&MakeRow<'_>) -> Option<u64>,
        >,
    ) -> Self::Out {
        (how.operation)(self);
    }
}

impl Moment for &mut RecordEnd<'_> {
    type Out = ();

    fn run(
        self,
        how: How<
            impl FnOnce(&mut Operation<'_>),
            impl FnOnce(&mut RecordEnd<'_>),
            impl FnOnce(&MakeRow<'_>) -> Option<u64>,
        >,
    ) -> Self::Out {
        (how.record_end)(self);
    }
}

impl Moment for &MakeRow<'_> {
    type Out = Option<u64>;

    fn run(
        self,
        how: How<
            impl FnOnce(&mut Operation<'_>),
            impl FnOnce(&mut RecordEnd<'_>),
            impl FnOnce(&MakeRow<'_>) -> Option<u64>,
        >,
    ) -> Self::Out {
        (how.row)(self)
    }
}

impl Moment for Describe {
    type Out = Runs;

    fn run(
        self,
        how: How<
            impl FnOnce(&mut Operation<'_>),
            impl FnOnce(&mut RecordEnd<'_>),
            impl FnOnce(&MakeRow<'_>) -> Option<u64>,
        >,
    ) -> Self::Out {
        how.runs
    }
}

/// The value as the slot has it.
fn kept(at: &MakeRow<'_>) -> Option<u64> {
    at.row.get(at.target)
}

/// Nanoseconds from one to the other. Records of the handshake may come before the connection's own
/// idea of its beginning.
fn elapsed(row: &Row, from: Var, to: Var) -> Option<u64> {
    Some(row.get(to)?.saturating_sub(row.get(from)?))
}
