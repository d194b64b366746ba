// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Files and directories that only their owner reads: recordings and tables hold command lines,
//! addresses and names.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Makes a directory with those above it that are missing, for its owner alone (0700). One that is
/// there stays as it is.
///
/// # Errors
/// As [`fs::create_dir_all`].
pub fn create_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Makes a file that must not be there, for its owner alone (0600). A symbolic link with its name
/// counts as being there (`O_EXCL`): whoever else may write to the directory cannot have another file
/// written over.
///
/// # Errors
/// As [`OpenOptions::open`].
pub fn create_new(path: &Path) -> io::Result<File> {
    options().create_new(true).open(path)
}

/// The same in the place of an older file or symbolic link, which is removed.
///
/// # Errors
/// As [`OpenOptions::open`], or [`fs::remove_file`].
pub fn replace(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(_) => fs::remove_file(path)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    create_new(path)
}

/// A file that is under its name whole, or not at all: it is written beside it, for its owner alone, and what
/// was there stays until [`Whole::put`].
#[derive(Debug)]
pub struct Whole {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    is_put: bool,
}

impl Whole {
    /// Begins to write what is to be at `path`.
    ///
    /// # Errors
    /// As [`replace`].
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".tmp");
        let beside = PathBuf::from(beside);
        let file = replace(&beside)?;
        Ok(Self { path: path.to_owned(), beside, file, is_put: false })
    }

    /// Puts it into its place, when all of it is on the disk.
    ///
    /// # Errors
    /// As [`File::sync_all`] and [`fs::rename`].
    pub fn put(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.is_put = true;
        Ok(())
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Whole {
    /// Removes the file if it was not renamed to its final name.
    fn drop(&mut self) {
        if !self.is_put {
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Opens a file that the user named, to be written anew: one that is made is its owner's alone.
fn create(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
}

/// A file that the user named. A device, a pipe or a link is written to, because it has no place of its own into
/// which a whole file could be put. An older file is replaced by a [`Whole`] one with its permissions.
#[derive(Debug)]
pub enum Named {
    /// What is written to.
    Other(File),
    /// What is replaced.
    Whole(Whole),
}

impl Named {
    /// Begins to write what is to be at `path`.
    ///
    /// # Errors
    /// As [`OpenOptions::open`] and [`Whole::create`].
    pub fn create(path: &Path) -> io::Result<Self> {
        let old = fs::symlink_metadata(path).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            return create(path).map(Self::Other);
        }
        let new = Whole::create(path)?;
        if let Some(old) = old {
            keep_permissions(&old, &new.file)?;
        }
        Ok(Self::Whole(new))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// As [`Whole::put`].
    pub fn put(self) -> io::Result<()> {
        match self {
            Self::Other(_) => Ok(()),
            Self::Whole(file) => file.put(),
        }
    }
}

impl Write for Named {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Other(file) => file.write(bytes),
            Self::Whole(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Other(file) => file.flush(),
            Self::Whole(file) => file.flush(),
        }
    }
}

/// Writes a file that the user named.
///
/// # Errors
/// As [`Named::create`] and [`Named::put`].
pub fn write_named(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Named::create(path)?;
    file.write_all(bytes)?;
    file.put()
}

/// Writes a whole file in the place of an older file or symbolic link, which is not followed.
///
/// # Errors
/// As [`Whole::create`] and [`Whole::put`].
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Whole::create(path)?;
    file.write_all(bytes)?;
    file.put()
}

/// Opens a file that [`create_new`] or [`replace`] made, to be written on. Whatever else has come in its
/// place is refused.
///
/// # Errors
/// As [`OpenOptions::open`].
pub fn append(path: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(path)?.is_file() {
        let what = format!("{} is no longer the file that was made", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    OpenOptions::new().append(true).open(path)
}

/// Gives the file that replaces an older one its permissions.
#[cfg(unix)]
fn keep_permissions(old: &fs::Metadata, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    // The bits of a group are of that group, which the new file need not have.
    let kept = if old.gid() == new.metadata()?.gid() { 0o777 } else { 0o707 };
    new.set_permissions(fs::Permissions::from_mode(old.mode() & kept))
}

#[cfg(not(unix))]
fn keep_permissions(_: &fs::Metadata, _: &File) -> io::Result<()> {
    Ok(())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn symlinks_are_not_followed_and_files_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, link) = (dir.path().join("precious"), dir.path().join("link"));
        fs::write(&precious, "data").unwrap();
        symlink(&precious, &link).unwrap();
        assert_eq!(create_new(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let file = replace(&link).unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
        let deep = dir.path().join("a/b");
        create_dir(&deep).unwrap();
        assert_eq!(fs::metadata(&deep).unwrap().mode() & 0o777, 0o700);
        create_dir(&deep).unwrap();
        assert!(replace(&deep).is_err(), "a directory is not a file");
    }

    #[test]
    fn a_link_is_followed_only_if_the_user_named_it() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, link) = (dir.path().join("precious"), dir.path().join("link"));
        fs::write(&precious, "data").unwrap();
        symlink(&precious, &link).unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o644)).unwrap();
        write_named(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "new");
        write_named(&precious, b"new").unwrap();
        assert_eq!(fs::metadata(&precious).unwrap().mode() & 0o777, 0o644, "as it was");
        // Another group's bits would be those of the writer's group.
        if std::os::unix::fs::chown(&precious, None, Some(65_534)).is_ok() {
            fs::set_permissions(&precious, fs::Permissions::from_mode(0o4664)).unwrap();
            write_named(&precious, b"new").unwrap();
            assert_eq!(fs::metadata(&precious).unwrap().mode() & 0o7777, 0o604);
        }
        write_whole(&link, b"page").unwrap();
        assert_eq!(fs::read_to_string(&precious).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::metadata(&link).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn an_unfinished_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "old").unwrap();
        let mut file = Whole::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let mut file = Whole::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.put().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
