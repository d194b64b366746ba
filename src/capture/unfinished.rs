//! A recording that has not begun yet.

use std::{fs, path::Path};

/// The directory of a recording that has not begun. If it never does, what was written is removed: all
/// that is in the directory was made for it, since it was empty, or not there at all.
#[derive(Debug)]
pub(super) struct Unfinished<'a> {
    dir: &'a Path,
    was_there: bool,
    has_begun: bool,
}

impl<'a> Unfinished<'a> {
    /// Of a directory in which a recording was just made; `was_there`: it is older than that.
    pub(super) const fn new(dir: &'a Path, was_there: bool) -> Self {
        Self { dir, was_there, has_begun: false }
    }

    /// The recording has begun, and stays.
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
        if !self.was_there {
            let _ = fs::remove_dir(self.dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_began_leaves_what_was_there_before() {
        let scratch = tempfile::tempdir().expect("a directory");
        let dir = scratch.path().join("run");
        let make = || {
            fs::create_dir_all(&dir).expect("it can be made");
            fs::write(dir.join("manifest.json"), "{}").expect("it can be written");
        };
        make();
        drop(Unfinished::new(&dir, false));
        assert!(!dir.exists());
        make();
        drop(Unfinished::new(&dir, true));
        assert_eq!(fs::read_dir(&dir).expect("it stays").count(), 0, "as empty as it was");
        make();
        Unfinished::new(&dir, false).begin();
        assert!(dir.join("manifest.json").exists(), "a recording that has begun stays");
    }
}
