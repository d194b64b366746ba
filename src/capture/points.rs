// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Which programs serve which hooks, by hook set, and what the kernel must have for them.

use crate::schema::Hook;

/// A way to get at the kernel's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSet {
    /// Tracepoints, sockops and cgroup hooks, and function hooks through BPF trampolines.
    Fentry,
    /// Raw tracepoints and kprobes: older kernels.
    Kprobe,
    /// Tracepoints, sockops and cgroup hooks alone.
    Tracepoint,
}

impl HookSet {
    /// All sets.
    pub const ALL: &'static [Self] = &[Self::Fentry, Self::Kprobe, Self::Tracepoint];

    /// The name in the command line and the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Tracepoint => "tracepoint",
        }
    }
}

/// The target to which a program attaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A tracepoint with BTF, by name.
    Tracepoint(&'static str),
    /// A function, at its beginning or end, by name.
    Function(&'static str),
    /// The root of cgroup v2.
    Cgroup,
    /// Interfaces, as they are asked for.
    Interface,
    /// An iterator over this, run when needed instead of attached.
    Iterator(&'static str),
}

/// A place in the kernel with the programs that serve it: all are attached, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Programs in the BPF object, with what each attaches to.
    pub programs: &'static [(&'static str, Target)],
    /// Attach point as the docs and the manifest name it, in words of the set `fentry`.
    section: &'static str,
    /// The sets that have it.
    sets: Sets,
    /// The hook without which it is needed.
    pub instead_of: Option<Hook>,
    /// The hooks whose records it makes.
    pub hooks: &'static [Hook],
}

impl Point {
    /// Whether it needs BPF trampolines.
    pub(super) fn is_function(&self) -> bool {
        self.programs.iter().any(|(_, target)| matches!(target, Target::Function(_)))
    }

    /// Whether this set has it.
    pub(super) fn is_in(&self, set: HookSet) -> bool {
        match self.sets {
            Sets::All => true,
            Sets::Kprobe => set == HookSet::Kprobe,
            Sets::Tracing => set != HookSet::Kprobe,
        }
    }

    /// Whether this program is one of those that serve it.
    pub(super) fn has(&self, program: &str) -> bool {
        self.programs.iter().any(|(name, _)| *name == program)
    }

    /// Whether the place cannot do without this program: it is one of its own, or all of its own are
    /// among those of a place for the same hooks that has this one. A hook that saw IPv4 alone, for
    /// the program of IPv6 is refused, would pass for one that sees all.
    pub(super) fn is_served_by(&self, program: &str) -> bool {
        POINTS.iter().any(|place| {
            place.has(program)
                && place.hooks == self.hooks
                && self.programs.iter().all(|(name, _)| place.has(name))
        })
    }

    /// Attach point in words of the set.
    pub(super) fn section(&self, set: HookSet) -> String {
        match set {
            HookSet::Fentry | HookSet::Tracepoint => self.section.to_owned(),
            HookSet::Kprobe => self
                .section
                .replace("tp_btf/", "raw_tp/")
                .replace("fentry", "kprobe")
                .replace("fexit", "kretprobe"),
        }
    }
}

/// The sets that have a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sets {
    All,
    /// `fentry` and `tracepoint`.
    Tracing,
    Kprobe,
}

const fn point(
    section: &'static str,
    hooks: &'static [Hook],
    programs: &'static [(&'static str, Target)],
) -> Point {
    Point { programs, section, sets: Sets::All, instead_of: None, hooks }
}

/// A place that only some sets have.
const fn only(sets: Sets, point: Point) -> Point {
    Point { sets, ..point }
}

use Target::{Cgroup, Function, Interface, Iterator, Tracepoint};

