/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Snapshots of sockets: everything that getsockopt(TCP_INFO) and inet_diag would say, read at one
 * instant under the socket lock. The fields are those of src/schema/socket.rs; here is what their
 * expressions call.
 */
#ifndef ESTATS_SOCKET_BPF_H
#define ESTATS_SOCKET_BPF_H

#include "filter.bpf.h"
#include "tcp.bpf.h"

#define SNAPSHOT(why, hook, state) ((why) | (u32)(hook) << 8 | (u32)(state) << 16)

#ifndef ESTATS_KPROBE
/*
 * A ring of its own: a poll of many sockets neither crowds out final values nor waits for a CPU's
 * operations. One for all CPUs, since a poll runs on one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* replaced by the recorder */
} socket_ring __weak SEC(".maps");
#endif

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* State of the algorithms: in the kernel's BTF, or in that of a module that is loaded. */
struct bbr {
	u32 min_rtt_us;
	struct minmax bw;
	u32 lt_use_bw : 1;
	u32 lt_bw;
	u32 pacing_gain : 10;
	u32 cwnd_gain : 10;
};

struct vegas {
	u8 doing_vegas_now;
	u16 cntRTT;
	u32 minRTT;
	u32 baseRTT;
};

struct dctcp {
	u32 old_delivered;
	u32 old_delivered_ce;
	u32 dctcp_alpha;
	u32 ce_state;
};

#pragma clang attribute pop

/* include/uapi/linux/tcp.h */
enum {
	TCPI_OPT_TIMESTAMPS = 1,
	TCPI_OPT_SACK = 2,
	TCPI_OPT_WSCALE = 4,
	TCPI_OPT_ECN = 8,
	TCPI_OPT_ECN_SEEN = 16,
	TCPI_OPT_SYN_DATA = 32,
	TCPI_OPT_USEC_TS = 64,
	TCPI_OPT_TFO_CHILD = 128,
};

#define TCP_ECN_SEEN (1 << 3) /* include/net/tcp.h */

static __always_inline u8 socket_options(const struct tcp_sock *tp)
{
	u8 options = 0;

	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.tstamp_ok))
		options |= TCPI_OPT_TIMESTAMPS;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.sack_ok))
		options |= TCPI_OPT_SACK;
	if (BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok))
		options |= TCPI_OPT_WSCALE;
	if (tp->ecn_flags & (TCP_ECN_OK | TCP_ECN_MODE_ACCECN))
		options |= TCPI_OPT_ECN;
	if (tp->ecn_flags & TCP_ECN_SEEN)
		options |= TCPI_OPT_ECN_SEEN;
	if (BPF_CORE_READ_BITFIELD(tp, syn_data_acked))
		options |= TCPI_OPT_SYN_DATA;
	if (is_usec_timestamps(tp))
		options |= TCPI_OPT_USEC_TS;
	if (is_fastopen_child(tp))
		options |= TCPI_OPT_TFO_CHILD;
	return options;
}

/* TCPI_ECN_MODE_*: the two bits of the mode (TCP_ECN_MODE_ANY), side by side. */
static __always_inline u8 socket_ecn_mode(const struct tcp_sock *tp)
{
	return (tp->ecn_flags & TCP_ECN_OK ? 1 : 0) | (tp->ecn_flags & TCP_ECN_MODE_ACCECN ? 2 : 0);
}

static __always_inline u8 socket_wscale(const struct tcp_sock *tp, bool snd)
{
	if (!BPF_CORE_READ_BITFIELD(tp, rx_opt.wscale_ok))
		return 0;
	return snd ? BPF_CORE_READ_BITFIELD(tp, rx_opt.snd_wscale)
		   : BPF_CORE_READ_BITFIELD(tp, rx_opt.rcv_wscale);
}

static __always_inline u64 socket_ato(const struct tcp_sock *tp)
{
	u32 ato = ack_timeout(tp), max = delack_max(tp);

	return estats_jiffies_to_us(ato > max ? max : ato);
}

/* tcp_compute_delivery_rate(), net/ipv4/tcp.c */
static __always_inline u64 socket_delivery_rate(const struct tcp_sock *tp)
{
	u32 delivered = tp->rate_delivered, interval = tp->rate_interval_us;

	if (!delivered || !interval)
		return 0;
	return (u64)delivered * tp->mss_cache * 1000000 / interval;
}

