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

/*
 * Why the loop of tcp_write_xmit() stopped, in the order of its own tests. `cwnd` is the window
 * that it had: an application-limited connection's is lowered after the loop.
 */
static __always_inline u8 why_stopped(const struct tcp_sock *tp, u32 cwnd, u32 mss, u8 push_one)
{
	const struct sock *sk = (const void *)tp;
	u32 seq, end_seq, len;
	struct sk_buff *head;
	const void *cb;

	if (!sk->sk_write_queue.qlen)
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
	/* Nagle's algorithm, or a cork */
	if (len <= mss)
		return LIM_SENDER;
	if (sk->sk_tsq_flags & (1UL << TSQ_THROTTLED))
		return LIM_SENDER;
	return push_one ? LIM_SENDER : LIM_TSO_DEFER;
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
				      !BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_mtup.probe_size) &&
				      !has_cong_control(tp);
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
