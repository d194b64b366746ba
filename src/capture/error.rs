// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Why recording is not possible, in sentences that name the cause. What helps is known to the programs.

use std::{io, path::PathBuf};

use crate::log::LogError;

/// What can be set of a recording, and can be wrong: members of [`CaptureOptions`](super::CaptureOptions) and
/// [`Filters`](super::Filters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// How the recorder gets at the kernel.
    HookSet,
    /// How records leave the kernel.
    Transport,
    /// The file that has the kernel's type information.
    Btf,
    /// Processes.
    Pid,
    /// cgroups.
    Cgroup,
    /// Network namespaces.
    Netns,
    /// How sockets are polled.
    SnapshotsBy,
    /// Packets at sockets.
    Packets,
    /// Packets at interfaces.
    Interface,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HookSet => "hook set",
            Self::Transport => "transport",
            Self::Btf => "file of BTF",
            Self::Pid => "process",
            Self::Cgroup => "cgroup",
            Self::Netns => "network namespace",
            Self::SnapshotsBy => "snapshots by",
            Self::Packets => "packets at sockets",
            Self::Interface => "interface",
        })
    }
}

/// An obstacle to recording.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Neither root nor the capabilities.
    #[error(
        "recording needs CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN in their place, and this process lacks {}",
        .0.join(" and ")
    )]
    Privilege(Vec<&'static str>),
    /// Before Linux 5.11, more memory than the process may lock.
    #[error(
        "the kernel does not give BPF the memory that it needs: before Linux 5.11 it counts against the limit of locked memory ({0}), which takes CAP_SYS_RESOURCE to exceed"
    )]
    LockedMemory(String),
    /// Capabilities that do not reach BPF.
    #[error("this is a user namespace of its own, whose capabilities do not count for BPF")]
    UserNamespace,
    /// The kernel has no type information.
    #[error("this kernel has no BTF (/sys/kernel/btf/vmlinux is missing)")]
    NoBtf,
    /// Where the kernel would show it, nothing is mounted.
    #[error("sysfs is not mounted at /sys here, where the kernel shows its BTF")]
    NoSysfs,
    /// A CPU has a number for which no array and no ring has an element.
    #[error(
        "the numbers of this machine's CPUs have gaps ({0} in /sys/devices/system/cpu/possible), with which nothing can be recorded"
    )]
    CpuNumbers(String),
    /// The kernel refuses BPF.
    #[error("this kernel does not let programs load BPF ({0})")]
    NoBpf(libbpf_rs::Error),
    /// The verifier refused a program: a defect of the recorder on this kernel.
    #[error(
        "this kernel's BPF verifier refuses a program of the recorder, which it should not\n{0}"
    )]
    Rejected(String),
    /// libbpf could not fit the programs to this kernel: a defect of the recorder on it, too.
    #[error("the BPF programs do not fit this kernel ({source}), which they should\n{words}")]
    Unfit {
        /// What libbpf said in the end.
        source: libbpf_rs::Error,
        /// What it said before.
        words: String,
    },
    /// Loading failed for another reason.
    #[error("cannot {action}: {source}")]
    Bpf {
        /// What was tried.
        action: String,
        /// What libbpf said.
        source: libbpf_rs::Error,
    },
    /// A system call failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// What the system said.
        source: io::Error,
    },
    /// A setting names something that does not exist or cannot be understood.
    #[error("{setting} {value}: {reason}")]
    Option {
        /// The setting.
        setting: Setting,
        /// What was given.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Processes are named in a PID namespace whose ids the hooks do not know.
    #[error("the kernel's hooks do not know the ids of this PID namespace")]
    OtherPids {
        /// The first of them.
        pid: u32,
    },
    /// What a setting asks for cannot be had on this kernel, or with the other settings.
    #[error("{setting}: {reason}")]
    Unavailable {
        /// The setting.
        setting: Setting,
        /// Why not.
        reason: String,
    },
    /// Every port that is to be recorded is also one of those to leave out.
    #[error("port {port} is to be recorded and to be left out, so nothing would be recorded")]
    NoPortLeft {
        /// The first of these ports.
        port: u16,
    },
    /// The command could not be started.
    #[error("cannot run {program}: {source}; nothing was recorded")]
    Command {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The recording could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record that this build cannot read: the BPF object is not of this build.
    #[error("unreadable record from the kernel: {0}")]
    Wire(#[from] crate::wire::WireError),
}

impl CaptureError {
    pub(super) fn io(action: impl Into<String>, source: io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    pub(super) fn bpf(action: impl Into<String>, source: libbpf_rs::Error) -> Self {
        Self::Bpf { action: action.into(), source }
    }
}
