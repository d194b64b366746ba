// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The ledger: what the recorder knows about the recording itself.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, DictionaryArray, Int8Array, PrimitiveArray, RecordBatch,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow::datatypes::Int8Type;
use arrow::error::ArrowError;

use super::builder::Span;
use super::manifest::ClockSample;
use super::stream::{
    HOOK_NAMES, LEDGER_KINDS, RINGS, Stream, column, dictionary, hook_by_name, mapping,
};
use crate::schema::Hook;

/// A ring buffer between the kernel and the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// A CPU's ring of hook records.
    Hooks,
    /// The ring of lifecycle records.
    Lifecycle,
    /// The ring of snapshots.
    Sockets,
    /// A CPU's ring of packets.
    Packets,
}

impl Ring {
    /// All rings.
    pub const ALL: &'static [Self] = &[Self::Hooks, Self::Lifecycle, Self::Sockets, Self::Packets];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Lifecycle => "lifecycle",
            Self::Sockets => "sockets",
            Self::Packets => "packets",
        }
    }
}

/// What the log lacks of connections, beside records by hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Connections for whose state there was no memory: nothing is recorded of them.
    NotFollowed,
    /// Lifecycle records that say that a connection begins, or was open at the start.
    Begins,
    /// Lifecycle records that say that it ended, or was open at the end.
    Ends,
    /// Operations for which a record had no room. Their connections say so themselves (`missed`).
    Operations,
}

impl Lack {
    /// All of them.
    pub const ALL: &'static [Self] =
        &[Self::NotFollowed, Self::Begins, Self::Ends, Self::Operations];

    /// The kind of its rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFollowed => "not_followed",
            Self::Begins => "lost_begins",
            Self::Ends => "lost_ends",
            Self::Operations => "dropped_operations",
        }
    }
}

/// One row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerRow {
    /// The clocks, read together at a CLOCK_MONOTONIC time.
    Clock(u64, ClockSample),
    /// Records for which there was no room in a ring.
    Loss {
        /// End of the interval, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU that lost them.
        cpu: u16,
        /// The hook that would have made them.
        hook: Hook,
        /// How many, in the interval.
        lost: u64,
        /// Beginning of the interval, CLOCK_MONOTONIC in ns: before the reading of counters that
        /// came before this one.
        since_ns: u64,
    },
    /// How many sequence numbers a CPU has given out.
    Emitted {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// Since the recording began.
        emitted: u64,
    },
    /// How full a ring was.
    RingFill {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU whose ring it is.
        cpu: u16,
        /// Which of its rings.
        ring: Ring,
        /// The most that was waiting since the row before, in bytes.
        bytes: u64,
        /// Size of the ring in bytes.
        size: u64,
    },
    /// Per-socket state that could not be stored because a map was full.
    MapFailure {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// How often, since the row before.
        count: u64,
    },
    /// Something was counted in place of what the log lacks.
    Lacking {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// What is lacking.
        what: Lack,
        /// How many, since the row before.
        count: u64,
    },
    /// The recorder was not scheduled in time to read the rings.
    LateDrain {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// How late, in ns.
        late_ns: u64,
    },
    /// Activations of a hook for which the kernel did not run the program: it was interrupted by
    /// itself on its CPU (`prog->active`). A kprobe is not run if it interrupts another, or another
    /// BPF program of that family. They have no sequence numbers.
    Skipped {
        /// End of the interval, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The hook whose program was skipped.
        hook: Hook,
        /// How often, in the interval, on all CPUs.
        count: u64,
        /// Beginning of the interval, CLOCK_MONOTONIC in ns: before the reading of counters that
        /// came before this one.
        since_ns: u64,
    },
    /// A poll of the sockets began late, or was left out because the next was due already.
    LatePoll {
        /// When it began, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// After the time at which it was due, in ns.
        late_ns: u64,
        /// Polls left out.
        missed: u64,
    },
    /// A poll of the sockets took more than 80 % of its interval.
    SlowPoll {
        /// Its end, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// Its beginning, CLOCK_MONOTONIC in ns.
        since_ns: u64,
    },
    /// Packets of other protocols than IP, of which no digest was made.
    NotIp {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// Whether interfaces received them or sent them.
        hook: Hook,
        /// How many, since the row before.
        count: u64,
    },
    /// Packets of which no digest was made because their IP headers are malformed: longer than the
    /// packet is, or such that the kernel drops them. Who sent them, or to which connection, is not
    /// known.
    Malformed {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// Where they were seen.
        hook: Hook,
        /// How many, since the row before.
        count: u64,
    },
    /// A bounded recording removed its oldest segments of hook records, snapshots and packets.
    Dropped {
        /// When, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The segment's number.
        segment: u32,
    },
    /// Records of the original that were missing from its files, when this recording was made of it.
    Missing {
        /// End of the interval in which they were made, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The ring they came through.
        ring: Ring,
        /// How many; 1 where nobody knows.
        count: u64,
        /// Beginning of the interval, CLOCK_MONOTONIC in ns.
        since_ns: u64,
    },
    /// Records of a CPU that were left out on purpose when the recording was made from another, lost
    /// ones among them; or that turned out to be of malformed packets when they were read.
    LeftOut {
        /// End of the recording, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The CPU.
        cpu: u16,
        /// How many sequence numbers.
        count: u64,
    },
}

