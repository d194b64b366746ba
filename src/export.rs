//! Recordings in the formats of other tools, for pipelines that read those.

pub(crate) mod base64;
pub mod epping;
pub mod mlab;

use std::io;

use crate::log::LogError;

/// Why a recording could not be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Reading failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// There is nothing of the kind in the recording.
    #[error(
        "the recording has no snapshots of sockets: record with --snapshots, or with a newer estats-record"
    )]
    NoSnapshots,
    /// There is nothing of the kind in the recording.
    #[error("the recording has no packets: record with --packets, or import a capture")]
    NoPackets,
}
