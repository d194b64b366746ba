// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Raw tracepoints, kprobes and kretprobes, for kernels without function hooks or socket storage:
 * attach points only, bodies are in events.bpf.h and functions.bpf.h.
 */
#include <linux/ptrace.h>
#include "functions.bpf.h"
#include "received.bpf.h"
#include "ends.bpf.h"
#include "look.bpf.h"
#include "missed.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(set_state, struct sock *sk, int old, int new)
{
	return RUN(on_set_state(ctx, TURN_ALWAYS, sk, old, new));
}

/*
 * Before set_state, in the same event: what is counted later than the connection's last record
 * would be in an account after its end. No part of set_state, whose length is near what old
 * verifiers accept.
 */
SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(ends_at_close, struct sock *sk, int old, int new)
{
	struct conn *c = new == TCP_CLOSE ? conn_of(sk) : NULL;

	if (c)
		count_unended_ends(c, sk);
	return 0;
}

SEC("raw_tp/tcp_probe")
int BPF_PROG(tcp_probe, struct sock *sk, struct sk_buff *skb)
{
	return RUN(received(ctx, TURN_ALWAYS, sk, skb, ESTATS_HOOK_tcp_probe, CHECKS_AHEAD));
}

SEC("kprobe/tcp_rcv_state_process")
int COUNTED_KPROBE(state_process, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_state_process(ctx, TURN_ALWAYS, sk, skb));
}

/* The SYN-ACK has been accepted. */
static __always_inline int on_finish_connect(void *ctx, struct sock *sk, struct sk_buff *skb)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = enter(ctx, TURN_ALWAYS, c, sk, ESTATS_HOOK_handshake, now);

	if (!tp)
		return 0;
	begin(c, ESTATS_HOOK_handshake, now);
	if (parse_segment(c, &c->segment, BPF_CORE_READ(skb, data), BPF_CORE_READ(skb, len)))
		SET(c, MSSRcvd, c->segment.mss);
	commit(ctx, c, false);
	return 0;
}

SEC("kprobe/tcp_finish_connect")
int COUNTED_KPROBE(finish_connect, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_finish_connect(ctx, sk, skb));
}

/* All counters of the segment are up to date; its IP header is not made yet. */
static __always_inline int on_egress(void *ctx, struct sock *sk, struct sk_buff *skb, bool v6)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp = enter(ctx, TURN_ALWAYS, c, sk, ESTATS_HOOK_egress, now);
	const struct inet_sock *inet = (const void *)tp;

	if (!tp)
		return 0;
	on_transmit(c, tp, BPF_CORE_READ(skb, len), segments_of(skb), now);
	sent_with_tos(c, v6 ? traffic_class(tp) : inet->tos);
	if (!c->established && c->active == 1 &&
	    parse_segment(c, &c->segment, BPF_CORE_READ(skb, data), BPF_CORE_READ(skb, len)) &&
	    (c->segment.flags & TCPHDR_SYN))
		offered(c);
	commit(ctx, c, false);
	return 0;
}

SEC("kprobe/" FUNCTION_XMIT)
int COUNTED_KPROBE(egress, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_egress(ctx, sk, skb, false));
}

/* Where that is an inline function. */
SEC("kprobe/" FUNCTION_XMIT_OLD)
int COUNTED_KPROBE(egress_inner, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_egress(ctx, sk, skb, false));
}

SEC("kprobe/inet6_csk_xmit")
int COUNTED_KPROBE(egress6, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_egress(ctx, sk, skb, true));
}

SEC("raw_tp/tcp_cong_state_set")
int BPF_PROG(cong_state, struct sock *sk, u8 new)
{
	return RUN(on_cong_state(ctx, TURN_ALWAYS, sk, new));
}

SEC("kprobe/tcp_enter_loss")
int COUNTED_KPROBE(enter_loss, struct sock *sk)
{
	return RUN(on_enter(ctx, TURN_ALWAYS, sk, CA_LOSS, ESTATS_HOOK_enter_loss));
}

