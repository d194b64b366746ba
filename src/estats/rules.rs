// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The rules by which derived variables follow from others: each one once, in the phase it needs.

use std::ops::RangeInclusive;

use super::plan::{Dependent, Plan};
use super::silent::Silent;
use super::slot::{Row, Slot};
use crate::identity::Identity;
use crate::schema::{Rule, Var};
use crate::time::ledger::Ledger;

/// RFC 4898 number of the established state.
pub(super) const ESTABLISHED: u64 = 5;
/// Those that follow the handshake, established to closing.
pub(super) const SYNCHRONISED: RangeInclusive<u64> = 5..=10;
/// closeWait, lastAck, closing, timeWait: the peer's FIN was received.
pub(super) const PEER_FINISHED: RangeInclusive<u64> = 8..=11;
const NS_PER_US: u64 = 1_000;
const NS_PER_S: u64 = 1_000_000_000;

/// When a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// At each operation, in the order of the record.
    Operation,
    /// At the end of the record: the other variable may come after the one that triggers.
    RecordEnd,
    /// When a row is made.
    Row,
}

/// What a row needs to know besides the values.
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
    pub ledger: &'a Ledger,
}

/// When the rule runs, and at operations on which variables.
pub(super) const fn triggers(rule: Rule) -> (Phase, [Option<Var>; 2]) {
    match rule {
        Rule::MaxSinceEstablished(v) | Rule::MinSinceEstablished(v) | Rule::ZeroTransitions(v) => {
            (Phase::Operation, [Some(v), Some(Var::State)])
        }
        Rule::MaxOf(v)
        | Rule::MinOf(v)
        | Rule::SumOf(v)
        | Rule::CountOf(v)
        | Rule::SerialMax(v)
        | Rule::TransitionsTo(v, _)
        | Rule::TimeIn(v, _)
        | Rule::TimeOfLast(v)
        | Rule::SumAt(v, _)
        | Rule::WithinLimit(v)
        | Rule::AboveLimit(v) => (Phase::Operation, [Some(v), None]),
        Rule::TimeToEstablished => (Phase::Operation, [Some(Var::State), None]),
        Rule::FirstAfterSum(a, b) | Rule::FirstAfterCount(a, b) => {
            (Phase::Operation, [Some(a), Some(b)])
        }
        Rule::MaxAt(v, _) | Rule::MinAt(v, _) => (Phase::RecordEnd, [Some(v), None]),
        Rule::Constant(_)
        | Rule::Lifecycle
        | Rule::Low32(_)
        | Rule::LastSegment
        | Rule::WallClock(_)
        | Rule::ElapsedSeconds(..)
        | Rule::ElapsedMicroseconds(..) => (Phase::Row, [None, None]),
    }
}

/// The variables without which the rule's result is not known.
pub(super) const fn needs(rule: Rule) -> [Option<Var>; 2] {
    match rule {
        Rule::Constant(_) | Rule::Lifecycle | Rule::LastSegment => [None, None],
        Rule::Low32(v)
        | Rule::MaxOf(v)
        | Rule::MinOf(v)
        | Rule::SumOf(v)
        | Rule::CountOf(v)
        | Rule::SerialMax(v)
        | Rule::TransitionsTo(v, _)
        | Rule::TimeIn(v, _)
        | Rule::TimeOfLast(v)
        | Rule::WithinLimit(v)
        | Rule::AboveLimit(v)
        | Rule::WallClock(v) => [Some(v), None],
        Rule::MaxSinceEstablished(v) | Rule::MinSinceEstablished(v) | Rule::ZeroTransitions(v) => {
            [Some(v), Some(Var::State)]
        }
        Rule::TimeToEstablished => [Some(Var::State), None],
        Rule::MaxAt(a, b)
        | Rule::MinAt(a, b)
        | Rule::SumAt(a, b)
        | Rule::FirstAfterSum(a, b)
        | Rule::FirstAfterCount(a, b)
        | Rule::ElapsedSeconds(a, b)
        | Rule::ElapsedMicroseconds(a, b) => [Some(a), Some(b)],
    }
}

/// The value before anything happened.
pub(super) const fn initial(rule: Rule) -> Option<u64> {
    match rule {
        Rule::SumOf(_)
        | Rule::CountOf(_)
        | Rule::ZeroTransitions(_)
        | Rule::TransitionsTo(..)
        | Rule::TimeIn(..)
        | Rule::SumAt(..)
        | Rule::FirstAfterSum(..)
        | Rule::FirstAfterCount(..)
        | Rule::WithinLimit(_)
        | Rule::AboveLimit(_) => Some(0),
        Rule::MinSinceEstablished(_)
        | Rule::MinOf(_)
        | Rule::MinAt(..)
        | Rule::MaxSinceEstablished(_)
        | Rule::MaxOf(_)
        | Rule::MaxAt(..)
        | Rule::Constant(_)
        | Rule::Lifecycle
        | Rule::Low32(_)
        | Rule::SerialMax(_)
        | Rule::TimeToEstablished
        | Rule::TimeOfLast(_)
        | Rule::LastSegment
        | Rule::WallClock(_)
        | Rule::ElapsedSeconds(..)
        | Rule::ElapsedMicroseconds(..) => None,
    }
}

