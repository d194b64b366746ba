//! Arguments of estats-analyze at their edges.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn run(arguments: &[&str], input: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(arguments)
        .stdin(input)
        .output()
        .expect("estats-analyze can be started")
}

/// The line of `replay` that says what the tables hold.
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
fn a_cut_from_the_beginning_is_the_whole() {
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
fn a_cut_of_nothing_is_refused_in_a_sentence() {
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

#[test]
fn a_capture_may_come_through_a_pipe() {
    let dir = tempfile::tempdir().unwrap();
    let source = testdata("reference/a_clean/A.pcap.zst");
    let from_file = dir.path().join("file");
    let output = run(&["import-pcap", &source, "-o", from_file.to_str().unwrap()], Stdio::null());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (name, file) in [("a", "-"), ("b", "/dev/stdin")] {
        let piped = dir.path().join(name);
        let mut cat = Command::new("cat")
            .stdin(File::open(&source).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cat");
        let pipe = cat.stdout.take().expect("piped");
        let output = run(&["import-pcap", file, "-o", piped.to_str().unwrap()], Stdio::from(pipe));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(cat.wait().unwrap().success());
        assert!(String::from_utf8_lossy(&output.stdout).contains(" of stdin "));
        assert_eq!(digest(&piped), digest(&from_file));
    }
    let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
    assert_eq!(left.len(), 3, "the copies are removed: {left:?}");
}
