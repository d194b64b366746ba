// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The capabilities of this process, whether they count for the kernel, and what it costs to lack one.

use std::{fs, os::unix::fs::MetadataExt as _};

use serde::Serialize;

use super::host;

/// A capability, by its number in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    DacReadSearch = 2,
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    SysResource = 24,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    /// Those that make a difference to the recorder.
    const ALL: [Self; 7] = [
        Self::Bpf,
        Self::Perfmon,
        Self::NetAdmin,
        Self::SysAdmin,
        Self::SysPtrace,
        Self::DacReadSearch,
        Self::SysResource,
    ];

    /// The name in capabilities(7).
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }

    /// What is impossible here without it; none if nothing depends on it.
    fn cost(self) -> Option<&'static str> {
        let admin = has(Self::SysAdmin);
        match self {
            Self::Bpf | Self::Perfmon if admin => None,
            Self::Bpf => Some("no BPF program can be loaded"),
            Self::Perfmon => {
                Some("no program can read the kernel's memory, so nothing is recorded")
            }
            Self::NetAdmin => Some(
                "hooks at cgroups and interfaces may be missing, and polls by netlink have no \
                 mark and no upper layer protocol",
            ),
            Self::SysAdmin => Some(
                "other network namespaces cannot be entered, the kernel does not show the type \
                 information of its modules, and cgroup v2 must be mounted",
            ),
            Self::SysPtrace => {
                Some("network namespaces that only processes of others lead to are not found")
            }
            Self::DacReadSearch => Some(
                "paths of cgroups are not known, and in a separate cgroup namespace there are no hooks at \
                 cgroups",
            ),
            Self::SysResource => memory_is_locked()
                .then_some("the memory of BPF is bounded by RLIMIT_MEMLOCK (before Linux 5.11)"),
        }
    }
}

/// A capability that this process does not have, though something depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissingCapability {
    /// Its name in capabilities(7).
    pub capability: &'static str,
    /// What is impossible without it.
    pub costs: &'static str,
}

/// The capabilities that are missing, and what each costs.
pub(super) fn missing() -> Vec<MissingCapability> {
    let missing = Capability::ALL.into_iter().filter(|capability| !has(*capability));
    let costly =
        missing.filter_map(|c| Some(MissingCapability { capability: c.name(), costs: c.cost()? }));
    costly.collect()
}

/// Whether this process has the capability in force.
pub(super) fn has(capability: Capability) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|all| all >> capability as u32 & 1 == 1)
}

/// The capabilities that loading programs takes and that are missing. CAP_SYS_ADMIN has what the
/// others were made of (Linux 5.8).
pub(super) fn missing_for_bpf() -> Vec<&'static str> {
    if has(Capability::SysAdmin) {
        return Vec::new();
    }
    let needed = [Capability::Bpf, Capability::Perfmon];
    needed.into_iter().filter(|c| !has(*c)).map(Capability::name).collect()
}

/// Whether the kernel loads programs for cgroups and interfaces (`is_net_admin_prog_type()` of
/// kernel/bpf/syscall.c).
pub(super) fn suffice_for_network_programs() -> bool {
    has(Capability::NetAdmin) || has(Capability::SysAdmin)
}

/// Whether BPF's memory is charged to RLIMIT_MEMLOCK (before Linux 5.11), which only CAP_SYS_RESOURCE
/// can raise beyond its bound.
pub(super) fn memory_is_locked() -> bool {
    host::release() < (5, 11)
}

/// Why this kernel refuses kprobes, which perf_event_open(2) attaches, to a process without CAP_SYS_ADMIN.
/// Mainline has no step of this sysctl beyond 2; Debian's and Ubuntu's kernels have, and theirs is 3 or 4.
pub(super) fn obstacle_to_kprobes() -> Option<String> {
    let level = fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").ok()?;
    let level = level.trim().parse::<i32>().ok().filter(|level| *level > 2)?;
    (!has(Capability::SysAdmin)).then(|| {
        format!(
            "kernel.perf_event_paranoid is {level}, with which kprobes take CAP_SYS_ADMIN; with 2 \
             they take CAP_PERFMON"
        )
    })
}

/// Inode number of the initial user namespace (PROC_USER_INIT_INO, include/linux/proc_ns.h).
const PROC_USER_INIT_INO: u64 = 0xefff_fffd;

/// Whether capabilities are those of a user namespace alone, and count for nothing else.
pub(super) fn are_of_a_user_namespace() -> bool {
    fs::metadata("/proc/self/ns/user").is_ok_and(|meta| meta.ino() != PROC_USER_INIT_INO)
}