/// Whether the value in a row is not simply the value in the slot.
pub(super) const fn has_row_view(rule: Rule) -> bool {
    matches!(triggers(rule).0, Phase::Row) && !matches!(rule, Rule::LastSegment)
        || matches!(rule, Rule::TimeIn(..) | Rule::TransitionsTo(..) | Rule::TimeToEstablished)
}

/// Order of the rules of [`Phase::Row`]: those others build on come first.
pub(super) const fn rank(rule: Rule) -> u8 {
    match rule {
        Rule::Constant(_) | Rule::Lifecycle => 0,
        Rule::MaxSinceEstablished(_)
        | Rule::MinSinceEstablished(_)
        | Rule::MaxOf(_)
        | Rule::MinOf(_)
        | Rule::SumOf(_)
        | Rule::CountOf(_)
        | Rule::MaxAt(..)
        | Rule::MinAt(..)
        | Rule::ZeroTransitions(_)
        | Rule::SerialMax(_)
        | Rule::TransitionsTo(..)
        | Rule::TimeIn(..)
        | Rule::TimeToEstablished
        | Rule::TimeOfLast(_)
        | Rule::SumAt(..)
        | Rule::FirstAfterSum(..)
        | Rule::FirstAfterCount(..)
        | Rule::WithinLimit(_)
        | Rule::AboveLimit(_)
        | Rule::LastSegment => 1,
        Rule::Low32(_)
        | Rule::WallClock(_)
        | Rule::ElapsedSeconds(..)
        | Rule::ElapsedMicroseconds(..) => 2,
    }
}

/// Runs a rule after an operation took `source` from `before` to `after`.
pub(super) fn on_operation(
    plan: &Plan,
    slot: &mut Slot,
    dependent: &Dependent,
    source: Var,
    before: Option<u64>,
    after: u64,
    ts_ns: u64,
) {
    let target = dependent.target;
    let mask = plan.mask(target);
    let limit = plan.options.latency_limit_us;
    // An operation that leaves the value as it was (add 0) is no step of a counter.
    let step = before != Some(after);
    match dependent.rule {
        Rule::MaxOf(_) => slot.raise(target, after),
        Rule::MinOf(_) => slot.lower(target, after),
        Rule::SumOf(_) => slot.add(target, after, mask),
        Rule::CountOf(_) => slot.add(target, 1, mask),
        Rule::MaxSinceEstablished(v) => {
            if let Some(value) = since_established(slot, target, v, source, after) {
                slot.raise(target, value);
            }
        }
        Rule::MinSinceEstablished(v) => {
            if let Some(value) = since_established(slot, target, v, source, after) {
                slot.lower(target, value);
            }
        }
        Rule::ZeroTransitions(v) => {
            let value = since_established(slot, target, v, source, after);
            // Setting zero to zero again is no transition; being established with zero is one.
            if value == Some(0) && (step || source != v) {
                slot.add(target, 1, mask);
            }
        }
        Rule::SerialMax(_) => {
            // Sequence numbers wrap: later means less than half the space ahead (RFC 9293, 3.4).
            let ahead = |old: u64| (after as u32).wrapping_sub(old as u32) as i32 > 0;
            if slot.get(target).is_none_or(ahead) {
                slot.put(target, after);
            }
        }
        Rule::TransitionsTo(_, value) => {
            if after == value && step {
                slot.add(target, 1, mask);
            }
        }
        Rule::TimeIn(_, value) => {
            // Kept in nanoseconds, or every interval would lose its fraction of a microsecond.
            if before == Some(value) {
                slot.add(target, ts_ns.saturating_sub(slot.marks[dependent.mark]), mask);
            }
            slot.marks[dependent.mark] = ts_ns;
        }
        Rule::TimeToEstablished => {
            if after == ESTABLISHED && slot.get(target).is_none() {
                slot.put(target, ts_ns);
            }
        }
        Rule::TimeOfLast(_) => slot.put(target, ts_ns),
        Rule::SumAt(_, other) => {
            if let Some(value) = slot.get(other).filter(|_| step) {
                slot.add(target, value, mask);
            }
        }
        Rule::FirstAfterSum(first, _) => {
            if first_after(slot, target, first, source, step) {
                slot.add(target, after, mask);
            }
        }
        Rule::FirstAfterCount(first, _) => {
            if first_after(slot, target, first, source, step) {
                slot.add(target, 1, mask);
            }
        }
        Rule::WithinLimit(_) => {
            if limit > 0 && after <= limit {
                slot.add(target, 1, mask);
            }
        }
        Rule::AboveLimit(_) => {
            if limit > 0 && after > limit {
                slot.add(target, 1, mask);
            }
        }
        Rule::MaxAt(..)
        | Rule::MinAt(..)
        | Rule::Constant(_)
        | Rule::Lifecycle
        | Rule::Low32(_)
        | Rule::LastSegment
        | Rule::WallClock(_)
        | Rule::ElapsedSeconds(..)
        | Rule::ElapsedMicroseconds(..) => {}
    }
}

