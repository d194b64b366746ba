// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Functions of the kernel by fentry and fexit: attach points only, bodies are in functions.bpf.h.
 */
#include "functions.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("fentry/tcp_write_xmit")
int BPF_PROG(write_xmit_begin, struct sock *sk, unsigned int mss_now, int nonagle, int push_one)
{
	return on_loop_begin(sk, mss_now, push_one);
}

SEC("fexit/tcp_write_xmit")
int BPF_PROG(write_xmit_end, struct sock *sk)
{
	return on_loop_end(ctx, sk);
}

SEC("fentry/tcp_fastretrans_alert")
int BPF_PROG(fastretrans, struct sock *sk, u32 prior_snd_una, int num_dupack, int *ack_flag)
{
	return on_fastretrans(ctx, sk, num_dupack, ack_flag);
}

SEC("fentry/tcp_rack_detect_loss")
int BPF_PROG(rack_begin, struct sock *sk)
{
	return on_rack(sk, true);
}

SEC("fexit/tcp_rack_detect_loss")
int BPF_PROG(rack_end, struct sock *sk)
{
	return on_rack(sk, false);
}

SEC("fentry/tcp_mark_skb_lost")
int BPF_PROG(mark_lost, struct sock *sk, struct sk_buff *skb)
{
	return on_mark_lost(sk, skb);
}

SEC("fentry/tcp_try_undo_recovery")
int BPF_PROG(undo_recovery_begin, struct sock *sk)
{
	return on_undo_within(sk, UNDO_RECOVERY);
}

SEC("fexit/tcp_try_undo_recovery")
int BPF_PROG(undo_recovery_end, struct sock *sk)
{
	return on_undo_within(sk, UNDO_NONE);
}

SEC("fentry/tcp_try_undo_loss")
int BPF_PROG(undo_loss_begin, struct sock *sk, bool frto_undo)
{
	return on_undo_within(sk, frto_undo ? UNDO_FRTO : UNDO_NONE);
}

SEC("fexit/tcp_try_undo_loss")
int BPF_PROG(undo_loss_end, struct sock *sk)
{
	return on_undo_within(sk, UNDO_NONE);
}

SEC("fentry/tcp_undo_cwnd_reduction")
int BPF_PROG(undo, struct sock *sk, bool unmark_loss)
{
	return on_undo(ctx, sk, unmark_loss);
}

SEC("fentry/tcp_slow_start")
int BPF_PROG(slow_start, struct tcp_sock *tp)
{
	return on_growth((struct sock *)tp, PENDING_SlowStart);
}

SEC("fentry/tcp_reno_cong_avoid")
int BPF_PROG(reno, struct sock *sk)
{
	return on_reno(sk);
}

SEC("fentry/tcp_cong_avoid_ai")
int BPF_PROG(cong_avoid, struct tcp_sock *tp)
{
	return on_growth((struct sock *)tp, PENDING_CongAvoid);
}

SEC("fentry/tcp_cwnd_restart")
int BPF_PROG(cwnd_restart, struct sock *sk)
{
	return on_cwnd_restart(sk);
}

SEC("fentry/tcp_enter_cwr")
int BPF_PROG(enter_cwr, struct sock *sk)
{
	return on_enter_cwr(ctx, sk);
}

/* The name from Linux 6.18 on. */
SEC("fentry/tcp_data_ecn_check")
int BPF_PROG(ecn_check, struct sock *sk, struct sk_buff *skb)
{
	return on_ecn_check(sk, skb);
}

SEC("fentry/__tcp_ecn_check_ce")
int BPF_PROG(ecn_check_ce, struct sock *sk, struct sk_buff *skb)
{
	return on_ecn_check(sk, skb);
}

SEC("fentry/tcp_conn_request")
int BPF_PROG(conn_request, void *rsk_ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	return on_conn_request(sk, skb->data, skb->head + skb->network_header, skb->len);
}

SEC("fexit/tcp_sync_mss")
int BPF_PROG(sync_mss, struct sock *sk)
{
	return on_sync_mss(ctx, sk);
}

SEC("fexit/tcp_sendmsg_locked")
int BPF_PROG(sendmsg, struct sock *sk)
{
	return on_sendmsg(ctx, sk);
}
