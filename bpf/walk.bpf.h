/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What iterators over the sockets of a network namespace have in common. */
#ifndef ESTATS_WALK_BPF_H
#define ESTATS_WALK_BPF_H

#include "recorder.bpf.h"

static __always_inline struct tcp_sock *full_socket(struct bpf_iter__tcp *ctx)
{
	struct sock_common *skc = ctx->sk_common;

	if (!skc || skc->skc_state == TCP_TIME_WAIT || skc->skc_state == TCP_NEW_SYN_RECV)
		return NULL;
	return bpf_skc_to_tcp_sock(skc);
}

/*
 * An octet for each socket sent: a read of the iterator ends when its buffer is full, so its size
 * is how many may be sent before the recorder empties the ring again.
 */
static __always_inline void paced(struct bpf_iter__tcp *ctx)
{
	char sent = '.';

	bpf_seq_write(ctx->meta->seq, &sent, sizeof(sent));
}

#endif
