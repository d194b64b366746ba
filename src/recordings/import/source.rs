// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Where a capture comes from: a file that can be opened again, or a pipe, which is kept.

use std::fs::{self, File};
use std::io::{self, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// A capture, which is read several times.
#[derive(Debug)]
pub struct CaptureFile {
    path: PathBuf,
    /// The bytes of a pipe, in a file without a name.
    kept: Option<File>,
}

impl CaptureFile {
    /// Opens it; of a pipe, reads it to its end.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let kept = if file.metadata()?.is_file() { None } else { Some(keep(&mut file)?) };
        Ok(Self { path: path.to_owned(), kept })
    }

    /// From the beginning. Only one of a pipe's may be in use.
    pub fn read(&self) -> io::Result<File> {
        match &self.kept {
            None => File::open(&self.path),
            Some(kept) => {
                let mut file = kept.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Ok(file)
            }
        }
    }

    /// As it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Copies a pipe into a file that goes when it is closed.
fn keep(pipe: &mut File) -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("estats-{}", uuid::Uuid::new_v4()));
    let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
    let copied = io::copy(pipe, &mut file);
    fs::remove_file(&path)?;
    copied?;
    Ok(file)
}
