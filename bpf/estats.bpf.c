// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The hooks that emit variable operations: attach points only, bodies are in the headers. */
#include "segment.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

static __always_inline struct conn *conn_of(void *sk)
{
	return bpf_sk_storage_get(&conns, sk, 0, 0);
}

/* `current` owns the socket: connect(2), listen(2), and the calls that send the FIN. */
static __always_inline struct owner *owner_from_current(struct sock *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!owner) {
		count_map_failure();
		return NULL;
	}
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->inherited = 0;
	bpf_get_current_comm(owner->comm, sizeof(owner->comm));
	follow(owner);
	return owner;
}

static __always_inline struct conn *begin_conn(struct sock *sk, struct owner *owner, u8 active,
					       u64 now)
{
	struct conn *c;

	if (!owner_passes(sk, owner)) {
		/* A socket that is used again may have state of a connection that passed. */
		c = conn_of(sk);
		if (c)
			c->decision = REJECTED;
		return NULL;
	}
	c = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c) {
		count_map_failure();
		return NULL;
	}
	conn_init(c, now);
	c->active = active;
	return c;
}

static __always_inline void note_fin(struct conn *c, struct sock *sk, int old, int new)
{
	struct owner *owner;

	if (new == TCP_FIN_WAIT1 || new == TCP_LAST_ACK) {
		if (new == TCP_FIN_WAIT1 && !c->first_fin)
			c->first_fin = 1;
		/* A child's owner was its listener's until now. */
		owner = bpf_sk_storage_get(&owners, sk, 0, 0);
		if (owner && owner->inherited && bpf_get_current_pid_tgid() >> 32)
			owner_from_current(sk);
	} else if (new == TCP_CLOSE_WAIT && !c->first_fin) {
		c->first_fin = 2;
	}
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state, struct sock *sk, int old, int new)
{
	u64 now = bpf_ktime_get_ns();
	struct tcp_sock *tp;
	struct owner *owner;
	struct conn *c;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (new == TCP_LISTEN) {
		owner = owner_from_current(sk);
		return 0;
	}
	if (new == TCP_SYN_SENT) {
		owner = owner_from_current(sk);
		c = begin_conn(sk, owner, 1, now);
		if (c)
			c->old_state = new;
		return 0;
	}
	if (new == TCP_SYN_RECV && old == TCP_LISTEN) {
		/* The child; its cookie and addresses are not final before the next hook. */
		owner = bpf_sk_storage_get(&owners, sk, 0, 0);
		if (owner)
			owner->inherited = 1;
		c = begin_conn(sk, owner, 2, now);
		if (c)
			c->old_state = new;
		return 0;
	}
	c = conn_of(sk);
	if (!conn_live(c))
		return 0;
	if (!conn_open(c, sk, bpf_get_socket_cookie(sk), ESTATS_HOOK_set_state, now))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	c->old_state = old;
	begin(c, ESTATS_HOOK_set_state, now);
	read_socket(c, tp, true, now);
	SET(c, State, rfc_state(new));
	if (new == TCP_ESTABLISHED) {
		c->established = 1;
		c->snd_initial = tp->snd_una;
		c->rec_initial = tp->rcv_nxt;
		read_once(c, tp);
	}
	note_fin(c, sk, old, new);
	if (new != TCP_CLOSE) {
		commit(c, false);
		return 0;
	}
	/* The one reliable end: SO_LINGER 0 clears the counters right after this. */
	SET(c, CurrentTs, c->segment_ns);
	commit(c, true);
	c->close_lost = !send_lifecycle(c, sk, ESTATS_EVENT_close, ESTATS_HOOK_set_state, new);
	c->closed = 1;
	return 0;
}

/*
 * The socket goes: replay may forget its key, so that its memory follows the connections that are
 * open and not the length of the log. Also a second chance to end a connection whose close record
 * was lost.
 */
SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(destroy, struct sock *sk)
{
	struct conn *c = conn_of(sk);

	if (!c || !c->opened)
		return 0;
	begin(c, ESTATS_HOOK_destroy, bpf_ktime_get_ns());
	SET(c, State, RFC_DELETE_TCB);
	commit(c, c->close_lost);
	return 0;
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	struct conn *c = conn_of(sk);
	u64 now = bpf_ktime_get_ns();
	struct tcp_sock *tp;

	if (!conn_live(c))
		return 0;
	if (!conn_open(c, sk, bpf_get_socket_cookie(sk), ESTATS_HOOK_tcp_probe, now))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	on_segment(c, tp, skb->data, skb->head + skb->network_header, skb->len,
		   ESTATS_HOOK_tcp_probe, now);
	return 0;
}

