//! A capture that can be read only once: from a pipe.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use estats::private;

/// A copy of what a pipe gives, for as long as it is needed: an import reads its capture twice.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    file: PathBuf,
}

impl Spool {
    /// Copies `path` beside `output`, if it is no plain file; `-` is standard input.
    ///
    /// # Errors
    /// A sentence, if it cannot be read, or there is no room.
    pub fn of(path: &Path, output: &Path) -> anyhow::Result<Option<Self>> {
        let input = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
        // What cannot be looked at is for the import to report.
        if fs::metadata(input).map_or(true, |meta| meta.is_file() || meta.is_dir()) {
            return Ok(None);
        }
        let mut dir = output.as_os_str().to_owned();
        dir.push(format!(".{}.tmp", std::process::id()));
        let dir = PathBuf::from(dir);
        let name = if input == Path::new("/dev/stdin") { "stdin" } else { "pipe" };
        let spool = Self { file: dir.join(name), dir };
        let copy = || -> io::Result<u64> {
            private::create_dir(&spool.dir)?;
            io::copy(&mut File::open(input)?, &mut private::create_new(&spool.file)?)
        };
        copy().map_err(|e| {
            anyhow!("cannot copy {} to {}: {e}", path.display(), spool.file.display())
        })?;
        Ok(Some(spool))
    }

    /// The copy.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
        let _ = fs::remove_dir(&self.dir);
    }
}
