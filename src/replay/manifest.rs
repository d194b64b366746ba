// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! tables/manifest.json: every file with its rows and SHA-256, and one line over all of them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use crate::engine::audit::AuditCounts;
use crate::output::sink::{FileEntry, MANIFEST, SinkError, TableFormat};
use crate::util::private;

/// The list of the tables, written when all of them are whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TablesManifest {
    /// Version of the tables' columns and encoding.
    pub tables_version: u32,
    /// UUID of the recording.
    pub recording: String,
    /// Fingerprint of its files: tables of another, or of one that has changed since, are stale.
    #[serde(default)]
    pub fingerprint: String,
    /// `--interval` they were made with.
    pub interval: String,
    /// `--flow-interval` they were made with.
    #[serde(default)]
    pub flow_interval: Option<String>,
    /// `--latency-limit-us` they were made with.
    pub latency_limit_us: u64,
    /// Records the recording lost.
    pub lost_records: u64,
    /// Values that cannot be, and are NULL.
    #[serde(default)]
    pub discarded: u64,
    /// Connections with a hook that saw nothing although their counters changed.
    #[serde(default)]
    pub silent: u64,
    /// Of connections made of packets: packets that must have been there and were not, that came twice,
    /// or that came after a reset, and segments of which the capture has cut what was needed.
    #[serde(default)]
    pub lacking_packets: u64,
    /// Format of the files: parquet, arrow, csv or jsonl.
    #[serde(default = "parquet")]
    pub format: String,
    /// Every file.
    pub files: Vec<FileEntry>,
    /// The results of the audit.
    #[serde(default)]
    pub audit: AuditCounts,
    /// The digest by which two people compare replays of the same recording.
    pub digest: String,
}

fn parquet() -> String {
    TableFormat::Parquet.name().to_owned()
}

impl TablesManifest {
    /// The number of everything that rows lack: 0 if nothing.
    pub const fn missing(&self) -> u64 {
        let hooks = self.lost_records.saturating_add(self.discarded).saturating_add(self.silent);
        hooks.saturating_add(self.lacking_packets)
    }

    /// Where the manifest of the tables in `dir` is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(MANIFEST)
    }

    /// Reads the manifest of the tables in `dir`; none if there is none.
    ///
    /// # Errors
    /// [`SinkError::Io`], [`SinkError::Manifest`].
    pub fn read(dir: &Path) -> Result<Option<Self>, SinkError> {
        let path = Self::path(dir);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| SinkError::Manifest { path, source }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(SinkError::io("read", &path, e)),
        }
    }

    /// Whether all files of the list are in `dir`.
    pub fn are_there(&self, dir: &Path) -> bool {
        let is_there = |entry: &FileEntry| {
            fs::metadata(dir.join(&entry.file)).is_ok_and(|m| m.is_file() && m.len() > 0)
        };
        self.files.iter().all(is_there)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`SinkError::Io`], [`SinkError::Manifest`].
    pub fn write(&self, path: &Path) -> Result<(), SinkError> {
        if let Some(parent) = path.parent() {
            private::create_dir(parent).map_err(|e| SinkError::io("create", parent, e))?;
        }
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|source| SinkError::Manifest { path: path.to_owned(), source })?;
        text.push(b'\n');
        private::write_whole(path, &text).map_err(|e| SinkError::io("write", path, e))
    }
}