/* include/linux/tcp.h, enum tcp_chrono */
enum chrono {
	CHRONO_BUSY = 1,
	CHRONO_RWND_LIMITED,
	CHRONO_SNDBUF_LIMITED,
};

/* tcp_get_info_chrono_stats(), net/ipv4/tcp.c: the time that runs is added to what is over. */
static __always_inline u64 socket_chrono(const struct tcp_sock *tp, u8 which, u32 jiffies)
{
	/* Another CPU may have begun it a jiffy after ours was read. */
	s32 since = jiffies - tp->chrono_start;
	u32 running = since > 0 ? since : 0;
	u8 type = chrono_type(tp);
	u64 rwnd = tp->chrono_stat[CHRONO_RWND_LIMITED - 1];
	u64 sndbuf = tp->chrono_stat[CHRONO_SNDBUF_LIMITED - 1];
	u64 busy = tp->chrono_stat[CHRONO_BUSY - 1] + rwnd + sndbuf;

	if (type)
		busy += running;
	if (type == CHRONO_RWND_LIMITED)
		rwnd += running;
	if (type == CHRONO_SNDBUF_LIMITED)
		sndbuf += running;
	if (!hz)
		return 0;
	/* As the kernel does: an integral number of microseconds for each jiffy. */
	return (which == CHRONO_BUSY	       ? busy
		: which == CHRONO_RWND_LIMITED ? rwnd
					       : sndbuf) *
	       (1000000 / hz);
}

static __always_inline u32 socket_ms(u32 jiffies)
{
	return hz ? (u64)jiffies * 1000 / hz : 0;
}

/* The timer that inet_diag shows: inet_csk_diag_fill() by way of inet_sk_diag_fill(). */
struct socket_timer {
	u64 expires; /* jiffies */
	u8 kind;
	u8 retrans;
};

/* include/net/inet_connection_sock.h */
enum {
	ICSK_TIME_RETRANS = 1,
	ICSK_TIME_PROBE0 = 3,
	ICSK_TIME_LOSS_PROBE = 5,
	ICSK_TIME_REO_TIMEOUT = 6,
};

static __always_inline void socket_timer(struct socket_timer *timer, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = (const void *)tp;
	u8 pending = icsk->icsk_pending;

	if (pending == ICSK_TIME_RETRANS || pending == ICSK_TIME_LOSS_PROBE ||
	    pending == ICSK_TIME_REO_TIMEOUT || pending == ICSK_TIME_PROBE0) {
		timer->kind = pending == ICSK_TIME_PROBE0 ? 4 : 1;
		timer->retrans = pending == ICSK_TIME_PROBE0 ? icsk->icsk_probes_out
							     : icsk->icsk_retransmits;
		timer->expires = retransmit_expires(tp);
	} else if (is_keepalive_pending(tp)) {
		timer->kind = 2;
		timer->retrans = icsk->icsk_probes_out;
		timer->expires = keepalive_expires(tp);
	}
}

/* Names of at most seven characters, compared as one word. */
static __always_inline bool is_called(const struct socket_record *r, const char name[8])
{
	u64 have, want;

	__builtin_memcpy(&have, r->congestion, sizeof(have));
	__builtin_memcpy(&want, name, sizeof(want));
	return have == want;
}

static __always_inline bool is_bbr(const struct socket_record *r)
{
	return bpf_core_field_exists(struct bbr, lt_use_bw) && is_called(r, "bbr\0\0\0\0");
}

static __always_inline bool is_vegas(const struct socket_record *r)
{
	return bpf_core_field_exists(struct vegas, baseRTT) && is_called(r, "vegas\0\0");
}

static __always_inline bool is_dctcp(const struct socket_record *r)
{
	return bpf_core_field_exists(struct dctcp, old_delivered_ce) && is_called(r, "dctcp\0\0");
}

/* bbr_get_info(), net/ipv4/tcp_bbr.c: packets per microsecond, shifted left by 24 */
static __always_inline u64 bbr_bandwidth(const struct tcp_sock *tp, const void *ca)
{
	const struct bbr *bbr = ca;
	u64 bw = BPF_CORE_READ_BITFIELD(bbr, lt_use_bw) ? bbr->lt_bw : bbr->bw.s[0].v;

	return bw * tp->mss_cache * 1000000 >> 24;
}

