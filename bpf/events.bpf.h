/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a connection, one body per event. The attach points of each hook type call these
 * and do nothing else. `sk` is the socket as a key; fields are read through socket_of().
 */
#ifndef ESTATS_EVENTS_BPF_H
#define ESTATS_EVENTS_BPF_H

#include "segment.bpf.h"
#include "socket.bpf.h"
#include "turn.bpf.h"

/* `current` owns the socket: connect(2), listen(2), and the calls that send the FIN. */
static __always_inline struct owner *owner_from_current(struct sock *sk)
{
	struct owner *owner = owner_make(sk);

	if (owner)
		owner_is_current(owner);
	return owner;
}

/*
 * Who opens a connection: `current`, but of a later subflow of MPTCP who owns its MPTCP socket. A
 * kworker, which opens such subflows, is nobody's owner.
 */
static __always_inline struct owner *owner_that_opens(struct sock *sk)
{
	struct subflow s = subflow_of(sk);
	struct owner *owner;

	if (s.msk && s.joined) {
		owner = owner_of_connection(sk, s.msk);
		if (owner || in_kernel_thread())
			return owner;
	}
	owner = owner_from_current(sk);
	if (owner && s.msk)
		owns_connection(s.msk, owner);
	return owner;
}

static __always_inline struct conn *begin_conn(struct sock *sk, struct owner *owner, u8 active,
					       u64 now)
{
	struct conn *c;

	if (!owner_passes(sk, owner)) {
		/* A socket that is used again may have state of a connection that passed. */
		count_refused();
		c = conn_of(sk);
		if (c)
			c->decision = REJECTED;
		return NULL;
	}
	c = conn_make(sk);
	if (!c)
		return NULL;
	conn_init(c, now);
	c->active = active;
	return c;
}

/* Set by the recorder when it has gone through the connections that were open before. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} settled __weak SEC(".maps");

/*
 * Whether a connection without state may be one to record. Without a filter, its beginning was
 * missed: the kernel left out the program (src/capture/skips.rs), or the connection was open before
 * in a namespace that cannot be entered. With a filter it nearly always is one that was refused,
 * which is not asked twice.
 */
static __always_inline bool adopts(void)
{
	u32 zero = 0, *is_settled;

	if (filtering())
		return by_process();
	is_settled = bpf_map_lookup_elem(&settled, &zero);
	return is_settled && *is_settled;
}

/*
 * A process uses a connection that was not recorded: its beginning was missed, or its listener, or
 * whoever opened it, is another process than those that were chosen. From here on it is recorded,
 * like one that was open before the recording.
 */
static __always_inline struct conn *adopt(void *ctx, struct sock *sk, u8 hook, u64 now)
{
	struct tcp_sock *tp;
	struct conn *c;
	u8 state;

	/* Before all hooks are in place the programs do not know which see what. */
	if (!hooked || !current_is_chosen() || in_kernel_thread())
		return NULL;
	tp = socket_of(sk);
	if (!tp || !tuple_passes((struct sock *)tp))
		return NULL;
	state = tp->inet_conn.icsk_inet.sk.__sk_common.skc_state;
	if (state == TCP_LISTEN || state == TCP_CLOSE)
		return NULL;
	/* Whoever is refused, or has no room, comes here at each read: counted at its beginning
	 * alone. */
	if (!owner_passes(sk, owner_from_current(sk)))
		return NULL;
	c = conn_try(sk);
	if (!c)
		return NULL;
	conn_init(c, now);
	c->begun_before = 1;
	c->used = 1;
	c->established = state != TCP_SYN_SENT && state != TCP_SYN_RECV;
	c->old_state = state;
	bracket_from(c, tp);
	if (!conn_open(ctx, c, sk, tp, cookie_of(c, sk), hook, now))
		return NULL;
	begin(c, hook, now);
	SET(c, State, rfc_state(state));
	read_socket(c, tp, true, now);
	commit(ctx, c, false);
	return c;
}

/* Who reads what an accepted connection received is its owner, sooner known than by its FIN. */
static __always_inline void note_reader(struct conn *c, struct sock *sk)
{
	struct owner *owner;

	if (c->used)
		return;
	c->used = 1;
	owner = owner_of(sk);
	if (owner && owner->inherited && !in_kernel_thread())
		owner_from_current(sk);
}

static __always_inline void note_fin(struct conn *c, struct sock *sk, int state)
{
	tested_again int new = state;
	struct owner *owner;

	if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) {
		if (new == TCP_FIN_WAIT1 && !c->first_fin)
			c->first_fin = 1;
		/* A child's owner was its listener's until now. */
		owner = owner_of(sk);
		if (owner && owner->inherited && bpf_get_current_pid_tgid() >> 32 &&
		    !in_kernel_thread())
			owner_from_current(sk);
	} else if (new == TCP_CLOSE_WAIT && !c->first_fin) {
		c->first_fin = 2;
	}
}