/// The names of the kinds; a row's key is its position.
pub(super) const KINDS: [&str; 20] = [
    "clock",
    "loss",
    "emitted",
    "ring_fill",
    "map_failure",
    "late_drain",
    "dropped",
    "dropped_cpu",
    "skipped",
    "late_poll",
    "slow_poll",
    "snapshots_drained",
    "not_ip",
    "left_out",
    "missing",
    "malformed",
    Lack::NotFollowed.name(),
    Lack::Begins.name(),
    Lack::Ends.name(),
    Lack::Operations.name(),
];

/// The key of a kind, found when this is compiled.
const fn key(name: &str) -> i8 {
    let mut i = 0;
    while i < KINDS.len() {
        if is_same(KINDS[i].as_bytes(), name.as_bytes()) {
            return i as i8;
        }
        i += 1;
    }
    panic!("no kind has this name")
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The key of [`Lack::ALL`]'s first.
const FIRST_LACK: i8 = key(Lack::NotFollowed.name());

/// The rows that a removed segment had of one CPU. Stands in the file beside [`LedgerRow::Dropped`];
/// only the account of sequence numbers needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DroppedRows {
    pub ts_ns: u64,
    pub segment: u32,
    pub cpu: u16,
    pub rows: u64,
}

/// A row as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawRow {
    Row(LedgerRow),
    DroppedRows(DroppedRows),
    /// Every snapshot made before this time is in the files.
    SnapshotsDrained(u64),
    /// Of a kind that this build does not know.
    Unknown,
}

/// One row, column by column.
#[derive(Clone, Copy, Debug, Default)]
struct Cells {
    ts_ns: u64,
    kind: i8,
    cpu: Option<u16>,
    hook: Option<i8>,
    ring: Option<i8>,
    since_ns: Option<u64>,
    count: Option<u64>,
    bytes: Option<u64>,
    size: Option<u64>,
    clock: Option<ClockSample>,
    late_ns: Option<u64>,
    segment: Option<u32>,
}

