// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel's account of a connection at its beginning and end, where hooks are kprobes. Programs
 * of their own: read within set_state, whose length is near what old verifiers accept, it would be
 * refused with it, and without set_state there is no recording. They run in the same event, under
 * the same lock: `account_close` before set_state, as long as the connection is open to replay,
 * `account_open` after it, when the connection has its identity.
 */
#include "socket.bpf.h"
#include "state.bpf.h"
#include "output.bpf.h"
#include "walk.bpf.h"

/*
 * `r` is NULL under the socket lock, which protects the connection's own record. Iterators do not
 * hold that lock before Linux 5.15, where a hook may be at work on that record.
 */
static __always_inline int account(void *ctx, struct sock *sk, u32 what, struct socket_record *r)
{
	struct cpu_counters *cpu = cpu_counters();
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp;

	if (!cpu || !c || !c->opened || c->closed || c->decision == REJECTED || is_over())
		return 0;
	tp = socket_of(sk);
	if (!tp)
		return 0;
	if (!r)
		r = &c->snap;
	read_snapshot(r, tp, what, now);
	r->hdr.cookie = c->cookie;
	r->hdr.generation = c->generation;
	r->local_port = c->local_port;
	r->hdr.cpu = bpf_get_smp_processor_id();
	r->hdr.seq = next_seq(cpu);
	if (!hand_over(ctx, true, r, sizeof(*r)))
		count_loss(cpu, r->hdr.hook);
	return 1;
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(account_close, struct sock *sk, int old, int new)
{
	if (new == TCP_CLOSE)
		RUN(account(ctx, sk, SNAPSHOT(ESTATS_WHY_close, ESTATS_HOOK_set_state, TCP_CLOSE),
			    NULL));
	return 0;
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(account_open, struct sock *sk, int old, int new)
{
	if (new == TCP_ESTABLISHED)
		RUN(account(ctx, sk,
			    SNAPSHOT(ESTATS_WHY_open, ESTATS_HOOK_set_state, TCP_ESTABLISHED),
			    NULL));
	return 0;
}

/* Only the recorder's thread runs the iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct socket_record);
} account_record SEC(".maps");

/* Of what is open at the end, before the last look at it reads its last values. */
SEC("iter/tcp")
int account_end(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	struct sock *sk = (void *)tp;
	struct socket_record *r;
	u32 zero = 0;

	r = bpf_map_lookup_elem(&account_record, &zero);
	if (tp && r &&
	    RUN(account(ctx, sk,
			SNAPSHOT(ESTATS_WHY_end, ESTATS_HOOK_sweep, sk->__sk_common.skc_state), r)))
		paced(ctx);
	return 0;
}
