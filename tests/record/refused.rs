// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Programs that a kernel refuses: a recording is made without them, and states what it lacks.
//!
//! No kernel at hand refuses one that is meant for it. So debug builds can spoil a program before it
//! is loaded (`ESTATS_SPOIL_PROGRAMS`), and the kernel's own verifier refuses it.

use std::process::Output;

use serde_json::Value as Json;

use crate::SUITE;
use crate::run::{analyze, command, scratch};
use crate::support::gate::{self, Needs};
use crate::support::trust::says;

const SPOIL: &str = "ESTATS_SPOIL_PROGRAMS";

fn run(spoiled: &str, arguments: &[&str]) -> Output {
    let mut command = command(&[]);
    command.env(SPOIL, spoiled).args(arguments).output().expect("estats-record can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn list<'a>(json: &'a Json, key: &str) -> &'a [Json] {
    json[key].as_array().unwrap_or_else(|| panic!("{key}: {json}"))
}

#[test]
fn check_names_each_refused_program_its_reason_and_its_cost() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    // At a tracepoint, at a cgroup, at an interface; and one that stands in for another.
    let spoiled = ["cong_state", "egress", "interface_in", "tcp_probe_again"];
    let whole: Json = serde_json::from_slice(&run("", &["check", "--json"]).stdout).expect("JSON");
    assert_eq!(list(&whole, "refused").len(), 0, "{whole:#}");
    let output = run(&spoiled.join(","), &["check", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut names: Vec<_> = list(&json, "refused").iter().map(|r| &r["program"]).collect();
    names.sort_by_key(|name| name.to_string());
    assert_eq!(names, spoiled);
    for refused in list(&json, "refused") {
        let reason = refused["reason"].as_str().expect("a reason");
        assert!(!reason.is_empty() && reason.lines().count() == 1, "{refused:#}");
    }
    // All other hooks are there, and what is lost is what these would have given.
    for hook in list(&whole, "hooks") {
        let name = &hook["hook"];
        let lost = ["cong_state", "egress", "interface_in"].iter().any(|s| name == s);
        let now = list(&json, "hooks").iter().find(|h| h["hook"] == *name);
        let attached = now.expect("the same hooks")["attached"].as_bool().expect("yes or no");
        let expected = hook["attached"] == true && !lost;
        assert_eq!(attached, expected, "{name}: {now:?}");
    }
    let worse: Vec<&Json> = list(&whole, "variables")
        .iter()
        .zip(list(&json, "variables"))
        .filter(|(before, now)| before["quality"] != now["quality"])
        .map(|(_, now)| &now["name"])
        .collect();
    assert!(!worse.is_empty());
    // A program that costs no variable has no list.
    let stated: Vec<&Json> = list(&json, "not_seen")
        .iter()
        .filter_map(|it| it["variables"].as_array())
        .flatten()
        .collect();
    for name in worse {
        assert!(stated.contains(&name), "{name} is worse, and nothing says so");
    }

    // For people: a line each, and the verifier's words on request.
    let shown = text(&run("egress", &["check"]).stdout);
    assert!(shown.contains("the kernel refuses the program egress: "), "{shown}");
    assert!(!shown.contains("PROG LOAD LOG"), "{shown}");
    let shown = text(&run("egress", &["check", "--verbose"]).stdout);
    assert!(shown.contains("program egress:\n") && shown.contains("processed "), "{shown}");
}

#[test]
fn a_recording_without_a_refused_program_reports_it() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let path = dir.to_str().expect("UTF-8");
    let output = run("retransmit", &["-o", path, "--duration", "200ms"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let line = said.lines().find(|l| l.contains("the kernel refuses the program retransmit"));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let manifest = std::fs::read(dir.join("manifest.json")).expect("manifest.json");
    let manifest: Json = serde_json::from_slice(&manifest).expect("JSON");
    let stated = list(&manifest, "not_seen").iter().find(|it| it["by"] == "kernel");
    let stated = stated.unwrap_or_else(|| panic!("{manifest:#}"))["what"].as_str().expect("text");
    assert!(line.contains(stated), "{line}");
    assert!(text(&analyze(&["info"], &dir).stdout).contains(stated));
    says(
        "a kernel that refuses a program of the recorder",
        "recorded without it; \"the kernel refuses the program ...\", the verifier's reason and how many \
         variables are missing or less exact, on stderr, in the manifest and in `check`",
    );
}

#[test]
fn a_request_that_needs_a_refused_program_is_an_error() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let dir = scratch.path().join("run");
    let path = dir.to_str().expect("UTF-8");
    let arguments = ["-o", path, "--duration", "100ms", "--interface", "lo"];
    let output = run("interface_out", &arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--interface") && said.contains("interface_out"), "{said}");
    assert!(!dir.exists(), "nothing is left behind");
    // Without this program no connection would ever begin.
    let output = run("set_state", &["-o", path, "--duration", "100ms"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