/// The value that counts now, if one does. The value in force when the connection becomes
/// established counts too: a gauge is sent only when it changes, so it may never be set again.
fn since_established(
    slot: &mut Slot,
    target: Var,
    measured: Var,
    source: Var,
    after: u64,
) -> Option<u64> {
    if source == measured {
        return slot.is_armed(target).then_some(after);
    }
    if after != ESTABLISHED || slot.is_armed(target) {
        return None;
    }
    slot.arm(target);
    slot.get(measured)
}

/// Whether this operation is the first on the second variable after a step of the first.
fn first_after(slot: &mut Slot, target: Var, first: Var, source: Var, step: bool) -> bool {
    if source == first {
        if step {
            slot.arm(target);
        }
        return false;
    }
    slot.disarm(target)
}

/// Runs a rule at the end of a record that had an operation on its first variable.
pub(super) fn at_record_end(slot: &mut Slot, dependent: &Dependent) {
    match dependent.rule {
        Rule::MaxAt(_, other) => {
            if let Some(value) = slot.get(other) {
                slot.raise(dependent.target, value);
            }
        }
        Rule::MinAt(_, other) => {
            if let Some(value) = slot.get(other) {
                slot.lower(dependent.target, value);
            }
        }
        Rule::Constant(_)
        | Rule::Lifecycle
        | Rule::Low32(_)
        | Rule::MaxSinceEstablished(_)
        | Rule::MinSinceEstablished(_)
        | Rule::MaxOf(_)
        | Rule::MinOf(_)
        | Rule::SumOf(_)
        | Rule::CountOf(_)
        | Rule::ZeroTransitions(_)
        | Rule::SerialMax(_)
        | Rule::TransitionsTo(..)
        | Rule::TimeIn(..)
        | Rule::TimeToEstablished
        | Rule::TimeOfLast(_)
        | Rule::SumAt(..)
        | Rule::FirstAfterSum(..)
        | Rule::FirstAfterCount(..)
        | Rule::WithinLimit(_)
        | Rule::AboveLimit(_)
        | Rule::LastSegment
        | Rule::WallClock(_)
        | Rule::ElapsedSeconds(..)
        | Rule::ElapsedMicroseconds(..) => {}
    }
}

/// The value of a derived variable in a row, for rules whose row is more than the slot's value.
pub(super) fn at_row(
    slot: &Slot,
    row: &Row,
    dependent: &Dependent,
    context: &RowContext<'_>,
) -> Option<u64> {
    let target = dependent.target;
    match dependent.rule {
        Rule::Constant(value) => Some(value),
        Rule::Lifecycle => context.identity.value(target, context.conn_id, context.begin_ns),
        Rule::Low32(v) => row.get(v).map(|value| value & 0xffff_ffff),
        // Of a variable that was never set, no time in a value of it is known.
        Rule::TimeIn(v, value) => {
            let running = match slot.get(v)? {
                now if now == value => context.now_ns.saturating_sub(slot.marks[dependent.mark]),
                _ => 0,
            };
            slot.get(target).map(|ns| (ns + running) / NS_PER_US)
        }
        Rule::TransitionsTo(v, _) => slot.get(v).and_then(|_| slot.get(target)),
        Rule::TimeToEstablished => slot
            .get(target)
            .filter(|_| !context.begun_before)
            .map(|at| at.saturating_sub(context.begin_ns) / NS_PER_US),
        Rule::WallClock(v) => row.get(v).and_then(|at| context.ledger.wall_us(at)),
        Rule::ElapsedSeconds(a, b) => elapsed(row, a, b).map(|ns| ns / NS_PER_S),
        Rule::ElapsedMicroseconds(a, b) => elapsed(row, a, b).map(|ns| ns % NS_PER_S / NS_PER_US),
        Rule::LastSegment
        | Rule::MaxSinceEstablished(_)
        | Rule::MinSinceEstablished(_)
        | Rule::MaxOf(_)
        | Rule::MinOf(_)
        | Rule::SumOf(_)
        | Rule::CountOf(_)
        | Rule::MaxAt(..)
        | Rule::MinAt(..)
        | Rule::ZeroTransitions(_)
        | Rule::SerialMax(_)
        | Rule::TimeOfLast(_)
        | Rule::SumAt(..)
        | Rule::FirstAfterSum(..)
        | Rule::FirstAfterCount(..)
        | Rule::WithinLimit(_)
        | Rule::AboveLimit(_) => row.get(target),
    }
}

/// Nanoseconds from one to the other. Records of the handshake may come before the connection's own
/// idea of its beginning.
fn elapsed(row: &Row, from: Var, to: Var) -> Option<u64> {
    Some(row.get(to)?.saturating_sub(row.get(from)?))
}
