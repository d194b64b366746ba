/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Values that take more than one field of the socket. The schema names these functions in its
 * Read expressions; each returns the value in the variable's own unit.
 */
#ifndef ESTATS_TCP_BPF_H
#define ESTATS_TCP_BPF_H

#include "recorder.bpf.h"

static __always_inline bool before(u32 a, u32 b)
{
	return (s32)(a - b) < 0;
}

static __always_inline bool after(u32 a, u32 b)
{
	return before(b, a);
}

/* Network byte order, four octets each for IPv4; the rest of both stays as it is. */
static __always_inline void read_addresses(void *local, void *remote, const struct sock *sk)
{
	if (is_ipv6(sk->__sk_common.skc_family)) {
		const u32 *from = (const void *)&sk->__sk_common.skc_v6_rcv_saddr;
		const u32 *to = (const void *)&sk->__sk_common.skc_v6_daddr;
		int i;

#pragma unroll
		for (i = 0; i < 4; i++) {
			((u32 *)local)[i] = from[i];
			((u32 *)remote)[i] = to[i];
		}
	} else {
		*(u32 *)local = sk->__sk_common.skc_rcv_saddr;
		*(u32 *)remote = sk->__sk_common.skc_daddr;
	}
}

/* `name` is aligned as the records have it. */
static __always_inline void read_congestion(char name[16], const struct inet_connection_sock *icsk)
{
#ifdef ESTATS_KPROBE
	const struct tcp_congestion_ops *ops = BPF_CORE_READ(icsk, icsk_ca_ops);

	bpf_core_read(name, 16, &ops->name);
#else
	const u64 *from = (const void *)icsk->icsk_ca_ops->name;

	((u64 *)name)[0] = from[0];
	((u64 *)name)[1] = from[1];
#endif
}

/* segments * mss in u64: the product passes 32 bits on fast paths, and RFC 4898 has 32: saturate */
static __always_inline u64 estats_octets(u64 segments, u64 mss)
{
	u64 octets = segments * mss;

	return octets > 0xffffffff ? 0xffffffff : octets;
}

/*
 * tcp_packets_in_flight(), include/net/tcp.h. tcp_write_queue_purge() forgets packets_out alone, so
 * that an aborted connection would end with less than nothing in flight.
 */
static __always_inline u32 estats_in_flight(const struct tcp_sock *tp)
{
	s32 n = tp->packets_out - tp->sacked_out - tp->lost_out + tp->retrans_out;

	return n > 0 ? n : 0;
}

static __always_inline u64 estats_pipe_size(const struct tcp_sock *tp)
{
	return estats_octets(estats_in_flight(tp), tp->mss_cache);
}

static __always_inline u64 estats_ssthresh(const struct tcp_sock *tp)
{
	u32 ssthresh = tp->snd_ssthresh;

	return ssthresh >= TCP_INFINITE_SSTHRESH ? 0xffffffff
						 : estats_octets(ssthresh, tp->mss_cache);
}

static __always_inline u64 estats_jiffies_to_us(u32 jiffies)
{
	return hz ? (u64)jiffies * 1000000 / hz : 0;
}

/* RFC codes: Open and CWR 1, Disorder 2, Recovery and Loss 3 */
static __always_inline u64 estats_recovery_code(u8 ca_state)
{
	return ca_state >= CA_RECOVERY ? 3 : ca_state == CA_DISORDER ? 2 : 1;
}

static __always_inline u8 estats_ca_state(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ca_state);
}

/* TruthValue: 1 Nagle's algorithm works, 2 switched off. TCP_CORK does not count as off. */
static __always_inline u64 estats_nagle(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, nonagle) & TCP_NAGLE_OFF ? 2 : 1;
}

/* Span of the out-of-order queue. ooo_last_skb dangles when the tree is empty: test that first. */
static __always_inline u64 estats_reasm_queue(const struct tcp_sock *tp)
{
	const struct sk_buff *last;
	u32 end_seq = 0;
	s32 span;

	if (!tp->out_of_order_queue.rb_node)
		return 0;
	last = tp->ooo_last_skb;
	bpf_probe_read_kernel(&end_seq, sizeof(end_seq),
			      (const void *)last + bpf_core_field_offset(struct sk_buff, cb) +
				      bpf_core_field_offset(struct tcp_skb_cb, end_seq));
	span = end_seq - tp->rcv_nxt;
	return span > 0 ? span : 0;
}

/* Signed differences clamped at 0: repair mode may turn them round. */
static __always_inline u64 estats_retx_queue(const struct tcp_sock *tp)
{
	s32 queue = tp->snd_nxt - tp->snd_una;

	return queue > 0 ? queue : 0;
}

static __always_inline u64 estats_app_wqueue(const struct tcp_sock *tp)
{
	s32 queue = tp->write_seq - tp->snd_nxt;

	return queue > 0 ? queue : 0;
}

static __always_inline u64 estats_app_rqueue(const struct tcp_sock *tp)
{
	s32 queue = tp->rcv_nxt - tp->copied_seq;

	return queue > 0 ? queue : 0;
}

