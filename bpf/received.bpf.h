/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The places where tracepoints and functions see a received segment, with its buffer.
 */
#ifndef ESTATS_RECEIVED_BPF_H
#define ESTATS_RECEIVED_BPF_H

#include "events.bpf.h"

static __always_inline int received(void *ctx, u32 turn, struct sock *sk, struct sk_buff *skb,
				    u8 hook, u8 checks)
{
#ifdef ESTATS_KPROBE
	const u8 *head = BPF_CORE_READ(skb, head);

	return on_receive(ctx, turn, sk, BPF_CORE_READ(skb, data),
			  head + BPF_CORE_READ(skb, network_header), BPF_CORE_READ(skb, len),
			  BPF_CORE_READ(skb_cb(skb), ack_seq), segments_of(skb), hook, checks);
#else
	return on_receive(ctx, turn, sk, skb->data, skb->head + skb->network_header, skb->len,
			  skb_cb(skb)->ack_seq, segments_of(skb), hook, checks);
#endif
}

/* tcp_rcv_state_process(sk, skb): before the checks */
static __always_inline int on_state_process(void *ctx, u32 turn, struct sock *sk,
					    struct sk_buff *skb)
{
	if (!is_closing(sk))
		return 0;
	return received(ctx, turn, sk, skb, ESTATS_HOOK_parse_hdr, CHECKS_AHEAD);
}

#ifndef ESTATS_KPROBE
#define NO_REFUSAL (-1)

/*
 * What the reason of a drop says of the checks of tcp_rcv_state_process() and
 * tcp_validate_incoming(): NO_REFUSAL where they are not what dropped the segment, and sockops has
 * seen it. A reset that is challenged is no soft error, nor is a segment without ACK. A SYN is
 * challenged whatever its numbers are: these are tested again, after the challenge has acknowledged
 * what was received.
 */
static __always_inline int refusal(u32 reason)
{
	if (reason == drop_paws || reason == drop_paws_ack)
		return SOFT_BELOW_TS_WINDOW;
	if (reason == drop_old_sequence)
		return SOFT_BELOW_DATA_WINDOW;
	if (reason == drop_invalid_sequence || reason == drop_invalid_end)
		return SOFT_ABOVE_DATA_WINDOW;
	if (reason == drop_reset || reason == drop_flags)
		return SOFT_NONE;
	return reason == drop_invalid_syn ? CHECKS_AHEAD : NO_REFUSAL;
}

/* kfree_skb(skb, location, reason, rx_sk), from tcp_drop_reason(), which has the socket's lock */
static __always_inline int on_segment_drop(const u64 *args, u32 turn, struct sk_buff *skb)
{
	struct sock *sk = drop_receiver(args);
	int checks = refusal(drop_reason(args));

	if (!sk || checks == NO_REFUSAL || !is_closing(sk))
		return 0;
	return received((void *)args, turn, sk, skb, ESTATS_HOOK_segment_drop, checks);
}
#endif

#endif
