// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Conditions that limit what the recorder sees: it still sees everything, or reports what it does not
//! see.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::SUITE;
use crate::run::{Connection, Finished, Recorder, analyze, command};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;
use crate::support::trust;
use crate::traffic::{Process, listen, perl, talk};

const NEEDS: Needs = Needs { programs: &["perl", "unshare", "setpriv"], ..Needs::BPF };

/// A cgroup of version 2 below the host's root, and what it takes to start a program in it.
struct Container {
    mount: PathBuf,
    cgroup: PathBuf,
}

impl Container {
    fn new(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc/self/mounts");
        let mut lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = lines.find(|line| line[2] == "cgroup2").expect("cgroup v2 is mounted")[1];
        let name = format!("estats-test-{}-{name}", std::process::id());
        let cgroup = Path::new(mount).join(name);
        fs::create_dir(&cgroup).expect("a cgroup");
        fs::create_dir(cgroup.join("below")).expect("a cgroup");
        Self { mount: mount.into(), cgroup }
    }

    /// The command that starts a program in a cgroup, and there `then`.
    fn enter(&self, below: &str, then: &str) -> Vec<String> {
        let procs = self.cgroup.join(below).join("cgroup.procs");
        let script = format!("echo $$ > {} && exec {then} \"$@\"", procs.display());
        ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec()
    }

    /// The command that starts a program as container engines do: with a separate cgroup namespace, its
    /// part of the hierarchy mounted in the place of the whole, and without some capabilities.
    fn start(&self, without: &str) -> Vec<String> {
        self.start_in("", without)
    }

    fn start_in(&self, below: &str, without: &str) -> Vec<String> {
        let mount = self.mount.display();
        let mut words = self.enter(below, "unshare --cgroup --mount");
        let script = format!(
            "umount {mount} && mount -t cgroup2 none {mount} && \
             exec setpriv --bounding-set {without} \"$@\""
        );
        words.extend(["sh", "-c", &script, "sh"].map(str::to_owned));
        words
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = fs::remove_dir(self.cgroup.join("below"));
        let _ = fs::remove_dir(&self.cgroup);
    }
}

/// The way to the host's hierarchy: by handle, or by a process that is in its namespace.
const BLIND: &str = "-dac_read_search,-sys_ptrace";

fn words(of: &[String]) -> Vec<&str> {
    of.iter().map(String::as_str).collect()
}

/// Records a connection of this test under a program that starts the recorder; its client's end.
fn record(prefix: &[&str], netns: &Netns) -> (Finished, Connection) {
    let recorder = Recorder::under(prefix, &["--netns", netns_path(netns).as_str()]);
    let listener = listen(netns);
    let local = talk(netns, &listener, 3_000_000);
    netns.wait_closed();
    let finished = recorder.stop();
    finished.assert_code(0);
    // The values that are there agree with tcp_info.
    let audit = analyze(&["audit"], &finished.dir);
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
    let client = of(&finished, local);
    (finished, client)
}

/// By path: names need not mean the same where the recorder is.
fn netns_path(netns: &Netns) -> String {
    format!("/run/netns/{}", netns.name())
}

fn of(finished: &Finished, local: SocketAddr) -> Connection {
    let mut rows = finished.connections();
    rows.retain(|row| row.local() == local);
    assert_eq!(rows.len(), 1, "{rows:?}\n{}", finished.stderr);
    rows.remove(0)
}

/// Variables of a manifest, or of `check --json`.
fn variables(of: &Json) -> Vec<(String, String)> {
    let word = |v: &Json, key: &str| v[key].as_str().expect("a word").to_owned();
    let list = of["variables"].as_array().expect("variables").iter();
    list.map(|v| (word(v, "name"), word(v, "quality"))).collect()
}

/// The output of `check` for this host, outside of any container.
fn outside() -> Json {
    let output = command(&[]).args(["check", "--json"]).output().expect("estats-record");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Values that only cgroup programs give, and how large they can be in such a transfer.
fn assert_seen(row: &Connection) {
    let values = &row.values;
    assert_eq!(row.completeness(), "complete", "{row:?}");
    let (min, max) = (values.int("MinRTT"), values.int("MaxRTT"));
    assert!(0 < min && min <= max && max < 10_000_000, "{min} {max}");
    assert!(values.int("MaxRwinSent") > 0 && values.int("CurRwinSent") > 0, "{values:?}");
}

#[test]
fn a_separate_cgroup_namespace_hides_nothing_from_hooks() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let container = Container::new("whole");
    let netns = Netns::new("whole");
    // By the handle of the root; and by a process that is in the initial cgroup namespace.
    for without in ["-sys_ptrace", "-dac_read_search"] {
        let (finished, row) = record(&words(&container.start(without)), &netns);
        assert_eq!(variables(&finished.manifest()), variables(&outside()), "without {without}");
        assert_seen(&row);
        assert!(!finished.stderr.contains("cgroup programs"), "{}", finished.stderr);
        let paths = finished.stderr.contains("not seen: paths of cgroups");
        assert_eq!(paths, row.identity.get("cgroup").is_none(), "{row:?}\n{}", finished.stderr);
        let seen = row.values.int("MaxRTT") < 10_000_000;
        trust::says(
            "container with a cgroup namespace of its own",
            &format!(
                "recorded as on the host ({}): the recorder attaches to the host's root, which it \
                 finds by its handle (CAP_DAC_READ_SEARCH) or by a process outside",
                if seen { row.completeness() } else { "wrong" }
            ),
        );
    }
}