SEC("kprobe/tcp_enter_recovery")
int COUNTED_KPROBE(enter_recovery, struct sock *sk)
{
	return RUN(on_enter(ctx, TURN_ALWAYS, sk, CA_RECOVERY, ESTATS_HOOK_enter_recovery));
}

SEC("raw_tp/tcp_retransmit_skb")
int BPF_PROG(retransmit, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_retransmit(ctx, TURN_ALWAYS, sk, BPF_CORE_READ(skb, len),
				 retransmit_error(ctx)));
}

SEC("raw_tp/tcp_bad_csum")
int BPF_PROG(bad_checksum, struct sk_buff *skb)
{
	return on_bad_checksum(skb);
}

SEC("raw_tp/tcp_rcv_space_adjust")
int BPF_PROG(rcv_space, struct sock *sk)
{
	return RUN(on_rcv_space(ctx, sk));
}

/*
 * The end of a function has no arguments. The socket is found again by the frame: the stack pointer
 * at a function's beginning is no other running function's, whatever task or interrupt it runs in.
 * By CPU was refused, since tasks migrate; by task, since softirqs run on top of any. An entry
 * whose end the kernel missed is written over by the next function with that frame.
 */
_Static_assert(FRAME_COUNT <= 8, "a stack pointer has three low bits to spare");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
} frames SEC(".maps");

/* What the return address takes: x86 has it on the stack, where a function's end has taken it. */
#ifdef __TARGET_ARCH_x86
#define RETURN_ADDRESS 8
#else
#define RETURN_ADDRESS 0
#endif

static __always_inline void remember(struct pt_regs *ctx, struct sock *sk, enum frame frame)
{
	u64 key = PT_REGS_SP(ctx) | frame, value = (u64)sk;
	struct conn *c = conn_of(sk);

	if (!conn_live(c)) {
		/* Nor is it that of an earlier function with this frame, whose end was missed. */
		bpf_map_delete_elem(&frames, &key);
		return;
	}
	function_begins(c, sk, frame);
	bpf_map_update_elem(&frames, &key, &value, BPF_ANY);
}

static __always_inline struct sock *recall(struct pt_regs *ctx, enum frame frame)
{
	u64 key = (PT_REGS_SP(ctx) - RETURN_ADDRESS) | frame;
	u64 *value = bpf_map_lookup_elem(&frames, &key), sk;
	struct conn *c;

	if (!value)
		return NULL;
	sk = *value;
	bpf_map_delete_elem(&frames, &key);
	c = conn_of((struct sock *)sk);
	if (c)
		function_ends(c, frame);
	return (struct sock *)sk;
}

SEC("raw_tp/tcp_destroy_sock")
int BPF_PROG(destroy, struct sock *sk)
{
	struct conn *c = conn_of(sk);
	int result;

	/* Where the event of CLOSE was passed over. */
	if (c)
		count_unended_ends(c, sk);
	result = RUN(on_destroy(ctx, TURN_ALWAYS, sk));
	conn_forget(sk);
	owner_forget(sk);
	return result;
}

SEC("kprobe/tcp_write_xmit")
int COUNTED_KPROBE(write_xmit_begin, struct sock *sk, u32 mss_now, int nonagle, int push_one)
{
	remember(ctx, sk, FRAME_WRITE_XMIT);
	return RUN(on_loop_begin(TURN_ALWAYS, sk, mss_now, push_one));
}

SEC("kretprobe/tcp_write_xmit")
int COUNTED_KPROBE(write_xmit_end)
{
	struct sock *sk = recall(ctx, FRAME_WRITE_XMIT);

	return sk ? RUN(on_loop_end(ctx, TURN_ALWAYS, sk)) : 0;
}

SEC("kprobe/tcp_fastretrans_alert")
int COUNTED_KPROBE(fastretrans, struct sock *sk, u32 prior_snd_una, int num_dupack, int *ack_flag)
{
	return RUN(on_fastretrans(ctx, TURN_ALWAYS, sk, num_dupack, ack_flag));
}

