/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Looks at a socket between two hooks, and the last one when the recording ends. Whoever calls
 * these holds the socket lock: an iterator over the sockets, or what interrupts a dump of inet_diag
 * (kprobe.bpf.c). Before Linux 5.15 the iterator of the last look does not hold it.
 */
#ifndef ESTATS_LOOK_BPF_H
#define ESTATS_LOOK_BPF_H

#include "conn.bpf.h"
#include "socket.bpf.h"

/* Whether the connection waits, and had no hook for long enough. */
static __always_inline bool rests(const struct conn *c, u64 now)
{
	return conn_live(c) && c->opened && c->slot && now - c->rec.hdr.ts_ns >= rest_ns;
}

/*
 * An ordinary record with what has changed since the last. `slow_ns` moves, too: the next hook may
 * leave slow values out again, and the connection waits again.
 */
static __always_inline void look_at_rest(void *ctx, struct conn *c, const struct tcp_sock *tp,
					 u64 now)
{
	begin(c, ESTATS_HOOK_sweep, now);
	/* What the last segment of the handshake brought is in the socket by now. */
	if (c->established)
		count_handshake_data(c, tp);
	read_socket(c, tp, true, now);
	commit(ctx, c, false);
	/* Of a record that found no room all is said again: with the next hook, or the next look.
	 */
	if (!c->lossy)
		waits_no_more(c);
}

/* What is open when the recording ends. */
static __always_inline void look_at_end(void *ctx, struct conn *c, void *key,
					const struct tcp_sock *tp, u64 now)
{
	const struct sock *sk = (const void *)tp;
	u8 state = sk->__sk_common.skc_state;

	begin(c, ESTATS_HOOK_sweep, now);
	count_handshake_data(c, tp);
	read_socket(c, tp, true, now);
	SET(c, CurrentTs, c->segment_ns);
	commit(ctx, c, true);
	snapshot(c, tp, SNAPSHOT(ESTATS_WHY_end, ESTATS_HOOK_sweep, state), now);
	send_lifecycle(ctx, c, key, tp, LIFECYCLE(ESTATS_EVENT_end, ESTATS_HOOK_sweep, state));
	c->closed = 1;
	waits_no_more(c);
}

#endif
