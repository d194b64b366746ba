// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Requests that cannot be recorded give one sentence and status 2, and leave nothing behind.

use std::process::Output;

use crate::SUITE;
use crate::run::{command, scratch};
use crate::support::gate::{self, Needs};
use crate::support::netns::Netns;

/// Runs the recorder to its end.
fn run(prefix: &[&str], arguments: &[&str]) -> Output {
    let mut command = command(prefix);
    command.args(arguments).output().expect("estats-record can be started")
}

/// Panics unless it failed with status 2 and one line that begins as errors do and holds `words`.
fn assert_refused(output: &Output, words: &[&str]) {
    assert_refused_with(2, output, words);
}

fn assert_refused_with(code: i32, output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.starts_with("estats-record: "), "{said}");
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    assert!(said.matches("(os error").count() < 2, "the cause is said once: {said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is missing: {said}");
    }
}

#[test]
fn an_output_that_exists_is_left_alone() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let file = scratch.path().join("precious");
    std::fs::write(&file, "data").unwrap();
    for output in [scratch.path(), file.as_path()] {
        let output = output.to_str().unwrap();
        let refused = run(&[], &["-o", output, "--duration", "1s"]);
        assert_refused(&refused, &["output exists", output, "-o"]);
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "data");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn without_privilege_the_error_names_missing_capabilities() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["setpriv", "unshare"], ..Needs::BPF })
    else {
        return;
    };
    // The user `nobody` may not even enter the build directory: it gets a copy that it can run.
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let program = scratch.path().join("estats-record");
    std::fs::copy(env!("CARGO_BIN_EXE_estats-record"), &program).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(scratch.path(), open).unwrap();
    let output = scratch.path().join("run");
    for arguments in [&["check"][..], &["-o", output.to_str().unwrap(), "--", "true"]] {
        let refused = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args(arguments)
            .output()
            .expect("setpriv can be started");
        assert_refused(&refused, &["CAP_BPF", "as root"]);
    }
    assert!(!output.exists(), "nothing is left behind");
    // Root that is none: without the capabilities, and with those of a user namespace alone.
    let refused = run(&["setpriv", "--bounding-set", "-all"], &["check"]);
    assert_refused(&refused, &["CAP_BPF"]);
    let refused = run(&["unshare", "--user", "--map-root-user"], &["check"]);
    assert_refused(&refused, &["user namespace"]);
}

#[test]
fn a_filter_must_name_something_that_exists() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let output = scratch.path().join("run");
    // Larger than any process id (PID_MAX_LIMIT is 2^22).
    for (option, value, words) in [
        ("--netns", "estats-no-such", "`ip netns` lists the names"),
        ("--netns", "/etc/hostname", "is not a network namespace"),
        ("--cgroup", "/estats-no-such", "No such file"),
        ("--pid", "4194305", "no such process"),
    ] {
        let refused =
            run(&[], &["-o", output.to_str().unwrap(), "--duration", "1s", option, value]);
        assert_refused(&refused, &[option, value, words]);
        assert!(!output.exists(), "nothing is left behind");
    }
}

#[test]
fn invalid_arguments_are_refused_first() {
    for (option, value) in [
        ("--addr", "10.0.0.0/33"),
        ("--addr", "localhost"),
        ("--addr", "fe80::/129"),
        ("--port", "65536"),
        ("--pid", "-1"),
        ("--duration", "soon"),
        ("--duration", "0s"),
        ("--max-size", "1X"),
        ("--max-size", "0"),
        ("--keep", "0s"),
        ("--keep", "10"),
        ("--rotate", "10 parsecs"),
        ("--resolution", "fast"),
        ("--ring", "3G"),
        ("--ring", "1000000G"),
        ("--packet-ring", "3G"),
        ("--digest-bytes", "1501"),
        ("--attach", "glue"),
    ] {
        let output = run(&[], &[&format!("{option}={value}"), "--quiet"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option} {value}: {said}");
        assert!(said.contains(value) && said.contains(option), "{option} {value}: {said}");
    }
}

/// 127 and 126 as of env(1), nohup(1) and shells.
#[test]
fn a_command_that_cannot_be_started_leaves_no_recording() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let (new, empty) = (scratch.path().join("new"), scratch.path().join("empty"));
    std::fs::create_dir(&empty).unwrap();
    let plain = scratch.path().join("plain");
    std::fs::write(&plain, "no program").unwrap();
    let plain = plain.to_str().unwrap();
    for output in [&new, &empty] {
        for (program, code) in
            [("/no/such/program", 127), ("nosuchcommand", 127), (plain, 126), ("/etc", 126)]
        {
            let refused = run(&[], &["-q", "-o", output.to_str().unwrap(), "--", program]);
            assert_refused_with(
                code,
                &refused,
                &[&format!("cannot run {program}"), "nothing was recorded"],
            );
        }
    }
    assert!(!new.exists(), "a directory made for it is removed");
    assert_eq!(std::fs::read_dir(&empty).unwrap().count(), 0, "one that was there is as it was");
}

#[test]
fn type_information_can_come_from_a_file() {
    let Some(_turn) = gate::enter(SUITE, Needs::BPF) else { return };
    let scratch = scratch();
    let file = scratch.path().join("kernel.btf");
    std::fs::copy("/sys/kernel/btf/vmlinux", &file).expect("the kernel's BTF");
    let file = file.to_str().expect("UTF-8");
    let own = run(&[], &["check", "--json"]);
    let given = run(&[], &["check", "--json", "--btf", file]);
    assert_eq!((own.status.code(), given.status.code()), (Some(0), Some(0)));
    assert_eq!(String::from_utf8_lossy(&own.stdout), String::from_utf8_lossy(&given.stdout));
    let output = scratch.path().join("run");
    let output = output.to_str().expect("UTF-8");
    let recorded = run(&[], &["-o", output, "--btf", file, "--", "true"]);
    assert_eq!(recorded.status.code(), Some(0), "{}", String::from_utf8_lossy(&recorded.stderr));
    // It is read, not only named.
    std::fs::write(file, "no BTF").expect("the copy can be written");
    let refused = run(&[], &["-o", output, "--btf", file]);
    assert_refused(&refused, &["--btf", file, "no type information of a kernel"]);
}

#[test]
fn missing_sysfs_and_missing_btf_give_different_errors() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["unshare"], ..Needs::BPF }) else {
        return;
    };
    let script = "umount -l /sys && exec \"$@\"";
    let refused = run(&["unshare", "--mount", "sh", "-c", script, "sh"], &["check"]);
    assert_refused(&refused, &["sysfs is not mounted"]);
}

#[test]
fn packets_that_cannot_be_recorded_leave_no_empty_stream() {
    let Some(_turn) = gate::enter(SUITE, Needs { programs: &["setpriv"], ..Needs::BPF }) else {
        return;
    };
    // Inside, sysfs is mounted anew, and cgroup v2 is not there. Who may not mount it has none.
    let netns = Netns::new("nocgroup");
    let inside = ["ip", "netns", "exec", netns.name(), "setpriv", "--bounding-set", "-sys_admin"];
    let refused = run(&inside, &["-q", "--packets"]);
    assert_refused(&refused, &["--packets", "cgroup v2 is not mounted", "privately"]);
    let refused = run(&[], &["-q", "--interface", "no/name"]);
    assert_refused(&refused, &["--interface no/name", "ip link"]);
}