#[test]
fn hooks_that_would_see_one_container_count_as_missing() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let container = Container::new("part");
    let netns = Netns::new("part");
    let (finished, row) = record(&words(&container.start(BLIND)), &netns);
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&container.cgroup).unwrap());
    let why = format!("only the sockets of cgroup {id}");
    assert!(finished.stderr.contains(&why), "{}", finished.stderr);
    // No variable that only these hooks give has a value, and none is called exact.
    let manifest = finished.manifest();
    let now = variables(&manifest);
    let missing: Vec<&str> =
        now.iter().filter(|(_, quality)| quality == "missing").map(|(n, _)| n.as_str()).collect();
    assert!(missing.contains(&"MaxRwinSent") && missing.len() > 20, "{missing:?}");
    for name in &missing {
        assert_eq!(row.values.number(name), None, "{name}");
    }
    if let Some(max) = row.values.number("MaxRTT") {
        assert!(max < 10_000_000, "{max}");
    }
    // stderr, manifest, info, summary and check agree.
    let line = finished.stderr.lines().find(|line| line.contains(&why)).expect("just seen");
    let text = line.strip_prefix("not seen: ").expect("it says so");
    let kept = manifest["not_seen"].as_array().expect("not_seen");
    let kept = kept.iter().find(|it| it["what"] == text).expect("the same in the manifest");
    for name in kept["variables"].as_array().expect("variables") {
        assert!(missing.contains(&name.as_str().expect("a name")), "{name}");
    }
    for subcommand in ["info", "summary"] {
        let output = analyze(&[subcommand], &finished.dir);
        let shown = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(shown.contains(text), "{subcommand}: {shown}");
    }
    let prefix = container.start(BLIND);
    let check = command(&words(&prefix)).arg("check").output().expect("estats-record");
    assert!(String::from_utf8_lossy(&check.stdout).contains(text), "{check:?}");
    let null = missing.iter().all(|name| row.values.number(name).is_none());
    trust::says(
        "container with a cgroup namespace of its own, host's root out of reach",
        &format!(
            "hooks at cgroups are not used: variables that only they give are {} and their quality \
             is missing; `not seen` on stderr, in `check`, `info` and `summary`",
            if null { "NULL" } else { "wrong" }
        ),
    );
}

/// Where the host's root is out of reach, and where it is not: paths are the container's.
#[test]
fn a_container_that_records_itself_alone_has_its_hooks() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    for (without, cgroup) in [(BLIND, "/"), ("-sys_resource", "/below")] {
        let container = Container::new("own");
        record_itself(&container, &container.start(without), cgroup);
    }
}

fn record_itself(container: &Container, prefix: &[String], cgroup: &str) {
    let netns = Netns::new("own");
    let listener = listen(&netns);
    let recorder = Recorder::under(&words(prefix), &["--cgroup", cgroup]);
    // One that this test makes, which is outside, and one of a process inside.
    let elsewhere = talk(&netns, &listener, 1000);
    let program = format!("c({}); <STDIN>", listener.address().port());
    let mut perl = perl(&netns, &program);
    let inside = container.enter("below", "");
    let mut command = Command::new(&inside[0]);
    command.args(&inside[1..]).arg(perl.get_program()).args(perl.get_args());
    perl = command;
    let mut process = Process::start(&mut perl);
    let accepted = listener.accept();
    process.release();
    let remote = accepted.remote();
    accepted.receive(5);
    accepted.receive_end();
    accepted.finish();
    netns.wait_closed();
    let finished = recorder.stop();
    finished.assert_code(0);
    let rows = finished.connections();
    assert_eq!(rows.iter().map(Connection::local).collect::<Vec<_>>(), [remote], "{elsewhere}");
    assert!(rows[0].values.int("MaxRwinSent") > 0, "{rows:?}");
    assert_eq!(variables(&finished.manifest()), variables(&outside()));
}

