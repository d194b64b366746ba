// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! ledger.parquet: losses, clocks and other notes of the recorder about itself.

use super::TableSpec;
use super::columns::{Cell, ColumnKind as K, ColumnSpec, TableBuilder};
use crate::engine::time::timeline::Timeline;
use crate::log::CaptureStat;

pub(super) fn spec() -> TableSpec {
    let c = ColumnSpec::new;
    TableSpec {
        name: "ledger",
        doc: "What the recorder noted about itself: one row per note, in the order of the log. It belongs to no connection.",
        columns: vec![
            c("recording", K::Text, "", "UUID of the recording."),
            c("ts_ns", K::Int64, "ns", "When, CLOCK_MONOTONIC."),
            c("ts", K::Time, "", "The same in wall-clock time."),
            c(
                "kind",
                K::Text,
                "",
                "clock, loss, skipped, emitted, ring_fill, map_failure, late_drain, late_poll, slow_poll, not_ip, malformed, dropped, left_out, missing, not_followed, lost_begins, lost_ends or dropped_operations; and, noted by replay, discarded.",
            ),
            c("cpu", K::Int32, "", "CPU to which the note applies."),
            c("hook", K::Text, "", "Hook whose records were lost, or that saw no IP."),
            c("ring", K::Text, "", "Ring to which the note applies."),
            c(
                "value",
                K::Int64,
                "",
                "loss: records lost since since_ns; emitted: records made so far; ring_fill: highest fill in bytes; map_failure: sockets without state; not_ip: packets of other protocols that an interface had; malformed: packets with IP headers that the kernel drops; late_drain, late_poll: ns late; slow_poll: ns taken; dropped: number of the segment, or of the newest of several; left_out: records that a cut left out, or records of malformed packets; missing: records that were missing from the files from which this recording was made; not_followed: connections for which there was no memory; lost_begins, lost_ends: lifecycle records lost; dropped_operations: operations for which a record had no room; discarded: number of connections (or rows of another table) in which this column had an impossible value, now NULL.",
            ),
            c(
                "size",
                K::Int64,
                "",
                "ring_fill: size of the ring in bytes; late_poll: polls left out.",
            ),
            c(
                "since_ns",
                K::Int64,
                "ns",
                "loss, skipped, missing: beginning of the interval; slow_poll: of the poll.",
            ),
            c("realtime_ns", K::Int64, "ns", "clock: CLOCK_REALTIME."),
            c("tai_ns", K::Int64, "ns", "clock: CLOCK_TAI."),
            c("column", K::Text, "", "discarded: the variable, or table.column."),
        ],
    }
}

pub(super) fn push(table: &mut TableBuilder, recording: &str, clock: &Timeline, row: &CaptureStat) {
    let null = || Cell::Null;
    let cpu = |cpu: u16| Cell::from(u64::from(cpu));
    let (ts_ns, kind, rest) = match row {
        CaptureStat::Clock(ts_ns, sample) => (
            *ts_ns,
            "clock",
            [
                null(),
                null(),
                null(),
                null(),
                null(),
                null(),
                Cell::from(sample.realtime_ns),
                Cell::from(sample.tai_ns),
            ],
        ),
        CaptureStat::Loss { ts_ns, cpu: on, hook, lost, since_ns } => (
            *ts_ns,
            "loss",
            [
                cpu(*on),
                Cell::from(hook.name()),
                null(),
                Cell::from(*lost),
                null(),
                Cell::from(*since_ns),
                null(),
                null(),
            ],
        ),
        CaptureStat::Skipped { ts_ns, hook, count, since_ns } => (
            *ts_ns,
            "skipped",
            [
                null(),
                Cell::from(hook.name()),
                null(),
                Cell::from(*count),
                null(),
                Cell::from(*since_ns),
                null(),
                null(),
            ],
        ),
        CaptureStat::Emitted { ts_ns, cpu: on, emitted } => {
            (*ts_ns, "emitted", value(cpu(*on), null(), *emitted, null()))
        }
        CaptureStat::RingFill { ts_ns, cpu: on, ring, bytes, size } => (
            *ts_ns,
            "ring_fill",
            value(cpu(*on), Cell::from(ring.name()), *bytes, Cell::from(*size)),
        ),
        CaptureStat::MapFailure { ts_ns, cpu: on, count } => {
            (*ts_ns, "map_failure", value(cpu(*on), null(), *count, null()))
        }
        CaptureStat::Lacking { ts_ns, cpu: on, what, count } => {
            (*ts_ns, what.name(), value(cpu(*on), null(), *count, null()))
        }
        CaptureStat::LateDrain { ts_ns, late_ns } => {
            (*ts_ns, "late_drain", value(null(), null(), *late_ns, null()))
        }
        CaptureStat::LatePoll { ts_ns, late_ns, missed } => {
            (*ts_ns, "late_poll", value(null(), null(), *late_ns, Cell::from(*missed)))
        }
        CaptureStat::SlowPoll { ts_ns, since_ns } => {
            let mut rest = value(null(), null(), ts_ns.saturating_sub(*since_ns), null());
            rest[5] = Cell::from(*since_ns);
            (*ts_ns, "slow_poll", rest)
        }
        CaptureStat::NotIp { ts_ns, cpu: on, hook, count } => {
            let mut rest = value(cpu(*on), null(), *count, null());
            rest[1] = Cell::from(hook.name());
            (*ts_ns, "not_ip", rest)
        }
        CaptureStat::Malformed { ts_ns, cpu: on, hook, count } => {
            let mut rest = value(cpu(*on), null(), *count, null());
            rest[1] = Cell::from(hook.name());
            (*ts_ns, "malformed", rest)
        }
        CaptureStat::Dropped { ts_ns, segment, before: _ } => {
            (*ts_ns, "dropped", value(null(), null(), u64::from(*segment), null()))
        }
        CaptureStat::Missing { ts_ns, ring, count, since_ns } => {
            let mut rest = value(null(), Cell::from(ring.name()), *count, null());
            rest[5] = Cell::from(*since_ns);
            (*ts_ns, "missing", rest)
        }
        CaptureStat::LeftOut { ts_ns, cpu: on, count } => {
            (*ts_ns, "left_out", value(cpu(*on), null(), *count, null()))
        }
    };
    let lead = [
        Cell::from(recording),
        Cell::from(ts_ns),
        Cell::int(clock.wall_us(ts_ns)),
        Cell::from(kind),
    ];
    table.push(lead.into_iter().chain(rest).chain([null()]));
}

/// Impossible values of a column. They have no time: they were found in rows of the whole recording.
pub(super) fn push_discarded(table: &mut TableBuilder, recording: &str, column: &str, n: u64) {
    let lead = [Cell::from(recording), Cell::Null, Cell::Null, Cell::from("discarded")];
    let rest = value(Cell::Null, Cell::Null, n, Cell::Null);
    table.push(lead.into_iter().chain(rest).chain([Cell::from(column)]));
}

/// cpu, hook, ring, value, size, since_ns, realtime_ns, tai_ns of a row with a value.
fn value<'a>(cpu: Cell<'a>, ring: Cell<'a>, value: u64, size: Cell<'a>) -> [Cell<'a>; 8] {
    [cpu, Cell::Null, ring, Cell::from(value), size, Cell::Null, Cell::Null, Cell::Null]
}
