/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A connection's life in the recorder: begin, identity, reading of the socket, end. The bodies
 * that every hook type calls; estats.bpf.c has the attach points.
 */
#ifndef ESTATS_CONN_BPF_H
#define ESTATS_CONN_BPF_H

#include "state.bpf.h"
#include "output.bpf.h"
#include "filter.bpf.h"
#include "syn.bpf.h"
#include "tcp.bpf.h"
#include "window.bpf.h"
#include "witness.bpf.h"
#include "checksum.bpf.h"

static __always_inline void conn_init(struct conn *c, u64 now)
{
	u16 generation = c->start_ns ? c->generation + 1 : 0;

	if (generation)
		note_reuse();
	waits_no_more(c);
	__builtin_memset(c, 0, offsetof(struct conn, rec));
	__builtin_memset(c->cached, 0xff, sizeof(c->cached));
	c->generation = generation;
	c->cookie = first_cookie(now);
	c->start_ns = now;
	c->segment_ns = now;
	c->ooo_empty = 1;
	c->extreme[EXTREME_MinSsthresh] = NEVER_SENT;
	c->limstate = LIM_UNSENT;
}

static __always_inline bool conn_live(const struct conn *c)
{
	return c && c->decision != REJECTED && !c->closed;
}

/* Once its MPTCP connection has a token, and the peer has agreed. */
static __always_inline void note_mptcp(struct conn *c, const struct subflow *s)
{
	if (!c->mptcp && s->agreed)
		c->mptcp = s->token;
}

/*
 * The owner of a subflow that came in. The first makes its owner that of the MPTCP connection, the
 * others take it from there: a listener that they came through may be another's.
 */
static __always_inline struct owner *owner_of_child(void *key, const struct subflow *s)
{
	struct owner *owner = NULL;

	if (s->joined)
		owner = owner_of_connection(key, s->msk);
	if (!owner)
		owner = owner_of(key);
	if (owner && !s->joined)
		owns_connection(s->msk, owner);
	return owner;
}

#define LIFECYCLE(event, hook, state) ((event) | (u32)(hook) << 8 | (u32)(state) << 16)

/* The error with which a connection ends, where sk_err does not tell it from another end. */
static __always_inline u32 close_error(const struct conn *c, const struct tcp_sock *tp, u32 sk_err)
{
	const struct sock *sk = (const void *)tp;
	const struct segment *s = &c->segment;
	u8 fin = s->flags & TCPHDR_FIN;

	/* In repair mode tcp_disconnect() sends nothing, and sets this after the change of state.
	 */
	if (!sk_err && BPF_CORE_READ_BITFIELD(tp, repair))
		return ECONNABORTED;
	/*
	 * Data after close() is answered with a reset, by the tcp_reset() that a reset of the peer
	 * calls (tcp_rcv_state_process()). That segment is the last that was seen, and was not
	 * taken.
	 */
	if (sk_err == ECONNRESET && (sk->sk_shutdown & RCV_SHUTDOWN) &&
	    (c->old_state == TCP_FIN_WAIT1 || c->old_state == TCP_FIN_WAIT2) && s->payload &&
	    !(s->flags & TCPHDR_RST) && after(s->end_seq - fin, tp->rcv_nxt))
		return 0;
	return sk_err;
}

/*
 * Who and where, as the kernel says it. `what` is a LIFECYCLE(): a BPF function takes five
 * arguments. False if there was no room for it.
 */