/// Every place of all sets. Where several serve one hook, the first that can be attached is used.
/// A program that the object of a set does not have is not needed there: a kprobe must see the
/// beginning of a function to know its arguments at the end. Adding a hook: a line here, a SEC()
/// function in bpf/, a body in events.bpf.h or functions.bpf.h, and its name in the schema.
pub(super) const POINTS: &[Point] = &[
    point(
        "tp_btf/inet_sock_set_state",
        &[Hook::SetState],
        &[("set_state", Tracepoint("inet_sock_set_state"))],
    ),
    point("tp_btf/tcp_probe", &[Hook::TcpProbe], &[("tcp_probe", Tracepoint("tcp_probe"))]),
    point(
        "tp_btf/tcp_cong_state_set",
        &[Hook::CongState],
        &[("cong_state", Tracepoint("tcp_cong_state_set"))],
    ),
    point(
        "tp_btf/tcp_retransmit_skb",
        &[Hook::Retransmit, Hook::RetransmitError],
        &[("retransmit", Tracepoint("tcp_retransmit_skb"))],
    ),
    point(
        "tp_btf/tcp_bad_csum",
        &[Hook::BadChecksum],
        &[("bad_checksum", Tracepoint("tcp_bad_csum"))],
    ),
    // Replay needs these records in one order with snapshots. The rings of the other set do not give that.
    only(
        Sets::Tracing,
        point("tp_btf/kfree_skb", &[Hook::Drops], &[("drops", Tracepoint("kfree_skb"))]),
    ),
    point(
        "tp_btf/tcp_destroy_sock",
        &[Hook::Destroy],
        &[("destroy", Tracepoint("tcp_destroy_sock"))],
    ),
    point(
        "tp_btf/tcp_rcv_space_adjust",
        &[Hook::RcvSpace],
        &[("rcv_space", Tracepoint("tcp_rcv_space_adjust"))],
    ),
    only(
        Sets::Kprobe,
        Point {
            instead_of: Some(Hook::CongState),
            ..point(
                "fentry/tcp_enter_loss",
                &[Hook::EnterLoss],
                &[("enter_loss", Function("tcp_enter_loss"))],
            )
        },
    ),
    only(
        Sets::Kprobe,
        Point {
            instead_of: Some(Hook::CongState),
            ..point(
                "fentry/tcp_enter_recovery",
                &[Hook::EnterRecovery],
                &[("enter_recovery", Function("tcp_enter_recovery"))],
            )
        },
    ),
    only(Sets::Tracing, point("cgroup_skb/egress", &[Hook::Egress], &[("egress", Cgroup)])),
    only(
        Sets::Kprobe,
        point(
            "fentry/ip_queue_xmit, inet6_csk_xmit",
            &[Hook::Egress],
            &[("egress", Function("ip_queue_xmit")), ("egress6", Function("inet6_csk_xmit"))],
        ),
    ),
    // A kernel where the first is an inline function.
    only(
        Sets::Kprobe,
        point(
            "fentry/__ip_queue_xmit, inet6_csk_xmit",
            &[Hook::Egress],
            &[
                ("egress_inner", Function("__ip_queue_xmit")),
                ("egress6", Function("inet6_csk_xmit")),
            ],
        ),
    ),
    // The same two without IPv6.
    only(
        Sets::Kprobe,
        point("fentry/ip_queue_xmit", &[Hook::Egress], &[("egress", Function("ip_queue_xmit"))]),
    ),
    only(
        Sets::Kprobe,
        point(
            "fentry/__ip_queue_xmit",
            &[Hook::Egress],
            &[("egress_inner", Function("__ip_queue_xmit"))],
        ),
    ),
    point("cgroup_skb/ingress", &[Hook::SocketIn], &[("socket_in", Cgroup)]),
    point("cgroup_skb/egress", &[Hook::SocketOut], &[("socket_out", Cgroup)]),
    point("tc/ingress", &[Hook::InterfaceIn], &[("interface_in", Interface)]),
    point("tc/egress", &[Hook::InterfaceOut], &[("interface_out", Interface)]),
    point(
        "fentry/tcp_rcv_state_process",
        &[Hook::ParseHdr, Hook::StateProcess],
        &[("state_process", Function("tcp_rcv_state_process"))],
    ),
    only(
        Sets::Tracing,
        point("sockops", &[Hook::Handshake, Hook::ParseHdr], &[("sock_ops", Cgroup)]),
    ),
    only(
        Sets::Tracing,
        Point {
            instead_of: Some(Hook::StateProcess),
            ..point(
                "tp_btf/kfree_skb",
                &[Hook::SegmentDrop],
                &[("segment_drop", Tracepoint("kfree_skb"))],
            )
        },
    ),
    only(
        Sets::Kprobe,
        point(
            "fentry/tcp_finish_connect",
            &[Hook::Handshake],
            &[("finish_connect", Function("tcp_finish_connect"))],
        ),
    ),
    point("iter/tcp", &[Hook::Baseline], &[("baseline", Iterator("tcp"))]),
    // Looks at sockets with their lock held, where no iterator holds it.
    only(
        Sets::Kprobe,
        point(
            "fentry+fexit/__lock_sock_fast",
            &[Hook::Sweep],
            &[
                ("lock_begin", Function("__lock_sock_fast")),
                ("lock_end", Function("__lock_sock_fast")),
            ],
        ),
    ),
    only(
        Sets::Kprobe,
        point(
            "fentry+fexit/lock_sock_fast",
            &[Hook::Sweep],
            &[
                ("lock_old_begin", Function("lock_sock_fast")),
                ("lock_old_end", Function("lock_sock_fast")),
            ],
        ),
    ),
    point("iter/tcp", &[Hook::Sweep], &[("rest", Iterator("tcp")), ("sweep", Iterator("tcp"))]),
    only(Sets::Tracing, point("iter/tcp", &[Hook::Poll], &[("poll", Iterator("tcp"))])),
    point(
        "fentry+fexit/tcp_write_xmit",
        &[Hook::WriteXmit],
        &[
            ("write_xmit_begin", Function("tcp_write_xmit")),
            ("write_xmit_end", Function("tcp_write_xmit")),
        ],
    ),
    point(
        "fentry/tcp_fastretrans_alert",
        &[Hook::Fastretrans],
        &[("fastretrans", Function("tcp_fastretrans_alert"))],
    ),
    point(
        "fentry/tcp_mark_skb_lost",
        &[Hook::MarkLost],
        &[("mark_lost", Function("tcp_mark_skb_lost"))],
    ),
    point(
        "fentry+fexit/tcp_rack_detect_loss",
        &[Hook::RackDetect],
        &[
            ("rack_begin", Function("tcp_rack_detect_loss")),
            ("rack_end", Function("tcp_rack_detect_loss")),
        ],
    ),
    point(
        "fentry/tcp_undo_cwnd_reduction, fentry+fexit/tcp_try_undo_recovery, tcp_try_undo_loss",
        &[Hook::Undo],
        &[
            ("undo", Function("tcp_undo_cwnd_reduction")),
            ("undo_recovery_begin", Function("tcp_try_undo_recovery")),
            ("undo_recovery_end", Function("tcp_try_undo_recovery")),
            ("undo_loss_begin", Function("tcp_try_undo_loss")),
            ("undo_loss_end", Function("tcp_try_undo_loss")),
        ],
    ),
    // Some compilers put the first into the second; which did, shows when they run.
    point(
        "fentry/tcp_slow_start, tcp_reno_cong_avoid",
        &[Hook::SlowStart],
        &[("slow_start", Function("tcp_slow_start")), ("reno", Function("tcp_reno_cong_avoid"))],
    ),
    point(
        "fentry/tcp_cong_avoid_ai",
        &[Hook::CongAvoid],
        &[("cong_avoid", Function("tcp_cong_avoid_ai"))],
    ),
    point(
        "fentry/tcp_cwnd_restart",
        &[Hook::CwndRestart],
        &[("cwnd_restart", Function("tcp_cwnd_restart"))],
    ),
    point("fentry/tcp_enter_cwr", &[Hook::EnterCwr], &[("enter_cwr", Function("tcp_enter_cwr"))]),
    point(
        "fentry/tcp_data_ecn_check",
        &[Hook::EcnCheck],
        &[("ecn_check", Function("tcp_data_ecn_check"))],
    ),
    point(
        "fentry/__tcp_ecn_check_ce",
        &[Hook::EcnCheck],
        &[("ecn_check_ce", Function("__tcp_ecn_check_ce"))],
    ),
    point(
        "fentry/tcp_conn_request",
        &[Hook::ConnRequest],
        &[("conn_request", Function("tcp_conn_request"))],
    ),
    point(
        "fexit/tcp_sync_mss",
        &[Hook::SyncMss],
        &[("sync_mss_begin", Function("tcp_sync_mss")), ("sync_mss", Function("tcp_sync_mss"))],
    ),
    point(
        "fexit/tcp_sendmsg_locked",
        &[Hook::Sendmsg],
        &[
            ("sendmsg_begin", Function("tcp_sendmsg_locked")),
            ("sendmsg", Function("tcp_sendmsg_locked")),
        ],
    ),
];