/* States that tcp_send_fin() may have been called in, or is about to be. */
#define FIN_STATES                                                                                 \
	(1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | 1u << TCP_CLOSING | 1u << TCP_LAST_ACK)

/* Whether SND.NXT stands behind our FIN, which is the last of all that is written. */
static __always_inline bool fin_is_sent(const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;

	return (FIN_STATES >> sk->__sk_common.skc_state & 1) && tp->snd_nxt == tp->write_seq;
}

/*
 * tcp_sock.bytes_retrans has the retransmissions too that the host itself refused (a full queue,
 * netfilter, no route), which RFC 4898 does not call sent. On newer kernels the event says which
 * those are (retransmit_error()). On older ones there is an event of each that was taken; one that
 * nobody saw is taken for refused only on a connection of which the queue has refused something,
 * since an event may be missed too. Otherwise which it was is not known: see witness_again().
 */
static __always_inline u64 estats_octets_again(const struct conn *c, const struct tcp_sock *tp)
{
	u64 again = tp->bytes_retrans;

	if (retransmit_has_error)
		return again > c->octets_refused ? again - c->octets_refused : 0;
	if (c->stalled && is_hooked(ESTATS_HOOK_retransmit) && c->octets_again < again)
		return c->octets_again;
	return again;
}

/*
 * Octets transmitted: what SND.NXT has passed (follow_sent()), and the retransmissions.
 * tcp_sock.bytes_sent, with what was refused, is an upper bound, which also holds where SND.NXT
 * moved without a transmission (TCP_REPAIR).
 */
static __always_inline u64 estats_octets_out(const struct conn *c, const struct tcp_sock *tp)
{
	u64 sent = tp->bytes_sent, taken = c->octets_new + estats_octets_again(c, tp);

	return taken < sent ? taken : sent;
}

static __always_inline u64 estats_lim_cwnd(const struct tcp_sock *tp)
{
	u32 clamp = tp->snd_cwnd_clamp;

	return clamp == 0xffffffff ? clamp : estats_octets(clamp, tp->mss_cache);
}

static __always_inline u64 estats_wscale_rcvd(const struct tcp_sock *tp)
{
	if (!BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok))
		return -1;
	return BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale);
}

static __always_inline u64 estats_wscale_sent(const struct tcp_sock *tp)
{
	if (!BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok))
		return -1;
	return BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
}

/* advmss is lowered by the 12 octets of the timestamp option once that is agreed */
static __always_inline u64 estats_mss_sent(const struct tcp_sock *tp)
{
	return tp->advmss + (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok) ? 12 : 0);
}

enum negotiated {
	ENABLED = 1,
	SELF_DISABLED = 2,
	PEER_DISABLED = 3,
};

static __always_inline const struct net *estats_net(const struct sock *sk)
{
	return sk->__sk_common.skc_net.net;
}

static __always_inline u64 estats_timestamps(const struct sock *sk, const struct tcp_sock *tp)
{
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
		return ENABLED;
	return BPF_CORE_READ(estats_net(sk), ipv4.sysctl_tcp_timestamps) ? PEER_DISABLED
									 : SELF_DISABLED;
}

static __always_inline u64 estats_sack(const struct sock *sk, const struct tcp_sock *tp)
{
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok))
		return ENABLED;
	return BPF_CORE_READ(estats_net(sk), ipv4.sysctl_tcp_sack) ? PEER_DISABLED : SELF_DISABLED;
}

/*
 * What of ECN was agreed on. Kernels without accurate ECN (RFC 9768) may use its bit for something
 * else, as patches for BBR do.
 */
static __always_inline u8 ecn_mode(const struct tcp_sock *tp)
{
	if (!has_received_ce())
		return tp->ecn_flags & TCP_ECN_OK;
	return tp->ecn_flags & (TCP_ECN_OK | TCP_ECN_MODE_ACCECN);
}

static __always_inline bool has_classic_ecn(const struct tcp_sock *tp)
{
	return ecn_mode(tp) == TCP_ECN_OK;
}

static __always_inline bool has_accurate_ecn(const struct tcp_sock *tp)
{
	return ecn_mode(tp) == TCP_ECN_MODE_ACCECN;
}

/* net.ipv4.tcp_ecn: 2 (the default), and 5 of accurate ECN, accept ECN and never ask for it. */
static __always_inline bool asks_for_ecn(u8 sysctl)
{
	return sysctl && sysctl != 2 && sysctl != 5;
}

/* An active open that did not get ECN because it did not ask for it was disabled by this host. */
static __always_inline u64 estats_ecn(const struct sock *sk, const struct tcp_sock *tp,
				      const struct conn *c)
{
	u8 sysctl;

	if (ecn_mode(tp))
		return ENABLED;
	sysctl = BPF_CORE_READ(estats_net(sk), ipv4.sysctl_tcp_ecn);
	if (!sysctl || (!asks_for_ecn(sysctl) && c->active == 1))
		return SELF_DISABLED;
	return PEER_DISABLED;
}

#endif
