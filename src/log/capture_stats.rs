// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The ledger: what the recorder knows about the recording itself.

mod carried;
mod decode;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int8Array, RecordBatch, UInt16Array, UInt32Array, UInt64Array};
use arrow::datatypes::Int8Type;
use arrow::error::ArrowError;

use super::builder::TimeSpan;
use super::manifest::ClockSample;
use super::stream::{HOOK_NAMES, LEDGER_KINDS, RINGS, Stream, dictionary};
use crate::schema::Hook;

use self::carried::Carried;
pub(super) use self::decode::{Names, decode};

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
    /// Connections for whose state there was no memory: they are not recorded.
    NotFollowed,
    /// Lifecycle records of a connection that begins, or was open at the start.
    Begins,
    /// Lifecycle records of a connection that ended, or was open at the end.
    Ends,
    /// Operations for which a record had no room. Their connections count them too (`missed`).
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
pub enum CaptureStat {
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
        /// The kind of what is lacking.
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
        /// How often, in the interval, on all CPUs; 1 if it could not be counted.
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
        /// The row stands for all segments before this one too.
        before: bool,
    },
    /// Records of the original that were missing from its files, when this recording was made of it.
    Missing {
        /// End of the interval in which they were made, CLOCK_MONOTONIC in ns.
        ts_ns: u64,
        /// The ring they came through.
        ring: Ring,
        /// How many; 1 if the number is not known.
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

/// The rows that a removed segment had of one CPU. Stands in the file beside [`CaptureStat::Dropped`];
/// only the count of sequence numbers needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DroppedRows {
    pub ts_ns: u64,
    pub segment: u32,
    pub cpu: u16,
    pub rows: u64,
}

/// A row as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RawCaptureStat {
    Row(CaptureStat),
    DroppedRows(DroppedRows),
    /// Every snapshot made before this time is in the files.
    SnapshotsDrained(u64),
    /// Of a kind that this build does not know.
    Unknown,
}

/// One row, column by column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

impl From<&CaptureStat> for Cells {
    fn from(row: &CaptureStat) -> Self {
        let none = Self::default();
        match *row {
            CaptureStat::Clock(ts_ns, clock) => {
                Self { ts_ns, kind: const { key("clock") }, clock: Some(clock), ..none }
            }
            CaptureStat::Loss { ts_ns, cpu, hook, lost, since_ns } => Self {
                ts_ns,
                kind: const { key("loss") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(lost),
                since_ns: Some(since_ns),
                ..none
            },
            CaptureStat::Emitted { ts_ns, cpu, emitted } => Self {
                ts_ns,
                kind: const { key("emitted") },
                cpu: Some(cpu),
                count: Some(emitted),
                ..none
            },
            CaptureStat::RingFill { ts_ns, cpu, ring, bytes, size } => Self {
                ts_ns,
                kind: const { key("ring_fill") },
                cpu: Some(cpu),
                ring: Some(ring as i8),
                bytes: Some(bytes),
                size: Some(size),
                ..none
            },
            CaptureStat::MapFailure { ts_ns, cpu, count } => Self {
                ts_ns,
                kind: const { key("map_failure") },
                cpu: Some(cpu),
                count: Some(count),
                ..none
            },
            CaptureStat::Lacking { ts_ns, cpu, what, count } => {
                let kind = FIRST_LACK + what as i8;
                Self { ts_ns, kind, cpu: Some(cpu), count: Some(count), ..none }
            }
            CaptureStat::LateDrain { ts_ns, late_ns } => {
                Self { ts_ns, kind: const { key("late_drain") }, late_ns: Some(late_ns), ..none }
            }
            CaptureStat::Skipped { ts_ns, hook, count, since_ns } => Self {
                ts_ns,
                kind: const { key("skipped") },
                hook: Some(hook as i8 - 1),
                count: Some(count),
                since_ns: Some(since_ns),
                ..none
            },
            CaptureStat::LatePoll { ts_ns, late_ns, missed } => Self {
                ts_ns,
                kind: const { key("late_poll") },
                late_ns: Some(late_ns),
                count: Some(missed),
                ..none
            },
            CaptureStat::SlowPoll { ts_ns, since_ns } => {
                Self { ts_ns, kind: const { key("slow_poll") }, since_ns: Some(since_ns), ..none }
            }
            CaptureStat::NotIp { ts_ns, cpu, hook, count } => Self {
                ts_ns,
                kind: const { key("not_ip") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(count),
                ..none
            },
            CaptureStat::Malformed { ts_ns, cpu, hook, count } => Self {
                ts_ns,
                kind: const { key("malformed") },
                cpu: Some(cpu),
                hook: Some(hook as i8 - 1),
                count: Some(count),
                ..none
            },
            CaptureStat::Dropped { ts_ns, segment, before } => Self {
                ts_ns,
                kind: const { key("dropped") },
                segment: Some(segment),
                count: before.then_some(u64::from(segment) + 1),
                ..none
            },
            CaptureStat::LeftOut { ts_ns, cpu, count } => Self {
                ts_ns,
                kind: const { key("left_out") },
                cpu: Some(cpu),
                count: Some(count),
                ..none
            },
            CaptureStat::Missing { ts_ns, ring, count, since_ns } => Self {
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
pub(super) struct CaptureStatsBuilder {
    rows: Vec<Cells>,
    /// What all rows so far come to, where segments of the ledger are removed.
    carried: Option<Carried>,
}

impl CaptureStatsBuilder {
    /// From now on [`Self::carried`] is known.
    pub fn carry(&mut self) {
        self.carried = Some(Carried::default());
    }

    /// The rows that stand for all that were pushed so far.
    pub fn carried(&self) -> Option<Self> {
        let rows = self.carried.as_ref()?.rows();
        Some(Self { rows, carried: None })
    }

    fn add(&mut self, row: Cells) {
        if let Some(carried) = &mut self.carried {
            carried.add(&row);
        }
        self.rows.push(row);
    }

    pub fn push(&mut self, row: &CaptureStat) {
        self.add(row.into());
    }

    pub fn push_dropped(&mut self, row: &DroppedRows) {
        self.add(row.into());
    }

    pub fn push_snapshots_drained(&mut self, ts_ns: u64) {
        self.add(Cells { ts_ns, kind: const { key("snapshots_drained") }, ..Cells::default() });
    }

    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    pub fn take(&mut self) -> Result<(RecordBatch, TimeSpan), ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        let mut span = TimeSpan::EMPTY;
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
