// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Any table -> a file (Parquet, Arrow, CSV, lines of JSON), the same bytes for the same rows.
//!
//! With `created_by`, row groups, batch sizes and encodings fixed, the bytes depend on the rows, on what the
//! metadata of a file says of its recording, and on the version of the parquet crate alone. A table is encoded
//! in a thread of its own when there are threads to spare; each gets its batches in order, so their number
//! changes nothing.

mod layout;
mod origin;
mod parquet;
mod plain;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::{fs, io};

use ::parquet::errors::ParquetError;
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::output::tables::{Batches, TableSpec};
use crate::util::private;

pub use layout::{Layout, Partition, TableFormat};
pub use origin::Origin;
pub use plain::{Plain, PlainWriter};

use parquet::{Hashing, ParquetFile};

/// Why tables could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The Parquet library failed; for a full disk the system's words are inside.
    #[error("cannot {action} {path}: {source}")]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: ParquetError,
    },
    /// The Arrow library failed to write another format.
    #[error("cannot write {path}: {source}")]
    Arrow {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: ArrowError,
    },
    /// The list of the files is not ours.
    #[error("{path} is damaged: {source}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What did not fit.
        source: serde_json::Error,
    },
}

/// The name of the list of the files, which whoever makes the tables writes when they are whole.
pub const MANIFEST: &str = "manifest.json";

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

/// The digest of a list of files: "sha256:" and the SHA-256 of a line `sha256  rows  file` for
/// each.
pub fn digest(files: &[FileEntry]) -> String {
    let mut hash = Sha256::new();
    for entry in files {
        hash.update(format!("{}  {}  {}\n", entry.sha256, entry.rows, entry.file));
    }
    format!("sha256:{}", parquet::hex(&hash.finalize()))
}

impl SinkError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn parquet(action: &'static str, path: &Path, source: ParquetError) -> Self {
        Self::Parquet { action, path: path.to_owned(), source }
    }
}

/// Batches a table's thread may be behind: enough to keep it busy, little memory.
const QUEUE: usize = 2;

/// A table on its way to disk.
enum TableFile {
    Parquet(Box<ParquetFile>),
    Plain { path: PathBuf, name: String, rows: u64, writer: Box<PlainWriter<Hashing>> },
}

impl TableFile {
    fn create(
        dir: &Path,
        layout: &Layout,
        origin: &Origin,
        format: TableFormat,
        table: &TableSpec,
    ) -> Result<Self, SinkError> {
        let name = layout.file(table.name, format.extension());
        let path = beside(&dir.join(&name));
        if let Some(parent) = path.parent() {
            private::create_dir(parent).map_err(|e| SinkError::io("create", parent, e))?;
        }
        let format = match format {
            TableFormat::Parquet => {
                let file = ParquetFile::create(path, name, origin, table)?;
                return Ok(Self::Parquet(Box::new(file)));
            }
            TableFormat::Plain(format) => format,
        };
        let file = private::replace(&path).map_err(|e| SinkError::io("create", &path, e))?;
        let writer = PlainWriter::new(format, table, origin, Hashing::new(file))
            .map_err(|source| SinkError::Arrow { path: path.clone(), source })?;
        Ok(Self::Plain { path, name, rows: 0, writer: Box::new(writer) })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        match self {
            Self::Parquet(file) => file.write(batch),
            Self::Plain { path, rows, writer, .. } => {
                *rows += batch.num_rows() as u64;
                let fault = |source| SinkError::Arrow { path: path.clone(), source };
                writer.write(batch).map_err(fault)
            }
        }
    }

    fn finish(self) -> Result<FileEntry, SinkError> {
        match self {
            Self::Parquet(file) => file.finish(),
            Self::Plain { path, name, rows, writer } => {
                let hashing = writer
                    .finish()
                    .map_err(|source| SinkError::Arrow { path: path.clone(), source })?;
                let sha256 = hashing.finish().map_err(|e| SinkError::io("write", &path, e))?;
                Ok(FileEntry { file: name, rows, sha256 })
            }
        }
    }
}

enum Writer {
    Here(Box<TableFile>),
    Thread { batches: SyncSender<RecordBatch>, thread: JoinHandle<Result<FileEntry, SinkError>> },
    Failed,
}

