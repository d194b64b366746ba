// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! A recording that has not begun yet.

use std::{fs, path::Path};

/// The directory of a recording that has not begun. If it never does, what was written is removed: all
/// that is in the directory was made for it, since it was empty, or not there at all.
#[derive(Debug)]
pub(super) struct Unfinished<'a> {
    dir: &'a Path,
    /// The directories that are made for it, the innermost first.
    made: Vec<&'a Path>,
    has_begun: bool,
}

impl<'a> Unfinished<'a> {
    /// For a directory in which a recording is about to be made.
    pub(super) fn new(dir: &'a Path) -> Self {
        let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
        Self { dir, made: dir.ancestors().take_while(is_missing).collect(), has_begun: false }
    }

    /// The recording has begun, and stays; or nothing in the directory is of it.
    pub(super) fn begin(mut self) {
        self.has_begun = true;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.has_begun {
            return;
        }
        // Where this fails, an empty recording stays, which does no harm.
        for entry in fs::read_dir(self.dir).into_iter().flatten().flatten() {
            let _ = fs::remove_file(entry.path());
        }
        for dir in &self.made {
            let _ = fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_that_never_began_leaves_the_directory_unchanged() {
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path().join("new/deep/run");
        let make = || {
            fs::create_dir_all(&dir).expect("it can be made");
            fs::write(dir.join("manifest.json"), "{}").expect("it can be written");
        };
        let unfinished = Unfinished::new(&dir);
        make();
        drop(unfinished);
        assert!(!scratch.path().join("new").exists());
        fs::create_dir_all(&dir).expect("it can be made");
        let unfinished = Unfinished::new(&dir);
        make();
        drop(unfinished);
        assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0, "as empty as it was");
        let unfinished = Unfinished::new(&dir);
        make();
        unfinished.begin();
        assert!(dir.join("manifest.json").exists());
    }
}
