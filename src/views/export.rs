// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Recordings in the formats of other tools, for pipelines that read those.

pub mod epping;
pub mod events;
pub mod mlab;
mod moment;
pub mod operations;
pub mod pcapng;
pub mod perfetto;
pub mod table;
pub mod web10g;
pub mod xplot;

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
    #[error("there is no table {name}: the tables are {tables}")]
    NoTable {
        /// As it was asked for.
        name: String,
        /// Those there are.
        tables: String,
    },
    /// There is nothing of the kind in the recording.
    #[error("the recording has no snapshots of sockets")]
    NoSnapshots,
    /// There is nothing of the kind in the recording.
    #[error("the recording has no packets")]
    NoPackets,
    /// A format that shows one connection needs its number.
    #[error("the recording has {connections} connections, and the format shows one")]
    Connections {
        /// How many there are.
        connections: u64,
    },
    /// There is no such connection.
    #[error("the recording has no connection {conn_id}: the table connections has their numbers")]
    NoConnection {
        /// As it was asked for.
        conn_id: u64,
    },
}

impl From<ArrowError> for ExportError {
    /// An error of writing stays one: the caller looks whether a pipe was closed.
    fn from(e: ArrowError) -> Self {
        if let ArrowError::IoError(_, e) = e { Self::Io(e) } else { Self::Arrow(e) }
    }
}
