// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tracepoints with BTF, sockops and cgroup_skb: attach points only, bodies are in events.bpf.h.
 */
#include "received.bpf.h"
#include "drop.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

HOOK("tp_btf/inet_sock_set_state", set_state, on_set_state(ctx, turn, sk, old, new),
     struct sock *sk, int old, int new);

HOOK("tp_btf/tcp_destroy_sock", destroy, on_destroy(ctx, turn, sk), struct sock *sk);

HOOK("tp_btf/tcp_probe", tcp_probe,
     received(ctx, turn, sk, skb, ESTATS_HOOK_tcp_probe, CHECKS_AHEAD), struct sock *sk,
     struct sk_buff *skb);

HOOK("tp_btf/tcp_cong_state_set", cong_state, on_cong_state(ctx, turn, sk, new), struct sock *sk,
     u8 new);

HOOK("tp_btf/tcp_retransmit_skb", retransmit,
     on_retransmit(ctx, turn, sk, skb->len, retransmit_error(ctx)), struct sock *sk,
     struct sk_buff *skb);

/* Nobody holds a socket here, and what the packet says of its connection may be what is wrong. */
SEC("tp_btf/tcp_bad_csum")
int BPF_PROG(bad_checksum, struct sk_buff *skb)
{
	return on_bad_checksum(skb);
}

SEC("tp_btf/kfree_skb")
int drops(const u64 *ctx)
{
	const struct sk_buff *skb = (const void *)ctx[0];

	return on_drop(ctx, skb, skb->sk, drop_receiver(ctx));
}

/* Where parse_hdr comes after the checks. Alone: one that is passed over makes its row lossy. */
SEC("tp_btf/kfree_skb")
int BPF_PROG(segment_drop, struct sk_buff *skb)
{
	return on_segment_drop(ctx, TURN_ALWAYS, skb);
}

/* In the reader's own context only, where nothing of its kind interrupts it. */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(rcv_space, struct sock *sk)
{
	return on_rcv_space(ctx, sk);
}

/* Where no hook of tcp_sendmsg_locked() is attached. */
SEC("tp_btf/" EVENT_WRITTEN)
int BPF_PROG(written, struct sock *sk, int result, int flags)
{
	return on_written(sk);
}

static __always_inline void read_syn(struct conn *c, struct __sk_buff *skb, u32 tcp)
{
	struct segment *s = &c->segment;
	u32 last;
	u8 doff;

	__builtin_memset(s, 0, sizeof(*s));
	if (bpf_skb_load_bytes(skb, tcp + 12, &doff, 1))
		return;
	/*
	 * One check for both bounds, of the very register that the length is made from: clang
	 * compares a copy otherwise, and verifiers then take the length for unbounded.
	 */
	last = (doff >> 4) * 4 - TCP_HEADER - 1;
	barrier_var(last);
	if (last < MAX_OPTIONS && !bpf_skb_load_bytes(skb, tcp + TCP_HEADER, c->header, last + 1))
		parse_options(c, last + 1);
	offered(c);
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	struct bpf_sock *bsk = skb->sk;
	struct tcp_sock *tp;
	struct conn *c;
	u8 ip[2], flags = 0;
	u32 tcp;
	u64 now;
	bool v4;

	if (!bsk)
		return 1;
	bsk = bpf_sk_fullsock(bsk);
	if (!bsk)
		return 1;
	c = conn_of(bsk);
	if (!conn_live(c))
		return 1;
	now = bpf_ktime_get_ns();
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return 1;
	if (!conn_open(skb, c, tp, tp, bpf_get_socket_cookie(skb), ESTATS_HOOK_egress, now))
		return 1;
	on_transmit(c, tp, skb->len, skb->gso_segs ? skb->gso_segs : 1, now);
	if (!bpf_skb_load_bytes(skb, 0, ip, sizeof(ip))) {
		v4 = ip[0] >> 4 == 4;
		sent_with_tos(c, v4 ? ip[1] : (ip[0] << 4 | ip[1] >> 4));
		tcp = v4 ? (ip[0] & 15) * 4 : 40;
		if (!c->established && c->active == 1 &&
		    !bpf_skb_load_bytes(skb, tcp + 13, &flags, 1) && (flags & TCPHDR_SYN))
			read_syn(c, skb, tcp);
	}
	commit(skb, c, false);
	return 1;
}

static __always_inline void want_callbacks(struct bpf_sock_ops *ctx, u32 flags)
{
	/* Other programs of the host may have set flags of their own on this socket. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | flags);
}

/* So that sockops sees the segments where tcp_probe is silent, unless another hook does. */
static __always_inline void ask_for_callbacks(struct bpf_sock_ops *ctx)
{
	if (is_hooked(ESTATS_HOOK_state_process))
		return;
	if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB ||
	    ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		want_callbacks(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
	else if (ctx->op == BPF_SOCK_OPS_STATE_CB && ctx->args[1] != TCP_ESTABLISHED &&
		 ctx->args[1] != TCP_CLOSE)
		want_callbacks(ctx, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
}

static __always_inline void on_parse_hdr(struct bpf_sock_ops *ctx, struct conn *c,
					 struct tcp_sock *tp, u64 now)
{
	const struct bpf_sock_ops_kern *kern = kernel_sock_ops(ctx);
	struct sk_buff *skb;
	const u8 *head;

	/*
	 * In ESTABLISHED tcp_probe has seen it, and this callback misses the fast path. Where
	 * tcp_rcv_state_process() is hooked that has seen it too, before the checks.
	 */
	if (ctx->state == TCP_ESTABLISHED || is_hooked(ESTATS_HOOK_state_process))
		return;
	skb = BPF_CORE_READ(kern, skb);
	if (!skb)
		return;
	head = BPF_CORE_READ(skb, head);
	on_segment(ctx, c, tp, BPF_CORE_READ(skb, data), head + BPF_CORE_READ(skb, network_header),
		   BPF_CORE_READ(skb, len), BPF_CORE_READ(skb_cb(skb), ack_seq),
		   segments_at(head + BPF_CORE_READ(skb, end)), ESTATS_HOOK_parse_hdr, SOFT_NONE,
		   now);
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *bsk = ctx->sk;
	u8 mss[4] = { 2 };
	struct tcp_sock *tp;
	struct conn *c;
	u64 now;

	if (!bsk)
		return 1;
	c = conn_of(bsk);
	/* A connection that is recorded when a process uses it: see adopt(). */
	if (!c && (by_process() || !filtering()))
		ask_for_callbacks(ctx);
	if (!conn_live(c))
		return 1;
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return 1;
	now = bpf_ktime_get_ns();
	if (!conn_open(ctx, c, tp, tp, bpf_get_socket_cookie(ctx), ESTATS_HOOK_handshake, now))
		return 1;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		begin(c, ESTATS_HOOK_handshake, now);
		if (bpf_load_hdr_opt(ctx, mss, sizeof(mss), 0) == sizeof(mss))
			SET(c, MSSRcvd, (u32)mss[2] << 8 | mss[3]);
		else
			SET(c, MSSRcvd, 0);
		commit(ctx, c, false);
		ask_for_callbacks(ctx);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
	case BPF_SOCK_OPS_STATE_CB:
		ask_for_callbacks(ctx);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		on_parse_hdr(ctx, c, tp, now);
		break;
	}
	return 1;
}
