// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The running kernel, by its type information.

use std::{collections::BTreeMap, ffi::OsStr};

use libbpf_rs::{
    ReferencesType as _,
    btf::{
        Btf, BtfType,
        types::{Composite, Enum, Func, FuncProto, Ptr, Struct, Typedef},
    },
};

use super::Plan;
use crate::capture::{
    CaptureError, Setting, capability, function, points::HookSet, transport::Transport,
};
use crate::log::DropReasons;

/// The running kernel's type information.
pub(super) struct Kernel<'a> {
    pub btf: Btf<'a>,
    /// It has its type information in itself, not from a file of the user's.
    pub own_btf: bool,
    pub cpus: usize,
}

impl Kernel<'_> {
    /// Before 5.5 type information does not name them, and attaching has to find out.
    pub(super) fn has_tracepoint(&self, name: &str) -> bool {
        let has = |name| self.btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{name}"));
        has(name).is_some() || has("sched_process_exit").is_none()
    }

    /// Whether the event of a retransmission has a third argument (Linux 6.17): the error with
    /// which the host refused it. The event is a function that has a context before its own.
    pub(super) fn says_refused_retransmissions(&self) -> bool {
        self.arguments("tcp_retransmit_skb") > 2
    }

    /// Arguments of the event of a dropped packet: the reason is the third (Linux 5.17), the socket that it
    /// was for the fourth (6.11).
    pub(super) fn arguments_of_drops(&self) -> u8 {
        u8::try_from(self.arguments("kfree_skb")).unwrap_or(u8::MAX)
    }

    /// Arguments of a tracepoint; 0 where type information does not name it.
    fn arguments(&self, tracepoint: &str) -> usize {
        let event = self.btf.type_by_name::<Typedef<'_>>(&format!("btf_trace_{tracepoint}"));
        let Some(pointer) = event.and_then(|event| Ptr::try_from(event.referenced_type()).ok())
        else {
            return 0;
        };
        let function = FuncProto::try_from(pointer.referenced_type().skip_mods_and_typedefs());
        function.map_or(0, |function| function.len().saturating_sub(1))
    }

    /// What this kernel calls the reasons for which it drops packets; nothing before Linux 5.17.
    pub(super) fn drop_reasons(&self) -> DropReasons {
        let members = |of: &str, prefixes: &[&str]| -> BTreeMap<u32, String> {
            let Some(found) = self.btf.type_by_name::<Enum<'_>>(of) else { return BTreeMap::new() };
            let named = found.iter().filter_map(|member| {
                let name = member.name?.to_str()?;
                let short = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix))?;
                Some((member.value as u32, short.to_owned()))
            });
            // Their number, and the mask of the subsystems, are no reasons.
            named
                .filter(|(_, name)| !["MAX", "NUM", "SUBSYS_MASK"].contains(&name.as_str()))
                .collect()
        };
        DropReasons {
            names: members("skb_drop_reason", &["SKB_DROP_REASON_", "SKB_"]),
            subsystems: members("skb_drop_reason_subsys", &["SKB_DROP_REASON_SUBSYS_"]),
        }
    }

    /// Whether links and programs state how often the kernel passed over their kprobe (Linux 6.7,
    /// commits 3acf8ace6823 and dd8657894c11). Other members of the structure have that name, too.
    pub(super) fn counts_kprobes(&self) -> bool {
        let info = self.btf.type_by_name::<Struct<'_>>("bpf_link_info").map(|info| *info);
        let path = ["perf_event", "kprobe", "missed"];
        path.iter()
            .try_fold(info, |of, name| of.map(|of| self.member(of, name)))
            .flatten()
            .is_some()
    }

    /// Whether a program can find what this kernel counts of kprobes, and can be asked to (Linux
    /// 5.10).
    pub(super) fn shows_kprobes(&self) -> bool {
        self.btf.type_by_name::<Struct<'_>>("trace_kprobe").is_some()
            && self.btf.type_by_name::<Func<'_>>("bpf_prog_test_run_raw_tp").is_some()
    }

    /// The type of a member of a structure or union, or of one without a name in it.
    fn member<'b>(&'b self, of: BtfType<'b>, name: &str) -> Option<BtfType<'b>> {
        let composite = Composite::try_from(of.skip_mods_and_typedefs()).ok()?;
        composite.iter().find_map(|member| {
            let part = self.btf.type_by_id::<BtfType<'_>>(member.ty)?;
            match member.name {
                Some(own) => (own == OsStr::new(name)).then_some(part),
                None => self.member(part, name),
            }
        })
    }

    pub(super) fn has_helper(&self, name: &str) -> bool {
        self.has_member("bpf_func_id", name)
    }

    /// Links to interfaces (Linux 6.6).
    pub(super) fn has_tcx(&self) -> bool {
        self.has_member("bpf_attach_type", "BPF_TCX_INGRESS")
    }

    fn has_member(&self, of: &str, name: &str) -> bool {
        let found = self.btf.type_by_name::<Enum<'_>>(of);
        found.is_some_and(|e| e.iter().any(|m| m.name == Some(OsStr::new(name))))
    }

    /// Why the object for tracepoints and function hooks cannot be used. It needs bpf_loop() (Linux
    /// 5.17), and socket storage, cookies for tracing programs and atomics with a result (5.12). A
    /// kernel with backports may have these earlier, by its own list.
    fn obstacle_to_tracing(&self) -> Option<&'static str> {
        if !self.own_btf {
            return Some("this kernel has no BTF in itself");
        }
        (!self.has_helper("BPF_FUNC_loop")).then_some("this kernel has no bpf_loop (Linux 5.17)")
    }

    /// The set to load, and how records leave it.
    pub(super) fn choose(&self, plan: &Plan<'_>) -> Result<(HookSet, Transport), CaptureError> {
        let unfit = |setting, value: &str, reason: &str| CaptureError::Option {
            setting,
            value: value.to_owned(),
            reason: reason.to_owned(),
        };
        let obstacle = self.obstacle_to_tracing();
        let set = match plan.hooks {
            Some(HookSet::Kprobe) => HookSet::Kprobe,
            Some(set) => match obstacle {
                Some(why) => {
                    return Err(unfit(Setting::HookSet, set.name(), why));
                }
                None => set,
            },
            None if obstacle.is_some() => HookSet::Kprobe,
            None => HookSet::Fentry,
        };
        if plan.hooks == Some(HookSet::Fentry)
            && let Some(why) = function::obstacle(HookSet::Fentry, "tcp_write_xmit")
        {
            let missing = capability::missing_for_bpf();
            if !missing.is_empty() {
                return Err(CaptureError::Privilege(missing));
            }
            return Err(unfit(Setting::HookSet, "fentry", &why));
        }
        let rings = self.has_helper("BPF_FUNC_ringbuf_output");
        let transport = match plan.transport {
            Some(Transport::Perf) if set != HookSet::Kprobe => {
                let reason = "only with the hook set kprobe: kernels for the other sets have rings";
                return Err(unfit(Setting::Transport, "perf", reason));
            }
            Some(Transport::Ring) if !rings => {
                let reason = "this kernel has no BPF ring buffers (Linux 5.8)";
                return Err(unfit(Setting::Transport, "ring", reason));
            }
            Some(transport) => transport,
            None if rings => Transport::Ring,
            None => Transport::Perf,
        };
        Ok((set, transport))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn kernel(btf: Btf<'_>) -> Kernel<'_> {
        Kernel { btf, own_btf: true, cpus: 1 }
    }

    /// Older kernels of a distribution may have either, too (backports).
    #[test]
    fn kprobes_are_counted_and_shown_since_these_releases() {
        let Ok(btf) = Btf::from_vmlinux() else { return };
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
        let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
        let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let kernel = kernel(btf);
        assert!(kernel.counts_kprobes() || release < (6, 7), "Linux {release:?}");
        if Path::new("/sys/bus/event_source/devices/kprobe").exists() {
            assert!(kernel.shows_kprobes() || release < (5, 10), "Linux {release:?}");
        }
    }

    /// This type information does not show that kprobes are counted, so a recording with it states that.
    #[test]
    fn incomplete_type_information_gives_no_count_of_kprobes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/btf/linux-6.1.btf");
        let kernel = kernel(Btf::from_path(path).expect("BTF"));
        assert!(!kernel.counts_kprobes() && !kernel.shows_kprobes());
    }
}
