/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The connection as a witness of its own recording. The kernel counts segments and moves sequence
 * numbers by itself; where it has come further than what the hooks saw, they were not run for some
 * segment. How many is sent with the slow values (operation `missed`), as a loss of this
 * connection.
 *
 * Received: two facts, neither of which is true without a loss.
 *   - RCV.NXT stands behind the end of all data seen. The octets between are payload, so they are
 *     counted; that is one segment at least.
 *   - segs_in grew by more than the segments seen, between two segments that tcp_v4_rcv() has
 *     processed at once (nobody owns the socket): then none waits in the backlog, where it would be
 *     counted and not seen. The backlog drops segments, which sk_drops counts, so as many as that
 *     may be no loss; but not where a hook comes after the checks: what these refuse is in it too.
 *     At CLOSE the same, for the segments that came last.
 *   After the handshake only: its segments are seen by no hook of segments.
 * Sent: the peer has acknowledged data behind all that was seen on its way out. How many segments
 * that were is what segs_out says, at most: those that the host itself refused (netfilter, no
 * route) are in it. Refused segments alone are no loss. Of acknowledgments without data nothing
 * is known. The end of what was seen (seq_out) may lie up to a header's length too far, so a last
 * segment of fewer than about 52 octets that was not seen is not reported.
 * Timeouts: the kernel's count of them, where it has one.
 */
#ifndef ESTATS_WITNESS_BPF_H
#define ESTATS_WITNESS_BPF_H

#include "tcp.bpf.h"

/* Segments in an skb: of GRO or GSO, or that became one in the backlog (tcp_add_backlog()). */
static __always_inline u32 segments_at(const void *end)
{
	const struct skb_shared_info *shared = end;
	u16 segments = 0;

	bpf_core_read(&segments, sizeof(segments), &shared->gso_segs);
	return segments ? segments : 1;
}

static __always_inline u32 segments_of(const struct sk_buff *skb)
{
#ifdef ESTATS_KPROBE
	return segments_at(BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, end));
#else
	return segments_at(skb->head + skb->end);
#endif
}

/* What RCV.NXT says beyond what hooks saw. In states whose segments no hook sees it is no loss. */
static __noinline int close_gap(struct conn *c, const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;
	u32 octets;

	if (!tp)
		return 0;
	octets = tp->rcv_nxt - c->seq_in;
	c->seq_in = tp->rcv_nxt;
	if ((sk->__sk_common.skc_flags >> SOCK_DONE & 1) && !c->fin_in) {
		/* A FIN has a sequence number and no octet. */
		c->fin_in = 1;
		octets--;
	}
	c->octets_in += octets;
	if (sk->__sk_common.skc_state == TCP_ESTABLISHED || is_hooked(ESTATS_HOOK_parse_hdr)) {
		c->missed_in++;
		c->gaps++;
	}
	return 0;
}

static __always_inline void compare_sequence(struct conn *c, const struct tcp_sock *tp)
{
	if (c->received && after(tp->rcv_nxt, c->seq_in))
		close_gap(c, tp);
}

/*
 * A hook has seen so many segments; those of the skb in hand are in segs_in already. sk_drops has
 * those that the checks refuse. A hook before the checks has seen them. One behind the checks has
 * not: what sk_drops grew by is no excuse there.
 */
static __always_inline void compare_segments(struct conn *c, const struct tcp_sock *tp,
					     u32 segments, bool before_checks, bool closing)
{
	const struct sock *sk = (const void *)tp;
	u32 drops = sk->sk_drops.counter, segs_in = tp->segs_in;
	s32 missed;

	c->segs_seen += segments;
	if (sk->sk_lock.owned && !closing)
		return;
	/* Until __release_sock() is through, this is more than none. */
	if (sk->sk_lock.owned && sk->sk_backlog.len)
		return;
	missed = segs_in - c->segs_in - c->segs_seen - c->gaps;
	if (before_checks)
		missed -= drops - c->drops;
	if (c->agreed && missed > 0)
		c->missed_in += missed;
	c->agreed = 1;
	c->segs_in = segs_in;
	c->segs_seen = 0;
	c->drops = drops;
	c->gaps = 0;
}

