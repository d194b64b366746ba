// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Functions of the kernel, by fentry and fexit: attach points only. */
#include "functions.bpf.h"
#include "received.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

HOOK("fentry/tcp_rcv_state_process", state_process, on_state_process(ctx, turn, sk, skb),
     struct sock *sk, struct sk_buff *skb);

HOOK("fentry/tcp_write_xmit", write_xmit_begin, on_loop_begin(turn, sk, mss_now, push_one),
     struct sock *sk, unsigned int mss_now, int nonagle, int push_one);

HOOK("fexit/tcp_write_xmit", write_xmit_end, on_loop_end(ctx, turn, sk), struct sock *sk);

HOOK("fentry/tcp_fastretrans_alert", fastretrans,
     on_fastretrans(ctx, turn, sk, num_dupack, ack_flag), struct sock *sk, u32 prior_snd_una,
     int num_dupack, int *ack_flag);

HOOK("fentry/tcp_rack_detect_loss", rack_begin, on_rack(turn, sk, true), struct sock *sk);

HOOK("fexit/tcp_rack_detect_loss", rack_end, on_rack(turn, sk, false), struct sock *sk);

HOOK("fentry/tcp_mark_skb_lost", mark_lost, on_mark_lost(turn, sk, skb), struct sock *sk,
     struct sk_buff *skb);

HOOK("fentry/tcp_try_undo_recovery", undo_recovery_begin, on_undo_within(turn, sk, UNDO_RECOVERY),
     struct sock *sk);

HOOK("fexit/tcp_try_undo_recovery", undo_recovery_end, on_undo_within(turn, sk, UNDO_NONE),
     struct sock *sk);

HOOK("fentry/tcp_try_undo_loss", undo_loss_begin,
     on_undo_within(turn, sk, frto_undo ? UNDO_FRTO : UNDO_NONE), struct sock *sk, bool frto_undo);

HOOK("fexit/tcp_try_undo_loss", undo_loss_end, on_undo_within(turn, sk, UNDO_NONE),
     struct sock *sk);

HOOK("fentry/tcp_undo_cwnd_reduction", undo, on_undo(ctx, turn, sk, unmark_loss), struct sock *sk,
     bool unmark_loss);

HOOK("fentry/tcp_slow_start", slow_start, on_growth(turn, (struct sock *)tp, PENDING_SlowStart),
     struct tcp_sock *tp);

HOOK("fentry/tcp_reno_cong_avoid", reno, on_reno(turn, sk, acked), struct sock *sk, u32 ack,
     u32 acked);

HOOK("fentry/tcp_cong_avoid_ai", cong_avoid, on_growth(turn, (struct sock *)tp, PENDING_CongAvoid),
     struct tcp_sock *tp);

HOOK("fentry/tcp_cwnd_restart", cwnd_restart, on_cwnd_restart(turn, sk), struct sock *sk);

HOOK("fentry/tcp_enter_cwr", enter_cwr, on_enter_cwr(ctx, turn, sk), struct sock *sk);

HOOK("fentry/" FUNCTION_ECN_CHECK, ecn_check, on_ecn_check(turn, sk, skb), struct sock *sk,
     struct sk_buff *skb);

HOOK("fentry/" FUNCTION_ECN_CHECK_OLD, ecn_check_ce, on_ecn_check(turn, sk, skb), struct sock *sk,
     struct sk_buff *skb);

/* Alone: a SYN that is passed over costs its connection the exact MSSRcvd, no more. */
SEC("fentry/tcp_conn_request")
int BPF_PROG(conn_request, void *rsk_ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	return on_conn_request(sk, skb->data, skb->head + skb->network_header, skb->len);
}

HOOK("fexit/tcp_sync_mss", sync_mss, on_sync_mss(ctx, turn, sk), struct sock *sk);

/* In the writer's own context only, where nothing of its kind interrupts it. */
SEC("fexit/tcp_sendmsg_locked")
int BPF_PROG(sendmsg, struct sock *sk)
{
	return on_sendmsg(ctx, sk);
}
