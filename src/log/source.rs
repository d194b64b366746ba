// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Where the bytes of a recording come from: a directory, memory, or whatever else has named files.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;

/// Bytes of a file that can be read in any order.
pub trait Bytes: Read + Seek + Send {}

impl<T: Read + Seek + Send> Bytes for T {}

/// The files of a recording, by their names: `manifest.json` and the segments of the streams, as
/// docs/log-format.md has them. Other names are ignored.
///
/// Frames are read by several threads, so a file may be open several times. A file of a closed recording
/// must not change while it is read.
pub trait Source: Debug + Send + Sync {
    /// The names of all files, in any order.
    ///
    /// # Errors
    /// If they cannot be listed.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file at its first byte.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if there is none of this name. [`io::ErrorKind::Unsupported`] if it
    /// is not a regular file, which might never end: then readers get [`LogError::NotAFile`].
    fn open(&self, name: &str) -> io::Result<Box<dyn Bytes>>;
}

/// A directory, as the recorder makes it.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// The files of this directory. It is not looked at before they are asked for.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl Source for Directory {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            // A name that is not text is not a file of a recording.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Bytes>> {
        let path = self.0.join(name);
        // Before opening it: that of a pipe would wait for a writer, and a device has no end.
        if !fs::metadata(&path)?.is_file() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Box::new(File::open(path)?))
    }
}

/// Files that are in memory: of an archive that was unpacked, or of a download.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<String, Arc<[u8]>>);

impl<N: Into<String>, B: Into<Arc<[u8]>>> FromIterator<(N, B)> for Memory {
    fn from_iter<I: IntoIterator<Item = (N, B)>>(files: I) -> Self {
        Self(files.into_iter().map(|(name, bytes)| (name.into(), bytes.into())).collect())
    }
}

impl Source for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Bytes>> {
        let bytes = self.0.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

/// A source, and the name that errors have for it.
#[derive(Clone, Debug)]
pub(super) struct Files {
    source: Arc<dyn Source>,
    name: PathBuf,
}

impl Files {
    pub fn new(source: Arc<dyn Source>, name: PathBuf) -> Self {
        Self { source, name }
    }

    /// The directory, or the name of another source.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// How errors name a file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.name.join(file)
    }

    pub fn names(&self) -> Result<Vec<String>, LogError> {
        self.source.names().map_err(|e| LogError::io("read", &self.name, e))
    }

    pub fn open(&self, file: &str) -> Result<Box<dyn Bytes>, LogError> {
        self.source.open(file).map_err(|e| {
            if e.kind() == io::ErrorKind::Unsupported {
                LogError::NotAFile(self.path(file))
            } else {
                LogError::io("read", &self.path(file), e)
            }
        })
    }
}
