// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Names and output directories chosen by others do no harm.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use crate::run::{Finished, Recorder, analyze};
use crate::support::gate;
use crate::support::gate::Needs;
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{listen, talk};
use crate::{PERL, SUITE};

/// A recording of a process that has given itself a name.
fn named(netns: &Netns, name: &str) -> Finished {
    let listener = listen(netns);
    let port = listener.address().port();
    let program = format!("{}$0 = {name}; c({port})", crate::traffic::PERL_CONNECT);
    let command = ["--", "ip", "netns", "exec", netns.name(), "perl", "-e", &program];
    let finished = Recorder::start(&command).wait();
    finished.assert_code(0);
    finished
}

fn stdout(arguments: &[&str], dir: &Path) -> String {
    let output = analyze(arguments, dir);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn names_of_processes_do_not_reach_the_terminal_as_they_are() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("names");
    let finished = named(&netns, r#""\e[2Jx\ny\x7f""#);
    let comm = "\x1b[2Jx\ny\x7f";
    assert_eq!(finished.connections()[0].identity.text("comm"), comm, "tables have it as it is");
    let dir = finished.dir.to_str().expect("UTF-8");
    let html = finished.dir.join("page.html");
    let html_arg = html.to_str().expect("UTF-8");
    let shown = r"\x1b[2Jx\ny\x7f";
    for arguments in
        [&["summary"][..], &["info"], &["diff", dir], &["summary", "--json"], &["audit", "--all"]]
    {
        let text = stdout(arguments, &finished.dir);
        let hidden = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(hidden), "{arguments:?}: {text:?}");
        if arguments == ["summary"] {
            assert!(text.contains(shown), "{text}");
            let lines = text.lines().filter(|l| l.contains(shown)).count();
            assert_eq!(lines, 1, "one line: {text}");
        }
    }
    stdout(&["report", "-o", html_arg], &finished.dir);
    let page = fs::read_to_string(&html).expect("the page");
    assert!(!page.contains('\x1b'), "no escape sequence in the page");
    trust::says(
        "a process name with escape sequences or a line end",
        &format!("as it is in the tables; shown as `{shown}`"),
    );
}

#[test]
fn names_of_processes_are_not_formulas() {
    let Some(_turn) = gate::enter(SUITE, PERL) else { return };
    let netns = Netns::new("formula");
    let finished = named(&netns, "'=1+1'");
    let csv = stdout(&["export", "--format", "csv", "--table", "connections"], &finished.dir);
    assert!(csv.contains(",'=1+1,"), "{csv}");
    let json = stdout(&["export", "--format", "jsonl", "--table", "connections"], &finished.dir);
    assert!(json.contains(r#""comm":"=1+1""#), "{json}");
}

/// Every file and directory with its permissions.
fn modes(dir: &Path, found: &mut Vec<(String, u32)>) {
    let meta = fs::symlink_metadata(dir).expect("it is there");
    found.push((dir.display().to_string(), meta.mode() & 0o7777));
    if meta.is_dir() {
        for entry in fs::read_dir(dir).expect("a directory").flatten() {
            modes(&entry.path(), found);
        }
    }
}

#[test]
fn a_recording_is_readable_only_by_its_owner() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let finished = Recorder::start(&["--packets", "--", "true"]).wait();
    finished.assert_code(0);
    stdout(&["replay"], &finished.dir);
    stdout(&["report"], &finished.dir);
    let mut found = Vec::new();
    modes(&finished.dir, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for (path, mode) in found {
        let expected = if Path::new(&path).is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path}: {mode:o}");
    }
}

#[test]
fn a_link_in_the_output_directory_is_not_followed() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let netns = Netns::new("link");
    let listener = listen(&netns);
    let scratch = crate::run::scratch();
    let precious = scratch.path().join("precious");
    fs::write(&precious, "data").unwrap();
    let output = scratch.path().join("run");
    // A directory of another user's, who puts the links there while the recorder begins.
    fs::create_dir(&output).unwrap();
    std::os::unix::fs::chown(&output, Some(65534), Some(65534)).expect("chown");
    let recorder = Recorder::into(output.clone(), &["--netns", netns.name()]);
    symlink(&precious, output.join("manifest.json.tmp")).unwrap();
    symlink(&precious, output.join("tables")).unwrap();
    talk(&netns, &listener, 10);
    let finished = recorder.stop();
    finished.assert_code(0);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    fs::remove_file(output.join("tables")).unwrap();
    fs::create_dir(output.join("tables")).unwrap();
    for name in ["connections.parquet", "manifest.json.tmp", "manifest.json"] {
        symlink(&precious, output.join("tables").join(name)).unwrap();
    }
    let replay = analyze(&["replay"], &output);
    assert!(replay.status.success(), "{}", String::from_utf8_lossy(&replay.stderr));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    trust::says(
        "an output directory of another user's, with links in it",
        "no link is followed: what it points to stays as it was",
    );
}
