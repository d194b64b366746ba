/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tcp_info of a connection, in a record of its own, where hooks are kprobes. */
#ifndef ESTATS_ACCOUNT_BPF_H
#define ESTATS_ACCOUNT_BPF_H

#include "socket.bpf.h"
#include "state.bpf.h"
#include "output.bpf.h"

static __always_inline int account(void *ctx, struct sock *sk, u32 what)
{
	struct cpu_counters *cpu = cpu_counters();
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct socket_record *r;
	struct tcp_sock *tp;

	if (!cpu || !c || !c->opened || c->closed || c->decision == REJECTED || is_over())
		return 0;
	tp = socket_of(sk);
	if (!tp)
		return 0;
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

#endif
