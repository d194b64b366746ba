// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Facts about the machine that a reader of the recording needs.

use std::{collections::BTreeMap, ffi::CStr, fs, process::Command};

use super::clock;
use crate::log::Host;

/// Machine and kernel; `hz` is added by the loader that measures it.
pub(super) fn host() -> Host {
    // SAFETY: an all-zero utsname is valid, and uname() fills it with C strings.
    let uts = unsafe {
        let mut uts: libc::utsname = std::mem::zeroed();
        libc::uname(&raw mut uts);
        uts
    };
    // SAFETY: the kernel terminates every field.
    let text = |field: &[libc::c_char]| unsafe {
        CStr::from_ptr(field.as_ptr()).to_string_lossy().into_owned()
    };
    Host {
        hostname: text(&uts.nodename),
        kernel_release: text(&uts.release),
        kernel_version: text(&uts.version),
        machine: text(&uts.machine),
        cpus: libbpf_rs::num_possible_cpus().unwrap_or(0) as u32,
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        cgroup_v2: super::cgroup::mount().map(|m| m.display().to_string()),
        hz: None,
        time_offset_ns: Some(clock::offset_ns()).filter(|ns| *ns != 0),
    }
}

/// Major and minor of the running kernel; zeros if its release has no such numbers.
pub(super) fn release() -> (u32, u32) {
    let release = host().kernel_release;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Whether an iterator over TCP sockets holds each one's lock: bpf_iter_tcp_seq_show(), since 5.15.
pub(super) fn iterators_lock() -> bool {
    release() >= (5, 15)
}

/// Numbers of the CPUs that there can be, as the kernel writes them: "0-3" or "0-2,4-7".
pub(super) fn possible_cpus() -> String {
    read("/sys/devices/system/cpu/possible")
}

/// Whether these numbers of CPUs are not one range from 0 on.
pub(super) fn has_gaps(numbers: &str) -> bool {
    numbers.contains(',') || !(numbers.is_empty() || numbers.starts_with('0'))
}

/// Whether tcp_tso_should_defer() awaits no ACK that is further away than a millisecond: "tcp: fix
/// tcp_tso_should_defer() vs large RTT", in Linux 6.18 and in the stable releases of October 2025. Type
/// information does not show it, and nothing that a program could see before it is too late.
pub(super) fn defers_by_ms() -> bool {
    let host = host();
    // Debian's release has a number of the ABI where others have the patch level, and its version has
    // "Debian 6.1.158-1".
    let debian = host.kernel_version.split_once("Debian ").map(|(_, version)| version.to_owned());
    has_near_acks(&debian.unwrap_or(host.kernel_release))
}

fn has_near_acks(version: &str) -> bool {
    const STABLE: [[u32; 3]; 7] = [
        [5, 4, 301],
        [5, 10, 246],
        [5, 15, 196],
        [6, 1, 158],
        [6, 6, 115],
        [6, 12, 56],
        [6, 17, 6],
    ];
    let mut numbers = version.split(['.', '-', '+', '~', ' ']).map_while(|part| part.parse().ok());
    let [major, minor, patch] = [(); 3].map(|()| numbers.next().unwrap_or(0));
    (major, minor) >= (6, 18)
        || STABLE.iter().any(|at| (at[0], at[1]) == (major, minor) && patch >= at[2])
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default()
}

/// The sysctls that shape TCP, in the calling thread's network namespace.
pub(super) fn sysctls() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc/sys/net/ipv4").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // Some are write-only or secret (tcp_fastopen_key): neither belongs into a recording.
        if name.starts_with("tcp_")
            && !name.contains("key")
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.insert(
                format!("net.ipv4.{name}"),
                text.split_whitespace().collect::<Vec<_>>().join(" "),
            );
        }
    }
    for name in ["default_qdisc", "optmem_max", "rmem_max", "wmem_max"] {
        // Not every one is there in every namespace.
        let value = read(&format!("/proc/sys/net/core/{name}"));
        if !value.is_empty() {
            found.insert(format!("net.core.{name}"), value);
        }
    }
    found
}

/// Queueing disciplines of the calling thread's network namespace as `tc` prints them; empty where
/// there is no tc.
pub(super) fn qdiscs() -> Vec<String> {
    Command::new("tc").args(["qdisc", "show"]).output().map_or_else(
        |_| Vec::new(),
        |o| String::from_utf8_lossy(&o.stdout).lines().map(|l| l.trim().to_owned()).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stable_kernel_has_it_from_a_patch_level_on() {
        for (version, expected) in [
            ("5.4.0", false),
            ("6.1.153-1 (2025-09-20)", false),
            ("6.1.158-1 (2025-11-09)", true),
            ("6.12.107+deb13-cloud-amd64", true),
            ("6.14.0-33-generic", false),
            ("6.18.0-rc1", true),
            ("7.3.4+deb13-cloud-amd64", true),
            ("", false),
        ] {
            assert_eq!(has_near_acks(version), expected, "{version}");
        }
    }

    #[test]
    fn numbers_of_cpus_that_have_gaps() {
        assert!(["0", "0-1", "0-127", ""].iter().all(|numbers| !has_gaps(numbers)));
        assert!(["0-2,4-7", "1-3", "0,2"].iter().all(|numbers| has_gaps(numbers)));
    }
}
