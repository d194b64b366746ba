// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Errors, filters and choices of a recording in words of `estats-record`: the library names what is
//! wrong, and here is which flag that is.

use std::iter;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use estats::capture::{Attach, CaptureError, Filters, HookSet, PollsBy, Setting, Transport};

use super::advice;
use super::choice::{Choice, by_name, names};

macro_rules! choices {
    ($($name:ident)+) => { $(
        impl Choice for $name {
            const ALL: &'static [Self] = $name::ALL;

            fn name(self) -> &'static str {
                $name::name(self)
            }
        }
    )+ };
}

choices! { HookSet Transport Attach PollsBy }

/// One of a closed set, or the best that the kernel has: `auto`.
#[derive(Clone, Copy, Debug)]
pub struct Best<T>(pub Option<T>);

/// One of a closed set by its name, or `auto`.
pub fn best<T: Choice>() -> impl TypedValueParser<Value = Best<T>> {
    let names = iter::once("auto").chain(names::<T>());
    PossibleValuesParser::new(names.collect::<Vec<_>>()).map(|name| Best(by_name(&name)))
}

const fn flag(setting: Setting) -> &'static str {
    match setting {
        Setting::HookSet => "--hooks",
        Setting::Transport => "--transport",
        Setting::Btf => "--btf",
        Setting::Pid => "--pid",
        Setting::Cgroup => "--cgroup",
        Setting::Netns => "--netns",
        Setting::SnapshotsBy => "--snapshots-by",
        Setting::Packets => "--packets",
        Setting::Interface => "--interface",
    }
}

/// What helps where a value of a setting does not fit this kernel.
const fn other_value(setting: Setting) -> Option<&'static str> {
    match setting {
        Setting::HookSet => Some("use another set, or auto"),
        Setting::Transport => Some("use the other, or auto"),
        Setting::SnapshotsBy => Some("use netlink, or auto"),
        Setting::Btf
        | Setting::Pid
        | Setting::Cgroup
        | Setting::Netns
        | Setting::Packets
        | Setting::Interface => None,
    }
}

/// For a program that this kernel should take.
const REPORT: &str = "please report this, with the kernel's version";

/// What to do about it.
const fn advice(error: &CaptureError) -> Option<&'static str> {
    match error {
        CaptureError::Option { setting, .. } => other_value(*setting),
        CaptureError::Unavailable { .. } => Some("leave it out, or see `estats-record check`"),
        CaptureError::OtherPids { .. } => Some("record on the host, or choose by cgroup"),
        CaptureError::NoBtf => Some(
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as the distributions' own are, or give --btf a file with the BTF of this very kernel (pahole -J makes it of a vmlinux with debug information)",
        ),
        CaptureError::Privilege(_) => Some("run estats-record as root"),
        CaptureError::LockedMemory(_) => {
            Some("run estats-record as root, or after `ulimit -l unlimited`")
        }
        CaptureError::UserNamespace => Some("run estats-record as root of the host"),
        CaptureError::NoSysfs => {
            Some("mount it (mount -t sysfs sysfs /sys), or run estats-record where it is")
        }
        CaptureError::NoBpf(_) => {
            Some("see `estats-record check`, and kernel lockdown or a container's seccomp profile")
        }
        CaptureError::Rejected(_) | CaptureError::Unfit { .. } => Some(REPORT),
        CaptureError::Bpf { .. } => Some("`estats-record check` shows what this kernel offers"),
        CaptureError::Wire(_) => Some(advice::DEFECT),
        CaptureError::Log(_)
        | CaptureError::NoPortLeft { .. }
        | CaptureError::CpuNumbers(_)
        | CaptureError::Io { .. }
        | CaptureError::Command { .. } => None,
    }
}

/// The error, and what to do about it.
pub fn explain(error: &CaptureError) -> String {
    let text = match error {
        CaptureError::Option { setting, value, reason } => {
            format!("{} {value}: {reason}", flag(*setting))
        }
        CaptureError::Unavailable { setting, reason } => format!("{}: {reason}", flag(*setting)),
        CaptureError::NoPortLeft { port } => {
            format!("--port {port}: --not-port leaves it out, so nothing would be recorded")
        }
        CaptureError::OtherPids { pid } => format!("--pid {pid}: {error}"),
        CaptureError::Log(e) => return advice::with(e, advice::log(e)),
        CaptureError::NoBtf
        | CaptureError::Privilege(_)
        | CaptureError::LockedMemory(_)
        | CaptureError::UserNamespace
        | CaptureError::NoSysfs
        | CaptureError::CpuNumbers(_)
        | CaptureError::NoBpf(_)
        | CaptureError::Rejected(_)
        | CaptureError::Unfit { .. }
        | CaptureError::Bpf { .. }
        | CaptureError::Io { .. }
        | CaptureError::Command { .. }
        | CaptureError::Wire(_) => error.to_string(),
    };
    advice::with(&text, advice(error))
}

/// The options that choose connections, as they were given; empty if none was.
pub fn filters(filters: &Filters) -> String {
    fn list<T: ToString>(words: &mut Vec<String>, option: &str, values: &[T]) {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            words.push(format!("{option} {}", values.join(",")));
        }
    }
    let Filters { ports, not_ports, addresses, not_addresses, comms, pids, cgroups, netns } =
        filters;
    let mut words = Vec::new();
    list(&mut words, "--port", ports);
    list(&mut words, "--not-port", not_ports);
    list(&mut words, "--addr", addresses);
    list(&mut words, "--not-addr", not_addresses);
    list(&mut words, "--pid", pids);
    list(&mut words, "--comm", comms);
    list(&mut words, "--cgroup", cgroups);
    list(&mut words, "--netns", netns);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use estats::log::LogError;

    use super::*;

    #[test]
    fn options_as_they_were_given() {
        assert_eq!(filters(&Filters::default()), "");
        assert!(Filters::default().are_empty());
        let some = Filters {
            ports: vec![80, 443],
            not_addresses: vec!["10.0.0.0/8".parse().unwrap()],
            ..Filters::default()
        };
        assert_eq!(filters(&some), "--port 80,443 --not-addr 10.0.0.0/8");
        assert!(!some.are_empty());
    }

    #[test]
    fn flags_that_help_are_named() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let full = LogError::DiskFull { made: false, path: "ledger".into(), source };
        let none = CaptureError::Option {
            setting: Setting::Pid,
            value: "1".into(),
            reason: "there is no such process".into(),
        };
        let reason = "no iterator".to_owned();
        for (error, words) in [
            (none, "--pid 1: there is no such process"),
            (CaptureError::Unavailable { setting: Setting::Packets, reason }, "--packets: no iter"),
            (CaptureError::NoPortLeft { port: 80 }, "--port 80: --not-port leaves it out"),
            (CaptureError::NoBtf, "is missing); use a kernel built with CONFIG_DEBUG_INFO_BTF=y"),
            (CaptureError::NoBtf, "--btf"),
            (CaptureError::Privilege(vec!["CAP_BPF"]), "lacks CAP_BPF; run estats-record as root"),
            (CaptureError::OtherPids { pid: 7 }, "--pid 7: the kernel's hooks"),
            (
                CaptureError::Rejected("R1 invalid\nprocessed 2".into()),
                "which it should not; please report this, with the kernel's version\nR1 invalid",
            ),
            (
                CaptureError::Log(full),
                "up to the last second; free some space, or bound the \
                                       recording with --max-size",
            ),
        ] {
            assert!(explain(&error).contains(words), "{}", explain(&error));
        }
    }
}
