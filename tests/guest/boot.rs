// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Guests that end too early. Emulated kernels crash at boot now and then (Linux 7.3 in `enqueue_timer`),
//! before any program of ours runs: run.sh starts them again. Whatever ends later is a failure.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::visit;

const KERNEL: &str = "5.10";
const QEMU: &str = "qemu-system-x86_64";

/// Runs the command in a guest. In its first `broken` starts the kernel finds no program to run, and panics. So
/// that only these starts are such, QEMU is started by a script, which gives it the last word on the kernel's
/// command line.
fn run(broken: usize, command: &str) -> Output {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = std::env::var_os("PATH").expect("programs are found");
    let dirs: Vec<_> = std::env::split_paths(&path).collect();
    let qemu = dirs.iter().map(|dir| dir.join(QEMU)).find(|file| file.is_file());
    let qemu = qemu.expect("it is one of the programs needed");
    let (qemu, starts) = (qemu.display(), scratch.path().join("starts"));
    let starts = starts.display();
    let script = format!(
        "#!/bin/sh\n\
         echo start >>'{starts}'\n\
         [ $(wc -l <'{starts}') -gt {broken} ] && exec '{qemu}' \"$@\"\n\
         exec '{qemu}' \"$@\" -append 'console=ttyS0 quiet panic=-1 rdinit=/nonexistent'\n"
    );
    let stand_in = scratch.path().join(QEMU);
    fs::write(&stand_in, script).expect("the directory is ours");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    let path = std::env::join_paths([scratch.path().to_owned()].into_iter().chain(dirs));
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/guest/run.sh"))
        .env("PATH", path.expect("they were in it"))
        .args(["--timeout", "300", KERNEL, command])
        .output()
        .expect("scripts/guest/run.sh can be started")
}

/// The status, the lines about further starts, and everything.
fn outcome(output: &Output) -> (Option<i32>, Vec<String>, String) {
    let console = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let again = visit::starts_again(&errors).map(str::to_owned).collect();
    (output.status.code(), again, format!("{console}{errors}"))
}

#[test]
fn a_guest_that_ends_at_boot_is_started_again() {
    let Some(_turn) = visit::enter_to_boot() else { return };
    let (status, again, all) = outcome(&run(1, "echo command of $(uname -r); exit 7"));
    assert_eq!(status, Some(7), "{all}");
    assert_eq!(again.len(), 1, "{all}");
    let release = all.lines().find_map(|line| line.trim_end().strip_prefix("command of "));
    let release = release.unwrap_or_else(|| panic!("the command ran: {all}"));
    assert!(again[0].contains(&format!("Linux {release} ")), "{all}");
    assert_eq!(all.matches("Kernel panic").count(), 1, "{all}");
}

#[test]
fn a_guest_that_ends_at_every_boot_is_a_failure() {
    let Some(_turn) = visit::enter_to_boot() else { return };
    let (status, again, all) = outcome(&run(99, "echo command"));
    assert_eq!((status, again.len()), (Some(125), 2), "{all}");
    assert_eq!(all.matches("Kernel panic").count(), 3, "{all}");
}

#[test]
fn a_guest_that_ends_after_its_boot_is_a_failure() {
    let Some(_turn) = visit::enter_to_boot() else { return };
    let (status, again, all) = outcome(&run(0, "echo c >/proc/sysrq-trigger; sleep 60"));
    assert_eq!((status, again.len()), (Some(125), 0), "{all}");
    assert!(all.contains(", booted in ") && all.contains("Kernel panic"), "{all}");
}
