/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Functions of the TCP stack in which decisions are taken that no tracepoint shows. Names and
 * arguments are the same from Linux 5.4 to 6.18 unless said.
 */
#ifndef ESTATS_FUNCTIONS_BPF_H
#define ESTATS_FUNCTIONS_BPF_H

#include "events.bpf.h"

/* The connection and its socket in a hook that never is the first to see them. */
static __always_inline struct tcp_sock *known(u32 turn, struct conn *c, struct sock *sk)
{
	return conn_live(c) && c->opened && my_turn(c, turn) ? socket_of(sk) : NULL;
}

/* tcp_write_xmit(sk, mss_now, nonagle, push_one, gfp): sends what may be sent */
static __always_inline int on_loop_begin(u32 turn, struct sock *sk, u32 mss, int push_one)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);

	if (!tp)
		return 0;
	follow_window(c, tp);
	follow_extremes(c, tp);
	c->loop_snd_nxt = tp->snd_nxt;
	c->loop_octets = tp->bytes_sent;
	c->loop_snd_cwnd = tp->snd_cwnd;
	c->loop_in_flight = estats_in_flight(tp);
	c->loop_mss = mss;
	c->loop_push_one = push_one;
	c->in_loop = 1;
	return 0;
}

/*
 * __tcp_transmit_skb() counts the octets and then hands the segment over; SND.NXT moves only if
 * nobody refused it.
 */
static __always_inline bool refused_in_loop(const struct conn *c, const struct tcp_sock *tp)
{
	u32 counted = (u32)tp->bytes_sent - c->loop_octets;
	u32 moved = tp->snd_nxt - c->loop_snd_nxt;

	/* A FIN has a sequence number and no octet. */
	if (moved && fin_is_sent(tp))
		moved--;
	return (s32)(counted - moved) > 0;
}

static __always_inline int on_loop_end(void *ctx, u32 turn, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	u64 now = bpf_ktime_get_ns();
	struct tcp_sock *tp;
	u8 state;

	if (!conn_live(c) || !my_turn(c, turn) || !c->in_loop)
		return 0;
	tp = socket_of(sk);
	if (!tp)
		return 0;
	begin(c, ESTATS_HOOK_write_xmit, now);
	read_socket(c, tp, false, now);
	c->in_loop = 0;
	SEND_IF_CHANGED(Nagle, estats_nagle(tp))
	if (c->established) {
		if (refused_in_loop(c, tp)) {
			state = LIM_SENDER; /* having passed all tests */
		} else if (c->loop_push_one == 1 && tp->snd_nxt != c->loop_snd_nxt) {
			state = LIM_SENDER; /* it stops after one */
		} else if (c->loop_push_one == 2) {
			state = c->loop_in_flight >= c->loop_snd_cwnd ? LIM_CWND : LIM_SENDER;
		} else {
			u32 cwnd = tp->snd_cwnd;

			if (cwnd < c->loop_snd_cwnd)
				cwnd = c->loop_snd_cwnd;
			state = why_stopped(tp, cwnd, c->loop_mss, c->loop_push_one);
		}
		set_limstate(c, state);
	}
	commit(ctx, c, false);
	return 0;
}

/* tcp_fastretrans_alert(sk, prior_snd_una, num_dupack, ack_flag, rexmit) */
static __always_inline int on_fastretrans(void *ctx, u32 turn, struct sock *sk, int num_dupack,
					  const int *ack_flag)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);
	int flag = 0;
	u8 state;

	if (!tp)
		return 0;
	state = estats_ca_state(tp);
	if (state > CA_DISORDER)
		return 0;
	bpf_probe_read_kernel(&flag, sizeof(flag), ack_flag);
	if (num_dupack > 0)
		c->disorder_acks += num_dupack;
	else if (flag & FLAG_DATA_SACKED)
		c->disorder_acks++;
	/* For a change of state that is seen later, when high_seq has moved on. */
	c->recovered = state == CA_DISORDER && !before(tp->snd_una, tp->high_seq);
	if (c->recovered) {
		begin(c, ESTATS_HOOK_fastretrans, bpf_ktime_get_ns());
		INC(c, NonRecovDAEpisodes);
		commit(ctx, c, false);
	}
	return 0;
}

/* tcp_rack_detect_loss(sk, reo_timeout) */
static __always_inline int on_rack(u32 turn, struct sock *sk, bool inside)
{
	struct conn *c = conn_of(sk);

	if (conn_live(c) && my_turn(c, turn))
		c->in_rack = inside;
	return 0;
}

/* tcp_mark_skb_lost(sk, skb); the octets of its control block are those of the moment before */
static __always_inline int on_mark_lost(u32 turn, struct sock *sk, const struct sk_buff *skb)
{
	const struct tcp_skb_cb *cb = (const void *)skb + bpf_core_field_offset(struct sk_buff, cb);
	struct conn *c = conn_of(sk);
	u8 sacked;

	if (!conn_live(c) || !my_turn(c, turn))
		return 0;
	sacked = BPF_CORE_READ(cb, sacked);
	if (sacked & TCPCB_SACKED_ACKED)
		return 0;
	if ((sacked & TCPCB_LOST) && (sacked & TCPCB_SACKED_RETRANS))
		c->pending[PENDING_LostRetransmitSegs] += BPF_CORE_READ(cb, tcp_gso_segs);
	if (c->in_rack)
		c->pending[PENDING_RackTimeout]++;
	return 0;
}

/* tcp_try_undo_recovery(sk), tcp_try_undo_loss(sk, frto_undo): which of them runs */
static __always_inline int on_undo_within(u32 turn, struct sock *sk, u8 which)
{
	struct conn *c = conn_of(sk);

	if (conn_live(c) && my_turn(c, turn))
		c->undo = which;
	return 0;
}

