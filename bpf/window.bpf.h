/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Why the sender does not send more, and what became of its window. The functions of the kernel
 * that decide these things are hooked where that is possible (functions.bpf.h); elsewhere they are
 * inferred from what the socket looked like at two hooks.
 */
#ifndef ESTATS_WINDOW_BPF_H
#define ESTATS_WINDOW_BPF_H

#include "tcp.bpf.h"

/* Codes of Limstate. */
enum limstate {
	LIM_SENDER = 0,
	LIM_CWND = 1,
	LIM_RWIN = 2,
	LIM_STARTUP = 3,
	LIM_TSO_DEFER = 4,
	LIM_PACE = 5,
	LIM_UNSENT = 0xff,
};

static __always_inline void set_limstate(struct conn *c, u8 state)
{
	if (c->limstate == state)
		return;
	c->limstate = state;
	SET(c, Limstate, state);
}

#define MAX_TCP_HEADER	   320 /* include/linux/tcp.h, with tunnels */
#define NSEC_PER_MSEC	   1000000
#define MAX_DEFERRED	   3	  /* tcp_max_tso_deferred_mss(), include/net/tcp.h */
#define BBR_MIN_RATE	   150000 /* octets a second: bbr_min_tso_rate, net/ipv4/tcp_bbr.c */
#define DEPTH_OF_RTX_QUEUE 32	  /* a red-black tree of 65,000 has no leaf deeper */

/* tcp_tso_segs(), net/ipv4/tcp_output.c: segments that one skb may have at this pacing rate */
static __always_inline u32 tso_segs(const struct tcp_sock *tp, u32 mss)
{
	const struct sock *sk = (const void *)tp;
	const struct net *net = sk->__sk_common.skc_net.net;
	u64 octets = sk->sk_pacing_rate >> (sk->sk_pacing_shift & 63);
	u32 most = sk->sk_gso_max_size, limit = sk->sk_gso_max_segs, least, segments;

	if (has_tso_rtt_log()) {
		u32 r = tp->rtt_min.s[0].v >> (tso_rtt_log(net) & 31);

		if (r < 32)
			octets += most >> r;
	} else {
		most -= 1 + MAX_TCP_HEADER;
	}
	if (octets > most)
		octets = most;
	/* Of the algorithms of the kernel only BBR has a bound of its own. */
	if (BPF_CORE_READ(&tp->inet_conn, icsk_ca_ops, min_tso_segs))
		least = sk->sk_pacing_rate < BBR_MIN_RATE ? 1 : 2;
	else
		least = BPF_CORE_READ(net, ipv4.sysctl_tcp_min_tso_segs);
	segments = mss ? (u32)octets / mss : 0;
	if (segments < least)
		segments = least;
	return segments < limit ? segments : limit;
}

/* When the oldest segment that is not acknowledged was sent last; 0 if there is none. */
static __always_inline u64 oldest_sent_ns(const struct sock *sk)
{
	struct rb_node *node = sk->tcp_rtx_queue.rb_node, *left;
	const void *skb;
	u64 sent = 0;
	int i;

	if (!node)
		return 0;
	for (i = 0; i < DEPTH_OF_RTX_QUEUE; i++) {
		left = BPF_CORE_READ(node, rb_left);
		if (!left)
			break;
		node = left;
	}
	skb = (const void *)node - bpf_core_field_offset(struct sk_buff, rbnode);
	bpf_probe_read_kernel(&sent, sizeof(sent),
			      skb + bpf_core_field_offset(struct sk_buff, skb_mstamp_ns));
	return sent;
}

/*
 * tcp_tso_should_defer(), net/ipv4/tcp_output.c, the same on all kernels but for how near
 * the next ACK must be (awaits_ack()): whether the head of the queue, which has several segments,
 * waits to become longer. What the function goes by is at the end of the loop as it was when the
 * loop stopped, so asking again gives the kernel's answer. The flag TSQ_THROTTLED was refused:
 * tcp_small_queue_check() leaves it set although the segment goes out, and another CPU clears it
 * while the loop still runs.
 */
static __always_inline bool tso_defers(const struct tcp_sock *tp, const struct sk_buff *head,
				       u32 cwnd, u32 mss, u32 seq, u32 len)
{
	const struct sock *sk = (const void *)tp;
	const struct net *net = sk->__sk_common.skc_net.net;
	const struct tcp_skb_cb *cb =
		(const void *)head + bpf_core_field_offset(struct sk_buff, cb);
	u32 in_flight = estats_in_flight(tp), mss_cache = tp->mss_cache;
	u32 send_win, cong_win, limit, chunk, divisor;
	u64 clock = tp->tcp_clock_cache;

	if (estats_ca_state(tp) >= CA_RECOVERY)
		return false;
	if ((s64)(clock - tp->tcp_wstamp_ns - NSEC_PER_MSEC) > 0)
		return false;
	send_win = tp->snd_una + tp->snd_wnd - seq;
	cong_win = (cwnd - in_flight) * mss_cache;
	limit = send_win < cong_win ? send_win : cong_win;
	if (limit >= tso_segs(tp, mss) * mss_cache)
		return false;
	if (head != sk->sk_write_queue.prev && limit >= len)
		return false;
	divisor = BPF_CORE_READ(net, ipv4.sysctl_tcp_tso_win_divisor);
	if (divisor) {
		chunk = tp->snd_wnd < cwnd * mss_cache ? tp->snd_wnd : cwnd * mss_cache;
		if (limit >= chunk / divisor)
			return false;
	} else if (limit > MAX_DEFERRED * mss_cache) {
		return false;
	}
	if (!awaits_ack(clock, oldest_sent_ns(sk), tp->srtt_us))
		return false;
	if ((cong_win < send_win ? cong_win : send_win) <= len)
		return true;
	return !(skb_tcp_flags(cb) & TCPHDR_FIN) && !BPF_CORE_READ_BITFIELD_PROBED(cb, eor);
}

