// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! The fields of a socket snapshot: one list, from which the record's C structure, the code that
//! fills it, the columns of log and table, and the documentation follow. See the parent module.
//!
//! Fields of `struct tcp_info` have its names and units and are computed as tcp_get_info() does
//! (net/ipv4/tcp.c). `tcpi_fackets` and `tcpi_last_ack_sent` are not here: the kernel keeps neither
//! and always reports 0.

use core::fmt;

use super::record::{Name, SocketHead};
use super::{Kernels, Range};
use SocketRead::{Age, Always, Countdown, If, Netlink};
use SocketType::{U8, U16, U32, U64};

/// The type of a field in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketType {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 64 bits.
    U64,
}

impl SocketType {
    /// Width in octets.
    pub const fn width(self) -> usize {
        match self {
            U8 => 1,
            U16 => 2,
            U32 => 4,
            U64 => 8,
        }
    }

    /// Name of the type in C.
    pub const fn c_name(self) -> &'static str {
        match self {
            U8 => "u8",
            U16 => "u16",
            U32 => "u32",
            U64 => "u64",
        }
    }
}

/// The C expression of a field. In scope: `sk`, `inet`, `icsk`, `tp`, `ca` (the algorithm's own state),
/// `r` (the record), `timer`, `state`, `now` (ns) and `jiffies` (32 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketRead {
    /// Every kernel and every socket has it.
    Always(&'static str),
    /// A condition, and the expression where it holds; NULL where it does not.
    If(&'static str, &'static str),
    /// Milliseconds since a time in jiffies; NULL where it is 0, which is no time. Grows while nothing happens, so --changed-only compares
    /// the time instead.
    Age(&'static str),
    /// Milliseconds until a time in jiffies, where the condition holds; likewise.
    Countdown(&'static str, &'static str),
    /// Not read by BPF programs, and not in their record: only dumps of inet_diag have it.
    Netlink,
}

/// One field, whole.
#[derive(Clone, Copy, Debug)]
pub struct SocketFieldDef {
    /// Name: the column.
    pub name: &'static str,
    /// Meaning.
    pub doc: &'static str,
    /// Type in the record.
    pub ty: SocketType,
    /// Unit in words, empty where there is none.
    pub unit: &'static str,
    /// The structure of the kernel's own interfaces whose field it is.
    pub source: &'static str,
    /// The kernels that have what is read; NULL on others.
    pub kernels: Kernels,
    /// Without what else it is NULL; empty if it always has a value.
    pub needs: &'static str,
    /// How it is read.
    pub read: SocketRead,
}

impl SocketFieldDef {
    /// What a stanza need not say.
    const UNSAID: Self = Self {
        name: "",
        doc: "",
        ty: U32,
        unit: "",
        source: "",
        kernels: Kernels::ALL,
        needs: "",
        read: Always(""),
    };
}

/// Declares the fields: `enum SocketField`, `SocketField::ALL` and `SocketField::def`.
macro_rules! socket_fields {
    ($( $(#[doc = $doc:literal])+ $name:ident { $($field:ident: $value:expr),* $(,)? } )+) => {
        /// A field of a socket snapshot.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        #[allow(non_camel_case_types, reason = "the kernel's names")]
        pub enum SocketField { $( $(#[doc = $doc])+ $name, )+ }

        impl SocketField {
            /// All fields, in the order of the columns.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )+ ];

            /// Everything known about the field.
            #[allow(clippy::needless_update, reason = "some stanzas say everything")]
            pub const fn def(self) -> &'static SocketFieldDef {
                match self { $( Self::$name => const { &SocketFieldDef {
                    name: stringify!($name), doc: concat!($($doc),+), $($field: $value),*,
                    ..SocketFieldDef::UNSAID
                } }, )+ }
            }
        }
    };
}

#[rustfmt::skip]
mod list {
    use super::*;

socket_fields! {
    /// Kernel TCP state: 1 ESTABLISHED, 2 SYN_SENT, 3 SYN_RECV, 4 FIN_WAIT1, 5 FIN_WAIT2, 6
    /// TIME_WAIT, 7 CLOSE, 8 CLOSE_WAIT, 9 LAST_ACK, 11 CLOSING; in rows of an event the state after
    /// it.
    tcpi_state {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("state"),
    }
    /// Congestion state: 0 Open, 1 Disorder, 2 CWR, 3 Recovery, 4 Loss.
    tcpi_ca_state {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("estats_ca_state(tp)"),
    }
    /// Timeouts in a row without an answer (icsk_retransmits).
    tcpi_retransmits {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_retransmits"),
    }
    /// Window or keep-alive probes unanswered (icsk_probes_out).
    tcpi_probes {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_probes_out"),
    }
    /// Doublings of the retransmission timeout (icsk_backoff).
    tcpi_backoff {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_backoff"),
    }
    /// Bits of what was negotiated: 1 timestamps, 2 SACK, 4 window scaling, 8 ECN, 16 ECN seen, 32
    /// data in the SYN acknowledged, 64 timestamps in us, 128 child of Fast Open.
    tcpi_options {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("socket_options(tp)"),
    }
    /// Shift of the windows that the peer advertises; 0 without the option.
    tcpi_snd_wscale {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("socket_wscale(tp, true)"),
    }
    /// Shift of the windows that this end advertises; 0 without the option.
    tcpi_rcv_wscale {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("socket_wscale(tp, false)"),
    }
    /// 1 if the delivery rate was limited by the application.
    tcpi_delivery_rate_app_limited {
        ty: U8, unit: "", source: "tcp_info", needs: "",
        read: Always("BPF_CORE_READ_BITFIELD(tp, rate_app_limited)"),
    }
    /// Why Fast Open of the client failed: 0 it did not or is unknown, 1 no cookie, 2 data not
    /// acknowledged, 3 SYN retransmitted.
    tcpi_fastopen_client_fail {
        ty: U8, unit: "", source: "tcp_info", kernels: Kernels::since(5, 5),
        read: If("has_fastopen_client_fail()", "fastopen_client_fail(tp)"),
    }
    /// Retransmission timeout.
    tcpi_rto {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("estats_jiffies_to_us(icsk->icsk_rto)"),
    }
    /// Timeout of a delayed ACK, predicted.
    tcpi_ato {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_ato(tp)"),
    }
    /// Segment size for sending.
    tcpi_snd_mss {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->mss_cache"),
    }
    /// Segment size of the peer, estimated.
    tcpi_rcv_mss {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_ack.rcv_mss"),
    }
    /// Segments sent and not acknowledged (packets_out).
    tcpi_unacked {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->packets_out"),
    }
    /// Of these, selectively acknowledged.
    tcpi_sacked {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->sacked_out"),
    }
    /// Of these, taken for lost.
    tcpi_lost {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->lost_out"),
    }
    /// Retransmitted segments in flight.
    tcpi_retrans {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->retrans_out"),
    }
    /// Since data were last sent, in steps of a jiffy. Begins when the connection is established; NULL before.
    tcpi_last_data_sent {
        ty: U32, unit: "ms", source: "tcp_info", needs: "",
        read: Age("tp->lsndtime"),
    }
    /// Since data were last received, in steps of a jiffy. Begins when the connection is established; NULL
    /// before.
    tcpi_last_data_recv {
        ty: U32, unit: "ms", source: "tcp_info", needs: "",
        read: Age("icsk->icsk_ack.lrcvtime"),
    }
    /// Since an ACK was last received, in steps of a jiffy; NULL if none was.
    tcpi_last_ack_recv {
        ty: U32, unit: "ms", source: "tcp_info", needs: "",
        read: Age("tp->rcv_tstamp"),
    }
    /// Path MTU last used for the segment size (icsk_pmtu_cookie).
    tcpi_pmtu {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_pmtu_cookie"),
    }
    /// Limit of the window that is advertised.
    tcpi_rcv_ssthresh {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->rcv_ssthresh"),
    }
    /// Smoothed round-trip time; NULL before the first sample.
    tcpi_rtt {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("tp->srtt_us >> 3"),
    }
    /// Mean deviation of the round-trip time.
    tcpi_rttvar {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("tp->mdev_us >> 2"),
    }
    /// Slow-start threshold; NULL while it was never set.
    tcpi_snd_ssthresh {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->snd_ssthresh"),
    }
    /// Congestion window.
    tcpi_snd_cwnd {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->snd_cwnd"),
    }
    /// Segment size advertised.
    tcpi_advmss {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->advmss"),
    }
    /// Reordering distance.
    tcpi_reordering {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->reordering"),
    }
    /// Round-trip time as the receiver estimates it.
    tcpi_rcv_rtt {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("tp->rcv_rtt_est.rtt_us >> 3"),
    }
    /// Data that the application read in a receiver's round trip, for tuning the buffer.
    tcpi_rcv_space {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->rcvq_space.space"),
    }
    /// Segments retransmitted.
    tcpi_total_retrans {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->total_retrans"),
    }
    /// Pacing rate; NULL where there is no limit.
    tcpi_pacing_rate {
        ty: U64, unit: "byte/s", source: "tcp_info", needs: "",
        read: Always("sk->sk_pacing_rate"),
    }
    /// SO_MAX_PACING_RATE; NULL where there is no limit.
    tcpi_max_pacing_rate {
        ty: U64, unit: "byte/s", source: "tcp_info", needs: "",
        read: Always("sk->sk_max_pacing_rate"),
    }
    /// Data acknowledged, SYN included (RFC 4898 tcpEStatsAppHCThruOctetsAcked).
    tcpi_bytes_acked {
        ty: U64, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->bytes_acked"),
    }
    /// Data received in order (RFC 4898 tcpEStatsAppHCThruOctetsReceived).
    tcpi_bytes_received {
        ty: U64, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->bytes_received"),
    }
    /// Segments sent (RFC 4898 tcpEStatsPerfSegsOut).
    tcpi_segs_out {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->segs_out"),
    }
    /// Segments received (RFC 4898 tcpEStatsPerfSegsIn).
    tcpi_segs_in {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->segs_in"),
    }
    /// Data written and not yet sent.
    tcpi_notsent_bytes {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("estats_app_wqueue(tp)"),
    }
    /// Smallest round-trip time in the window of the min filter; NULL before the first sample.
    tcpi_min_rtt {
        ty: U32, unit: "us", source: "tcp_info", needs: "",
        read: Always("tp->rtt_min.s[0].v"),
    }
    /// Segments with data received.
    tcpi_data_segs_in {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->data_segs_in"),
    }
    /// Segments with data sent.
    tcpi_data_segs_out {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->data_segs_out"),
    }
    /// Delivery rate, last sample.
    tcpi_delivery_rate {
        ty: U64, unit: "byte/s", source: "tcp_info", needs: "",
        read: Always("socket_delivery_rate(tp)"),
    }
    /// Time with data to send, in steps of a jiffy.
    tcpi_busy_time {
        ty: U64, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_chrono(tp, CHRONO_BUSY, jiffies)"),
    }
    /// Of it, limited by the receiver's window.
    tcpi_rwnd_limited {
        ty: U64, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_chrono(tp, CHRONO_RWND_LIMITED, jiffies)"),
    }
    /// Of it, limited by the send buffer.
    tcpi_sndbuf_limited {
        ty: U64, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_chrono(tp, CHRONO_SNDBUF_LIMITED, jiffies)"),
    }
    /// Segments delivered, retransmissions included.
    tcpi_delivered {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->delivered"),
    }
    /// Of these, acknowledged with ECE.
    tcpi_delivered_ce {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->delivered_ce"),
    }
    /// Data sent, retransmissions included.
    tcpi_bytes_sent {
        ty: U64, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->bytes_sent"),
    }
    /// Data retransmitted.
    tcpi_bytes_retrans {
        ty: U64, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->bytes_retrans"),
    }
    /// DSACKs received (RFC 4898 tcpEStatsStackDSACKDups).
    tcpi_dsack_dups {
        ty: U32, unit: "", source: "tcp_info", needs: "",
        read: Always("tp->dsack_dups"),
    }
    /// Reordering events seen.
    tcpi_reord_seen {
        ty: U32, unit: "", source: "tcp_info", needs: "",
        read: Always("tp->reord_seen"),
    }
    /// Segments received out of order.
    tcpi_rcv_ooopack {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->rcv_ooopack"),
    }
    /// Window that the peer advertises, scaled.
    tcpi_snd_wnd {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->snd_wnd"),
    }
    /// Window that this end advertises, scaled; TCP_INFO has it since Linux 6.2.
    tcpi_rcv_wnd {
        ty: U32, unit: "byte", source: "tcp_info", needs: "",
        read: Always("tp->rcv_wnd"),
    }
    /// Changes of the path's hash, by PLB and after timeouts.
    tcpi_rehash {
        ty: U32, unit: "", source: "tcp_info", kernels: Kernels::since(6, 2),
        read: If("has_rehash()", "rehash(tp)"),
    }
    /// Timeouts of retransmission.
    tcpi_total_rto {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 7),
        read: If("has_total_rto()", "total_rto(tp)"),
    }
    /// Recoveries from timeouts.
    tcpi_total_rto_recoveries {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 7),
        read: If("has_total_rto()", "total_rto_recoveries(tp)"),
    }
    /// Time in recoveries from timeouts, the one that lasts included.
    tcpi_total_rto_time {
        ty: U32, unit: "ms", source: "tcp_info", kernels: Kernels::since(6, 7),
        read: If("has_total_rto()", "total_rto_time(tp, now)"),
    }
    /// Segments received with the CE mark (AccECN).
    tcpi_received_ce {
        ty: U32, unit: "segment", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ce()", "received_ce(tp)"),
    }
    /// Data delivered to the peer with ECT(1) (AccECN).
    tcpi_delivered_e1_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_E1)"),
    }
    /// Data delivered to the peer with ECT(0) (AccECN).
    tcpi_delivered_e0_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_E0)"),
    }
    /// Data delivered to the peer with CE (AccECN).
    tcpi_delivered_ce_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_CE)"),
    }
    /// Data received with ECT(1) (AccECN).
    tcpi_received_e1_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_E1)"),
    }
    /// Data received with ECT(0) (AccECN).
    tcpi_received_e0_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_E0)"),
    }
    /// Data received with CE (AccECN).
    tcpi_received_ce_bytes {
        ty: U32, unit: "byte", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_CE)"),
    }
    /// Bits of what of AccECN failed.
    tcpi_accecn_fail_mode {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_accecn_fail_mode()", "accecn_fail_mode(tp)"),
    }
    /// What was seen of the AccECN option: 0 none, 1 empty, 2 counters, 3 an option that failed.
    tcpi_accecn_opt_seen {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_saw_accecn_opt()", "saw_accecn_opt(tp)"),
    }
    /// ECN after the handshake: 0 none, 1 RFC 3168, 2 AccECN (RFC 9768), 3 asked for and not answered yet.
    tcpi_ecn_mode {
        ty: U8, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18), needs: "by inet_diag 7.0",
        read: If("has_accecn_fail_mode()", "socket_ecn_mode(tp)"),
    }
    /// Memory of received data (sk_rmem_alloc).
    skmem_rmem_alloc {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_backlog.rmem_alloc.counter"),
    }
    /// Bound of it (sk_rcvbuf).
    skmem_rcvbuf {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_rcvbuf"),
    }
    /// Memory of data handed to the lower layers (sk_wmem_alloc).
    skmem_wmem_alloc {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_wmem_alloc.refs.counter - 1"),
    }
    /// Bound of the send queue (sk_sndbuf).
    skmem_sndbuf {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_sndbuf"),
    }
    /// Memory reserved and not used (sk_forward_alloc).
    skmem_fwd_alloc {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_forward_alloc"),
    }
    /// Memory of the send queue (sk_wmem_queued).
    skmem_wmem_queued {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_wmem_queued"),
    }
    /// Memory of options, the recorder's own state included (sk_omem_alloc).
    skmem_optmem {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_omem_alloc.counter"),
    }
    /// Memory of segments that wait for the socket's lock (sk_backlog.len).
    skmem_backlog {
        ty: U32, unit: "byte", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_backlog.len"),
    }
    /// Segments dropped by the socket (sk_drops).
    skmem_drops {
        ty: U32, unit: "segment", source: "inet_diag skmeminfo", needs: "",
        read: Always("sk->sk_drops.counter"),
    }
    /// Received in order and not read by the application.
    rqueue {
        ty: U32, unit: "byte", source: "inet_diag", needs: "",
        read: Always("estats_app_rqueue(tp)"),
    }
    /// Written by the application and not acknowledged.
    wqueue {
        ty: U32, unit: "byte", source: "inet_diag", needs: "",
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
    /// Bottleneck bandwidth as BBR estimates it.
    bbr_bw {
        ty: U64, unit: "byte/s", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_bandwidth(tp, ca)"),
    }
    /// Smallest round-trip time as BBR estimates it.
    bbr_min_rtt {
        ty: U32, unit: "us", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "((const struct bbr *)ca)->min_rtt_us"),
    }
    /// Pacing gain, 256 being 1.
    bbr_pacing_gain {
        ty: U32, unit: "1/256", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_gain(ca, true)"),
    }
    /// Gain of the congestion window, 256 being 1.
    bbr_cwnd_gain {
        ty: U32, unit: "1/256", source: "tcp_bbr", needs: "congestion control bbr, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_bbr(r)", "bbr_gain(ca, false)"),
    }
    /// 1 while Vegas decides.
    vegas_enabled {
        ty: U8, unit: "", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->doing_vegas_now"),
    }
    /// Round-trip times measured in the last round.
    vegas_rttcnt {
        ty: U32, unit: "", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->cntRTT"),
    }
    /// Smallest round-trip time of the connection.
    vegas_rtt {
        ty: U32, unit: "us", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->baseRTT"),
    }
    /// Smallest round-trip time of the last round.
    vegas_minrtt {
        ty: U32, unit: "us", source: "tcp_vegas", needs: "congestion control vegas, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_vegas(r)", "((const struct vegas *)ca)->minRTT"),
    }
    /// 1 while the last segment had the CE mark.
    dctcp_ce_state {
        ty: U32, unit: "", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_dctcp(r)", "((const struct dctcp *)ca)->ce_state"),
    }
    /// Share of marked data, 1024 being all.
    dctcp_alpha {
        ty: U32, unit: "1/1024", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If("is_dctcp(r)", "((const struct dctcp *)ca)->dctcp_alpha"),
    }
    /// Data acknowledged with ECE in this window.
    dctcp_ab_ecn {
        ty: U32, unit: "byte", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If(
            "is_dctcp(r)",
            "tp->mss_cache * (tp->delivered_ce - ((const struct dctcp *)ca)->old_delivered_ce)",
        ),
    }
    /// Data acknowledged in this window.
    dctcp_ab_tot {
        ty: U32, unit: "byte", source: "tcp_dctcp", needs: "congestion control dctcp, its BTF in the kernel or a module loaded before the recorder",
        read: If(
            "is_dctcp(r)",
            "tp->mss_cache * (tp->delivered - ((const struct dctcp *)ca)->old_delivered)",
        ),
    }
    /// Class id of the socket's cgroup (net_cls of cgroup v1); where there is none, SO_PRIORITY.
    class_id {
        ty: U32, unit: "", source: "INET_DIAG_CLASS_ID", needs: "a poll by netlink",
        read: Netlink,
    }
    /// Bits of socket options: 1 IP_RECVERR, 2 a socket of connections (always), 4 IP_FREEBIND, 8
    /// IP_HDRINCL, 16 IP_MULTICAST_LOOP, 32 IP_TRANSPARENT, 64 IP_MULTICAST_ALL, 128 IP_NODEFRAG, 256
    /// IP_BIND_ADDRESS_NO_PORT, 512 IP_RECVERR_RFC4884, 1024 a Fast Open that waits for data to send
    /// (TCP_FASTOPEN_CONNECT).
    sockopt {
        ty: U16, unit: "", source: "INET_DIAG_SOCKOPT", needs: "a poll by netlink, Linux 5.10",
        read: Netlink,
    }
    /// Version of the protocol as in its records: 771 (0x0303) TLS 1.2, 772 (0x0304) TLS 1.3.
    tls_version {
        ty: U16, unit: "", source: "TLS_INFO_VERSION", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS of which one direction has its keys",
        read: Netlink,
    }
    /// Cipher, TLS_CIPHER_* of linux/tls.h: 51 AES-GCM-128, 52 AES-GCM-256, 53 AES-CCM-128, 54
    /// CHACHA20-POLY1305, 55 SM4-GCM, 56 SM4-CCM, 57 ARIA-GCM-128, 58 ARIA-GCM-256.
    tls_cipher {
        ty: U16, unit: "", source: "TLS_INFO_CIPHER", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS of which one direction has its keys",
        read: Netlink,
    }
    /// Who encrypts what is sent, TLS_CONF_* of linux/tls.h: 1 the application, since there are no keys, 2
    /// the kernel, 3 the network device, 4 a device that speaks TCP and TLS itself.
    tls_tx_conf {
        ty: U16, unit: "", source: "TLS_INFO_TXCONF", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Who decrypts what is received, TLS_CONF_* of linux/tls.h: 1 the application, since there are no keys, 2
    /// the kernel, 3 the network device, 4 a device that speaks TCP and TLS itself.
    tls_rx_conf {
        ty: U16, unit: "", source: "TLS_INFO_RXCONF", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// 1 if files are sent without a copy (TLS_TX_ZEROCOPY_RO, Linux 5.19). NULL if not: a kernel that
    /// does not know of it reports the same.
    tls_zc_ro_tx {
        ty: U8, unit: "", source: "TLS_INFO_ZC_RO_TX", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// 1 if no padding is expected in what is received (TLS_RX_EXPECT_NO_PAD, Linux 6.0). NULL if not: a
    /// kernel that does not know of it reports the same.
    tls_rx_no_pad {
        ty: U8, unit: "", source: "TLS_INFO_RX_NO_PAD", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Most octets of data in a TLS record that is sent (TLS_TX_MAX_PAYLOAD_LEN); NULL on kernels that
    /// have no such option.
    tls_tx_max_payload_len {
        ty: U16, unit: "byte", source: "TLS_INFO_TX_MAX_PAYLOAD_LEN", needs: "a poll by netlink with CAP_NET_ADMIN, a socket with kernel TLS",
        read: Netlink,
    }
    /// Token by which the peer knows the MPTCP connection, in subflows that this end joined to it; 0 in
    /// others.
    mptcp_token_rem {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_TOKEN_REM", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Token of the MPTCP connection here: `mptcp_id` of connections, and what `ss -M` shows.
    mptcp_token_loc {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_TOKEN_LOC", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Where the next data to send begins in the subflow, in octets from its first.
    mptcp_relwrite_seq {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_RELWRITE_SEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Data sequence number that the current mapping of received data begins at: 64 random bits and what
    /// was sent since, so it may be negative in a column of Int64.
    mptcp_map_seq {
        ty: U64, unit: "", source: "MPTCP_SUBFLOW_ATTR_MAP_SEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Sequence number of the subflow that the current mapping begins at, counted from its first.
    mptcp_map_sfseq {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_MAP_SFSEQ", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Sequence number of the subflow (TCP) that its own count begins at.
    mptcp_ssn_offset {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_SSN_OFFSET", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Octets of the current mapping.
    mptcp_map_datalen {
        ty: U16, unit: "byte", source: "MPTCP_SUBFLOW_ATTR_MAP_DATALEN", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Bits of the subflow, MPTCP_SUBFLOW_FLAG_* of linux/mptcp.h: 1 the peer and 2 this end offered
    /// MP_CAPABLE, 4 the peer and 8 this end MP_JOIN, 16 the peer and 32 this end called it a backup, 64
    /// fully established, 128 connected, 256 a mapping is in force.
    mptcp_flags {
        ty: U32, unit: "", source: "MPTCP_SUBFLOW_ATTR_FLAGS", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Id of the peer's address.
    mptcp_id_rem {
        ty: U8, unit: "", source: "MPTCP_SUBFLOW_ATTR_ID_REM", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
    /// Id of the local address.
    mptcp_id_loc {
        ty: U8, unit: "", source: "MPTCP_SUBFLOW_ATTR_ID_LOC", needs: "a poll by netlink with CAP_NET_ADMIN, a subflow of MPTCP",
        read: Netlink,
    }
}
}

pub use list::SocketField;

/// Octets of a record before its fields.
pub const SOCKET_FIXED: usize = SocketHead::SIZE;
/// Octets of the congestion control's name, with which the part begins that --changed-only compares.
pub const SOCKET_CONGESTION: usize = Name::SIZE;

impl SocketField {
    /// Number of fields.
    pub const COUNT: usize = Self::ALL.len();

    /// Position in [`SocketField::ALL`]: the bit in the record that says it is present.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name, which is the column name.
    pub const fn name(self) -> &'static str {
        self.def().name
    }

    /// The field of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|f| f.name() == name)
    }

    /// Whether each word of the text that begins with `tcpi_` is the name of a field.
    pub const fn are_named(text: &str) -> bool {
        let text = text.as_bytes();
        let mut from = 0;
        while from < text.len() {
            let mut to = from;
            while to < text.len() && (text[to].is_ascii_alphanumeric() || text[to] == b'_') {
                to += 1;
            }
            if starts_with(text, from, to, b"tcpi_") && !Self::is_name(text, from, to) {
                return false;
            }
            from = to + 1;
        }
        true
    }

    /// Whether this part of a text is the name of a field.
    const fn is_name(text: &[u8], from: usize, to: usize) -> bool {
        let mut i = 0;
        while i < Self::ALL.len() {
            let name = Self::ALL[i].name().as_bytes();
            if name.len() == to - from && starts_with(text, from, to, name) {
                return true;
            }
            i += 1;
        }
        false
    }

    /// The values that it can have.
    pub const fn range(self) -> Range {
        match (self.def().ty, self.def().read) {
            // The kernel counts in jiffies of 32 bits: half of them are in the future.
            (_, Age(_) | Countdown(..)) => Range::SPAN,
            _ if matches!(self, Self::skmem_fwd_alloc) => Range::SPAN,
            (U8, _) => Range::new(0, u8::MAX as i64),
            (U16, _) => Range::new(0, u16::MAX as i64),
            (U32, _) => Range::U32,
            // 64 bits that mean no amount.
            _ if matches!(self, Self::mptcp_map_seq) => Range::new(i64::MIN, i64::MAX),
            (U64, _) => Range::COUNT,
        }
    }

    /// Whether it is what the kernel has where there is no value yet, or no limit: NULL in the table.
    pub const fn is_unset(self, value: u64) -> bool {
        match self {
            Self::tcpi_min_rtt | Self::bbr_min_rtt => value == u32::MAX as u64,
            Self::tcpi_rtt | Self::tcpi_rttvar | Self::tcpi_rcv_rtt => value == 0,
            // TCP_INFINITE_SSTHRESH, include/net/tcp.h.
            Self::tcpi_snd_ssthresh => value >= 0x7fff_ffff,
            Self::tcpi_pacing_rate | Self::tcpi_max_pacing_rate => value == u64::MAX,
            // tcp_vegas_init(), vegas_enable().
            Self::vegas_rtt | Self::vegas_minrtt => value == 0x7fff_ffff,
            _ => false,
        }
    }

    /// Whether it changes while nothing happens.
    pub const fn ages(self) -> bool {
        match self.def().read {
            Age(_) | Countdown(..) => true,
            Always(_) | If(..) | Netlink => false,
        }
    }

    /// Whether BPF programs read it: it is in their record then.
    pub const fn is_in_record(self) -> bool {
        !matches!(self.def().read, Netlink)
    }

    /// Position in the order of the record: first those that age, then by width from the largest,
    /// so that there is no padding between fields; last what is not in it.
    const fn group(self) -> usize {
        if !self.is_in_record() {
            10
        } else if self.ages() {
            0
        } else {
            9 - self.def().ty.width()
        }
    }

    /// Octets of the fields of groups up to this one.
    const fn octets_through(group: usize) -> usize {
        let mut i = 0;
        let mut sum = 0;
        while i < Self::ALL.len() {
            if Self::ALL[i].group() <= group {
                sum += Self::ALL[i].def().ty.width();
            }
            i += 1;
        }
        sum
    }

    /// Where the record's second part begins, the one that --changed-only compares.
    pub const fn compared_from() -> usize {
        const { SOCKET_FIXED + Self::octets_through(0).next_multiple_of(8) }
    }

    /// Offset in the record, if it [is there](Self::is_in_record).
    pub const fn offset(self) -> usize {
        // Counted once, when this is compiled: counting for every field of every record took half
        // of the recorder's time.
        const OFFSETS: [usize; SocketField::COUNT] = SocketField::offsets();
        OFFSETS[self.index()]
    }

    const fn offsets() -> [usize; Self::COUNT] {
        let mut offsets = [0; Self::COUNT];
        let mut group = 0;
        let mut offset = SOCKET_FIXED;
        while group < 10 {
            let mut i = 0;
            while i < Self::COUNT {
                if Self::ALL[i].group() == group {
                    offsets[i] = offset;
                    offset += Self::ALL[i].def().ty.width();
                }
                i += 1;
            }
            if group == 0 {
                offset = Self::compared_from() + SOCKET_CONGESTION;
            }
            group += 1;
        }
        offsets
    }

    /// Size of the record in octets.
    pub const fn record_size() -> usize {
        const {
            let fields = Self::octets_through(9) - Self::octets_through(0);
            Self::compared_from() + SOCKET_CONGESTION + fields.next_multiple_of(8)
        }
    }
}

/// Whether this part of a text begins with another: `str::starts_with` is not const.
const fn starts_with(text: &[u8], from: usize, to: usize, with: &[u8]) -> bool {
    let mut i = 0;
    while i < with.len() {
        if from + i >= to || text[from + i] != with[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl fmt::Display for SocketField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What made a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Why {
    /// One of the polls of --snapshots.
    Poll = 1,
    /// The connection reached ESTABLISHED.
    Open = 2,
    /// It was open before the recording.
    Baseline = 3,
    /// The socket went to CLOSE: the final values.
    Close = 4,
    /// It was still open when the recording ended.
    End = 5,
}

impl Why {
    /// All reasons, by code from 1.
    pub const ALL: &'static [Self] =
        &[Self::Poll, Self::Open, Self::Baseline, Self::Close, Self::End];

    /// The name in the log's dictionary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poll => "poll",
            Self::Open => "open",
            Self::Baseline => "baseline",
            Self::Close => "close",
            Self::End => "end",
        }
    }
}

const _: () = {
    // The record says in 128 bits which fields are present.
    assert!(SocketField::COUNT <= 128);
    let mut i = 0;
    while i < SocketField::ALL.len() {
        assert!(SocketField::ALL[i].index() == i);
        assert!(!SocketField::ALL[i].ages() || SocketField::ALL[i].def().ty.width() == 4);
        i += 1;
    }
};
