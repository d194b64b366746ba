// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//! Fields of `struct tcp_info`. See the parent module.

#[rustfmt::skip]
macro_rules! tcp_info {
([$next:ident $($then:ident)*] $($before:tt)*) => { $next! { [$($then)*] $($before)*

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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("tp->mss_cache"),
    }
    /// Segment size of the peer, estimated.
    tcpi_rcv_mss {
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_ack.rcv_mss"),
    }
    /// Segments sent and not acknowledged (packets_out).
    tcpi_unacked {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->packets_out"),
    }
    /// Segments of tcpi_unacked that are selectively acknowledged.
    tcpi_sacked {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->sacked_out"),
    }
    /// Segments of tcpi_unacked that are considered lost.
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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("icsk->icsk_pmtu_cookie"),
    }
    /// Limit of the window that is advertised.
    tcpi_rcv_ssthresh {
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("tp->rcvq_space.space"),
    }
    /// Segments retransmitted.
    tcpi_total_retrans {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->total_retrans"),
    }
    /// Pacing rate; NULL if there is no limit.
    tcpi_pacing_rate {
        ty: U64, unit: "byte/s", source: "tcp_info", needs: "",
        read: Always("sk->sk_pacing_rate"),
    }
    /// SO_MAX_PACING_RATE; NULL if there is no limit.
    tcpi_max_pacing_rate {
        ty: U64, unit: "byte/s", source: "tcp_info", needs: "",
        read: Always("sk->sk_max_pacing_rate"),
    }
    /// Data acknowledged, SYN included (RFC 4898 tcpEStatsAppHCThruOctetsAcked).
    tcpi_bytes_acked {
        ty: U64, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("tp->bytes_acked"),
    }
    /// Data received in order (RFC 4898 tcpEStatsAppHCThruOctetsReceived).
    tcpi_bytes_received {
        ty: U64, unit: "bytes", source: "tcp_info", needs: "",
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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
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
    /// The part of tcpi_busy_time limited by the receiver's window.
    tcpi_rwnd_limited {
        ty: U64, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_chrono(tp, CHRONO_RWND_LIMITED, jiffies)"),
    }
    /// The part of tcpi_busy_time limited by the send buffer.
    tcpi_sndbuf_limited {
        ty: U64, unit: "us", source: "tcp_info", needs: "",
        read: Always("socket_chrono(tp, CHRONO_SNDBUF_LIMITED, jiffies)"),
    }
    /// Segments delivered, retransmissions included.
    tcpi_delivered {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->delivered"),
    }
    /// Segments of tcpi_delivered that were acknowledged with ECE.
    tcpi_delivered_ce {
        ty: U32, unit: "segment", source: "tcp_info", needs: "",
        read: Always("tp->delivered_ce"),
    }
    /// Data sent, retransmissions included.
    tcpi_bytes_sent {
        ty: U64, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("tp->bytes_sent"),
    }
    /// Data retransmitted.
    tcpi_bytes_retrans {
        ty: U64, unit: "bytes", source: "tcp_info", needs: "",
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
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
        read: Always("tp->snd_wnd"),
    }
    /// Window that this end advertises, scaled; TCP_INFO has it since Linux 6.2.
    tcpi_rcv_wnd {
        ty: U32, unit: "bytes", source: "tcp_info", needs: "",
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
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_E1)"),
    }
    /// Data delivered to the peer with ECT(0) (AccECN).
    tcpi_delivered_e0_bytes {
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_E0)"),
    }
    /// Data delivered to the peer with CE (AccECN).
    tcpi_delivered_ce_bytes {
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_delivered_ecn_bytes()", "delivered_ecn_bytes(tp, ECN_OCTETS_CE)"),
    }
    /// Data received with ECT(1) (AccECN).
    tcpi_received_e1_bytes {
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_E1)"),
    }
    /// Data received with ECT(0) (AccECN).
    tcpi_received_e0_bytes {
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_E0)"),
    }
    /// Data received with CE (AccECN).
    tcpi_received_ce_bytes {
        ty: U32, unit: "bytes", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_received_ecn_bytes()", "received_ecn_bytes(tp, ECN_OCTETS_CE)"),
    }
    /// Bits of what of AccECN failed.
    tcpi_accecn_fail_mode {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_accecn_fail_mode()", "accecn_fail_mode(tp)"),
    }
    /// The AccECN option as it was seen: 0 none, 1 empty, 2 counters, 3 an option that failed.
    tcpi_accecn_opt_seen {
        ty: U16, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18),
        read: If("has_saw_accecn_opt()", "saw_accecn_opt(tp)"),
    }
    /// ECN after the handshake: 0 none, 1 RFC 3168, 2 AccECN (RFC 9768), 3 asked for and not answered yet.
    tcpi_ecn_mode {
        ty: U8, unit: "", source: "tcp_info", kernels: Kernels::since(6, 18), needs: "by inet_diag 7.0",
        read: If("has_accecn_fail_mode()", "socket_ecn_mode(tp)"),
    }

} };
}