/*
 * Why the loop of tcp_write_xmit() stopped, in the order of its own tests: pacing, congestion
 * window, receiver's window, Nagle's algorithm or deferral. A head that passed them all waits for
 * the device's queue (tcp_small_queue_check()), or was refused by it. `cwnd` is the window that the
 * loop had: an application-limited connection's is lowered after it.
 */
static __noinline __attribute__((unused)) u8 why_stopped(const struct tcp_sock *tp, u32 cwnd,
							 u32 mss, u32 push_one)
{
	const struct sock *sk = (const void *)tp;
	u32 seq, end_seq, len;
	struct sk_buff *head;
	const void *cb;

	if (!tp || !sk->sk_write_queue.qlen)
		return LIM_SENDER;
	if (sk->sk_pacing_status == SK_PACING_NEEDED && tp->tcp_wstamp_ns > tp->tcp_clock_cache)
		return LIM_PACE;
	if (estats_in_flight(tp) >= cwnd)
		return LIM_CWND;
	head = sk->sk_write_queue.next;
	len = BPF_CORE_READ(head, len);
	cb = (const void *)head + bpf_core_field_offset(struct sk_buff, cb);
	seq = BPF_CORE_READ((const struct tcp_skb_cb *)cb, seq);
	end_seq = len > mss ? seq + mss : BPF_CORE_READ((const struct tcp_skb_cb *)cb, end_seq);
	if (after(end_seq, tp->snd_una + tp->snd_wnd))
		return LIM_RWIN;
	if (len <= mss || push_one)
		return LIM_SENDER;
	return tso_defers(tp, head, cwnd, mss, seq, len) ? LIM_TSO_DEFER : LIM_SENDER;
}

static __always_inline bool has_cong_control(const struct tcp_sock *tp)
{
	return BPF_CORE_READ(&tp->inet_conn, icsk_ca_ops, cong_control) != NULL;
}

/*
 * A window that shrank between two looks at it, in a state in which no congestion signal shrinks
 * it. tcp_cwnd_restart() and tcp_cwnd_application_limited() are validation; MTU probes and
 * algorithms with a cong_control of their own are not.
 */
static __always_inline void follow_window(struct conn *c, const struct tcp_sock *tp)
{
	u32 cwnd = tp->snd_cwnd, marker = tp->undo_marker;

	if (c->established && cwnd < c->snd_cwnd && !c->ca_moved && c->ca_state <= CA_DISORDER) {
		bool validation = c->restarted;

		c->pending[PENDING_OtherReductions]++;
		if (c->in_loop || !is_hooked(ESTATS_HOOK_write_xmit))
			validation |= c->ca_state == CA_OPEN && !tp->snd_cwnd_used &&
				      !mtu_probe_size(tp) && !has_cong_control(tp);
		if (validation)
			c->pending[PENDING_OtherReductionsCV]++;
	}
	/* tcp_undo_cwnd_reduction() clears the marker, and gives ssthresh back if it was higher. */
	if (!is_hooked(ESTATS_HOOK_undo) && c->undo_marker && !marker &&
	    tp->snd_ssthresh > c->snd_ssthresh)
		c->pending[PENDING_CongOverCount]++;
	c->snd_cwnd = cwnd;
	c->snd_ssthresh = tp->snd_ssthresh;
	c->undo_marker = marker;
	c->ca_moved = 0;
	c->restarted = 0;
}

/*
 * tcp_reno_cong_avoid() found that the slow start's turn had come. Where tcp_slow_start() is a call
 * of its own, its hook came right after that, and took the mark; where the compiler has put it into
 * its caller, nobody did.
 */
static __always_inline void settle_growth(struct conn *c)
{
	c->pending[PENDING_SlowStart] += c->reno_slow_start;
	c->pending[PENDING_CongAvoid] += c->reno_cong_avoid;
	c->reno_slow_start = 0;
	c->reno_cong_avoid = 0;
}

/* tcp_slow_start() */
static __always_inline void grow_in_slow_start(struct conn *c)
{
	c->reno_slow_start = 0;
	c->pending[PENDING_SlowStart]++;
}

/* tcp_is_cwnd_limited(), include/net/tcp.h, below the threshold */
static __always_inline bool is_cwnd_limited(const struct tcp_sock *tp)
{
	if (heeds_cwnd_limited() && BPF_CORE_READ_BITFIELD(tp, is_cwnd_limited))
		return true;
	return tp->snd_cwnd < 2 * tp->max_packets_out;
}

/* What the segment before this one did to the window. */
static __always_inline void infer_growth(struct conn *c, const struct tcp_sock *tp)
{
	u32 cwnd = tp->snd_cwnd, count = tp->snd_cwnd_cnt;
	bool grew = cwnd > c->segment_cwnd;

	/* PRR sets the window in these states; and not every algorithm has a slow start. */
	if (c->segment_cwnd && c->ca_state != CA_CWR && c->ca_state != CA_RECOVERY &&
	    !has_cong_control(tp)) {
		if (c->segment_cwnd < c->segment_ssthresh) {
			if (grew && !is_hooked(ESTATS_HOOK_slow_start))
				c->pending[PENDING_SlowStart]++;
		} else if ((grew || count != c->segment_cwnd_cnt) &&
			   !is_hooked(ESTATS_HOOK_cong_avoid)) {
			c->pending[PENDING_CongAvoid]++;
		}
	}
	c->segment_cwnd = cwnd;
	c->segment_ssthresh = tp->snd_ssthresh;
	c->segment_cwnd_cnt = count;
}

#endif
