//! tables/manifest.json: every file with its rows and SHA-256, and one line over all of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::audit::Counts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::SinkError;
use super::parquet::hex;
use crate::private;

const FILE_NAME: &str = "manifest.json";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// File name.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

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
    /// Connections with a hook that saw nothing although there was something to see.
    #[serde(default)]
    pub silent: u64,
    /// Of connections made of packets: packets that must have been there and were not, that came twice,
    /// or that came after a reset, and segments of which the capture has cut what was needed.
    #[serde(default)]
    pub lacking_packets: u64,
    /// What the files are: parquet, arrow, csv or jsonl.
    #[serde(default = "parquet")]
    pub format: String,
    /// Every file.
    pub files: Vec<FileEntry>,
    /// What the audit found.
    #[serde(default)]
    pub audit: Counts,
    /// What two people compare who replayed the same recording.
    pub digest: String,
}

fn parquet() -> String {
    super::Format::Parquet.name().to_owned()
}

impl TablesManifest {
    /// What rows lack, all sorts together: 0 if nothing.
    pub const fn missing(&self) -> u64 {
        let hooks = self.lost_records.saturating_add(self.discarded).saturating_add(self.silent);
        hooks.saturating_add(self.lacking_packets)
    }

    /// The digest of a list of files: "sha256:" and the SHA-256 of a line `sha256  rows  file` for
    /// each.
    pub fn digest(files: &[FileEntry]) -> String {
        let mut hash = Sha256::new();
        for entry in files {
            hash.update(format!("{}  {}  {}\n", entry.sha256, entry.rows, entry.file));
        }
        format!("sha256:{}", hex(&hash.finalize()))
    }

    /// Where the manifest of the tables in `dir` is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE_NAME)
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
        let partial = path.with_extension("json.tmp");
        if let Some(parent) = path.parent() {
            private::create_dir(parent).map_err(|e| SinkError::io("create", parent, e))?;
        }
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|source| SinkError::Manifest { path: path.to_owned(), source })?;
        text.push(b'\n');
        let written = private::replace(&partial).and_then(|mut file| file.write_all(&text));
        written.map_err(|e| SinkError::io("write", &partial, e))?;
        fs::rename(&partial, path).map_err(|e| SinkError::io("write", path, e))
    }

    pub(super) fn remove(path: &Path) -> Result<(), SinkError> {
        match fs::remove_file(path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(SinkError::io("remove", path, e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_every_field() {
        let entry = |file: &str, rows, sha256: &str| FileEntry {
            file: file.into(),
            rows,
            sha256: sha256.into(),
        };
        let digests: Vec<_> = [
            vec![entry("a", 1, "x"), entry("b", 2, "y")],
            vec![entry("b", 2, "y"), entry("a", 1, "x")],
            vec![entry("a", 2, "x"), entry("b", 2, "y")],
            vec![entry("a", 1, "z"), entry("b", 2, "y")],
            vec![entry("a", 1, "x")],
        ]
        .iter()
        .map(|files| TablesManifest::digest(files))
        .collect();
        for (i, a) in digests.iter().enumerate() {
            assert!(digests[i + 1..].iter().all(|b| a != b), "{digests:?}");
        }
    }
}
