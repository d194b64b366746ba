// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Tests that each record has a number of its own where no atomic instruction returns a value
//! (bpf/number.bpf.h). They compile bpf/number_test.c for this machine and run it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The method that the function replaces: add first, and read afterwards.
const OLD: &str = "-DADD_THEN_READ";

struct Program {
    path: PathBuf,
    _scratch: TempDir,
}

impl Program {
    fn new(definitions: &[&str]) -> Self {
        let scratch = tempfile::tempdir().expect("a directory");
        let path = scratch.path().join("a.out");
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("bpf");
        let clang = std::env::var_os("CLANG").unwrap_or_else(|| OsString::from("clang"));
        let output = Command::new(clang)
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-I", env!("OUT_DIR"), "-I"])
            .arg(&sources)
            .args(definitions)
            .arg(sources.join("number_test.c"))
            .current_dir(scratch.path())
            .output()
            .expect("clang can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { path, _scratch: scratch }
    }

    /// Whether all numbers were right, and what the program wrote.
    fn run(&self, way: &str) -> (bool, String) {
        let output = Command::new(&self.path).arg(way).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{way}: {}: {text}", output.status);
        (output.status.success(), text)
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn numbers_are_unique_and_complete_if_every_instruction_is_interrupted() {
    let (is_right, text) = Program::new(&[]).run("steps");
    assert!(is_right, "{text}");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_test_of_every_instruction_finds_a_number_that_is_read_after_the_addition() {
    let (is_right, text) = Program::new(&[OLD]).run("steps");
    assert!(!is_right && (text.contains("stands twice") || text.contains("is missing")), "{text}");
}

#[test]
fn numbers_are_unique_and_complete_if_timers_interrupt() {
    let (is_right, text) = Program::new(&[]).run("timers");
    assert!(is_right, "{text}");
}
