//! The tracepoint hook set: which program serves which hooks, and what the kernel must have.

use crate::schema::Hook;

/// What a program attaches to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A tracepoint with BTF, by name.
    Tracepoint(&'static str),
    /// The root of cgroup v2.
    Cgroup,
    /// An iterator, run when needed instead of attached.
    Iterator,
}

/// One BPF program of the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Name of the program in the BPF object.
    pub program: &'static str,
    /// Attach point as the docs and the manifest name it.
    pub section: &'static str,
    /// Where it attaches.
    pub target: Target,
    /// The hooks whose records it makes.
    pub hooks: &'static [Hook],
}

/// Every program that makes records. Adding a hook to the tracepoint set: a line here, a SEC()
/// function in bpf/, and its name in the schema.
pub(super) const POINTS: &[Point] = &[
    Point {
        program: "set_state",
        section: "tp_btf/inet_sock_set_state",
        target: Target::Tracepoint("inet_sock_set_state"),
        hooks: &[Hook::SetState],
    },
    Point {
        program: "tcp_probe",
        section: "tp_btf/tcp_probe",
        target: Target::Tracepoint("tcp_probe"),
        hooks: &[Hook::TcpProbe],
    },
    Point {
        program: "cong_state",
        section: "tp_btf/tcp_cong_state_set",
        target: Target::Tracepoint("tcp_cong_state_set"),
        hooks: &[Hook::CongState],
    },
    Point {
        program: "retransmit",
        section: "tp_btf/tcp_retransmit_skb",
        target: Target::Tracepoint("tcp_retransmit_skb"),
        hooks: &[Hook::Retransmit],
    },
    Point {
        program: "destroy",
        section: "tp_btf/tcp_destroy_sock",
        target: Target::Tracepoint("tcp_destroy_sock"),
        hooks: &[Hook::Destroy],
    },
    Point {
        program: "egress",
        section: "cgroup_skb/egress",
        target: Target::Cgroup,
        hooks: &[Hook::Egress],
    },
    Point {
        program: "sock_ops",
        section: "sockops",
        target: Target::Cgroup,
        hooks: &[Hook::Handshake, Hook::ParseHdr],
    },
    Point {
        program: "baseline",
        section: "iter/tcp",
        target: Target::Iterator,
        hooks: &[Hook::Baseline],
    },
    Point {
        program: "sweep",
        section: "iter/tcp",
        target: Target::Iterator,
        hooks: &[Hook::Sweep],
    },
];

/// Programs that make no records but that the recording may need.
pub(super) const FORK: Target = Target::Tracepoint("sched_process_fork");
