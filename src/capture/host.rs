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

/// Major and minor of the running kernel; zeros if its release says no such thing.
pub(super) fn release() -> (u32, u32) {
    let release = host().kernel_release;
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
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
