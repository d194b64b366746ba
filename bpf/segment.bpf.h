/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A received segment, looked at before the kernel processes it: the counters that only its header
 * and the socket's state of that moment can give.
 */
#ifndef ESTATS_SEGMENT_BPF_H
#define ESTATS_SEGMENT_BPF_H

#include "conn.bpf.h"

#define TCP_HEADER  20
#define MAX_OPTIONS 40

#define OPT_EOL	   0
#define OPT_NOP	   1
#define OPT_MSS	   2
#define OPT_WSCALE 3
#define OPT_SACK   5
#define OPT_TS	   8

#define TCP_PAWS_WINDOW 1 /* include/net/tcp.h */

static __always_inline u32 load_be32(const u8 *p)
{
	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

struct options {
	struct conn *c;
	u32 len;
};

#ifdef ESTATS_KPROBE
static __always_inline
#else
static
#endif
	long
	parse_option(u32 i, struct options *o)
{
	struct segment *s = &o->c->segment;
	const u8 *opt = o->c->header;
	/* Read from memory each time: the verifier would follow every value that it can have. */
	u32 off = *(volatile u32 *)&s->option;
	u8 kind, size;

	if (off >= o->len)
		return 1;
	opt += masked_index(off, 63);
	kind = opt[0];
	if (kind == OPT_EOL)
		return 1;
	if (kind == OPT_NOP) {
		s->option = off + 1;
		return 0;
	}
	size = opt[1];
	if (size < 2)
		return 1;
	if (kind == OPT_TS && size == 10) {
		s->tsval = load_be32(opt + 2);
		s->has_tsval = 1;
	} else if (kind == OPT_SACK && size >= 10 && !((size - 2) & 7)) {
		s->sack_blocks = (size - 2) >> 3;
	} else if (kind == OPT_MSS && size == 4) {
		s->mss = (u32)opt[2] << 8 | opt[3];
	} else if (kind == OPT_WSCALE && size == 3) {
		s->wscale = opt[2];
		s->has_wscale = 1;
	}
	s->option = off + size;
	return 0;
}

/*
 * The options in c->header. bpf_loop() has its body verified once. Where kprobes are
 * used, there is an ordinary loop, unrolled in the verifier.
 */
static __always_inline void parse_options(struct conn *c, u32 len)
{
	struct options o = { .c = c, .len = len };

#ifdef ESTATS_KPROBE
	u32 i;

	for (i = 0; i < MAX_OPTIONS; i++)
		if (parse_option(i, &o))
			break;
#else
	bpf_loop(MAX_OPTIONS, parse_option, &o, 0);
#endif
}

/* `th` and `ip` are kernel addresses of the TCP and the IP header, `len` counts from `th`. */
static __always_inline bool parse_segment(struct conn *c, struct segment *s, const void *th,
					  u32 len)
{
	u8 *h = c->header;
	u32 header;
	u64 options;

	__builtin_memset(s, 0, sizeof(*s));
	if (bpf_probe_read_kernel(h, TCP_HEADER, th))
		return false;
	header = (h[12] >> 4) * 4;
	if (header < TCP_HEADER || header > len)
		return false;
	s->seq = load_be32(h + 4);
	s->ack = load_be32(h + 8);
	s->flags = h[13];
	s->window = (u32)h[14] << 8 | h[15];
	s->payload = len - header;
	s->end_seq = s->seq + s->payload + !!(s->flags & TCPHDR_SYN) + !!(s->flags & TCPHDR_FIN);
	options = header - TCP_HEADER;
	if (options) {
		/*
		 * Old verifiers forget the bounds of what clang puts on the stack, and do not see
		 * those of a copy that it compares: one register, compared and used.
		 */
		barrier_var(options);
		if (options > MAX_OPTIONS || bpf_probe_read_kernel(h, options, th + TCP_HEADER))
			return false;
		parse_options(c, options);
	}
	return true;
}

/* TTL and TOS of the packet, by its own version: an IPv6 socket may receive IPv4. */
static __always_inline void read_ip(struct conn *c, struct segment *s, const void *ip)
{
	u8 h[12];
	u8 ttl, tos;

	if (bpf_probe_read_kernel(h, sizeof(h), ip))
		return;
	if (h[0] >> 4 == 4) {
		tos = h[1];
		ttl = h[8];
	} else if (h[0] >> 4 == 6) {
		tos = h[0] << 4 | h[1] >> 4;
		ttl = h[7];
	} else {
		return;
	}
	s->tos = tos;
	if (!c->seen_ip_in || ttl != c->ip_ttl)
		SET(c, IpTtl, ttl);
	if (!c->seen_ip_in || tos != c->ip_tos_in)
		SET(c, IpTosIn, tos);
	c->seen_ip_in = 1;
	c->ip_ttl = ttl;
	c->ip_tos_in = tos;
}

#define USEC_PER_SEC 1000000
#define NSEC_PER_SEC 1000000000
#define OLD_TS_PER_SEC                                                                             \
	1024 /* the peer's clock at most: tcp_disordered_ack() before has_usec_timestamps() */
#define MOST_TS_PER_SEC 1200 /* tcp_tsval_replay() */

/*
 * How long a timestamp counts, in seconds: TCP_PAWS_24DAYS, and since there are timestamps in
 * microseconds TCP_PAWS_WRAP, INT_MAX of these (include/net/tcp.h).
 */
static __always_inline u32 paws_age_s(void)
{
	return has_usec_timestamps() ? 0x7fffffff / USEC_PER_SEC : 24 * 86400;
}

/* tcp_tsval_replay(): how far back a timestamp may be that may come of reordering, in ticks */
static __always_inline u32 replay_ticks(const struct tcp_sock *tp)
{
	u32 rto = tp->inet_conn.icsk_rto;

	/* Not known of this kernel: what the hook cannot test does not refuse a segment. */
	if (!hz)
		return 0x7fffffff;
	if (!has_usec_timestamps())
		return rto * OLD_TS_PER_SEC / hz;
	if (is_usec_timestamps(tp))
		return rto * (USEC_PER_SEC / hz);
	return rto * MOST_TS_PER_SEC / hz;
}

/* tcp_may_update_window(); with the ACK of want of memory came that a window may shut at any time
 */
static __always_inline bool may_update_window(const struct tcp_sock *tp, const struct segment *s)
{
	u32 window = (u32)s->window << (BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale) & 15);

	return after(s->ack, tp->snd_una) || after(s->seq, tp->snd_wl1) ||
	       (s->seq == tp->snd_wl1 &&
		(window > tp->snd_wnd || (!window && may_shut_for_memory())));
}