SEC("tp_btf/tcp_cong_state_set")
int BPF_PROG(cong_state, struct sock *sk, u8 new)
{
	struct conn *c = conn_of(sk);
	u64 now = bpf_ktime_get_ns();
	struct tcp_sock *tp;
	u64 before_loss;
	u8 old;

	if (!conn_live(c))
		return 0;
	/* A child being made sets its first state before its addresses are final. */
	if (!c->opened && sk->__sk_common.skc_state == TCP_SYN_RECV)
		return 0;
	if (!conn_open(c, sk, bpf_get_socket_cookie(sk), ESTATS_HOOK_cong_state, now))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	old = estats_ca_state(tp);
	begin(c, ESTATS_HOOK_cong_state, now);
	if (new == CA_LOSS) {
		/*
		 * tcp_enter_loss() has reduced the window already. It left the old one in
		 * prior_cwnd if this timeout begins an episode; later ones of the same episode
		 * find the window that the hook before saw.
		 */
		before_loss = c->cached[CACHED_CurCwnd];
		if (old <= CA_DISORDER || before_loss == NEVER_SENT)
			before_loss = estats_octets(tp->prior_cwnd, tp->mss_cache);
		bracket(c, tp);
		SET(c, CurCwnd, before_loss);
		c->cached[CACHED_CurCwnd] = before_loss;
	} else {
		read_socket(c, tp, false, now);
	}
	count_ca_state(c, tp, old, new);
	/* The event comes before the assignment: the new state is set here, not read. */
	if (estats_recovery_code(new) != c->cached[CACHED_InRecovery]) {
		c->cached[CACHED_InRecovery] = estats_recovery_code(new);
		SET(c, InRecovery, estats_recovery_code(new));
	}
	SEND_IF_CHANGED(CurCwnd, estats_octets(tp->snd_cwnd, tp->mss_cache))
	SEND_IF_CHANGED(CurSsthresh, estats_ssthresh(tp))
	commit(c, false);
	return 0;
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit, struct sock *sk, struct sk_buff *skb)
{
	struct conn *c = conn_of(sk);
	u64 now = bpf_ktime_get_ns();
	struct tcp_sock *tp;

	if (!conn_live(c))
		return 0;
	if (!conn_open(c, sk, bpf_get_socket_cookie(sk), ESTATS_HOOK_retransmit, now))
		return 0;
	tp = bpf_skc_to_tcp_sock(sk);
	if (!tp)
		return 0;
	begin(c, ESTATS_HOOK_retransmit, now);
	read_socket(c, tp, true, now);
	c->segment_ns = now;
	commit(c, false);
	return 0;
}

/* Options of our SYN: the one place where the offer is seen as it was made. */
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
	 * compares a copy otherwise, and the verifier up to Linux 6.12 (at least) then takes the
	 * length for unbounded.
	 */
	last = (doff >> 4) * 4 - TCP_HEADER - 1;
	barrier_var(last);
	if (last < MAX_OPTIONS && !bpf_skb_load_bytes(skb, tcp + TCP_HEADER, c->header, last + 1))
		parse_options(c, last + 1);
	SET(c, MSSSent, s->mss);
	SET(c, WinScaleSent, s->has_wscale ? s->wscale : -1ULL);
}

SEC("cgroup_skb/egress")
int egress(struct __sk_buff *skb)
{
	struct bpf_sock *bsk = skb->sk;
	struct tcp_sock *tp;
	struct conn *c;
	u8 ip[2], tos, flags = 0;
	u32 tcp;
	u64 now;

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
	if (!conn_open(c, (struct sock *)tp, bpf_get_socket_cookie(skb), ESTATS_HOOK_egress, now))
		return 1;
	begin(c, ESTATS_HOOK_egress, now);
	read_socket(c, tp, false, now);
	c->segment_ns = now;
	if (!bpf_skb_load_bytes(skb, 0, ip, sizeof(ip))) {
		bool v4 = ip[0] >> 4 == 4;

		tos = v4 ? ip[1] : (ip[0] << 4 | ip[1] >> 4);
		if (!c->seen_ip_out || tos != c->ip_tos_out)
			SET(c, IpTosOut, tos);
		c->seen_ip_out = 1;
		c->ip_tos_out = tos;
		tcp = v4 ? (ip[0] & 15) * 4 : 40;
		if (!c->established && c->active == 1 &&
		    !bpf_skb_load_bytes(skb, tcp + 13, &flags, 1) && (flags & TCPHDR_SYN))
			read_syn(c, skb, tcp);
	}
	commit(c, false);
	return 1;
}

static __always_inline void want_callbacks(struct bpf_sock_ops *ctx, u32 flags)
{
	/* Other programs of the host may have set flags of their own on this socket. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | flags);
}

static __always_inline void on_parse_hdr(struct bpf_sock_ops *ctx, struct conn *c,
					 struct tcp_sock *tp, u64 now)
{
	struct bpf_sock_ops_kern *kern;
	struct sk_buff *skb;
	const u8 *head;

	/* In ESTABLISHED tcp_probe has seen it, and this callback misses the fast path. */
	if (ctx->state == TCP_ESTABLISHED || !bpf_ksym_exists(bpf_cast_to_kern_ctx))
		return;
	kern = bpf_cast_to_kern_ctx(ctx);
	skb = BPF_CORE_READ(kern, skb);
	if (!skb)
		return;
	head = BPF_CORE_READ(skb, head);
	on_segment(c, tp, BPF_CORE_READ(skb, data), head + BPF_CORE_READ(skb, network_header),
		   BPF_CORE_READ(skb, len), ESTATS_HOOK_parse_hdr, now);
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
	if (!conn_live(c))
		return 1;
	tp = bpf_skc_to_tcp_sock(bsk);
	if (!tp)
		return 1;
	now = bpf_ktime_get_ns();
	if (!conn_open(c, (struct sock *)tp, bpf_get_socket_cookie(ctx), ESTATS_HOOK_handshake,
		       now))
		return 1;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		begin(c, ESTATS_HOOK_handshake, now);
		if (bpf_load_hdr_opt(ctx, mss, sizeof(mss), 0) == sizeof(mss))
			SET(c, MSSRcvd, (u32)mss[2] << 8 | mss[3]);
		else
			SET(c, MSSRcvd, 0);
		commit(c, false);
		want_callbacks(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		want_callbacks(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		/* From here on tcp_probe is silent. */
		if (ctx->args[1] != TCP_ESTABLISHED && ctx->args[1] != TCP_CLOSE)
			want_callbacks(ctx, BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		on_parse_hdr(ctx, c, tp, now);
		break;
	}
	return 1;
}