static __noinline bool send_lifecycle(void *ctx, struct conn *c, void *key,
				      const struct tcp_sock *tp, u32 what)
{
	struct cpu_counters *cpu = cpu_counters();
	const struct inet_connection_sock *icsk = (const void *)tp;
	const struct sock *sk = (const void *)tp;
	struct lifecycle_record *r = &c->life;
	u64 now = c->rec.hdr.ts_ns;
	u8 hook = what >> 8;
	const struct sock *msk;
	struct owner *owner;
	struct subflow s;

	if (!cpu || !tp || is_over())
		return false;
	s = subflow_of(key);
	note_mptcp(c, &s);
	__builtin_memset(r, 0, sizeof(*r));
	r->hdr.ts_ns = now;
	r->hdr.seq = next_seq(cpu);
	r->hdr.cookie = c->cookie;
	r->hdr.generation = c->generation;
	r->hdr.cpu = bpf_get_smp_processor_id();
	r->hdr.kind = RECORD_LIFECYCLE;
	r->hdr.hook = hook;
	r->event = what;
	r->start_ns = c->start_ns;
	r->family = sk->__sk_common.skc_family;
	read_addresses(r->local_addr, r->remote_addr, sk);
	r->local_port = c->local_port;
	r->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	r->netns = DEREF(sk, __sk_common.skc_net.net, ns.inum);
	r->cgroup_id = connection_cgroup_id(sk, s.msk);
	msk = (const void *)s.msk;
	r->uid = msk ? BPF_CORE_READ(msk, sk_uid.val) : sk->sk_uid.val;
	r->sk_err = sk->sk_err;
	if (r->event == ESTATS_EVENT_close)
		r->sk_err = close_error(c, tp, r->sk_err);
	read_congestion(r->congestion, icsk);
	if ((u8)what == ESTATS_EVENT_open && s.msk && c->active == 2)
		owner = owner_of_child(key, &s);
	else
		owner = owner_of(key);
	if (owner) {
		r->pid = owner->pid;
		__builtin_memcpy(r->comm, owner->comm, sizeof(r->comm));
	}
	r->old_state = c->old_state;
	r->new_state = what >> 16;
	r->active = c->active;
	r->established = c->established;
	r->first_fin = c->first_fin;
	r->mptcp = c->mptcp;
	if (hand_over(ctx, true, r, sizeof(*r)))
		return true;
	count_loss(cpu, hook);
	if (r->event == ESTATS_EVENT_open || r->event == ESTATS_EVENT_baseline)
		atomic_add(&cpu->lost_begins, 1);
	else
		atomic_add(&cpu->lost_ends, 1);
	return false;
}

/*
 * Called by every hook before it builds a record. The first one that sees the final identity
 * decides about ports and addresses and sends the open record. `key` is the socket where `tp` may
 * be a copy of it.
 */
static __always_inline bool conn_open(void *ctx, struct conn *c, void *key,
				      const struct tcp_sock *tp, u64 cookie, u8 hook, u64 now)
{
	const struct sock *sk = (const void *)tp;

	if (c->opened)
		return true;
	if (c->decision == UNDECIDED)
		c->decision = tuple_passes(sk) ? RECORDED : REJECTED;
	if (c->decision != RECORDED) {
		count_refused();
		/* Nothing more will be asked of it: give the memory back. */
		conn_forget(key);
		return false;
	}
	c->cookie = cookie;
	c->local_port = sk->__sk_common.skc_num;
	c->opened = 1;
	c->rec.hdr.ts_ns = now;
	send_lifecycle(ctx, c, key, tp,
		       LIFECYCLE(c->begun_before ? ESTATS_EVENT_baseline : ESTATS_EVENT_open, hook,
				 sk->__sk_common.skc_state));
	return true;
}

static __always_inline void raise_to(struct conn *c, u32 which, u64 value)
{
	if (value > c->extreme[which]) {
		c->extreme[which] = value;
		c->extreme_moved |= 1u << which;
	}
}

/* A window and the threshold of the same moment, in segments. */
static __always_inline void raise_window(struct conn *c, u32 cwnd, u32 ssthresh, u32 mss)
{
	raise_to(c, cwnd <= ssthresh ? EXTREME_MaxSsCwnd : EXTREME_MaxCaCwnd,
		 estats_octets(cwnd, mss));
}

/* Extremes are followed at every hook and sent with the slow values: exact, and cheap. */
static __always_inline void follow_extremes(struct conn *c, const struct tcp_sock *tp)
{
	u32 segments = tp->snd_ssthresh;
	u64 ssthresh = estats_ssthresh(tp);

	if (!c->established)
		return;
	/* While it reduces: the new threshold and the old window, which is neither phase's. */
	if (!c->reducing)
		raise_window(c, tp->snd_cwnd, segments, tp->mss_cache);
	if (segments < TCP_INFINITE_SSTHRESH) {
		raise_to(c, EXTREME_MaxSsthresh, ssthresh);
		if (ssthresh < c->extreme[EXTREME_MinSsthresh]) {
			c->extreme[EXTREME_MinSsthresh] = ssthresh;
			c->extreme_moved |= 1u << EXTREME_MinSsthresh;
		}
	}
	raise_to(c, EXTREME_MaxPipeSize, estats_pipe_size(tp));
	raise_to(c, EXTREME_MaxRetxQueue, estats_retx_queue(tp));
	raise_to(c, EXTREME_MaxReasmQueue, estats_reasm_queue(tp));
	raise_to(c, EXTREME_MaxAppWQueue, estats_app_wqueue(tp));
	raise_to(c, EXTREME_MaxAppRQueue, estats_app_rqueue(tp));
}

