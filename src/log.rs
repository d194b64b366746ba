// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The recording: what the recorder writes and everything else reads.
//!
//! Writer and reader stand together because they share one secret, the format; docs/log-format.md
//! specifies it for readers without this code. A recording is a directory with a JSON manifest and
//! streams of Arrow record batches, one batch per zstd frame, so that standard tools read it as it
//! is, damage is found frame by frame, and a file cut anywhere is good up to its last whole frame.
//!
//! The only module besides `capture` and `sink` that touches files, and it reads no clock: every
//! call that needs a time is given one.

#![allow(clippy::disallowed_methods, reason = "a recording is files; still no clock")]

mod address;
mod batch;
mod builder;
mod capture_stats;
mod check;
mod crc;
mod error;
mod frame;
mod frames;
mod index;
mod keyframe;
mod manifest;
mod namespace;
mod packets;
mod parallel;
mod ranges;
mod reader;
mod report;
mod rows;
mod scan;
mod segment;
mod sockets;
mod source;
mod stream;
mod survey;
mod verify;
mod writer;

pub use batch::HookBatch;
pub(crate) use capture_stats::RawCaptureStat;
pub use capture_stats::{CaptureStat, Lack, Ring};
pub use error::LogError;
pub use keyframe::KeyFrame;
pub(crate) use manifest::has_more_values;
pub use manifest::{
    ClockSample, CpuTotals, Derivation, DropReasons, HookStatus, Host, Import, ImportedInterface,
    Interface, Lacking, Manifest, NotSeen, RecordOptions, SegmentEntry, Totals, VariableStatus,
};
pub use namespace::{Namespace, NamespaceInterface};
pub use packets::PacketRow;
pub use reader::{Recording, Truncation};
pub use report::{CpuReport, FileReport, Finding, VerifyReport};
pub(crate) use rows::marker;
pub(crate) use sockets::SocketRow;
pub use source::{Bytes, Directory, Memory, Source};
pub use survey::{Missing, Survey, Unfinished};
pub use writer::{RecordingWriter, WriterOptions};

/// The newest version of the format: that of recordings with key frames. Readers read every version up to it.
pub const FORMAT_VERSION: u32 = 2;
/// The version of all other recordings, which older programs read, and of a segment by itself.
pub const FIRST_FORMAT_VERSION: u32 = 1;
