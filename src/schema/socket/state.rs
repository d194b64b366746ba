// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The socket beside TCP: memory, queues, timers, marks and owner. See the parent module.

#[rustfmt::skip]
macro_rules! state {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

    /// Memory of received data (sk_rmem_alloc).
    skmem_rmem_alloc {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_backlog.rmem_alloc.counter"),
    }
    /// Bound of it (sk_rcvbuf).
    skmem_rcvbuf {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_rcvbuf"),
    }
    /// Memory of data handed to the lower layers (sk_wmem_alloc).
    skmem_wmem_alloc {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_wmem_alloc.refs.counter - 1"),
    }
    /// Bound of the send queue (sk_sndbuf).
    skmem_sndbuf {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_sndbuf"),
    }
    /// Memory reserved and not used (sk_forward_alloc).
    skmem_fwd_alloc {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_forward_alloc"),
    }
    /// Memory of the send queue (sk_wmem_queued).
    skmem_wmem_queued {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_wmem_queued"),
    }
    /// Memory of options, the recorder's own state included (sk_omem_alloc).
    skmem_optmem {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_omem_alloc.counter"),
    }
    /// Memory of segments that wait for the socket's lock (sk_backlog.len).
    skmem_backlog {
        ty: U32, unit: "bytes", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_backlog.len"),
    }
    /// Segments dropped by the socket (sk_drops).
    skmem_drops {
        ty: U32, unit: "segment", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_drops.counter"),
    }
    /// Received in order and not read by the application.
    rqueue {
        ty: U32, unit: "bytes", source: "inet_diag", needs: "",
        read: Always("estats_app_rqueue(tp)"),
    }
    /// Written by the application and not acknowledged.
    wqueue {
        ty: U32, unit: "bytes", source: "inet_diag", needs: "",
        read: Always("tp->write_seq - tp->snd_una"),
    }
    /// The timer that runs: 0 none, 1 retransmission, 2 keep-alive, 4 window probe, 5 delayed ACK (by
    /// netlink, of kernels later than Linux 6.12).
    timer {
        ty: U8, unit: "", source: "inet_diag", needs: "",
        read: Always("timer.kind"),
    }
    /// Retransmissions or probes of that timer.
    timer_retrans {
        ty: U8, unit: "", source: "inet_diag", needs: "",
        read: Always("timer.retrans"),
    }
    /// Until that timer expires, in steps of a jiffy; NULL without a timer.
    timer_expires {
        ty: U32, unit: "ms", source: "inet_diag", needs: "a timer that runs",
        read: Countdown("timer.kind", "timer.expires"),
    }
    /// TOS octet of what is sent over IPv4 (DSCP and ECN).
    tos {
        ty: U8, unit: "", source: "inet_diag", needs: "",
        read: Always("inet->tos"),
    }
    /// Traffic class of what is sent over IPv6.
    tclass {
        ty: U8, unit: "", source: "inet_diag", needs: "an IPv6 socket",
        read: If("has_traffic_class(sk)", "traffic_class(tp)"),
    }
    /// Bits of the directions shut down: 1 receiving, 2 sending.
    shutdown {
        ty: U8, unit: "", source: "inet_diag", needs: "",
        read: Always("sk->sk_shutdown"),
    }
    /// SO_MARK.
    mark {
        ty: U32, unit: "", source: "inet_diag", needs: "",
        read: Always("sk->sk_mark"),
    }
    /// SO_PRIORITY.
    priority {
        ty: U32, unit: "", source: "inet_diag", needs: "",
        read: Always("sk->sk_priority"),
    }
    /// User id of the socket.
    uid {
        ty: U32, unit: "", source: "inet_diag", needs: "",
        read: Always("sk->sk_uid.val"),
    }
    /// Inode number, as in /proc/net/tcp and /proc/PID/fd; 0 without a file.
    inode {
        ty: U64, unit: "", source: "inet_diag", needs: "",
        read: Always("socket_inode(sk)"),
    }
    /// Id of the cgroup v2, 0 if it has none.
    cgroup_id {
        ty: U64, unit: "", source: "inet_diag", needs: "",
        read: Always("cgroup_id(sk)"),
    }

} };
}
