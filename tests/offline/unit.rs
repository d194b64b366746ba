// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The unit of systemd and its options, as `make install` puts them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::gate::{self, Needs};

const SUITE: &str = "unit of systemd";
const SYSTEMD: Needs = Needs { programs: &["systemd-analyze"], ..Needs::PROGRAMS };

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn analyze(arguments: &[&str], unit: &Path) -> String {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .expect("systemd-analyze can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The number after these words.
fn number(text: &str, words: &str) -> f64 {
    let after = text.split(words).nth(1).unwrap_or_else(|| panic!("no {words:?} in {text}"));
    let number = after.split_whitespace().next().expect("a number").trim_matches(['*', ',']);
    number.parse().unwrap_or_else(|_| panic!("{number:?} after {words:?}"))
}

/// How much it is exposed to, from 0 to 10, by `systemd-analyze security`.
fn exposure(unit: &Path) -> f64 {
    let text = analyze(&["security", "--offline=true", "--no-pager"], unit);
    number(&text, "Overall exposure level for estats-record.service:")
}

#[test]
fn the_unit_is_right_and_may_do_no_more_than_the_manual_states() {
    let Some(_turn) = gate::enter(SUITE, SYSTEMD) else { return };
    let unit = packaged("estats-record.service");
    assert_eq!(analyze(&["verify", "--man=no"], &unit), "");
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/always-on.md");
    let manual = std::fs::read_to_string(manual).expect("the manual");
    let words = manual.split_whitespace().collect::<Vec<_>>().join(" ");
    let (stated, found) = (number(&words, "exposure level of"), exposure(&unit));
    assert!(found <= stated, "{found}, where docs/always-on.md states {stated}");
    // The figure grows with what the unit may do.
    let dir = tempfile::tempdir().expect("a temporary directory");
    let text = std::fs::read_to_string(&unit).expect("the unit");
    let laxer = dir.path().join("estats-record.service");
    std::fs::write(&laxer, text.replace("CapabilityBoundingSet=", "#")).expect("a file");
    assert!(exposure(&laxer) > stated);
}

/// Those that are commented out, too.
#[cfg(feature = "record")]
#[test]
fn all_options_of_the_example_are_right() {
    let text = std::fs::read_to_string(packaged("record.toml")).expect("the example");
    let mut keys = 0;
    let lines = text.lines().map(|line| {
        let is_key = |text: &str| text.starts_with(|c: char| c.is_ascii_lowercase());
        let option = line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line);
        keys += usize::from(is_key(option));
        option
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    assert!(keys >= 10, "{text}");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("record.toml");
    std::fs::write(&file, text).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_estats-record"))
        .arg("--config")
        .arg(file)
        .arg("--no-such-option")
        .output()
        .expect("estats-record can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("error: unexpected argument '--no-such-option'"), "{said}");
}
