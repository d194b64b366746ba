// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! What can go wrong with a recording, in sentences that name the cause. What helps is known to the programs.

use std::io;
use std::path::{Path, PathBuf};

use arrow::error::ArrowError;

/// Why a recording could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The output directory holds something already.
    #[error("output exists: {0} is not an empty directory")]
    OutputExists(PathBuf),
    /// No space is left on the device, or the quota is used up.
    #[error(
        "disk full: cannot write {path}: {source}; {}", if *.made {
            "what is there is unfinished"
        } else {
            "the recording is readable up to the last second"
        }
    )]
    DiskFull {
        /// It is made of a capture or of other recordings, and can be made again.
        made: bool,
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file operation failed for another reason.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: "read", "write", ...
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The directory has no manifest.
    #[error("{0} is not a recording: it has no manifest.json")]
    NotARecording(PathBuf),
    /// What should be a file is a device, a pipe or a directory, or larger than any of its kind.
    #[error("{0} is no ordinary file of a recording, and is not read")]
    NotAFile(PathBuf),
    /// The manifest is there but cannot be understood.
    #[error("{path} is damaged or not ours: {source}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where and why JSON or a field did not fit.
        source: serde_json::Error,
    },
    /// Made by a newer program.
    #[error("{path} has format version {found}, this program reads up to {supported}")]
    UnknownVersion {
        /// The manifest.
        path: PathBuf,
        /// The version it names.
        found: u64,
        /// The newest this build reads.
        supported: u32,
    },
    /// A frame's bytes are not what was written.
    #[error("{path} is corrupt: frame {frame} at byte {offset}: {reason}")]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// Number of the frame in the file, from 0; skippable frames count.
        frame: usize,
        /// Offset of the frame's first byte in the file.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Arrow refused a batch that the writer built; a fault in this program.
    #[error("cannot encode a batch for {path}: {source}")]
    Encode {
        /// The segment file.
        path: PathBuf,
        /// What Arrow said.
        source: ArrowError,
    },
}

impl LogError {
    /// The same of a recording that is made of a capture or of other recordings.
    pub(crate) fn of_made(mut self) -> Self {
        if let Self::DiskFull { made, .. } = &mut self {
            *made = true;
        }
        self
    }

    /// An I/O error with its circumstances; a full disk has an error of its own, because the remedy differs.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        let is_full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        if is_full.contains(&source.kind()) {
            Self::DiskFull { made: false, path, source }
        } else {
            Self::Io { action, path, source }
        }
    }
}
