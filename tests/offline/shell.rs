// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Completions and man pages know every command and its flags.

mod completed;

use std::fs;
use std::process::Command;

fn analyze(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    let output = command.args(arguments).output().expect("run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The commands that the help lists.
fn commands() -> Vec<String> {
    let help = analyze(&["--help"]);
    let list = help.split("Commands:").nth(1).expect("commands");
    let list = list.split("Arguments:").next().expect("before the arguments");
    // A command stands two blanks in, its description further.
    let names = list.lines().filter_map(|l| l.strip_prefix("  ")).filter(|l| !l.starts_with(' '));
    let names = names.filter_map(|l| l.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

#[test]
fn completions_have_every_command() {
    let commands = commands();
    assert!(commands.iter().any(|c| c == "cut") && commands.len() > 10, "{commands:?}");
    for shell in ["bash", "zsh", "fish"] {
        let script = analyze(&["completions", shell]);
        for name in &commands {
            assert!(script.contains(name.as_str()), "{shell} {name}");
        }
        assert!(script.contains("latency-limit-us"), "{shell}");
    }
    // The shell itself takes it.
    let script = analyze(&["completions", "bash"]);
    let checked = Command::new("bash").args(["-n", "-c", &script]).status();
    if let Ok(checked) = checked {
        assert!(checked.success());
    }
}

#[test]
fn every_command_has_a_page() {
    let dir = tempfile::tempdir().expect("temporary directory");
    analyze(&["man", dir.path().to_str().expect("a path")]);
    for name in commands() {
        let page = fs::read_to_string(dir.path().join(format!("estats-analyze-{name}.1")));
        let page = page.unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{name}");
    }
    let program = fs::read_to_string(dir.path().join("estats-analyze.1")).expect("a page");
    assert!(program.contains("estats\\-analyze\\-cut(1)"), "{program}");
}

#[cfg(feature = "record")]
#[test]
fn the_recorder_has_completions_and_man_pages() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_estats-record"))
            .args(arguments)
            .output()
            .expect("run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).contains("snapshots"), "{shell}");
    }
    run(&["man", dir.path().to_str().expect("a path")]);
    let page = fs::read_to_string(dir.path().join("estats-record.1")).expect("a page");
    assert!(page.contains("\\-\\-max\\-size"), "{page}");
    assert!(dir.path().join("estats-record-check.1").exists());
}
