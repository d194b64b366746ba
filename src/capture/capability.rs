//! The capabilities of this process, and whether they count for the kernel.

use std::{fs, os::unix::fs::MetadataExt as _};

/// A capability, by its number in include/uapi/linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capability {
    NetAdmin = 12,
    SysPtrace = 19,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

impl Capability {
    /// The name in capabilities(7).
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

/// Whether this process has the capability in force.
pub(super) fn has(capability: Capability) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|all| all >> capability as u32 & 1 == 1)
}

/// Whether BPF programs can be loaded and attached; CAP_SYS_ADMIN has what the others were made of
/// (Linux 5.8).
pub(super) fn suffice_for_bpf() -> bool {
    let all = |list: &[Capability]| list.iter().all(|capability| has(*capability));
    has(Capability::NetAdmin)
        && (has(Capability::SysAdmin) || all(&[Capability::Bpf, Capability::Perfmon]))
}

/// Inode number of the initial user namespace (PROC_USER_INIT_INO, include/linux/proc_ns.h).
const PROC_USER_INIT_INO: u64 = 0xefff_fffd;

/// Whether capabilities are those of a user namespace alone, and count for nothing else.
pub(super) fn are_of_a_user_namespace() -> bool {
    fs::metadata("/proc/self/ns/user").is_ok_and(|meta| meta.ino() != PROC_USER_INIT_INO)
}