impl Writer {
    fn finish(self) -> Result<Option<FileEntry>, SinkError> {
        match self {
            Self::Here(file) => file.finish().map(Some),
            Self::Thread { batches, thread } => {
                drop(batches);
                match thread.join() {
                    Ok(entry) => entry.map(Some),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            Self::Failed => Ok(None),
        }
    }
}

/// End of the name of a table that is being written.
const PARTIAL: &str = ".partial";

/// Where a table is written until all are whole: beside its place, so that a rename is enough, and by
/// the process, so that two do not write into one file.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{}{PARTIAL}", std::process::id()))
}

/// Removes files that killed programs have left beside a table.
fn remove_partial(path: &Path) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let begins = format!(".{name}.");
    let entries = path.parent().and_then(|parent| fs::read_dir(parent).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(&begins) && name.ends_with(PARTIAL) {
            // It does no harm: if it cannot be removed, the replay continues.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes tables as files into one directory. They appear all together in [`TableSink::finish`], or
/// not at all.
pub struct TableSink {
    dir: PathBuf,
    /// The list of the tables.
    manifest: PathBuf,
    /// Where the tables will be.
    paths: Vec<PathBuf>,
    writers: Vec<Writer>,
}

impl Drop for TableSink {
    /// Without an end, nothing stays.
    fn drop(&mut self) {
        let writers = std::mem::take(&mut self.writers);
        if writers.is_empty() {
            return;
        }
        // Files are closed before they go.
        writers.into_iter().for_each(|writer| drop(writer.finish()));
        for path in &self.paths {
            let _ = fs::remove_file(beside(path));
        }
    }
}

impl std::fmt::Debug for TableSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableSink").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl TableSink {
    /// Creates the directory and the files, which are written beside those that may be there.
    ///
    /// # Errors
    /// [`SinkError::Io`], [`SinkError::Parquet`], [`SinkError::Arrow`].
    pub fn create(
        dir: &Path,
        tables: &[TableSpec],
        layout: &Layout,
        origin: &Origin,
        format: TableFormat,
        threads: usize,
    ) -> Result<Self, SinkError> {
        private::create_dir(dir).map_err(|e| SinkError::io("create", dir, e))?;
        let paths = tables.iter().map(|t| dir.join(layout.file(t.name, format.extension())));
        let (paths, manifest) = (paths.collect(), layout.manifest(dir));
        let mut sink = Self { dir: dir.to_owned(), manifest, paths, writers: Vec::new() };
        for table in tables {
            let mut file = Box::new(TableFile::create(dir, layout, origin, format, table)?);
            sink.writers.push(if threads > 1 {
                let (batches, queue) = sync_channel::<RecordBatch>(QUEUE);
                let thread = std::thread::spawn(move || {
                    for batch in queue {
                        file.write(&batch)?;
                    }
                    file.finish()
                });
                Writer::Thread { batches, thread }
            } else {
                Writer::Here(file)
            });
        }
        Ok(sink)
    }

    /// Ends all files and puts them in their places; gives back their list. The old tables' manifest
    /// goes first and the new one comes last: tables without it are not whole.
    ///
    /// # Errors
    /// [`SinkError::Io`], [`SinkError::Parquet`].
    pub fn finish(mut self) -> Result<Vec<FileEntry>, SinkError> {
        let mut files = Vec::new();
        let mut failed = None;
        for writer in std::mem::take(&mut self.writers) {
            match writer.finish() {
                Ok(entry) => files.extend(entry),
                Err(e) => failed = failed.or(Some(e)),
            }
        }
        if let Some(e) = failed {
            self.paths.iter().for_each(|path| drop(fs::remove_file(beside(path))));
            return Err(e);
        }
        if let Err(e) = self.put() {
            self.paths.iter().for_each(|path| drop(fs::remove_file(beside(path))));
            return Err(e);
        }
        Ok(files)
    }

    fn put(&self) -> Result<(), SinkError> {
        remove(&self.manifest)?;
        for path in &self.paths {
            fs::rename(beside(path), path).map_err(|e| SinkError::io("write", path, e))?;
            remove_partial(path);
        }
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), SinkError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(SinkError::io("remove", path, e)),
    }
}

impl Batches for TableSink {
    type Error = SinkError;

    fn batch(&mut self, table: usize, batch: RecordBatch) -> Result<(), SinkError> {
        let writer = &mut self.writers[table];
        match writer {
            Writer::Here(file) => file.write(&batch),
            Writer::Thread { batches, .. } => match batches.send(batch) {
                Ok(()) => Ok(()),
                // The thread ended early, with an error.
                Err(_) => std::mem::replace(writer, Writer::Failed).finish().map(drop),
            },
            Writer::Failed => Ok(()),
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
        .map(|files| digest(files))
        .collect();
        for (i, a) in digests.iter().enumerate() {
            assert!(digests[i + 1..].iter().all(|b| a != b), "{digests:?}");
        }
    }
}
