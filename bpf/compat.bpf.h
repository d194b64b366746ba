/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between the kernels from Linux 5.4 on: one accessor for each field or function that
 * moved, is new, or that a configuration leaves out. No other C file knows a kernel's version, but
 * compat_kprobe.bpf.h, which has the tracing system's structures.
 * Which kernel it is, the type information says (CO-RE), not the version: stable releases and
 * distributions take changes of later ones. tests/offline/btf.rs looks for each of these fields in
 * the type information of kernels from 5.10 on.
 *
 * `since` and `until` (the first release without it) are releases of Linus Torvalds' tree, with the
 * commit that made the change. A stanza of src/schema/socket.rs says `since`, too, for the
 * documents; a test holds both together.
 */
#ifndef ESTATS_COMPAT_BPF_H
#define ESTATS_COMPAT_BPF_H

#include "flavours.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

#define TP(tp)	 ((const struct tcp_sock___compat *)(tp))
#define SK(tp)	 ((const struct sock___compat *)(tp))
#define ICSK(tp) ((const struct inet_connection_sock___compat *)(tp))

/* ---- counts and states of the connection, as struct tcp_info shows them ---- */

/* since v5.5, commit 480274787d7e */
static __always_inline bool has_fastopen_client_fail(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, fastopen_client_fail);
}

static __always_inline u8 fastopen_client_fail(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(TP(tp), fastopen_client_fail);
}

/* since v6.16, commit bc2550b4e195; before: nobody knows */
static __always_inline bool is_fastopen_child(const struct tcp_sock *tp)
{
	return bpf_core_field_exists(struct tcp_sock___compat, syn_fastopen_child) &&
	       BPF_CORE_READ_BITFIELD(TP(tp), syn_fastopen_child);
}

/* since v6.7, commit 614e8316aa4c; before: timestamps in milliseconds only */
static __always_inline bool has_usec_timestamps(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, tcp_usec_ts);
}

static __always_inline bool is_usec_timestamps(const struct tcp_sock *tp)
{
	return has_usec_timestamps() && BPF_CORE_READ_BITFIELD(TP(tp), tcp_usec_ts);
}

/* since v6.2, commit 29c1c44646ae: plb_rehash; timeout_rehash is older (v5.6, commit 32efcc06d2a1)
 */
static __always_inline bool has_rehash(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, plb_rehash);
}

static __always_inline u32 rehash(const struct tcp_sock *tp)
{
	return TP(tp)->plb_rehash + TP(tp)->timeout_rehash;
}

/* since v6.7, commit 3868ab0f1925: this, the recoveries and their time */
static __always_inline bool has_total_rto(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, total_rto);
}

static __always_inline u16 total_rto(const struct tcp_sock *tp)
{
	return TP(tp)->total_rto;
}

static __always_inline u16 total_rto_recoveries(const struct tcp_sock *tp)
{
	return TP(tp)->total_rto_recoveries;
}

/* Milliseconds; what lasts at `now` (ns) is added. */
static __always_inline u32 total_rto_time(const struct tcp_sock *tp, u64 now)
{
	u32 time = TP(tp)->total_rto_time, since = TP(tp)->rto_stamp;
	s32 running = (u32)(now / 1000000) - since;

	return since && running > 0 ? time + running : time;
}

/* since v6.18, commit 542a495cbaa6 */
static __always_inline bool has_received_ce(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, received_ce);
}

/* after v6.18, in v7.3: the window does not shrink by less than was advertised */
static __always_inline bool has_largest_window(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, rcv_mwnd_seq);
}

static __always_inline u32 largest_right_edge(const struct tcp_sock *tp)
{
	return TP(tp)->rcv_mwnd_seq;
}

/* since v6.17: tcp_sequence() tests where a segment ends, and drops with this reason */
static __always_inline bool tests_end_of_segment(void)
{
	return bpf_core_enum_value_exists(enum skb_drop_reason___compat,
					  SKB_DROP_REASON_TCP_INVALID_END_SEQUENCE___compat);
}

/* since v6.6: an ACK may shut the window for want of memory */
static __always_inline bool may_shut_for_memory(void)
{
	return bpf_core_enum_value_exists(enum inet_csk_ack_state_t___compat,
					  ICSK_ACK_NOMEM___compat);
}

static __always_inline u32 received_ce(const struct tcp_sock *tp)
{
	return TP(tp)->received_ce;
}

