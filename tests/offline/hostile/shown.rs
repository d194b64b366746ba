// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Text of others, wherever it is shown: it does not control a terminal, does not run in a report, and is no formula.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::forged::Forged;
use crate::common::{MS, T0, clock, manifest, packet};
use estats::log::{
    Derivation, Host, Interface, Manifest, Namespace, NamespaceInterface, NotSeen, RecordOptions,
};
use estats::schema::{Hook, Op, Var};
use estats::wire::Event;

/// A title and a colour for the terminal, a change of direction, an end of a line, an element and a quotation.
const TEXT: &str =
    "=1+1\x1b]0;owned\x07\x1b[31m\u{9b}2J\u{202e}\r\n</script><img src=x onerror=alert(1)>'\"&`";

/// Whether something is left that a terminal acts on. Lines end, and columns have tabs.
fn acts(text: &str) -> bool {
    let is_hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t') || matches!(c, '\u{202a}'..='\u{202e}')
    };
    text.contains(is_hidden)
}

/// A manifest with the text in every place that has text of others.
fn everywhere() -> Manifest {
    let text = || TEXT.to_owned();
    let base = manifest();
    let interface = NamespaceInterface { name: text(), qdisc: Some(text()), ..Default::default() };
    let settings = || [(text(), text()), ("net.ipv4.tcp_ecn".to_owned(), text())].into();
    Manifest {
        tool_version: text(),
        host: Host {
            hostname: text(),
            kernel_release: text(),
            kernel_version: text(),
            machine: text(),
            ..Host::default()
        },
        command: Some(vec![text(), text()]),
        options: RecordOptions {
            packets: true,
            interfaces: vec![text()],
            comms: vec![text()],
            cgroups: vec![text()],
            netns: vec![text()],
            snapshots_by: Some(text()),
            ..base.options.clone()
        },
        not_seen: vec![NotSeen { by: text(), what: text(), ..NotSeen::default() }],
        interfaces: vec![Interface {
            name: text(),
            netns: 7,
            index: 2,
            reason: Some(text()),
            ..Interface::default()
        }],
        sysctls: settings(),
        qdiscs: vec![text()],
        namespaces: vec![
            Namespace {
                netns: 7,
                sysctls: settings(),
                interfaces: vec![interface],
                ..Namespace::default()
            },
            Namespace { netns: 8, reason: Some(text()), ..Namespace::default() },
        ],
        derived: vec![Derivation { by: text(), of: vec![text()], ..Derivation::default() }],
        ..base
    }
}

/// A recording whose names are all that text, closed or not.
fn recording(run: &Path, closed: bool) {
    let manifest = everywhere();
    let mut forged = Forged::new(run, &manifest);
    let named = |l: &mut estats::wire::Lifecycle| {
        (l.comm, l.cgroup_path, l.congestion) = (TEXT.into(), format!("/{TEXT}"), TEXT.into());
    };
    forged.lifecycle_of(T0, Event::Open, named);
    forged.ops(T0 + MS, Hook::SetState, &[(Var::State, Op::Set, 5)]);
    for i in 0..20 {
        let at = T0 + (2 + i) * MS;
        let octets = (Var::HCThruOctetsAcked, Op::Add, 100_000);
        forged.ops(at, Hook::TcpProbe, &[octets, (Var::SegsRetrans, Op::Add, 1)]);
        forged.packet(packet(2 + i, Hook::InterfaceOut, (100 + i as u32, 901), 16, 100));
    }
    forged.lifecycle_of(T0 + 30 * MS, Event::Close, named);
    forged.writer.drained(T0 + 30 * MS).expect("a mark");
    if closed {
        forged.finish(manifest, clock(T0 + 30 * MS));
    }
}

fn run_of(arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_estats-analyze"));
    let output = command.args(arguments).output().expect("estats-analyze");
    assert_ne!(output.status.code(), None, "{arguments:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const COMMANDS: &[&[&str]] = &[
    &["info"],
    &["info", "--json"],
    &["verify"],
    &["verify", "--json"],
    &["summary"],
    &["summary", "--json"],
    &["summary", "--group", "process"],
    &["summary", "--group", "cgroup"],
    &[],
    &["events"],
    &["events", "--format", "jsonl"],
    &["flows"],
    &["rtt"],
    &["audit"],
    &["replay"],
    &["replay", "--json"],
    &["export", "--format", "web10g-logger"],
    &["export", "--format", "web10g-readvars"],
    &["export", "--format", "mlab-jsonl"],
];

#[test]
fn no_command_hands_control_characters_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut wrong = Vec::new();
    for (name, closed) in [("closed", true), ("cut", false)] {
        let run = dir.path().join(name);
        recording(&run, closed);
        let run = run.to_str().expect("UTF-8");
        for arguments in COMMANDS {
            let all = [*arguments, &[run]].concat();
            let (stdout, stderr) = run_of(&all);
            for (which, text) in [("stdout", &stdout), ("stderr", &stderr)] {
                if acts(text) {
                    let line = text.lines().find(|line| acts(line)).unwrap_or_default();
                    wrong.push(format!("{name} {arguments:?} {which}: {line:?}"));
                }
            }
        }
        let (stdout, stderr) = run_of(&["diff", run, run]);
        if acts(&stdout) || acts(&stderr) {
            wrong.push(format!("{name} diff: {stdout:?} {stderr:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_of_others_runs_in_a_report() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    recording(&run, true);
    let run = run.to_str().expect("UTF-8");
    let report = dir.path().join("report.html");
    let diff = dir.path().join("diff.html");
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    run_of(&["report", run, "-o", &path(&report)]);
    run_of(&["diff", run, run, "--html", &path(&diff)]);
    for page in [&report, &diff] {
        let page = fs::read_to_string(page).expect("a page");
        assert!(page.contains("owned"), "the names are in it");
        assert!(!page.contains("<img"), "an element of others");
        assert!(!acts(&page));
        let scripts = page.matches("</script").count();
        assert_eq!(scripts, page.matches("<script").count(), "an end of a script of others");
        assert!(page.contains("Content-Security-Policy"));
    }
}

/// The cells of CSV, and of a record the quoted ones without their quotes.
fn cells(text: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' | '\n' if !quoted => cells.push(std::mem::take(&mut cell)),
            c => cell.push(c),
        }
    }
    cells
}

#[test]
fn no_cell_of_csv_is_a_formula() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = dir.path().join("run");
    recording(&run, true);
    let run = run.to_str().expect("UTF-8");
    for arguments in [
        &["export", "--format", "csv", "--table", "connections"][..],
        &["export", "--format", "operations", "--encoding", "csv"],
        &["events", "--format", "csv"],
    ] {
        let (stdout, stderr) = run_of(&[arguments, &[run]].concat());
        assert!(stdout.lines().count() > 1, "{arguments:?}: {stderr}");
        let formula = cells(&stdout).into_iter().find(|cell| {
            cell.starts_with(['=', '@'])
                || (cell.starts_with(['+', '-']) && cell.parse::<f64>().is_err())
        });
        assert_eq!(formula, None, "{arguments:?}");
    }
}