SEC("kprobe/tcp_rack_detect_loss")
int COUNTED_KPROBE(rack_begin, struct sock *sk)
{
	remember(ctx, sk, FRAME_RACK);
	return on_rack(TURN_ALWAYS, sk, true);
}

SEC("kretprobe/tcp_rack_detect_loss")
int COUNTED_KPROBE(rack_end)
{
	struct sock *sk = recall(ctx, FRAME_RACK);

	return sk ? on_rack(TURN_ALWAYS, sk, false) : 0;
}

SEC("kprobe/tcp_mark_skb_lost")
int COUNTED_KPROBE(mark_lost, struct sock *sk, struct sk_buff *skb)
{
	return on_mark_lost(TURN_ALWAYS, sk, skb);
}

SEC("kprobe/tcp_try_undo_recovery")
int COUNTED_KPROBE(undo_recovery_begin, struct sock *sk)
{
	remember(ctx, sk, FRAME_UNDO_RECOVERY);
	return on_undo_within(TURN_ALWAYS, sk, UNDO_RECOVERY);
}

SEC("kretprobe/tcp_try_undo_recovery")
int COUNTED_KPROBE(undo_recovery_end)
{
	struct sock *sk = recall(ctx, FRAME_UNDO_RECOVERY);

	return sk ? on_undo_within(TURN_ALWAYS, sk, UNDO_NONE) : 0;
}

/* Of a bool argument only the low octet of the register is defined. */
SEC("kprobe/tcp_try_undo_loss")
int COUNTED_KPROBE(undo_loss_begin, struct sock *sk, u8 frto_undo)
{
	remember(ctx, sk, FRAME_UNDO_LOSS);
	return on_undo_within(TURN_ALWAYS, sk, frto_undo ? UNDO_FRTO : UNDO_NONE);
}

SEC("kretprobe/tcp_try_undo_loss")
int COUNTED_KPROBE(undo_loss_end)
{
	struct sock *sk = recall(ctx, FRAME_UNDO_LOSS);

	return sk ? on_undo_within(TURN_ALWAYS, sk, UNDO_NONE) : 0;
}

SEC("kprobe/tcp_undo_cwnd_reduction")
int COUNTED_KPROBE(undo, struct sock *sk, u8 unmark_loss)
{
	return RUN(on_undo(ctx, TURN_ALWAYS, sk, unmark_loss));
}

SEC("kprobe/tcp_slow_start")
int COUNTED_KPROBE(slow_start, struct sock *sk)
{
	return on_growth(TURN_ALWAYS, sk, PENDING_SlowStart);
}

SEC("kprobe/tcp_reno_cong_avoid")
int COUNTED_KPROBE(reno, struct sock *sk, u32 ack, u32 acked)
{
	return RUN(on_reno(TURN_ALWAYS, sk, acked));
}

SEC("kprobe/tcp_cong_avoid_ai")
int COUNTED_KPROBE(cong_avoid, struct sock *sk)
{
	return on_growth(TURN_ALWAYS, sk, PENDING_CongAvoid);
}

SEC("kprobe/tcp_cwnd_restart")
int COUNTED_KPROBE(cwnd_restart, struct sock *sk)
{
	return RUN(on_cwnd_restart(TURN_ALWAYS, sk));
}

SEC("kprobe/tcp_enter_cwr")
int COUNTED_KPROBE(enter_cwr, struct sock *sk)
{
	return RUN(on_enter_cwr(ctx, TURN_ALWAYS, sk));
}

SEC("kprobe/" FUNCTION_ECN_CHECK)
int COUNTED_KPROBE(ecn_check, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_ecn_check(TURN_ALWAYS, sk, skb));
}

SEC("kprobe/" FUNCTION_ECN_CHECK_OLD)
int COUNTED_KPROBE(ecn_check_ce, struct sock *sk, struct sk_buff *skb)
{
	return RUN(on_ecn_check(TURN_ALWAYS, sk, skb));
}

SEC("kprobe/tcp_sync_mss")
int COUNTED_KPROBE(sync_mss_begin, struct sock *sk)
{
	remember(ctx, sk, FRAME_SYNC_MSS);
	return 0;
}

