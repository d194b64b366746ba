// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel's account of a connection at its beginning and end, where hooks are kprobes. Programs
 * of their own: read within set_state, whose length is near what old verifiers accept, it would be
 * refused with it, and without set_state there is no recording. They run in the same event, under
 * the same lock: `account_close` before set_state, as long as the connection is open to replay,
 * `account_open` after it, when the connection has its identity.
 */
#define ESTATS_DEFINES_JIFFIES
#include "account.bpf.h"
#include "walk.bpf.h"

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(account_close, struct sock *sk, int old, int new)
{
	if (new == TCP_CLOSE)
		RUN(account(ctx, sk, SNAPSHOT(ESTATS_WHY_close, ESTATS_HOOK_set_state, TCP_CLOSE)));
	return 0;
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(account_open, struct sock *sk, int old, int new)
{
	if (new == TCP_ESTABLISHED)
		RUN(account(ctx, sk,
			    SNAPSHOT(ESTATS_WHY_open, ESTATS_HOOK_set_state, TCP_ESTABLISHED)));
	return 0;
}

/*
 * Of what is open at the end, before `sweep` reads its last values. Where dumps of inet_diag do
 * that, lock_begin reads this (kprobe.bpf.c).
 */
SEC("iter/tcp")
int account_end(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	struct sock *sk = (void *)tp;

	if (tp &&
	    RUN(account(ctx, sk,
			SNAPSHOT(ESTATS_WHY_end, ESTATS_HOOK_sweep, sk->__sk_common.skc_state))))
		paced(ctx);
	return 0;
}