/* Where these counts stand: at the codepoint of the ECN field less one (tcp_get_info()). */
enum ecn_octets {
	ECN_OCTETS_E1,
	ECN_OCTETS_E0,
	ECN_OCTETS_CE,
};

/* since v6.18, commit b5e74132dfbe */
static __always_inline bool has_delivered_ecn_bytes(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, delivered_ecn_bytes);
}

/* Macros, since an index that is a variable is not relocated. */
#define delivered_ecn_bytes(tp, which)                                                             \
	(((const struct tcp_sock___compat *)(tp))->delivered_ecn_bytes[which])

/* since v6.18, commit 9a0112774455 */
static __always_inline bool has_received_ecn_bytes(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, received_ecn_bytes);
}

#define received_ecn_bytes(tp, which)                                                              \
	(((const struct tcp_sock___compat *)(tp))->received_ecn_bytes[which])

/* since v6.18, commit 3cae34274c79; before: no AccECN to be negotiated */
static __always_inline bool has_accecn_fail_mode(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, accecn_fail_mode);
}

static __always_inline u8 accecn_fail_mode(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(TP(tp), accecn_fail_mode);
}

/* since v6.18, commit b40671b5ee58 */
static __always_inline bool has_saw_accecn_opt(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, saw_accecn_opt);
}

static __always_inline u8 saw_accecn_opt(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(TP(tp), saw_accecn_opt);
}

/* since v6.18.33 and its mainline, commit 4b78c9cbd8f1: an octet of its own; before: two bits */
static __always_inline u8 chrono_type(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, chrono_type);
}

/* ---- timers ---- */

/* Jiffies. since v6.7, commit 95b9a87c6a6b: eight bits of a word; before: a word */
static __always_inline u32 ack_timeout(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_ack.ato);
}

/*
 * tcp_delack_max() in jiffies: no ACK is delayed longer. A route's own rto_min is not looked up.
 * since v6.7, commit bbf80d713fe7, of which type information shows nothing: another field of that
 * release is asked for. before: no such bound
 */
static __always_inline u32 delack_max(const struct tcp_sock *tp)
{
	u32 max, rto_min;

	if (!has_usec_timestamps() ||
	    !bpf_core_field_exists(struct inet_connection_sock___compat, icsk_delack_max))
		return ~0U;
	max = ICSK(tp)->icsk_delack_max;
	rto_min = ICSK(tp)->icsk_rto_min;
	if (rto_min < 2)
		rto_min = 2;
	return max > rto_min - 1 ? rto_min - 1 : max;
}

/*
 * When the timer of retransmissions and window probes expires, in jiffies.
 * since v6.19, commit 9a5e5334adc0: tcp_retransmit_timer of the socket; since v6.15, commit
 * a7c428ee8f59: icsk_retransmit_timer; before: icsk_timeout
 */
static __always_inline u64 retransmit_expires(const struct tcp_sock *tp)
{
	if (bpf_core_field_exists(struct inet_connection_sock___compat, icsk_timeout))
		return ICSK(tp)->icsk_timeout;
	if (bpf_core_field_exists(struct inet_connection_sock___compat, icsk_retransmit_timer))
		return ICSK(tp)->icsk_retransmit_timer.expires;
	if (bpf_core_field_exists(struct sock___compat, tcp_retransmit_timer))
		return SK(tp)->tcp_retransmit_timer.expires;
	return 0;
}

/*
 * The timer of keep-alives.
 * since v6.19 and stable releases of 2026, commit 08dfe370239e: icsk_keepalive_timer; before:
 * sk_timer. Newer kernels have that name too, for the place of the timer of retransmissions.
 */
static __always_inline bool is_keepalive_pending(const struct tcp_sock *tp)
{
	if (bpf_core_field_exists(struct inet_connection_sock___compat, icsk_keepalive_timer))
		return ICSK(tp)->icsk_keepalive_timer.entry.pprev;
	return bpf_core_field_exists(struct sock___compat, sk_timer) &&
	       SK(tp)->sk_timer.entry.pprev;
}

/* Jiffies. */
static __always_inline u64 keepalive_expires(const struct tcp_sock *tp)
{
	if (bpf_core_field_exists(struct inet_connection_sock___compat, icsk_keepalive_timer))
		return ICSK(tp)->icsk_keepalive_timer.expires;
	return SK(tp)->sk_timer.expires;
}

