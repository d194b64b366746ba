// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Files and directories that only their owner reads: recordings and tables hold command lines,
//! addresses and names.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

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

/// Opens a file that the user named, to be written anew: one that is made is its owner's alone.
///
/// # Errors
/// As [`OpenOptions::open`].
pub fn create(path: &Path) -> io::Result<File> {
    options().create(true).truncate(true).open(path)
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
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn links_are_not_followed_and_modes_are_the_owners() {
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
        assert!(replace(&deep).is_err(), "a directory is no file");
    }
}
