// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Arguments of estats-analyze at their edges.

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], input: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .stdin(input)
        .output()
        .expect("estats-analyze can be started")
}

/// The line of `replay` with the digest of the tables.
fn digest(run_dir: &Path) -> String {
    let output = run(&["replay", run_dir.to_str().unwrap()], Stdio::null());
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("digest "));
    line.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr))).to_owned()
}

fn testdata(path: &str) -> String {
    format!("{}/testdata/{path}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_cut_from_the_beginning_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let source = testdata("clean-path/run");
    let mut digests = Vec::new();
    for (i, options) in [&[][..], &["--from", "0s"], &["--from", "0"]].iter().enumerate() {
        let part = dir.path().join(i.to_string());
        let arguments = [&["cut", &source, "-o", part.to_str().unwrap()], *options].concat();
        let output = run(&arguments, Stdio::null());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        digests.push(digest(&part));
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(digests[0], digests[2]);
}

#[test]
fn an_empty_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (source, part) = (testdata("clean-path/run"), dir.path().join("part"));
    for (options, word) in [
        (&["--from", "500ms", "--to", "100ms"][..], "nothing lies between"),
        (&["--to", "0s"], "nothing lies between"),
        (&["--from", "100h"], "after the end"),
        (&["--conn", "99"], "no connection 99"),
        (&["--from", "-1s"], "neither a time"),
        (&["--from", "1parsec"], "neither a time"),
    ] {
        // As it may be written, too: a value of its own that begins with a minus is an option.
        let options: Vec<String> =
            options.chunks(2).map(|pair| format!("{}={}", pair[0], pair[1])).collect();
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        let arguments = [&["cut", &source, "-o", part.to_str().unwrap()], &words[..]].concat();
        let output = run(&arguments, Stdio::null());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {said}");
        assert!(said.contains(word), "{options:?}: {said}");
        assert!(!part.exists(), "{options:?}");
    }
}
