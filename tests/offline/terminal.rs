// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The display on a terminal beside the result: a bar while work takes more than a second.

use std::path::Path;
use std::process::Command;

use crate::common::synthetic;

/// Runs `estats-analyze` with a terminal as stderr; none where there is no script(1).
fn on_a_terminal(arguments: &str) -> Option<String> {
    let program = env!("CARGO_BIN_EXE_estats-analyze");
    let command = format!("stty cols 100; '{program}' {arguments} >/dev/null; true");
    let output = Command::new("script").args(["-qec", &command, "/dev/null"]).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_bar_for_long_work_on_a_terminal_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = dir.path().join("run");
    // Some seconds of work without optimisation, also on a fast machine.
    synthetic(&run, 25_000);
    let arguments = |out: &str| -> String {
        let path = |p: &Path| p.display().to_string();
        format!("replay '{}' -o '{}' --threads 1", path(&run), path(&dir.path().join(out)))
    };
    let Some(shown) = on_a_terminal(&arguments("shown")) else {
        eprintln!("skipped: there is no script(1)");
        return;
    };
    assert!(shown.contains("replaying") && shown.contains("MiB"), "{shown:?}");
    let quiet = on_a_terminal(&format!("{} --quiet", arguments("quiet"))).expect("as before");
    assert!(!quiet.contains("replaying"), "{quiet:?}");
    // A pipe is not a terminal.
    let output = Command::new(env!("CARGO_BIN_EXE_estats-analyze"))
        .args(["verify", run.to_str().expect("a path")])
        .output()
        .expect("run");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("verifying"));
}