/*
 * Whether a hook will see the segments that come after ESTABLISHED. Where that is sockops, it needs
 * the socket's flags, and has set them by now: unless it could not, or another program of the host
 * has taken them off.
 */
static __always_inline bool will_be_heard(const struct tcp_sock *tp)
{
#ifndef ESTATS_KPROBE
	if (is_hooked(ESTATS_HOOK_parse_hdr) && !is_hooked(ESTATS_HOOK_state_process))
		return tp->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
#endif
	return true;
}

static __always_inline int on_set_state(void *ctx, u32 turn, struct sock *sk, int old, int state)
{
	u64 now = bpf_ktime_get_ns();
	tested_again int new = state;
	struct tcp_sock *tp;
	struct owner *owner;
	struct subflow s;
	struct conn *c;

	if (protocol_of(sk) != IPPROTO_TCP)
		return 0;
	if (new == TCP_LISTEN) {
		owner = owner_from_current(sk);
		if (owner)
			listens(sk, owner);
		return 0;
	}
	c = conn_of(sk);
	if (c && !my_turn(c, turn))
		return 0;
	if (new == TCP_SYN_SENT || (new == TCP_SYN_RECV &&old == TCP_LISTEN)) {
		/* A child's cookie and addresses are not final before the next hook. */
		bool active = new == TCP_SYN_SENT;

		owner = active ? owner_that_opens(sk) : owner_inherit(sk);
		c = begin_conn(sk, owner, active ? 1 : 2, now);
		if (c) {
			c->old_state = new;
			my_turn(c, turn);
		}
		return 0;
	}
	if (!c && adopts() && (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK)) {
		c = adopt(ctx, sk, ESTATS_HOOK_set_state, now);
		if (c)
			my_turn(c, turn);
	}
	if (!conn_live(c))
		return 0;
	tp = socket_of(sk);
	if (!tp || !conn_open(ctx, c, sk, tp, cookie_of(c, sk), ESTATS_HOOK_set_state, now))
		return 0;
	s = subflow_of(sk);
	note_mptcp(c, &s);
	c->old_state = old;
	begin(c, ESTATS_HOOK_set_state, now);
	if (new == TCP_CLOSE)
		count_handshake_data(c, tp);
#ifndef ESTATS_KPROBE
	if (new == TCP_CLOSE)
		compare_at_close(c, tp, old, now);
#endif
	if (old == TCP_ESTABLISHED && new != TCP_CLOSE && !will_be_heard(tp))
		c->missed_in++;
	read_socket(c, tp, true, now);
	SET(c, State, rfc_state(new));
	if (new == TCP_ESTABLISHED) {
		c->established = 1;
		/* With Fast Open, data was exchanged before. The SYN of an active open is
		 * acknowledged on this socket. */
		c->snd_initial = tp->snd_una - (u32)tp->bytes_acked + (c->active == 1);
		c->rec_initial = tp->rcv_nxt - (u32)tp->bytes_received;
		read_once(c, tp);
		set_limstate(c, LIM_SENDER);
	}
	note_fin(c, sk, new);
	if (new != TCP_CLOSE) {
		commit(ctx, c, false);
		if (new == TCP_ESTABLISHED)
			snapshot(c, tp, SNAPSHOT(ESTATS_WHY_open, ESTATS_HOOK_set_state, new), now);
		return 0;
	}
	/* The one reliable end: SO_LINGER 0 clears the counters right after this. */
	SET(c, CurrentTs, c->segment_ns);
	commit(ctx, c, true);
	snapshot(c, tp, SNAPSHOT(ESTATS_WHY_close, ESTATS_HOOK_set_state, new), now);
	c->close_lost = !send_lifecycle(ctx, c, sk, tp,
					LIFECYCLE(ESTATS_EVENT_close, ESTATS_HOOK_set_state, new));
	c->closed = 1;
	waits_no_more(c);
	return 0;
}

/*
 * The socket goes: replay may forget its key, so that its memory follows the connections that are
 * open and not the length of the log. Also a second chance to end a connection whose close record
 * was lost.
 */
static __always_inline int on_destroy(void *ctx, u32 turn, struct sock *sk)
{
	struct conn *c = conn_of(sk);

	if (!c || !c->opened || !my_turn(c, turn))
		return 0;
	begin(c, ESTATS_HOOK_destroy, bpf_ktime_get_ns());
	SET(c, State, RFC_DELETE_TCB);
	commit(ctx, c, c->close_lost);
	waits_no_more(c);
	return 0;
}