/*
 * tcp_disordered_ack(): a pure ACK in sequence that says nothing new may be late. One that changes
 * the window, or whose timestamp is older than reordering explains, is no such ACK.
 */
static __always_inline bool is_disordered(const struct tcp_sock *tp, const struct segment *s)
{
	return (s->flags & TCPHDR_ACK) && s->seq == s->end_seq && s->seq == tp->rcv_nxt &&
	       s->ack == tp->snd_una && !may_update_window(tp, s) &&
	       (s32)(tp->rx_opt.ts_recent - s->tsval) <= (s32)replay_ticks(tp);
}

/* tcp_paws_check() fails, and the segment is no disordered ACK. One tick back is let through. */
static __always_inline bool fails_paws(const struct tcp_sock *tp, const struct segment *s)
{
	u32 now = bpf_ktime_get_ns() / NSEC_PER_SEC, ts_recent = tp->rx_opt.ts_recent;

	if (!s->has_tsval || !BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok) || !ts_recent ||
	    !before(s->tsval + TCP_PAWS_WINDOW, ts_recent))
		return false;
	if (!before(now, tp->rx_opt.ts_recent_stamp + paws_age_s()))
		return false;
	return !is_disordered(tp, s);
}

/* The right edge of the window that tcp_sequence() tests with. */
static __always_inline u32 right_edge(const struct tcp_sock *tp)
{
	u32 right = has_largest_window() ? largest_right_edge(tp) : tp->rcv_wup + tp->rcv_wnd;

	return before(right, tp->rcv_nxt) ? tp->rcv_nxt : right;
}

/*
 * tcp_sequence(). Where the kernel tests the end too, a segment that ends beyond the window is
 * taken only if nothing waits to be read; a FIN alone may be beyond it.
 */
static __always_inline u8 sequence_error(const struct tcp_sock *tp, const struct segment *s)
{
	u32 end = s->end_seq - !!(s->flags & TCPHDR_FIN), right = right_edge(tp);
	const struct sock *sk = (const void *)tp;

	if (before(s->end_seq, tp->rcv_wup))
		return SOFT_BELOW_DATA_WINDOW;
	if (after(s->seq, right))
		return SOFT_ABOVE_DATA_WINDOW;
	if (tests_end_of_segment() && after(end, right) && sk->sk_receive_queue.qlen)
		return SOFT_ABOVE_DATA_WINDOW;
	return SOFT_NONE;
}