/* The receiver echoes a mark (RFC 3168). */
static __always_inline bool demands_cwr(const struct tcp_sock *tp)
{
	return (tp->ecn_flags & TCP_ECN_DEMAND_CWR) && has_classic_ecn(tp);
}

/*
 * What the segment handled since the hook before did to the socket ("bracketing": the kernel
 * handles one segment between two hooks, so each change belongs to exactly one).
 */
static __always_inline void bracket(struct conn *c, const struct tcp_sock *tp)
{
	u32 srtt = tp->srtt_us, mdev = tp->mdev_us, ooo = tp->rcv_ooopack;
	bool demand = demands_cwr(tp);

	/* tcp_rtt_estimator(): srtt += m - (srtt >> 3), or srtt = m << 3 for the first */
	if (srtt && (srtt != c->srtt_us || mdev != c->mdev_us)) {
		u32 old = c->srtt_us;
		/*
		 * Of several samples between two hooks none is known, and what comes out may be
		 * below zero. It is sent as it is, with its sign: replay knows it for none.
		 */
		s32 m = old ? srtt - old + (old >> 3) : srtt >> 3;

		/* What the estimator held before the recording is not a sample. */
		if (old || !c->begun_before)
			SET(c, SampleRTT, (s64)m);
	}
	c->srtt_us = srtt;
	c->mdev_us = mdev;

	if (ooo != c->rcv_ooopack) {
		if (c->ooo_empty)
			INC(c, DupAckEpisodes);
		INC(c, DupAcksOut);
		c->rcv_ooopack = ooo;
	}
	c->ooo_empty = !tp->out_of_order_queue.rb_node;

	if (demand && !c->ecn_demand_cwr && !is_hooked(ESTATS_HOOK_ecn_check))
		INC(c, ECESent);
	c->ecn_demand_cwr = demand;

	/*
	 * With accurate ECN an ACK has a counter of marks in place of ECE (tcp_accecn_process()).
	 * That counter is no flag of the header that could be read before: the kernel corrects it
	 * by what was delivered.
	 */
	if (tp->delivered_ce != c->delivered_ce && has_accurate_ecn(tp))
		INC(c, ECNsignals);
	c->delivered_ce = tp->delivered_ce;
}

/* The state of the estimator and queues from which bracketing starts. */
static __always_inline void bracket_from(struct conn *c, const struct tcp_sock *tp)
{
	c->srtt_us = tp->srtt_us;
	c->mdev_us = tp->mdev_us;
	c->rcv_ooopack = tp->rcv_ooopack;
	c->ooo_empty = !tp->out_of_order_queue.rb_node;
	c->ecn_demand_cwr = demands_cwr(tp);
	c->delivered_ce = tp->delivered_ce;
	c->ca_state = estats_ca_state(tp);
	c->snd_cwnd = tp->snd_cwnd;
	c->copied_seq = tp->copied_seq;
	c->octets_new = tp->bytes_sent - tp->bytes_retrans;
	c->octets_again = tp->bytes_retrans;
	c->again_counted = tp->bytes_retrans;
	c->snd_nxt = tp->snd_nxt;
	c->fin_out = fin_is_sent(tp);
}

/*
 * Payload transmitted for the first time is what SND.NXT has passed: it moves when the segment has
 * been taken by the host (tcp_event_new_data_sent()). During the handshake the kernel's own
 * counters are taken (Fast Open).
 */
static __always_inline void follow_sent(struct conn *c, const struct tcp_sock *tp)
{
	u32 nxt = tp->snd_nxt;
	s32 moved = nxt - c->snd_nxt;

	if (!c->established) {
		c->octets_new = tp->bytes_sent - tp->bytes_retrans;
		c->octets_again = tp->bytes_retrans;
		c->snd_nxt = nxt;
		return;
	}
	if (moved <= 0)
		return;
	c->snd_nxt = nxt;
	/* A FIN has a sequence number and no octet. */
	if (!c->fin_out && fin_is_sent(tp)) {
		c->fin_out = 1;
		moved--;
	}
	c->octets_new += moved;
}