/*
 * The connection and its socket in a hook at which its identity is final; NULL if it is not
 * recorded. The hook's body goes on with `begin()`.
 */
static __always_inline struct tcp_sock *enter(void *ctx, u32 turn, struct conn *c, struct sock *sk,
					      u8 hook, u64 now)
{
	struct tcp_sock *tp;

	if (!conn_live(c) || !my_turn(c, turn))
		return NULL;
	tp = socket_of(sk);
	if (!tp || !conn_open(ctx, c, sk, tp, cookie_of(c, sk), hook, now))
		return NULL;
	return tp;
}

/* The states in which tcp_probe is silent; the handshake's have no row of segments. */
static __always_inline bool is_closing(struct sock *sk)
{
	switch (state_of(sk)) {
	case TCP_FIN_WAIT1:
	case TCP_FIN_WAIT2:
	case TCP_CLOSE_WAIT:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		return true;
	}
	return false;
}

/* A segment is about to be processed; `th` and `ip` are the addresses of its headers. */
static __always_inline int on_receive(void *ctx, u32 turn, struct sock *sk, const void *th,
				      const void *ip, u32 len, u32 ack, u32 segments, u8 hook,
				      u8 checks)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = enter(ctx, turn, c, sk, hook, now);

	if (tp)
		on_segment(ctx, c, tp, th, ip, len, ack, segments, hook, checks, now);
	return 0;
}

/*
 * Whether the kernel has saved window and threshold at this change of state: tcp_enter_loss() and
 * tcp_enter_recovery() do where an episode begins. The entries of CA_Loss for a new path MTU or a
 * failed Fast Open save a threshold of 0, and an old window stays beside it.
 */
static __always_inline bool has_saved_window(const struct tcp_sock *tp, u8 old, u8 new)
{
	return (new == CA_LOSS || new == CA_RECOVERY) && old <= CA_DISORDER && tp->prior_ssthresh;
}

static __always_inline int on_cong_state(void *ctx, u32 turn, struct sock *sk, u8 new)
{
	struct conn *c = conn_of(sk);
	u64 now = bpf_ktime_get_ns();
	bool after_send, timeout, saved;
	struct tcp_sock *tp;
	u64 before_loss;
	u8 old;

	/* A child being made sets its first state before its addresses are final. */
	if (conn_live(c) && !c->opened && state_of(sk) == TCP_SYN_RECV)
		return 0;
	tp = enter(ctx, turn, c, sk, ESTATS_HOOK_cong_state, now);
	if (!tp)
		return 0;
	old = estats_ca_state(tp);
	after_send = c->rec.hdr.hook == ESTATS_HOOK_egress;
	begin(c, ESTATS_HOOK_cong_state, now);
	timeout = new == CA_LOSS;
	saved = has_saved_window(tp, old, new);
	/* A timer may come after an ACK that raised the window, and before the next hook. */
	if (saved && c->established)
		raise_window(c, tp->prior_cwnd, tp->prior_ssthresh, tp->mss_cache);
	if (timeout) {
		/*
		 * tcp_enter_loss() has reduced the window already. It left the old one in
		 * prior_cwnd if this timeout begins an episode; later ones of the same episode
		 * find the window that the hook before saw. The other entries keep the window.
		 */
		before_loss = c->cached[CACHED_CurCwnd];
		if (saved)
			before_loss = estats_octets(tp->prior_cwnd, tp->mss_cache);
		else if (old <= CA_DISORDER || before_loss == NEVER_SENT)
			before_loss = estats_octets(tp->snd_cwnd, tp->mss_cache);
		bracket(c, tp);
		SET(c, CurCwnd, before_loss);
		c->cached[CACHED_CurCwnd] = before_loss;
	} else {
		c->reducing = new == CA_CWR || new == CA_RECOVERY;
		read_socket(c, tp, false, now);
		c->reducing = 0;
	}
	count_ca_state(c, tp, old, new);
	if (new == CA_CWR && old < CA_CWR &&after_send && !is_hooked(ESTATS_HOOK_enter_cwr)) {
		c->stalled = 1;
		INC(c, SendStall);
	}
	/* The event comes before the assignment: the new state is set here, not read. */
	SEND_IF_CHANGED(InRecovery, estats_recovery_code(new))
	SEND_IF_CHANGED(CurCwnd, estats_octets(tp->snd_cwnd, tp->mss_cache))
	SEND_IF_CHANGED(CurSsthresh, estats_ssthresh(tp))
	commit(ctx, c, false);
	return 0;
}

/*
 * tcp_enter_loss(sk), tcp_enter_recovery(sk, ece_ack), where the kernel has no event of a change of
 * the congestion state. Window and state are the old ones. Other changes are caught up with.
 */