#[test]
fn a_private_mount_namespace_costs_no_variable() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = Netns::new("exec");
    let (finished, row) = record(&["ip", "netns", "exec", netns.name()], &netns);
    assert_eq!(variables(&finished.manifest()), variables(&outside()));
    assert_seen(&row);
    // Paths of cgroups need the hierarchy, too.
    assert!(row.identity.text("cgroup").starts_with('/'), "{row:?}");
    trust::says(
        "ip netns exec",
        &format!(
            "recorded as outside ({}): where cgroup v2 is not mounted, the recorder mounts it for \
             itself alone",
            row.completeness()
        ),
    );
}

#[test]
fn without_the_hierarchy_the_variables_are_named() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    let netns = Netns::new("nomount");
    let inside = ["ip", "netns", "exec", netns.name(), "setpriv", "--bounding-set", "-sys_admin"];
    let output = command(&inside).arg("check").output().expect("estats-record");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.contains("not seen: ") && shown.contains("mounted privately"), "{shown}");
}

/// A program of another's that has a place for itself alone.
struct Foreign {
    _program: std::os::fd::OwnedFd,
}

impl Foreign {
    /// Attaches a program that lets everything pass, without BPF_F_ALLOW_MULTI.
    fn attach(cgroup: &Path) -> Self {
        use libbpf_rs::libbpf_sys::{
            BPF_CGROUP_INET_EGRESS, BPF_PROG_TYPE_CGROUP_SKB, bpf_insn, bpf_prog_attach,
            bpf_prog_load,
        };
        use std::os::fd::{AsRawFd as _, FromRawFd as _};
        // r0 = 1; exit
        let mut code: [bpf_insn; 2] = [bpf_insn { code: 0xb7, ..Default::default() }; 2];
        (code[0].imm, code[1].code) = (1, 0x95);
        // SAFETY: names and instructions outlive the call.
        let program = unsafe {
            let (name, license) = (c"estats_foreign", c"GPL");
            let fd = bpf_prog_load(
                BPF_PROG_TYPE_CGROUP_SKB,
                name.as_ptr(),
                license.as_ptr(),
                code.as_ptr(),
                code.len() as _,
                std::ptr::null_mut(),
            );
            assert!(fd >= 0, "bpf_prog_load: {fd}");
            std::os::fd::OwnedFd::from_raw_fd(fd)
        };
        let dir = fs::File::open(cgroup).expect("the cgroup");
        // SAFETY: both descriptors are open.
        let attached = unsafe {
            bpf_prog_attach(program.as_raw_fd(), dir.as_raw_fd(), BPF_CGROUP_INET_EGRESS, 0)
        };
        assert_eq!(attached, 0, "bpf_prog_attach");
        Self { _program: program }
    }
}

/// At the cgroup itself, at one above, and at one below. Not at the host's root: other recorders
/// may be there.
#[test]
fn an_exclusive_program_of_another_tool_is_named() {
    let Some(_turn) = gate::enter(SUITE, NEEDS) else { return };
    for (foreign, own) in [("", ""), ("", "below"), ("below", "")] {
        let container = Container::new("foreign");
        // It goes with the cgroup.
        let _foreign = Foreign::attach(&container.cgroup.join(foreign));
        let prefix = container.start_in(own, BLIND);
        let scratch = crate::run::scratch();
        let dir = scratch.path().join("run");
        let output = command(&words(&prefix))
            .args(["-q", "--cgroup", "/", "--duration", "100ms", "-o"])
            .arg(&dir)
            .output()
            .expect("estats-record");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{said}");
        let line = said.lines().find(|line| line.contains("estats_foreign"));
        if own.is_empty() && foreign == "below" {
            // Our programs still run for the cgroups below.
            assert_eq!(line, None);
            continue;
        }
        let line = line.unwrap_or_else(|| panic!("{said}"));
        for word in ["not seen: ", "os error 1", "BPF_F_ALLOW_MULTI", "variables"] {
            assert!(line.contains(word), "{word}: {line}");
        }
        let shown = String::from_utf8(analyze(&["summary"], &dir).stdout).expect("UTF-8");
        assert!(shown.contains(line), "{shown}");
        let only = line.contains("because the hook egress is missing:");
        trust::says(
            "a cgroup program of another tool, attached without BPF_F_ALLOW_MULTI",
            &format!(
                "{} are missing (NULL); stderr, `info` and `summary` name the program and the error",
                if only { "the variables that only `egress` gives" } else { "more variables" }
            ),
        );
    }
}