/// The program that counts ends of functions that kretprobes have not shown, when a connection is closed.
pub(super) const ENDS_AT_CLOSE: &str = "ends_at_close";
/// Programs that make no records but that the recording may need.
pub(super) const FORK: Target = Target::Tracepoint("sched_process_fork");
/// The program that notes what an application has written, where no hook is at the function for it.
pub(super) const WRITTEN: (&str, &str) = ("written", "sock_send_length");

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use libbpf_rs::ObjectBuilder;

    use super::*;

    fn programs(object: &str) -> BTreeSet<String> {
        let path = Path::new(env!("OUT_DIR")).join(object);
        let open = ObjectBuilder::default().open_file(path).unwrap();
        open.progs().map(|p| p.name().to_string_lossy().into_owned()).collect()
    }

    /// A program that one object lacks is not needed there, but one that both lack is a slip.
    #[test]
    fn every_place_has_its_programs() {
        let (tracing, kprobe) = (programs("estats.bpf.o"), programs("kprobe.bpf.o"));
        for point in POINTS {
            for (set, object) in [(HookSet::Fentry, &tracing), (HookSet::Kprobe, &kprobe)] {
                if point.is_in(set) {
                    let served = point.programs.iter().any(|(name, _)| object.contains(*name));
                    assert!(served, "{} of {}", point.section, set.name());
                }
            }
            for (name, _) in point.programs {
                assert!(tracing.contains(*name) || kprobe.contains(*name), "{name}");
                if point.is_in(HookSet::Kprobe) {
                    assert!(kprobe.contains(*name), "{name} of the kprobe set");
                }
            }
        }
    }

    #[test]
    fn attach_points_are_named_in_words_of_the_set() {
        let point = POINTS.iter().find(|p| p.hooks == [Hook::WriteXmit]).unwrap();
        assert_eq!(point.section(HookSet::Fentry), "fentry+fexit/tcp_write_xmit");
        assert_eq!(point.section(HookSet::Kprobe), "kprobe+kretprobe/tcp_write_xmit");
        let first = &POINTS[0];
        assert_eq!(first.section(HookSet::Kprobe), "raw_tp/inet_sock_set_state");
        assert_eq!(first.hooks, [Hook::SetState], "attached last, when the others are in place");
    }
}