/* tcp_undo_cwnd_reduction(sk, unmark_loss) */
static __always_inline int on_undo(void *ctx, u32 turn, struct sock *sk, bool unmark_loss)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);
	u8 state;

	if (!tp)
		return 0;
	state = estats_ca_state(tp);
	begin(c, ESTATS_HOOK_undo, bpf_ktime_get_ns());
	if (tp->prior_ssthresh > tp->snd_ssthresh)
		INC(c, CongOverCount);
	if (state == CA_LOSS && c->undo)
		INC(c, SpuriousRtoDetected);
	else if (state != CA_LOSS && c->undo == UNDO_RECOVERY && !unmark_loss)
		INC(c, SpuriousFrDetected);
	commit(ctx, c, false);
	return 0;
}

static __always_inline int on_growth(u32 turn, struct sock *sk, u32 which)
{
	struct conn *c = conn_of(sk);

	if (!conn_live(c) || !my_turn(c, turn))
		return 0;
	if (which == PENDING_SlowStart)
		grow_in_slow_start(c);
	else if (which < PENDING_COUNT)
		c->pending[which]++;
	if (which == PENDING_CongAvoid)
		c->reno_cong_avoid = 0;
	return 0;
}

/*
 * tcp_reno_cong_avoid(sk, ack, acked), into which some compilers put tcp_slow_start() and
 * tcp_cong_avoid_ai() (that of Debian's Linux 5.10 both): the tests that lead to them are made
 * again here. It counts only if no call of the function itself follows.
 */
static __always_inline int on_reno(u32 turn, struct sock *sk, u32 acked)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);
	bool linear;

	if (!tp)
		return 0;
	settle_growth(c);
	if (tp->snd_cwnd < tp->snd_ssthresh) {
		c->reno_slow_start = is_cwnd_limited(tp);
		/* What the threshold leaves of the ACK is for congestion avoidance. */
		linear = c->reno_slow_start && acked > tp->snd_ssthresh - tp->snd_cwnd;
	} else {
		linear = BPF_CORE_READ_BITFIELD_PROBED(tp, is_cwnd_limited);
	}
	c->reno_cong_avoid = linear && is_hooked(ESTATS_HOOK_cong_avoid);
	return 0;
}

/* tcp_cwnd_restart(sk, delta); the next look at the window shows what it did */
static __always_inline int on_cwnd_restart(u32 turn, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);

	if (!tp)
		return 0;
	/* The last ACK may have raised the window after the hook before. */
	follow_extremes(c, tp);
	follow_window(c, tp);
	c->restarted = 1;
	return 0;
}

/*
 * tcp_enter_cwr(sk): from __tcp_transmit_skb() if the host refused the segment or marked it, then
 * nothing but its transmission came before; else from tcp_try_to_open() for an ECE.
 */
static __always_inline int on_enter_cwr(void *ctx, u32 turn, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);

	if (!tp || c->rec.hdr.hook != ESTATS_HOOK_egress)
		return 0;
	c->stalled = 1;
	begin(c, ESTATS_HOOK_enter_cwr, bpf_ktime_get_ns());
	INC(c, SendStall);
	commit(ctx, c, false);
	return 0;
}

/* __tcp_ecn_check_ce(sk, skb), tcp_data_ecn_check(sk, skb) from 6.18: accepted data */
static __always_inline int on_ecn_check(u32 turn, struct sock *sk, const struct sk_buff *skb)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);
	u8 flags;

	if (!tp || (BPF_CORE_READ(skb_cb(skb), ip_dsfield) & 3) != 3)
		return 0;
	flags = tp->ecn_flags;
	if (!(flags & TCP_ECN_OK))
		return 0;
	c->pending[PENDING_CERcvd]++;
	/* The flag is about to be set. The CWR of this very segment has cleared it, if it has one.
	 */
	if (!(flags & (TCP_ECN_MODE_ACCECN | TCP_ECN_DEMAND_CWR)))
		c->pending[PENDING_ECESent]++;
	return 0;
}

/* A state of no connection, in which a SYN is taken apart. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct conn);
} syn_scratch __weak SEC(".maps");

/* tcp_conn_request(rsk_ops, af_ops, sk, skb): a SYN; `sk` is the listener */
static __always_inline int on_conn_request(struct sock *sk, const void *th, const void *ip, u32 len)
{
	struct syn_key key = {};
	struct conn *c;
	u32 zero = 0;

	c = bpf_map_lookup_elem(&syn_scratch, &zero);
	if (!c || !parse_segment(c, &c->segment, th, len) || !syn_from_packet(&key, sk, th, ip))
		return 0;
	bpf_map_update_elem(&syns, &key, &c->segment.mss, BPF_ANY);
	return 0;
}

/* The end of tcp_sync_mss(sk, pmtu), which alone sets mss_cache */
static __always_inline int on_sync_mss(void *ctx, u32 turn, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(turn, c, sk);

	if (!tp || tp->mss_cache == c->cached[CACHED_CurMSS])
		return 0;
	begin(c, ESTATS_HOOK_sync_mss, bpf_ktime_get_ns());
	SEND_IF_CHANGED(CurMSS, tp->mss_cache)
	commit(ctx, c, false);
	return 0;
}

/* The end of tcp_sendmsg_locked(sk, msg, size): the application has written */
static __always_inline int on_sendmsg(void *ctx, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = known(TURN_ALWAYS, c, sk);

	if (tp)
		look_in(ctx, c, tp, ESTATS_HOOK_sendmsg, bpf_ktime_get_ns());
	return 0;
}

#endif