impl From<&LedgerRow> for Cells {
    fn from(row: &LedgerRow) -> Self {
        let none = Self::default();
        match *row {
            LedgerRow::Clock(ts_ns, clock) => {
                Self { ts_ns, kind: const { key("clock") }, clock: Some(clock), ..none }
            }
            LedgerRow::Loss { ts_ns, cpu, hook, lost, since_ns } => Self {
                ts_ns,
                kind: const { key("loss") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(lost),
                since_ns: Some(since_ns),
                ..none
            },
            LedgerRow::Emitted { ts_ns, cpu, emitted } => Self {
                ts_ns,
                kind: const { key("emitted") },
                cpu: Some(cpu),
                count: Some(emitted),
                ..none
            },
            LedgerRow::RingFill { ts_ns, cpu, ring, bytes, size } => Self {
                ts_ns,
                kind: const { key("ring_fill") },
                cpu: Some(cpu),
                ring: Some(ring as i8),
                bytes: Some(bytes),
                size: Some(size),
                ..none
            },
            LedgerRow::MapFailure { ts_ns, cpu, count } => Self {
                ts_ns,
                kind: const { key("map_failure") },
                cpu: Some(cpu),
                count: Some(count),
                ..none
            },
            LedgerRow::Lacking { ts_ns, cpu, what, count } => {
                let kind = FIRST_LACK + what as i8;
                Self { ts_ns, kind, cpu: Some(cpu), count: Some(count), ..none }
            }
            LedgerRow::LateDrain { ts_ns, late_ns } => {
                Self { ts_ns, kind: const { key("late_drain") }, late_ns: Some(late_ns), ..none }
            }
            LedgerRow::Skipped { ts_ns, hook, count, since_ns } => Self {
                ts_ns,
                kind: const { key("skipped") },
                hook: Some(hook as i8 - 1),
                count: Some(count),
                since_ns: Some(since_ns),
                ..none
            },
            LedgerRow::LatePoll { ts_ns, late_ns, missed } => Self {
                ts_ns,
                kind: const { key("late_poll") },
                late_ns: Some(late_ns),
                count: Some(missed),
                ..none
            },
            LedgerRow::SlowPoll { ts_ns, since_ns } => {
                Self { ts_ns, kind: const { key("slow_poll") }, since_ns: Some(since_ns), ..none }
            }
            LedgerRow::NotIp { ts_ns, cpu, hook, count } => Self {
                ts_ns,
                kind: const { key("not_ip") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(count),
                ..none
            },
            LedgerRow::Malformed { ts_ns, cpu, hook, count } => Self {
                ts_ns,
                kind: const { key("malformed") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(count),
                ..none
            },
            LedgerRow::Dropped { ts_ns, segment } => {
                Self { ts_ns, kind: const { key("dropped") }, segment: Some(segment), ..none }
            }
            LedgerRow::LeftOut { ts_ns, cpu, count } => Self {
                ts_ns,
                kind: const { key("left_out") },
                cpu: Some(cpu),
                count: Some(count),
                ..none
            },
            LedgerRow::Missing { ts_ns, ring, count, since_ns } => Self {
                ts_ns,
                kind: const { key("missing") },
                ring: Some(ring as i8),
                count: Some(count),
                since_ns: Some(since_ns),
                ..none
            },
        }
    }
}

impl From<&DroppedRows> for Cells {
    fn from(row: &DroppedRows) -> Self {
        Self {
            ts_ns: row.ts_ns,
            kind: const { key("dropped_cpu") },
            cpu: Some(row.cpu),
            count: Some(row.rows),
            segment: Some(row.segment),
            ..Self::default()
        }
    }
}

/// Collects ledger rows. They are few: a batch is built from rows at the end.
#[derive(Debug, Default)]
pub(super) struct LedgerBuilder {
    rows: Vec<Cells>,
}

impl LedgerBuilder {
    pub fn push(&mut self, row: &LedgerRow) {
        self.rows.push(row.into());
    }

    pub fn push_dropped(&mut self, row: &DroppedRows) {
        self.rows.push(row.into());
    }

    pub fn push_snapshots_drained(&mut self, ts_ns: u64) {
        self.rows.push(Cells {
            ts_ns,
            kind: const { key("snapshots_drained") },
            ..Cells::default()
        });
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub fn take(&mut self) -> Result<(RecordBatch, Span), ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let mut span = Span::EMPTY;
        rows.iter().for_each(|r| span.include(r.ts_ns));
        let u64s = |cell: fn(&Cells) -> Option<u64>| -> ArrayRef {
            Arc::new(UInt64Array::from_iter(rows.iter().map(cell)))
        };
        let names = |cell: fn(&Cells) -> Option<i8>, values| {
            dictionary::<Int8Type>(Int8Array::from_iter(rows.iter().map(cell)), values)
        };
        let columns = vec![
            Arc::new(UInt64Array::from_iter_values(rows.iter().map(|r| r.ts_ns))) as ArrayRef,
            names(|r| Some(r.kind), &LEDGER_KINDS)?,
            Arc::new(UInt16Array::from_iter(rows.iter().map(|r| r.cpu))),
            names(|r| r.hook, &HOOK_NAMES)?,
            names(|r| r.ring, &RINGS)?,
            u64s(|r| r.since_ns),
            u64s(|r| r.count),
            u64s(|r| r.bytes),
            u64s(|r| r.size),
            u64s(|r| r.clock.map(|c| c.monotonic_ns)),
            u64s(|r| r.clock.map(|c| c.realtime_ns)),
            u64s(|r| r.clock.map(|c| c.tai_ns)),
            u64s(|r| r.late_ns),
            Arc::new(UInt32Array::from_iter(rows.iter().map(|r| r.segment))),
        ];
        Ok((RecordBatch::try_new(Stream::Ledger.schema(), columns)?, span))
    }
}

/// Columns -> rows.
pub(super) fn decode(batch: &RecordBatch) -> Result<Vec<RawRow>, String> {
    let ts: &UInt64Array = column(batch, "ts_ns")?;
    let kind = Names::new(batch, "kind", |n| KINDS.iter().find(|k| **k == n).copied())?;
    let hook = Names::new(batch, "hook", hook_by_name)?;
    let ring = Names::new(batch, "ring", |n| Ring::ALL.iter().find(|r| r.name() == n).copied())?;
    let cpu: &UInt16Array = column(batch, "cpu")?;
    let segment: &UInt32Array = column(batch, "segment")?;
    let u64s = |name: &'static str| column::<UInt64Array>(batch, name).map(|c| (name, c));
    let (since, count, bytes, size) =
        (u64s("since_ns")?, u64s("count")?, u64s("bytes")?, u64s("size")?);
    let (mono, real, tai) = (u64s("monotonic_ns")?, u64s("realtime_ns")?, u64s("tai_ns")?);
    let late = u64s("late_ns")?;
    let row = |i: usize| -> Result<RawRow, String> {
        let ts_ns = ts.value(i);
        let cpu = || cell(("cpu", cpu), i);
        let segment = || cell(("segment", segment), i);
        let Some(kind) = kind.get(i) else { return Ok(RawRow::Unknown) };
        if let Some(&what) = Lack::ALL.iter().find(|what| what.name() == kind) {
            let count = cell(count, i)?;
            return Ok(RawRow::Row(LedgerRow::Lacking { ts_ns, cpu: cpu()?, what, count }));
        }
        let row = match kind {
            "clock" => LedgerRow::Clock(
                ts_ns,
                ClockSample {
                    monotonic_ns: cell(mono, i)?,
                    realtime_ns: cell(real, i)?,
                    tai_ns: cell(tai, i)?,
                },
            ),
            "loss" => {
                let Some(hook) = hook.get(i) else { return Ok(RawRow::Unknown) };
                let (lost, since_ns) = (cell(count, i)?, cell(since, i)?);
                LedgerRow::Loss { ts_ns, cpu: cpu()?, hook, lost, since_ns }
            }
            "skipped" => {
                let Some(hook) = hook.get(i) else { return Ok(RawRow::Unknown) };
                let (count, since_ns) = (cell(count, i)?, cell(since, i)?);
                LedgerRow::Skipped { ts_ns, hook, count, since_ns }
            }
            "not_ip" => {
                let Some(hook) = hook.get(i) else { return Ok(RawRow::Unknown) };
                LedgerRow::NotIp { ts_ns, cpu: cpu()?, hook, count: cell(count, i)? }
            }
            "malformed" => {
                let Some(hook) = hook.get(i) else { return Ok(RawRow::Unknown) };
                LedgerRow::Malformed { ts_ns, cpu: cpu()?, hook, count: cell(count, i)? }
            }
            "emitted" => LedgerRow::Emitted { ts_ns, cpu: cpu()?, emitted: cell(count, i)? },
            "ring_fill" => {
                let Some(ring) = ring.get(i) else { return Ok(RawRow::Unknown) };
                let (bytes, size) = (cell(bytes, i)?, cell(size, i)?);
                LedgerRow::RingFill { ts_ns, cpu: cpu()?, ring, bytes, size }
            }
            "map_failure" => LedgerRow::MapFailure { ts_ns, cpu: cpu()?, count: cell(count, i)? },
            "late_drain" => LedgerRow::LateDrain { ts_ns, late_ns: cell(late, i)? },
            "late_poll" => {
                let (late_ns, missed) = (cell(late, i)?, cell(count, i)?);
                LedgerRow::LatePoll { ts_ns, late_ns, missed }
            }
            "slow_poll" => LedgerRow::SlowPoll { ts_ns, since_ns: cell(since, i)? },
            "dropped" => LedgerRow::Dropped { ts_ns, segment: segment()? },
            "left_out" => LedgerRow::LeftOut { ts_ns, cpu: cpu()?, count: cell(count, i)? },
            "missing" => {
                let Some(ring) = ring.get(i) else { return Ok(RawRow::Unknown) };
                let (count, since_ns) = (cell(count, i)?, cell(since, i)?);
                LedgerRow::Missing { ts_ns, ring, count, since_ns }
            }
            "snapshots_drained" => return Ok(RawRow::SnapshotsDrained(ts_ns)),
            "dropped_cpu" => {
                return Ok(RawRow::DroppedRows(DroppedRows {
                    ts_ns,
                    segment: segment()?,
                    cpu: cpu()?,
                    rows: cell(count, i)?,
                }));
            }
            other => unreachable!("{other} is not in KINDS"),
        };
        Ok(RawRow::Row(row))
    };
    (0..batch.num_rows()).map(row).collect()
}

/// A cell that its row's kind needs.
fn cell<T: ArrowPrimitiveType>(
    (name, column): (&str, &PrimitiveArray<T>),
    i: usize,
) -> Result<T::Native, String> {
    if column.is_null(i) {
        return Err(format!("row {i} has no {name}, which its kind needs"));
    }
    Ok(column.value(i))
}

/// A dictionary column, read as this build's own names.
pub(super) struct Names<'a, T> {
    keys: &'a Int8Array,
    names: Vec<Option<T>>,
}

impl<'a, T: Copy> Names<'a, T> {
    pub fn new(
        batch: &'a RecordBatch,
        name: &str,
        known: impl Fn(&str) -> Option<T>,
    ) -> Result<Self, String> {
        let column: &DictionaryArray<Int8Type> = column(batch, name)?;
        Ok(Self { keys: column.keys(), names: mapping(column, known)? })
    }

    /// `None` where there is none, or one unknown to this build.
    pub fn get(&self, i: usize) -> Option<T> {
        if self.keys.is_null(i) {
            return None;
        }
        self.names.get(usize::try_from(self.keys.value(i)).ok()?).copied().flatten()
    }
}