SEC("kretprobe/tcp_sync_mss")
int COUNTED_KPROBE(sync_mss)
{
	struct sock *sk = recall(ctx, FRAME_SYNC_MSS);

	return sk ? RUN(on_sync_mss(ctx, TURN_ALWAYS, sk)) : 0;
}

SEC("kprobe/tcp_sendmsg_locked")
int COUNTED_KPROBE(sendmsg_begin, struct sock *sk)
{
	remember(ctx, sk, FRAME_SENDMSG);
	return 0;
}

SEC("kretprobe/tcp_sendmsg_locked")
int COUNTED_KPROBE(sendmsg)
{
	struct sock *sk = recall(ctx, FRAME_SENDMSG);

	return sk ? RUN(on_sendmsg(ctx, sk)) : 0;
}

SEC("kprobe/tcp_conn_request")
int COUNTED_KPROBE(conn_request, void *rsk_ops, void *af_ops, struct sock *sk, struct sk_buff *skb)
{
	const u8 *head = BPF_CORE_READ(skb, head);

	return on_conn_request(sk, BPF_CORE_READ(skb, data),
			       head + BPF_CORE_READ(skb, network_header), BPF_CORE_READ(skb, len));
}

/*
 * Looks at sockets where no iterator holds their lock. The recorder has inet_diag dump all sockets
 * of a namespace: tcp_get_info() takes the lock of each by lock_sock_fast(), and at the end of that
 * function it is held. Only the recorder's own dumps are looked at.
 */
struct looking {
	u32 tgid; /* of the recorder, in the initial PID namespace */
	u32 what; /* enum look */
};

ESTATS_LOOKING_ASSERTS

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct looking);
} looking SEC(".maps");

static __always_inline u32 looks(void)
{
	u32 zero = 0;
	struct looking *l = bpf_map_lookup_elem(&looking, &zero);

	if (!l || l->tgid != bpf_get_current_pid_tgid() >> 32)
		return LOOK_NONE;
	return l->what;
}

static __always_inline int on_lock_begin(struct pt_regs *ctx, struct sock *sk)
{
	if (looks())
		remember(ctx, sk, FRAME_LOCK);
	return 0;
}

static __always_inline int on_look(void *ctx, struct sock *sk, u32 what)
{
	u64 now = bpf_ktime_get_ns();
	struct conn *c = conn_of(sk);
	struct tcp_sock *tp;

	if (what == LOOK_REST ? !rests(c, now) : !conn_live(c))
		return 0;
	tp = socket_of(sk);
	if (!tp || !conn_open(ctx, c, sk, tp, cookie_of(c, sk), ESTATS_HOOK_sweep, now))
		return 0;
	if (what == LOOK_REST)
		look_at_rest(ctx, c, tp, now);
	else
		look_at_end(ctx, c, sk, tp, now);
	return 0;
}

static __always_inline int on_lock_end(struct pt_regs *ctx)
{
	u32 what = looks();
	struct sock *sk = what ? recall(ctx, FRAME_LOCK) : NULL;
	struct conn *c = sk ? conn_of(sk) : NULL;

	if (!conn_live(c))
		return 0;
	count_unended_ends(c, sk);
	return RUN(on_look(ctx, sk, what));
}

SEC("kprobe/" FUNCTION_LOCK)
int COUNTED_KPROBE(lock_begin, struct sock *sk)
{
	return on_lock_begin(ctx, sk);
}

SEC("kretprobe/" FUNCTION_LOCK)
int COUNTED_KPROBE(lock_end)
{
	return on_lock_end(ctx);
}

SEC("kprobe/" FUNCTION_LOCK_OLD)
int COUNTED_KPROBE(lock_old_begin, struct sock *sk)
{
	return on_lock_begin(ctx, sk);
}

SEC("kretprobe/" FUNCTION_LOCK_OLD)
int COUNTED_KPROBE(lock_old_end)
{
	return on_lock_end(ctx);
}