/* ---- the congestion window, and how much is sent at once ---- */

/*
 * Whether tcp_is_cwnd_limited() goes by tp->is_cwnd_limited first.
 * since v6.1 and stable releases of 2022, commit f4ce91ce12a7
 */
static __always_inline bool heeds_cwnd_limited(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, cwnd_usage_seq);
}

/* since v6.1 a part of a word, in v5.10 a word */
static __always_inline u32 mtu_probe_size(const struct tcp_sock *tp)
{
	return BPF_CORE_READ_BITFIELD(tp, inet_conn.icsk_mtup.probe_size);
}

/* since v5.18, commit 65466904b015; before: super-segments are as large at any RTT */
static __always_inline bool has_tso_rtt_log(void)
{
	return bpf_core_field_exists(struct net___compat, ipv4.sysctl_tcp_tso_rtt_log);
}

static __always_inline u8 tso_rtt_log(const struct net *net)
{
	return BPF_CORE_READ((const struct net___compat *)net, ipv4.sysctl_tcp_tso_rtt_log);
}

/* since v6.15, commit 2c2f08d31d2f: 16 bits, of which these are the low ones; before: eight */
static __always_inline u8 skb_tcp_flags(const struct tcp_skb_cb *cb)
{
	return BPF_CORE_READ((const struct tcp_skb_cb___compat *)cb, tcp_flags);
}

/* Set by the recorder before loading, since type information does not show it: see the next. */
const volatile bool defers_by_ms __weak = false;

/*
 * Whether tcp_tso_should_defer() awaits the ACK of what was sent last at `sent` (ns).
 * since v6.18 and stable releases of October 2025, commit 295ce1eb36ae: if that is expected within
 * a millisecond; before: if half of the RTT is over
 */
static __always_inline bool awaits_ack(u64 clock, u64 sent, u32 srtt_us)
{
	u64 srtt = (u64)(1000 >> 3) * srtt_us, near = srtt >> 1;

	if (!defers_by_ms)
		return sent && (s64)(clock - sent - (u64)1000 * (srtt_us >> 4)) >= 0;
	if (near > 1000000)
		near = 1000000;
	return sent && (s64)(sent + srtt - clock - near) <= 0;
}

/* ---- sockets ---- */

/* A kernel without CONFIG_IPV6 has no such addresses to read, in branches never taken either. */
static __always_inline bool is_ipv6(u16 family)
{
	return bpf_core_field_exists(struct sock_common, skc_v6_daddr) && family == AF_INET6;
}

/* A kernel without CONFIG_IPV6 has none. */
static __always_inline bool has_traffic_class(const struct sock *sk)
{
	return bpf_core_field_exists(struct inet_sock___compat, pinet6) &&
	       sk->__sk_common.skc_family == AF_INET6;
}

static __always_inline u8 traffic_class(const struct tcp_sock *tp)
{
	return BPF_CORE_READ((const struct inet_sock___compat *)tp, pinet6, tclass);
}

/*
 * Of the socket at this address in the kernel.
 * since v5.6, commit bf9765145b85: 16 bits; before: a bit field
 */
static __always_inline u16 protocol_at(const struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol);
}

/* since v6.18, commit 5d6b58c932ec: in the socket; before: behind its file */
static __always_inline u64 socket_inode(const struct sock *sk)
{
	const struct socket_alloc___compat *file;

	if (bpf_core_field_exists(struct sock___compat, sk_ino))
		return ((const struct sock___compat *)sk)->sk_ino;
	file = (const void *)BPF_CORE_READ(sk, sk_socket);
	return file ? BPF_CORE_READ(file, vfs_inode.i_ino) : 0;
}

/*
 * since v5.11, commit 4f19cab76136: a helper; before: an inode of sockfs, which is nothing but a
 * socket's
 */
static __always_inline struct socket *socket_from_file(struct file *file)
{
#ifdef ESTATS_KPROBE
	if (BPF_CORE_READ(file, f_inode, i_sb, s_magic) != SOCKFS_MAGIC)
		return NULL;
	return BPF_CORE_READ(file, private_data);
#else
	return bpf_sock_from_file(file);
#endif
}

/* since v5.6, commit 2303f994b3e1, with CONFIG_MPTCP */
static __always_inline bool has_mptcp(void)
{
	return bpf_core_field_exists(struct tcp_sock___compat, is_mptcp) &&
	       bpf_core_field_exists(struct mptcp_subflow_context, conn) &&
	       bpf_core_field_exists(struct mptcp_sock, token);
}

