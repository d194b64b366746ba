// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Mistakes on the command line that are made often, and the tip for each.

use std::process::Command;

const ANALYZE: &str = env!("CARGO_BIN_EXE_estats-analyze");

/// Exit status 2, and these words on standard error.
#[track_caller]
fn refused(program: &str, arguments: &[&str], words: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} lacks {word:?}: {said}");
    }
}

#[test]
fn a_mistyped_command_of_the_analyzer() {
    let similar = "a similar subcommand exists: 'summary'";
    refused(ANALYZE, &["sumary", "run1"], &["unrecognized subcommand 'sumary'", similar]);
    refused(ANALYZE, &["sumary", "run1", "--top", "3"], &["subcommand 'sumary'", similar]);
    refused(ANALYZE, &["sumary"], &["unrecognized subcommand 'sumary'", similar]);
    refused(ANALYZE, &["-q", "sumary", "run1"], &["unrecognized subcommand 'sumary'", similar]);
    // What is like no command is a recording that is not there.
    refused(ANALYZE, &["no-such-run"], &["no-such-run is not a recording"]);
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/loss-audited/run");
    refused(ANALYZE, &[bundled, "sumary"], &["unrecognized subcommand 'sumary'", similar]);
}

#[test]
fn numbers_and_times_that_are_nothing() {
    let zero = "it must be longer than 0";
    refused(ANALYZE, &["replay", "run1", "--threads", "0"], &["1 or more", "all CPUs"]);
    refused(ANALYZE, &["replay", "run1", "--interval", "0s"], &[zero, "`event`"]);
    refused(ANALYZE, &["flows", "run1", "--interval", "0ms"], &[zero]);
}

#[test]
fn a_cut_that_matches_nothing_names_its_filter() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let part = dir.path().join("part");
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/loss-audited/run");
    let output = Command::new(ANALYZE)
        .args(["cut", bundled, "--port", "9,10", "--addr", "192.0.2.0/24", "-o"])
        .arg(&part)
        .output()
        .expect("run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("matched --addr 192.0.2.0/24 --port 9,10; `estats-analyze summary`"),
        "{said}"
    );
}

#[cfg(feature = "record")]
mod recorder {
    use super::{Command, refused};

    const RECORD: &str = env!("CARGO_BIN_EXE_estats-record");

    #[test]
    fn a_forgotten_separator_before_the_command() {
        let tip = "a command to record stands after `--`: estats-record ... -- iperf3 ...";
        refused(RECORD, &["-o", "run1", "iperf3", "-c", "10.0.0.2"], &["'iperf3'", tip]);
        refused(RECORD, &["iperf3"], &[tip]);
        // Not where an option is mistyped.
        let output = Command::new(RECORD).arg("--snapshot").output().expect("run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--snapshots") && !said.contains("stands after"), "{said}");
        refused(RECORD, &["chek"], &["a similar subcommand exists: 'check'"]);
    }

    #[test]
    fn times_that_are_nothing() {
        for option in ["--duration", "--keep", "--snapshots", "--rotate", "--resolution"] {
            refused(RECORD, &[option, "0s"], &["it must be longer than 0"]);
        }
    }

    #[test]
    fn a_file_with_options_names_its_keys() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("record.toml");
        let path = file.to_str().expect("UTF-8");
        for (text, words) in [
            (
                "max_size = \"1G\"",
                "no key \"max_size\"; the keys are output, duration, max-size, keep",
            ),
            ("keep = \"1 day\"", "keep: \"1 day\" is not a duration"),
            ("hooks = \"all\"", "the values are auto, fentry"),
            ("without = [\"set_state\"]", "without: \"set_state\" cannot be left out"),
            ("packets = 1", "packets takes true or false, and not a number"),
        ] {
            std::fs::write(&file, text).expect("a file");
            refused(RECORD, &["--config", path], &["estats-record: ", path, words]);
        }
        std::fs::write(&file, "sample = 2").expect("a file");
        refused(RECORD, &["--config", path], &["--snapshots"]);
    }

    /// What is long for one screen has headings.
    #[test]
    fn help_is_in_groups() {
        let output = Command::new(RECORD).arg("--help").output().expect("run");
        let help = String::from_utf8(output.stdout).expect("text");
        for (heading, option) in [
            ("Which connections", "--port"),
            ("Snapshots", "--sample"),
            ("Packets", "--interface"),
            ("At the kernel", "--hooks"),
            ("Options", "--duration"),
        ] {
            let after = help.split(&format!("\n{heading}:\n")).nth(1).expect(heading);
            let group = after.split("\n\n").next().expect("a group");
            assert!(group.contains(option), "{heading} lacks {option}: {help}");
        }
        // The names of --without are many: `check` lists them.
        assert!(!help.contains("tcp_probe"), "{help}");
    }
}

/// A revision, where the build knew one, and nothing of it in recordings.
#[test]
fn the_version_has_the_commit_if_the_build_knew_it() {
    let output = Command::new(ANALYZE).arg("--version").output().expect("run");
    let said = String::from_utf8(output.stdout).expect("text");
    let version = concat!("estats-analyze ", env!("CARGO_PKG_VERSION"));
    let rest = said.trim_end().strip_prefix(version).expect(&said).to_owned();
    let revision = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
    let is_one =
        |text: &str| text.len() >= 7 && text.bytes().take(7).all(|b| b.is_ascii_hexdigit());
    assert!(rest.is_empty() || revision.is_some_and(is_one), "{said}");
}