static __always_inline u32 bbr_gain(const void *ca, bool pacing)
{
	const struct bbr *bbr = ca;

	return pacing ? BPF_CORE_READ_BITFIELD(bbr, pacing_gain)
		      : BPF_CORE_READ_BITFIELD(bbr, cwnd_gain);
}

/* Reads the socket. `what` is a SNAPSHOT(): a BPF function takes five arguments. */
static __noinline __attribute__((unused)) int
read_snapshot(struct socket_record *r, const struct tcp_sock *tp, u32 what, u64 now)
{
	const struct inet_connection_sock *icsk = (const void *)tp;
	const struct inet_sock *inet = (const void *)tp;
	const struct sock *sk = (const void *)tp;
	struct socket_timer timer = {};
	u32 jiffies = jiffies_now();
	u8 state = what >> 16;
	const void *ca;

	if (!tp)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->hdr.ts_ns = now;
	r->hdr.kind = RECORD_SOCKET;
	r->hdr.hook = what >> 8;
	r->why = what;
	r->family = sk->__sk_common.skc_family;
	read_addresses(r->local_addr, r->remote_addr, sk);
	r->local_port = sk->__sk_common.skc_num;
	r->remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	r->netns = DEREF(sk, __sk_common.skc_net.net, ns.inum);
	read_congestion(r->congestion, icsk);
	ca = (const void *)icsk + bpf_core_field_offset(struct inet_connection_sock, icsk_ca_priv);
	socket_timer(&timer, tp);
#define PRESENT(index) (r->present[(index) / 64] |= 1ULL << ((index) % 64))
#define ALWAYS(name, index, expr)                                                                  \
	r->name = (expr);                                                                          \
	PRESENT(index);
#define IF(name, index, cond, expr)                                                                \
	if (cond) {                                                                                \
		r->name = (expr);                                                                  \
		PRESENT(index);                                                                    \
	}
/* A time of 0 is no time: what it is of has not happened (that jiffy itself comes once in weeks).
 */
#define AGE(name, index, expr)                                                                     \
	if ((u32)(expr)) {                                                                         \
		r->name = socket_ms(jiffies - (u32)(expr));                                        \
		PRESENT(index);                                                                    \
	}
#define COUNTDOWN(name, index, cond, expr)                                                         \
	if (cond) {                                                                                \
		s32 left_ = (u32)(expr)-jiffies;                                                   \
		r->name = left_ > 0 ? socket_ms(left_) : 0;                                        \
		PRESENT(index);                                                                    \
	}
	ESTATS_SOCKET_FIELDS(ALWAYS, IF, AGE, COUNTDOWN)
#undef ALWAYS
#undef IF
#undef AGE
#undef COUNTDOWN
#undef PRESENT
	return 0;
}

#ifdef ESTATS_KPROBE
/* Read by programs of their own: see account.bpf.c. */
#define snapshot(c, tp, what, now)                                                                 \
	do {                                                                                       \
	} while (0)
#else
/* Gives the snapshot its number and hands it over; false if there was no room. */
static __always_inline bool send_snapshot(struct socket_record *r)
{
	struct cpu_counters *cpu = cpu_counters();

	if (!cpu)
		return false;
	r->hdr.cpu = bpf_get_smp_processor_id();
	r->hdr.seq = next_seq(cpu);
	if (!bpf_ringbuf_output(&socket_ring, r, sizeof(*r), BPF_RB_NO_WAKEUP))
		return true;
	count_loss(cpu, r->hdr.hook);
	return false;
}

/*
 * A snapshot of a recorded connection at one of its events, in place of the record under
 * construction, which has been sent. The values are those of that record: the same hook, the same
 * lock.
 */
static __always_inline void snapshot(struct conn *c, const struct tcp_sock *tp, u32 what, u64 now)
{
	struct socket_record *r = &c->snap;

	read_snapshot(r, tp, what, now);
	r->hdr.cookie = c->cookie;
	r->hdr.generation = c->generation;
	/* The kernel has given it back before the event of CLOSE. */
	r->local_port = c->local_port;
	send_snapshot(r);
}

#endif /* ESTATS_KPROBE */

#endif