/* What makes the socket at this address a subflow; NULL if it is none. Where there is MPTCP only.
 */
static __always_inline const struct mptcp_subflow_context *subflow_context(const void *sk)
{
	if (!BPF_CORE_READ_BITFIELD_PROBED(TP(sk), is_mptcp))
		return NULL;
	return BPF_CORE_READ(ICSK(sk), icsk_ulp_data);
}

/* ---- cgroups ---- */

/*
 * since v5.15 and stable releases, commit 8520e224f547: a pointer; before: a word, in which the two
 * low bits mark other things; without CONFIG_SOCK_CGROUP_DATA nothing
 */
static __always_inline struct cgroup *cgroup_of(const struct sock *sk)
{
	const struct sock_cgroup_data___compat *data;
	u64 packed;

	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (!bpf_core_field_exists(struct sock_cgroup_data___compat, val))
		return NULL;
	data = (const void *)sk + bpf_core_field_offset(struct sock, sk_cgrp_data);
	packed = BPF_CORE_READ(data, val);
	return packed & 3 ? NULL : (struct cgroup *)packed;
}

/* since v5.5, commit 67c0496e87d1: a number; before: a union that has it */
static __always_inline u64 kernfs_id(const struct kernfs_node *kn)
{
	if (bpf_core_field_exists(struct kernfs_node___compat, id.id))
		return BPF_CORE_READ((const struct kernfs_node___compat *)kn, id.id);
	return BPF_CORE_READ(kn, id);
}

/* Where the socket has a pointer, the id has its place, too. */
static __always_inline u64 cgroup_id(const struct sock *sk)
{
	struct cgroup *cgroup;

	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return DEREF(sk, sk_cgrp_data.cgroup, kn, id);
	cgroup = cgroup_of(sk);
	return cgroup ? kernfs_id(BPF_CORE_READ(cgroup, kn)) : 0;
}

/*
 * The id of an ancestor, or of the cgroup itself at its own level; 0 if there is none.
 * since v6.1, commit 7f203bc89eb6: pointers to the ancestors; before: their ids
 */
static __always_inline u64 ancestor_id(const struct cgroup *cgroup, u32 level)
{
	struct cgroup *ancestor = NULL;
	u64 id = 0;

	if (bpf_core_field_exists(struct cgroup___compat, ancestor_ids)) {
		bpf_probe_read_kernel(
			&id, sizeof(id),
			(const void *)cgroup +
				bpf_core_field_offset(struct cgroup___compat, ancestor_ids) +
				level * sizeof(id));
		return id;
	}
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
			      (const void *)cgroup +
				      bpf_core_field_offset(struct cgroup, ancestors) +
				      level * sizeof(ancestor));
	return ancestor ? kernfs_id(BPF_CORE_READ(ancestor, kn)) : 0;
}

/* ---- functions and events: attach points have these names ---- */

/* since v6.15, commit f0db2bca0cf9; before: the other. Both are tried. */
#define FUNCTION_ECN_CHECK     "tcp_data_ecn_check"
#define FUNCTION_ECN_CHECK_OLD "__tcp_ecn_check_ce"

/* since v5.15, commit 2dcb96bacce3; before: the other, which is an inline function since */
#define FUNCTION_LOCK	  "__lock_sock_fast"
#define FUNCTION_LOCK_OLD "lock_sock_fast"

/* since v5.9; before: an inline function, which calls the other */
#define FUNCTION_XMIT	  "ip_queue_xmit"
#define FUNCTION_XMIT_OLD "__ip_queue_xmit"

/* since v6.3, commit 6e6eda44b939; before: nothing, where no function can be hooked */
#define EVENT_WRITTEN "sock_send_length"

/* Set by the recorder before loading: the event of a retransmission has a third argument. */
const volatile bool retransmit_has_error __weak = false;

/*
 * Whether the host refused this retransmission.
 * since v6.17, commit ad892e912b84: tcp_retransmit_skb(sk, skb, err); before:
 * tcp_retransmit_skb(sk, skb), and no event of what was refused
 */
static __always_inline bool retransmit_error(const u64 *args)
{
	return retransmit_has_error && (u32)args[2];
}