/*
 * Whether it depends on what no type information shows if the kernel takes the segment. Some
 * kernels that test the end let a FIN be beyond the window, some do not.
 */
static __always_inline bool is_doubtful(const struct tcp_sock *tp, const struct segment *s)
{
	const struct sock *sk = (const void *)tp;
	u32 right = right_edge(tp);

	return (s->flags & TCPHDR_FIN) && tests_end_of_segment() && !has_largest_window() &&
	       after(s->end_seq, right) && !after(s->end_seq - 1, right) &&
	       sk->sk_receive_queue.qlen;
}

/* tcp_reset_check(): the peer may not count its FIN */
static __always_inline bool is_reset_of_fin(const struct tcp_sock *tp, const struct segment *s)
{
	u8 state = tp->inet_conn.icsk_inet.sk.__sk_common.skc_state;

	return s->seq == tp->rcv_nxt - 1 &&
	       (state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING);
}

/* A reset, a SYN that is challenged, a segment without ACK: tcp_ack() never sees it. */
static __always_inline bool never_acknowledges(const struct segment *s)
{
	return (s->flags & (TCPHDR_RST | TCPHDR_SYN)) || !(s->flags & TCPHDR_ACK);
}

/*
 * What is known of the checks of tcp_validate_incoming() when a hook sees a segment: they are still
 * to be made, SOFT_NONE where they have passed it, or why they have refused it.
 */
#define CHECKS_AHEAD 0xff

/*
 * The checks of tcp_validate_incoming() and tcp_ack(), in their order, on the state that they are
 * about to see. Of a reset only its sequence is checked; one that is accepted or challenged is no
 * soft error.
 */
static __always_inline u8 soft_error(const struct tcp_sock *tp, const struct segment *s, u8 checks)
{
	bool rst = s->flags & TCPHDR_RST;
	u8 error;

	/* Dropped before any check. */
	if (!(s->flags & (TCPHDR_ACK | TCPHDR_RST | TCPHDR_SYN)))
		return SOFT_NONE;
	if (checks != CHECKS_AHEAD) {
		if (checks != SOFT_NONE)
			return checks;
	} else {
		if (!rst && fails_paws(tp, s))
			return SOFT_BELOW_TS_WINDOW;
		error = sequence_error(tp, s);
		if (error)
			return rst && is_reset_of_fin(tp, s) ? SOFT_NONE : error;
	}
	if (never_acknowledges(s))
		return SOFT_NONE;
	if (before(s->ack, tp->snd_una))
		return SOFT_BELOW_ACK_WINDOW;
	if (after(s->ack, tp->snd_nxt))
		return SOFT_ABOVE_ACK_WINDOW;
	return SOFT_NONE;
}

/* An ACK so old that tcp_ack() drops it without a look at its SACK blocks (RFC 5961, 5.2). */
static __always_inline bool is_too_old(const struct tcp_sock *tp, const struct segment *s)
{
	return before(s->ack, tp->snd_una - tp->max_window);
}

/*
 * Since 2023 it is also too old if it acknowledges what was never sent. That is in stable kernels
 * under numbers that do not show it.
 */
static __always_inline bool may_be_too_old(const struct tcp_sock *tp, const struct segment *s)
{
	return tp->bytes_acked < tp->max_window &&
	       before(s->ack, tp->snd_una - (u32)tp->bytes_acked);
}

/*
 * Segments without payload that acknowledge nothing new. Of pure ACKs that became one in the
 * backlog (tcp_add_backlog()) the acknowledgment numbers do not fall: if the last one's
 * is the old one, that of all is; else only the first one's number is known.
 */
static __always_inline u32 duplicate_acks(const struct segment *s, u32 una, u32 segments)
{
	if (s->payload || !(s->flags & TCPHDR_ACK))
		return 0;
	if (s->ack == una)
		return segments;
	return segments > 1 && s->first_ack == una;
}

