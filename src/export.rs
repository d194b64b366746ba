// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings in the formats of other tools, for pipelines that read those.

pub mod epping;
pub mod mlab;
pub mod operations;
pub mod table;
pub mod web10g;

use std::io;

use arrow::error::ArrowError;

use crate::log::LogError;
use crate::replay::ReplayError;

/// Why a recording could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Arrow could not write a batch.
    #[error("cannot write: {0}")]
    Arrow(#[source] ArrowError),
    /// Replay failed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// There is no such table.
    #[error("there is no table {name}: take one of {tables}")]
    NoTable {
        /// As it was asked for.
        name: String,
        /// Those there are.
        tables: String,
    },
    /// There is nothing of the kind in the recording.
    #[error(
        "the recording has no snapshots of sockets: record with --snapshots, or with a newer estats-record"
    )]
    NoSnapshots,
    /// There is nothing of the kind in the recording.
    #[error("the recording has no packets: record with --packets, or import a capture")]
    NoPackets,
}

impl From<ArrowError> for ExportError {
    /// A failure to write is told apart: a closed pipe is none.
    fn from(e: ArrowError) -> Self {
        match e {
            ArrowError::IoError(_, e) => Self::Io(e),
            other => Self::Arrow(other),
        }
    }
}
