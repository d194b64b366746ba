// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! estats: a TCP flight recorder for stock Linux kernels.
//!
//! `estats-record` writes what TCP connections did into a recording, and `estats-analyze` makes tables of it.
//! This library reads recordings and replays them from other programs.
//!
//! # Open a recording
//!
//! [`Recording::survey`] finds what is missing from a recording, by the checksums of its files where it
//! was closed. [`Recording::verify`] reads every frame. Damage is not an error: it is in what they
//! return.
//!
//! ```
//! use std::path::Path;
//!
//! let recording = estats::Recording::open(Path::new("testdata/loss/run"))?;
//! assert!(recording.survey()?.is_whole());
//! let report = recording.verify()?;
//! assert!(report.ok());
//! assert_eq!(report.lost(), 0);
//! assert_eq!(recording.manifest().format_version, 1);
//! # Ok::<(), estats::LogError>(())
//! ```
//!
//! The files need not be in a directory: anything that is a [`Source`] will do, such as [`Memory`].
//!
//! ```
//! let mut files = Vec::new();
//! for entry in std::fs::read_dir("testdata/loss/run")? {
//!     let entry = entry?;
//!     if entry.file_type()?.is_file() {
//!         let name = entry.file_name().into_string().expect("UTF-8");
//!         files.push((name, std::fs::read(entry.path())?));
//!     }
//! }
//! let recording = estats::Recording::from_source("loss", estats::Memory::from_iter(files))?;
//! assert!(recording.survey()?.is_whole());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Iterate over the records
//!
//! A recording has several streams: [`Recording::hooks`] has the operations on variables,
//! [`Recording::lifecycles`] has which connections there are. Snapshots of sockets, packets and what the
//! recorder counted of itself have their own. Each iterator follows the order of the files, which is nearly
//! that of time.
//!
//! ```
//! use std::path::Path;
//!
//! let recording = estats::Recording::open(Path::new("testdata/loss/run"))?;
//! let (mut records, mut operations) = (0, 0);
//! for batch in recording.hooks(std::num::NonZero::<usize>::MIN) {
//!     let batch = batch?;
//!     records += batch.len();
//!     operations += (0..batch.len()).map(|i| batch.ops(i).count()).sum::<usize>();
//! }
//! assert!(operations > records);
//! # Ok::<(), estats::LogError>(())
//! ```
//!
//! # Follow one connection
//!
//! The socket's cookie and generation name a connection. Here its congestion window (RFC 4898's CurCwnd, in
//! bytes) is followed through time (CLOCK_MONOTONIC, in nanoseconds).
//!
//! ```
//! use std::path::Path;
//!
//! use estats::{Event, Op, Recording, Var};
//!
//! let recording = Recording::open(Path::new("testdata/loss/run"))?;
//! let mut begun = None;
//! for row in recording.lifecycles() {
//!     let row = row?;
//!     if row.event == Event::Open {
//!         begun = Some((row.header.cookie, row.header.generation));
//!         break;
//!     }
//! }
//! let connection = begun.expect("a connection begins");
//!
//! let mut cwnd: Vec<(u64, u64)> = Vec::new();
//! for batch in recording.hooks(std::num::NonZero::<usize>::MIN) {
//!     let batch = batch?;
//!     for i in 0..batch.len() {
//!         let header = batch.header(i);
//!         if (header.cookie, header.generation) == connection {
//!             let set = batch.ops(i).filter(|op| op.var == Var::CurCwnd && op.op == Op::Set);
//!             cwnd.extend(set.map(|op| (header.ts_ns, op.value)));
//!         }
//!     }
//! }
//! let smallest = cwnd.iter().map(|(_, bytes)| *bytes).min();
//! let largest = cwnd.iter().map(|(_, bytes)| *bytes).max();
//! assert!(smallest < largest, "{smallest:?} {largest:?}");
//! # Ok::<(), estats::LogError>(())
//! ```
//!
//! # Replay
//!
//! A replay puts the records into one order and makes the tables of docs/tables.md. [`replay`](replay()) writes
//! files: the same recording and the same options give the same bytes of Parquet.
//!
//! ```
//! use std::path::Path;
//!
//! use estats::{Recording, ReplayOptions};
//!
//! let recording = Recording::open(Path::new("testdata/loss/run"))?;
//! let dir = tempfile::tempdir()?;
//! let options = ReplayOptions { output: Some(dir.path().join("tables")), ..ReplayOptions::default() };
//! let report = estats::replay(&recording, &options)?;
//! assert!(report.dir.join("connections.parquet").is_file());
//! assert_eq!(report.findings.lost, 0);
//! println!("{}", report.tables.digest);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`replay_in_memory`] gives the same tables as Arrow's record batches, and [`replay_into`] hands on each batch
//! when it is full.
//!
//! ```
//! use std::path::Path;
//!
//! use estats::arrow::{array::RecordBatch, util::display::array_value_to_string};
//! use estats::{Recording, ReplayOptions};
//!
//! let recording = Recording::open(Path::new("testdata/loss/run"))?;
//! let tables = estats::replay_in_memory(&recording, &ReplayOptions::default())?;
//! let [connections] = &tables["connections"][..] else { panic!("one batch") };
//! assert_eq!(connections.num_rows(), 2);
//! let completeness = connections.column_by_name("completeness").expect("a column of docs/tables.md");
//! assert_eq!(array_value_to_string(completeness, 0)?, "ended_after");
//! assert!(tables["series"].iter().map(RecordBatch::num_rows).sum::<usize>() > 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is stable
//!
//! The items on this page are meant for other programs. The modules below it are public because the two
//! programs and the integration tests of this package are crates of their own. They are not a stable
//! interface and are hidden from this documentation. ARCHITECTURE.md has their map and their invariants.