static __always_inline int on_enter(void *ctx, u32 turn, struct sock *sk, u8 new, u8 hook)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = enter(ctx, turn, c, sk, hook, now);
	u8 old;

	if (!tp)
		return 0;
	begin(c, hook, now);
	read_socket(c, tp, false, now);
	old = estats_ca_state(tp);
	if (new == CA_LOSS) {
		count_timeout(c, tp, old);
		note_ca_state(c, new);
	} else {
		count_ca_state(c, tp, old, new);
	}
	SEND_IF_CHANGED(InRecovery, estats_recovery_code(new))
	commit(ctx, c, false);
	return 0;
}

/*
 * `len` octets of payload are transmitted again, or were `refused`. Of these only what
 * __tcp_retransmit_skb() has added to bytes_retrans is taken off it: the event comes too where the
 * function gives up before that, since the host still holds the first transmission (-EBUSY) or the
 * window shrank (-EAGAIN).
 */
static __always_inline int on_retransmit(void *ctx, u32 turn, struct sock *sk, u32 len,
					 bool refused)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = enter(ctx, turn, c, sk, ESTATS_HOOK_retransmit, now);
	u64 grown;

	if (!tp)
		return 0;
	grown = tp->bytes_retrans - c->again_counted;
	c->again_counted = tp->bytes_retrans;
	if (refused)
		c->octets_refused += grown < len ? grown : len;
	else if (c->established)
		c->octets_again += len;
	begin(c, ESTATS_HOOK_retransmit, now);
	read_socket(c, tp, true, now);
	if (!refused)
		c->segment_ns = now;
	commit(ctx, c, false);
	return 0;
}

/* Only the extremes, unless the slow values are due. */
static __always_inline void look_in(void *ctx, struct conn *c, const struct tcp_sock *tp, u8 hook,
				    u64 now)
{
	if (now - c->slow_ns < resolution_ns) {
		follow_extremes(c, tp);
		waits(c, now);
		return;
	}
	begin(c, hook, now);
	read_socket(c, tp, true, now);
	commit(ctx, c, false);
}

/*
 * The application has read. What it found is what the hook before saw as unread, and what the last
 * segment has added since.
 */
static __always_inline int on_rcv_space(void *ctx, struct sock *sk)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp;
	s32 found;

	if (!c && adopts()) {
		c = adopt(ctx, sk, ESTATS_HOOK_rcv_space, now);
		tp = c ? socket_of(sk) : NULL;
		if (tp)
			snapshot(c, tp,
				 SNAPSHOT(ESTATS_WHY_baseline, ESTATS_HOOK_rcv_space, state_of(sk)),
				 now);
		return 0;
	}
	tp = enter(ctx, TURN_ALWAYS, c, sk, ESTATS_HOOK_rcv_space, now);
	if (!tp)
		return 0;
	note_reader(c, sk);
	found = tp->rcv_nxt - c->copied_seq;
	if (c->established && c->copied_seq && found > 0)
		raise_to(c, EXTREME_MaxAppRQueue, found);
	c->copied_seq = tp->copied_seq;
	look_in(ctx, c, tp, ESTATS_HOOK_rcv_space, now);
	return 0;
}

/*
 * The application has written, and nobody holds the socket lock. What it wrote may all stay in the
 * queue, for want of a window: then no other hook runs.
 */
static __always_inline int on_written(struct sock *sk)
{
	struct conn *c = protocol_of(sk) == IPPROTO_TCP ? conn_of(sk) : NULL;

	if (conn_live(c) && c->opened && !c->slot)
		waits(c, bpf_ktime_get_ns());
	return 0;
}

/* A segment on its way out; `len` is at least what it has of the sequence space. */
static __always_inline void on_transmit(struct conn *c, const struct tcp_sock *tp, u32 len,
					u32 segments, u64 now)
{
	begin(c, ESTATS_HOOK_egress, now);
	note_sent(c, tp, len, segments);
	read_socket(c, tp, false, now);
	c->segment_ns = now;
}

static __always_inline void sent_with_tos(struct conn *c, u8 tos)
{
	if (!c->seen_ip_out || tos != c->ip_tos_out)
		SET(c, IpTosOut, tos);
	c->seen_ip_out = 1;
	c->ip_tos_out = tos;
}

/* The options of our SYN are in c->header: the one place where the offer is seen as it was made. */
static __always_inline void offered(struct conn *c)
{
	struct segment *s = &c->segment;

	SET(c, MSSSent, s->mss);
	SET(c, WinScaleSent, s->has_wscale ? s->wscale : -1ULL);
}

#endif