static __always_inline void count_segment(struct conn *c, const struct tcp_sock *tp,
					  struct segment *s, u32 segments, u8 checks)
{
	u8 ca_state = estats_ca_state(tp);
	u8 error = soft_error(tp, s, checks);
	u32 una = tp->snd_una;
	bool classic = has_classic_ecn(tp);
	bool duplicate = !s->payload && (s->flags & TCPHDR_ACK) && s->ack == una;
	u32 duplicates = duplicate_acks(s, una, segments);

	s->error = error;
	c->octets_in += s->payload;
	if (!never_acknowledges(s) && error != SOFT_BELOW_TS_WINDOW &&
	    error != SOFT_ABOVE_DATA_WINDOW)
		note_received(c, s);
	if (error) {
		INC(c, SoftErrors);
		SET(c, SoftErrorReason, error);
	}
	/* Accepted or not, tcp_ack() never sees it. */
	if (s->flags & TCPHDR_RST)
		return;
	if (duplicates)
		ADD(c, DupAcksIn, duplicates);
	if (never_acknowledges(s))
		return;
	/* An old ACK still has its SACK blocks processed; the others are dropped before. */
	if (error && (error != SOFT_BELOW_ACK_WINDOW || is_too_old(tp, s)))
		return;
	if ((error && s->sack_blocks && may_be_too_old(tp, s)) ||
	    (!error && checks == CHECKS_AHEAD && is_doubtful(tp, s)))
		c->missed_in++;
	if (s->sack_blocks && BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok)) {
		INC(c, SACKsRcvd);
		ADD(c, SACKBlocksRcvd, s->sack_blocks > 4 ? 4 : s->sack_blocks);
	}
	if (error)
		return;
	/* With accurate ECN the three bits are a counter: bracket() counts. */
	if ((s->flags & (TCPHDR_ECE | TCPHDR_SYN | TCPHDR_ACK)) == (TCPHDR_ECE | TCPHDR_ACK) &&
	    classic)
		INC(c, ECNsignals);
	if (s->payload && ecn_mode(tp) && (s->tos & 3) == 3 && after(s->end_seq, tp->rcv_nxt) &&
	    !is_hooked(ESTATS_HOOK_ecn_check)) {
		INC(c, CERcvd);
		/* Its CWR clears the flag, its CE sets it again: no two looks show that. */
		if ((s->flags & TCPHDR_CWR) && demands_cwr(tp))
			INC(c, ECESent);
	}
	if (ca_state == CA_DISORDER && (s->flags & TCPHDR_ACK) && after(s->ack, una))
		ADD(c, SumOctetsReordered, (u32)(s->ack - una));
	if (is_hooked(ESTATS_HOOK_fastretrans))
		return;
	/* Still Open: what came before led to no episode (a first window, a D-SACK alone). */
	if (ca_state == CA_OPEN)
		c->disorder_acks = 0;
	if (ca_state <= CA_DISORDER && tp->packets_out && (duplicate || s->sack_blocks))
		c->disorder_acks++;
}

/*
 * What the kernel goes by. Its ack_seq and not the header's: of ACKs that became one in the backlog
 * (tcp_add_backlog()) the header is the first's, with the last's window.
 */
static __always_inline const struct tcp_skb_cb *skb_cb(const struct sk_buff *skb)
{
	return (const void *)skb + bpf_core_field_offset(struct sk_buff, cb);
}

/*
 * A segment of a live connection: everything the hooks on the receive path do. `ack` is the
 * kernel's word for what it acknowledges, `segments` are those that became this one, `checks` what
 * is known of the kernel's checks.
 */
static __always_inline void on_segment(void *ctx, struct conn *c, const struct tcp_sock *tp,
				       const void *th, const void *ip, u32 len, u32 ack,
				       u32 segments, u8 hook, u8 checks, u64 now)
{
	struct segment *s = &c->segment;

	begin(c, hook, now);
	count_handshake_data(c, tp);
	witness_received(c, tp, segments,
			 checks == CHECKS_AHEAD && hook != ESTATS_HOOK_segment_drop);
	witness_again(c, tp);
	read_socket(c, tp, false, now);
	infer_growth(c, tp);
	if (c->established && !is_hooked(ESTATS_HOOK_write_xmit))
		set_limstate(c, why_stopped(tp, tp->snd_cwnd, tp->mss_cache, 0));
	c->segment_ns = now;
	if (parse_segment(c, s, th, len)) {
		s->first_ack = s->ack;
		s->ack = ack;
		read_ip(c, s, ip);
		count_segment(c, tp, s, segments, checks);
	}
	commit(ctx, c, false);
}

#endif