#![warn(missing_docs)]
// clippy.toml lists the methods. No clock, environment, file or hash-map order between log and tables.
#![deny(clippy::disallowed_methods, clippy::iter_over_hash_type)]
// A new variable, hook, operation, event or field must be answered for. What stands for all others has its
// reason beside it. Tests may pick out.
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

#[doc(hidden)]
pub mod schema;

#[doc(hidden)]
pub mod wire;

#[cfg(feature = "record")]
#[doc(hidden)]
pub mod capture;

#[doc(hidden)]
pub mod log;

#[doc(hidden)]
pub mod engine;

#[doc(hidden)]
pub mod output;

#[doc(hidden)]
pub mod replay;

#[doc(hidden)]
pub mod recordings;

#[doc(hidden)]
pub mod views;

#[doc(hidden)]
pub mod util;

#[cfg(test)]
mod testing;

/// The version of Arrow whose record batches these are.
#[doc(no_inline)]
pub use arrow;

#[doc(inline)]
pub use log::{
    Bytes, CaptureStat, ClockSample, CpuReport, CpuTotals, Derivation, Directory, DropReasons,
    FileReport, Finding, HookBatch, HookStatus, Host, Import, ImportedInterface, Interface, Lack,
    Lacking, LogError, Manifest, Memory, Missing, Namespace, NamespaceInterface, NotSeen,
    PacketRow, RecordOptions, Recording, Ring, SegmentEntry, Source, Survey, Totals, Truncation,
    Unfinished, VariableStatus, VerifyReport,
};

#[doc(inline)]
pub use schema::{Direction, Hook, Op, SocketField, Var, Why};

#[doc(inline)]
pub use wire::{Checksum, Event, Header, Lifecycle, Operation, Packet, Snapshot, SocketValues};

#[doc(inline)]
pub use replay::{
    Findings, ReplayError, ReplayOptions, ReplayReport, TablesManifest, replay, replay_in_memory,
    replay_into,
};

#[doc(inline)]
pub use engine::{
    estats::{EngineCounts, Interval, RuleOptions},
    flows::FlowOptions,
    packets::PacketCounts,
    rtt::{RttOptions, aggregate::AggregateOptions},
    time::order::OrderCounts,
};

#[doc(inline)]
pub use output::sink::{FileEntry, Partition, Plain, SinkError, TableFormat};

#[doc(inline)]
pub use output::tables::{Batches, Qualities, TableSpec, specs};

/// Why neither program works on this machine; `None` where they do. A recording has its numbers in little
/// endian, and the libraries that read them and write the tables take the machine's own order for that.
#[doc(hidden)]
pub const UNFIT_MACHINE: Option<&str> = if cfg!(target_endian = "big") {
    Some("this machine is big-endian, where recordings are neither made nor read")
} else {
    None
};