/* A hook of received segments begins. */
static __always_inline void witness_received(struct conn *c, const struct tcp_sock *tp,
					     u32 segments, bool before_checks)
{
	if (!c->received) {
		c->received = 1;
		/* Data that waits for a hole to be filled may have come before the recording. */
		c->seq_in = tp->rcv_nxt + estats_reasm_queue(tp);
	}
	compare_sequence(c, tp);
	compare_segments(c, tp, segments, before_checks, false);
}

#ifndef ESTATS_KPROBE
/*
 * CLOSE, after which no segment is seen: those that came last are compared here, also where the
 * application holds the socket and none waits for it. A reset ends the connection within the
 * checks, so hooks behind them do not see it; it leaves an error with the socket. When it came is
 * known, and not what its IP header had. With kprobes this is not done: there, set_state has the
 * length that old verifiers accept.
 */
static __always_inline void compare_at_close(struct conn *c, const struct tcp_sock *tp, int old,
					     u64 now)
{
	bool before_checks = old == TCP_ESTABLISHED || is_hooked(ESTATS_HOOK_state_process);
	int error = ((const struct sock *)tp)->sk_err;
	bool reset = !before_checks && (error == EPIPE || error == ECONNRESET);

	if (!c->received || !is_hooked(ESTATS_HOOK_parse_hdr) || !is_hooked(ESTATS_HOOK_tcp_probe))
		return;
	reset = reset && tp->segs_in - c->segs_in > c->segs_seen + c->gaps;
	if (reset) {
		c->segment_ns = now;
		VOID(c, IpTtl);
		VOID(c, IpTosIn);
	}
	compare_segments(c, tp, reset, before_checks, true);
}
#endif

/* A segment's sequence numbers have passed the checks of the window. */
static __always_inline void note_received(struct conn *c, const struct segment *s)
{
	if (!after(s->end_seq, c->seq_in))
		return;
	c->seq_in = s->end_seq;
	if (s->flags & TCPHDR_FIN)
		c->fin_in = 1;
}

/*
 * A segment goes out. SND.NXT is moved only afterwards, so its data ends at most `len` behind that:
 * the length of the packet with headers, which need not be read for this.
 */
static __always_inline void note_sent(struct conn *c, const struct tcp_sock *tp, u32 len,
				      u32 segments)
{
	u32 end = tp->snd_nxt + len;

	if (!c->sent || after(end, c->seq_out))
		c->seq_out = end;
	if (!c->sent)
		c->segs_out = tp->segs_out;
	else
		c->segs_gone += segments;
	c->sent = 1;
}

static __always_inline void compare_sent(struct conn *c, const struct tcp_sock *tp)
{
	u32 una = tp->snd_una, segs_out = tp->segs_out;
	s32 missed;

	if (!c->sent || !after(una, c->seq_out))
		return;
	missed = segs_out - c->segs_out - c->segs_gone;
	c->missed_out += missed > 0 ? missed : 1;
	c->seq_out = una;
	c->segs_out = segs_out;
	c->segs_gone = 0;
}

/*
 * Where the event of a retransmission does not say whether the host refused it, one without an
 * event was refused, by netfilter or for want of a route, or its event was missed: nothing shows
 * which. Only where no transmission is under way, which counts before it is made.
 */
static __always_inline void witness_again(struct conn *c, const struct tcp_sock *tp)
{
	u64 unseen = tp->bytes_retrans - c->octets_again;

	if (retransmit_has_error || c->stalled || !c->established ||
	    !is_hooked(ESTATS_HOOK_retransmit) || (s64)unseen <= (s64)c->again_unseen)
		return;
	c->again_unseen = unseen;
	c->missed_out++;
}

/*
 * The hook of a timeout runs before the kernel counts it. Not during the handshake, where timeouts
 * of SYN-ACKs are the listener's.
 */
static __always_inline void compare_timeouts(struct conn *c, const struct tcp_sock *tp)
{
	u16 total;
	s16 missed;

	if (!has_total_rto() || !c->established)
		return;
	total = total_rto(tp);
	missed = total - c->total_rto - c->timeouts;
	if (c->timed && missed <= 0)
		return;
	if (c->timed)
		MISSED(c, Timeouts, (u64)missed);
	c->timed = 1;
	c->timeouts = 0;
	c->total_rto = total;
}

#endif