/*
 * kfree_skb(skb, location): since v5.17, commit c504e5c2f964, also the reason; since v6.11, commit
 * c53795d48ee8, also the socket that the packet was for. The recorder knows how many arguments
 * there are.
 */
const volatile u8 drop_args __weak = 0;
/* The number of the reason that is none, SKB_CONSUMED; ~0 where there is none. */
const volatile u32 drop_consumed __weak = ~0U;
/* Likewise of SKB_DROP_REASON_CPU_BACKLOG: since v5.18, commit 44f0bd40803c. */
const volatile u32 drop_cpu_backlog __weak = ~0U;
/* Likewise of the reasons of tcp_validate_incoming() and tcp_rcv_state_process() (load.rs) */
const volatile u32 drop_paws __weak = ~0U;
const volatile u32 drop_paws_ack __weak = ~0U;
const volatile u32 drop_old_sequence __weak = ~0U;
const volatile u32 drop_invalid_sequence __weak = ~0U;
const volatile u32 drop_invalid_end __weak = ~0U;
const volatile u32 drop_reset __weak = ~0U;
const volatile u32 drop_invalid_syn __weak = ~0U;
const volatile u32 drop_flags __weak = ~0U;

static __always_inline bool drop_has_reason(void)
{
	return drop_args > 2;
}

static __always_inline u32 drop_reason(const u64 *args)
{
	return drop_has_reason() ? args[2] : 0;
}

static __always_inline struct sock *drop_receiver(const u64 *args)
{
	return drop_args > 3 ? (struct sock *)args[3] : NULL;
}

/* ---- what BPF offers ---- */

/*
 * since v5.8, commit 457f44363a88; before: perf buffers. The recorder says `use_perf` where there
 * is none. But settings are constants to the verifier since v5.5 only: hence this.
 */
static __always_inline bool has_rings(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_ringbuf_output);
}

#ifdef ESTATS_KPROBE
extern const void jiffies_64 __ksym __weak;
#endif

/*
 * The time of the kernel's timers.
 * since v5.6, commit 5576b991e9c1: a helper; before: the variable
 */
static __always_inline u32 jiffies_now(void)
{
#ifdef ESTATS_KPROBE
	u64 now = 0;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_jiffies64)) {
		bpf_probe_read_kernel(&now, sizeof(now), &jiffies_64);
		return now;
	}
#endif
	return bpf_jiffies64();
}

#ifdef ESTATS_KPROBE
/* To name a typed symbol asks for the BTF of a kernel that may have none in itself. */
static __always_inline const struct sk_buff *kernel_skb(struct __sk_buff *skb)
{
	return NULL;
}
#else
extern void *bpf_cast_to_kern_ctx(void *obj) __ksym __weak;

/*
 * The kernel's own structure, whose members are read by plain loads; else NULL.
 * since v6.2, commit fd264ca02094; before: copy
 */
static __always_inline const struct sk_buff *kernel_skb(struct __sk_buff *skb)
{
	return bpf_ksym_exists(bpf_cast_to_kern_ctx) ? bpf_cast_to_kern_ctx(skb) : NULL;
}
#endif

/*
 * The context is the kernel's own structure; only direct reads of it are translated. What would say
 * so in the open is not there on all kernels: see kernel_skb().
 */
static __always_inline const struct bpf_sock_ops_kern *kernel_sock_ops(const void *ctx)
{
	return ctx;
}

/*
 * a - b of two pointers, in one 64-bit instruction. since v7.0 both are typed pointers to the
 * verifier, of which it takes the difference of two and no sum (adjust_reg_min_max_vals()).
 */
static __always_inline u64 pointer_difference(u64 a, u64 b)
{
	asm volatile("%0 -= %1" : "+r"(a) : "r"(b));
	return a;
}

/*
 * No accessor, since the programs take both ways without asking:
 * - since v5.11, commit 3764b0c5651e, a subflow is in the cgroup of its MPTCP socket; before: in
 *   that of a kworker.
 * - since v5.15, commit 04c7820b776f, iterators over sockets hold the lock of each.
 * - v6.18 gives a clone its own address before the event of its first state; others may not.
 * The object for tracepoints and function hooks needs v5.17 (bpf_loop()), that for kprobes v5.4,
 * whose verifiers refuse atomics that return a value (v5.12).
 */

#undef TP
#undef SK
#undef ICSK

#include "compat_kprobe.bpf.h"

#endif