/* A retransmission timeout that is not spent yet: tcp_enter_loss() in congestion state `old`. */
static __always_inline void count_timeout(struct conn *c, const struct tcp_sock *tp, u8 old)
{
	c->timeouts++;
	INC(c, CongSignals);
	if (tp->inet_conn.icsk_backoff)
		INC(c, SubsequentTimeouts);
	else
		INC(c, Timeouts);
	if (old == CA_OPEN)
		INC(c, AbruptTimeouts);
}

static __always_inline void note_ca_state(struct conn *c, u8 new)
{
	if (new != CA_DISORDER)
		c->disorder_acks = 0;
	c->recovered = 0;
	c->ca_state = new;
	c->ca_moved = 1;
}

/* What a change of the congestion state counts. The window is still, or again, the old one. */
static __always_inline void count_ca_state(struct conn *c, const struct tcp_sock *tp, u8 old,
					   u8 new)
{
	if (new == CA_RECOVERY) {
		INC(c, CongSignals);
		INC(c, FastRetran);
	} else if (new == CA_LOSS) {
		/* The entries for a new path MTU or a failed Fast Open keep snd_cwnd. */
		if (tp->snd_cwnd == estats_in_flight(tp) + 1)
			count_timeout(c, tp, old);
	} else if (new == CA_CWR && old < CA_CWR) {
		INC(c, CongSignals);
	} else if (new == CA_OPEN && old == CA_DISORDER &&
		   (c->recovered || !before(tp->snd_una, tp->high_seq))) {
		if (!is_hooked(ESTATS_HOOK_fastretrans))
			INC(c, NonRecovDAEpisodes);
		if (c->disorder_acks)
			ADD(c, NonRecovDA, c->disorder_acks);
	} else if (new == CA_OPEN && !tp->undo_marker && !is_hooked(ESTATS_HOOK_undo)) {
		if (old == CA_RECOVERY)
			INC(c, SpuriousFrDetected);
		else if (old == CA_LOSS)
			INC(c, SpuriousRtoDetected);
	}
	note_ca_state(c, new);
}

/*
 * A change that no hook reported is counted when the socket shows it. The kernel skips a program
 * that interrupted itself on its CPU (prog->active): a timer's softirq in the middle of another
 * connection's event.
 */
static __always_inline void catch_up(struct conn *c, const struct tcp_sock *tp)
{
	u8 state = estats_ca_state(tp);

	if (state != c->ca_state)
		count_ca_state(c, tp, c->ca_state, state);
}

