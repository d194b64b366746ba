// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Namespaces and processes that the recorder cannot inspect: it reports what it misses there, and
//! records what its hooks see.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Command, Stdio};

use crate::SUITE;
use crate::run::{Finished, Recorder, analyze};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{Process, listen, open, talk};

const NEEDS: Needs = Needs { programs: &["perl", "unshare", "setpriv"], ..Needs::BPF };

/// The line on standard error about what is missing there, which the manifest, `info` and `summary`
/// have, too.
#[track_caller]
fn not_seen(finished: &Finished, word: &str) -> String {
    let lines = finished.stderr.lines().filter_map(|line| line.strip_prefix("not seen: "));
    let found: Vec<_> = lines.filter(|line| line.contains(word)).collect();
    assert_eq!(found.len(), 1, "{word}: {}", finished.stderr);
    let kept = finished.manifest()["not_seen"].clone();
    let kept = kept.as_array().expect("not_seen");
    assert!(kept.iter().any(|it| it["what"] == found[0]), "{kept:?}");
    for subcommand in ["info", "summary"] {
        let output = analyze(&[subcommand], &finished.dir);
        let shown = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(shown.contains(found[0]), "{subcommand}: {shown}");
    }
    found[0].to_owned()
}

#[test]
fn a_namespace_that_cannot_be_entered_is_named() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = Netns::new("closed");
    let inode = std::fs::metadata(format!("/run/netns/{}", netns.name())).unwrap().ino();
    let listener = listen(&netns);
    let before = open(&netns, &listener);
    let recorder = Recorder::under(
        &["setpriv", "--bounding-set", "-sys_admin"],
        &["--netns", netns.name(), "--snapshots", "50ms"],
    );
    let local = talk(&netns, &listener, 200_000);
    let kept = open(&netns, &listener);
    kept.upload(70_000);
    before.upload(1000);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let finished = recorder.stop();
    finished.assert_code(0);
    finished.assert_account();
    let text = not_seen(&finished, "CAP_SYS_ADMIN");
    assert!(text.contains(&inode.to_string()), "{text}");
    let rows = finished.connections();
    let of = |local| rows.iter().find(|row| row.local() == local);
    let row = of(local).expect("opened and closed while recording");
    assert_eq!(row.completeness(), "complete");
    assert_eq!(row.values.int("HCThruOctetsAcked"), 200_002);
    let open = of(kept.client.local()).expect("still open");
    assert_eq!(open.completeness(), "ended_after");
    assert!(of(before.client.local()).is_none(), "open before: {rows:?}");
    trust::says(
        "without CAP_SYS_ADMIN",
        &format!(
            "new connections of every network namespace are recorded ({}; {} if open at the end); \
             `not seen` names the namespaces whose earlier connections are missing",
            row.completeness(),
            open.completeness()
        ),
    );
}

/// A command's connections are in namespaces of its making; but interfaces are everybody's.
#[test]
fn interfaces_of_namespaces_that_cannot_be_entered_are_named() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = Netns::new("interfaces");
    let inode = std::fs::metadata(format!("/run/netns/{}", netns.name())).unwrap().ino();
    let without = ["setpriv", "--bounding-set", "-sys_admin"];
    let finished = Recorder::under(&without, &["--interface", "all", "--", "true"]).wait();
    finished.assert_code(0);
    let text = not_seen(&finished, "CAP_SYS_ADMIN");
    assert!(text.contains("packets of all interfaces"), "{text}");
    assert!(text.contains(&inode.to_string()) || text.contains("more"), "{text}");
    let own = finished.manifest()["interfaces"].clone();
    let own = own.as_array().expect("interfaces");
    assert!(own.iter().any(|i| i["name"] == "lo"), "the recorder's own are there: {own:?}");
    let finished = Recorder::under(&without, &["--", "true"]).wait();
    finished.assert_code(0);
    assert!(!finished.stderr.contains("CAP_SYS_ADMIN"), "{}", finished.stderr);
}

/// A process in a network namespace without a name, with both ends of a connection in it.
fn nameless() -> Process {
    let program = "use Socket; socket(my $l, PF_INET, SOCK_STREAM, 0); \
         bind($l, pack_sockaddr_in(0, INADDR_LOOPBACK)) or die $!; listen($l, 5); \
         socket(my $c, PF_INET, SOCK_STREAM, 0); \
         connect($c, getsockname($l)) or die $!; accept(my $s, $l); \
         $| = 1; print \"open\\n\"; <STDIN>";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", "ip link set lo up && exec perl -e \"$0\"", program]);
    let mut process =
        Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare"));
    let mut line = String::new();
    let stdout = process.0.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "open\n");
    process
}

#[test]
fn processes_whose_namespace_cannot_be_read_are_named() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let process = nameless();
    let pid = process.0.id().to_string();
    // All capabilities: it is found, and its connection is recorded.
    let finished = Recorder::start(&["--duration", "100ms"]).wait();
    finished.assert_code(0);
    assert!(!finished.stderr.contains(&pid), "{}", finished.stderr);
    let owners = |finished: &Finished| {
        let rows = finished.connections();
        rows.iter().filter(|row| row.identity.number("pid") == pid.parse().ok()).count()
    };
    assert_eq!(owners(&finished), 2, "both ends");
    let without = ["setpriv", "--bounding-set", "-sys_ptrace"];
    let finished = Recorder::under(&without, &["--duration", "100ms"]).wait();
    finished.assert_code(0);
    let text = not_seen(&finished, "CAP_SYS_PTRACE");
    assert!(text.split([' ', ',', ':']).any(|word| word == pid), "{pid}: {text}");
    assert_eq!(owners(&finished), 0);
    trust::says(
        "without CAP_SYS_PTRACE",
        &format!(
            "connections that were open before in namespaces of other processes are {}; `not seen` \
             names the processes",
            if owners(&finished) == 0 { "missing" } else { "there" }
        ),
    );
}

#[test]
fn processes_hidden_from_proc_are_reported() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let pids = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let output = crate::run::command(&pids).arg("check").output().expect("estats-record");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("not seen: ") && shown.contains("outside this PID"), "{shown}");
    let script = "mount -t proc -o hidepid=2 proc /proc && \
         exec setpriv --bounding-set -sys_ptrace \"$@\"";
    let hidden = ["unshare", "--mount", "sh", "-c", script, "sh"];
    let finished = Recorder::under(&hidden, &["--duration", "100ms"]).wait();
    finished.assert_code(0);
    let text = not_seen(&finished, "hidepid=");
    trust::says(
        "processes hidden: a PID namespace, or /proc with hidepid",
        &format!(
            "new connections are recorded; {} are `not seen`",
            text.split(" in network").next().expect("a first part")
        ),
    );
}