#define SEND_IF_CHANGED(name, expr)                                                                \
	do {                                                                                       \
		u64 v_ = (expr);                                                                   \
		if (v_ != c->cached[CACHED_##name]) {                                              \
			c->cached[CACHED_##name] = v_;                                             \
			SET(c, name, v_);                                                          \
		}                                                                                  \
	} while (0);

static __noinline int read_slow(struct conn *c, const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;

	if (!tp)
		return 0;
	compare_sequence(c, tp);
	compare_sent(c, tp);
	compare_timeouts(c, tp);
	take_bad_checksums(c, tp);
	ESTATS_SLOW(SEND_IF_CHANGED)
	if (c->octets_in) {
		ADD(c, HCDataOctetsIn, c->octets_in);
		c->octets_in = 0;
	}
	if (c->missed_in) {
		MISSED(c, HCDataOctetsIn, c->missed_in);
		c->missed_in = 0;
	}
	if (c->missed_out) {
		MISSED(c, SegsOut, c->missed_out);
		c->missed_out = 0;
	}
#define X(name)                                                                                    \
	if (c->pending[PENDING_##name]) {                                                          \
		ADD(c, name, c->pending[PENDING_##name]);                                          \
		c->pending[PENDING_##name] = 0;                                                    \
	}
	X(SlowStart)
	X(CongAvoid)
	X(OtherReductions)
	X(OtherReductionsCV)
	X(CongOverCount)
	X(LostRetransmitSegs)
	X(RackTimeout)
	X(CERcvd)
	X(ECESent)
#undef X
#define X(name, which)                                                                             \
	if (c->extreme_moved & (1u << EXTREME_##name))                                             \
		push(c, ESTATS_##name, ESTATS_OP_##which, c->extreme[EXTREME_##name]);
	ESTATS_EXTREMES(X)
#undef X
	c->extreme_moved = 0;
	return 0;
}

/* Values that the handshake may still change after the event of ESTABLISHED. */
static __always_inline void settle(struct conn *c, const struct tcp_sock *tp)
{
	if (c->active != 1) {
		SET(c, MSSSent, estats_mss_sent(tp));
		SET(c, WinScaleSent, estats_wscale_sent(tp));
		SET(c, MSSRcvd, syn_mss(c, (const struct sock *)tp, tp->rx_opt.mss_clamp));
	}
	c->settled = 1;
}

#define RFC_DELETE_TCB 12

/* RFC 4898 state of a kernel state */
static __always_inline u64 rfc_state(u8 state)
{
	switch (state) {
	case TCP_ESTABLISHED:
		return 5;
	case TCP_SYN_SENT:
		return 3;
	case TCP_SYN_RECV:
		return 4;
	case TCP_FIN_WAIT1:
		return 6;
	case TCP_FIN_WAIT2:
		return 7;
	case TCP_TIME_WAIT:
		return 11;
	case TCP_CLOSE_WAIT:
		return 8;
	case TCP_LAST_ACK:
		return 9;
	case TCP_LISTEN:
		return 2;
	case TCP_CLOSING:
		return 10;
	default:
		return 1;
	}
}

/*
 * Payload of the handshake, which no hook of segments sees: that of the segment that completed it,
 * and of the SYN (Fast Open). It is what the socket has when the next segment comes, or at the end.
 */
static __always_inline void count_handshake_data(struct conn *c, const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;
	u64 octets = tp->bytes_received;

	if (c->handshake_data || c->begun_before)
		return;
	c->handshake_data = 1;
	/*
	 * The kernel counts the peer's FIN as an octet. Only tcp_fin() sets this flag, where
	 * close() shuts down reading as well.
	 */
	if (octets && sk->__sk_common.skc_flags & 1UL << SOCK_DONE)
		octets--;
	c->octets_in += octets;
}

/* The handshake's results: once per connection. */
static __noinline int read_once(struct conn *c, const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;

	if (!tp)
		return 0;
#define X(name, expr) SET(c, name, expr);
	ESTATS_ONCE(X)
#undef X
	/* Accurate ECN has no flag that is set by a mark and taken back by CWR. */
	if (has_accurate_ecn(tp))
		VOID(c, ECESent);
	if (!c->begun_before) {
		SET(c, SndInitial, c->snd_initial);
		SET(c, RecInitial, c->rec_initial);
	}
	c->handshake = 1;
	return 0;
}

/*
 * After a loss all values are sent again, so that counters lost are the only ones: not at once,
 * when there is still no room, but with the next reading of the slow values.
 */
static __always_inline void say_again(struct conn *c, const struct tcp_sock *tp)
{
	u32 i;

	c->lossy = 0;
	__builtin_memset(c->cached, 0xff, sizeof(c->cached));
	for (i = 0; i < EXTREME_COUNT; i++)
		if (c->extreme[i] && c->extreme[i] != NEVER_SENT)
			c->extreme_moved |= 1u << i;
	c->seen_ip_in = 0;
	c->seen_ip_out = 0;
	c->settled = 0;
	c->handshake = 0;
	c->limstate = LIM_UNSENT;
	SET(c, State, rfc_state(tp->inet_conn.icsk_inet.sk.__sk_common.skc_state));
}

/* Reads the socket: what changed of the fast values, and of the slow ones when they are due. */
static __noinline int read_socket(struct conn *c, const struct tcp_sock *tp, bool all, u64 now)
{
	const struct inet_connection_sock *icsk = (const void *)tp;

	if (!tp)
		return 0;
	all |= now - c->slow_ns >= resolution_ns;
	if (all && c->lossy)
		say_again(c, tp);
	bracket(c, tp);
	catch_up(c, tp);
	follow_window(c, tp);
	follow_sent(c, tp);
	settle_growth(c);
	if (!c->established)
		set_limstate(c, LIM_STARTUP);
	c->copied_seq = tp->copied_seq;
	if (c->established && !c->handshake)
		read_once(c, tp);
	if (c->established && !c->settled)
		settle(c, tp);
	ESTATS_FAST(SEND_IF_CHANGED)
	follow_extremes(c, tp);
	if (all) {
		c->slow_ns = now;
		read_slow(c, tp);
	}
	return 0;
}

#endif
