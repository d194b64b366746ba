// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Keeps the set of recorded processes: children join it, the dead leave it. */
#include "filter.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

#ifdef ESTATS_KPROBE
#define TRACEPOINT(name) SEC("raw_tp/" #name)
#else
#define TRACEPOINT(name) SEC("tp_btf/" #name)
#endif

TRACEPOINT(sched_process_fork)
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 pid = BPF_CORE_READ(parent, tgid), born = BPF_CORE_READ(child, tgid);
	u8 yes = 1;

	if (pid != born && bpf_map_lookup_elem(&pids, &pid))
		bpf_map_update_elem(&pids, &born, &yes, BPF_ANY);
	return 0;
}

TRACEPOINT(sched_process_exit)
int BPF_PROG(process_exit, struct task_struct *task)
{
	u32 pid = BPF_CORE_READ(task, tgid);

	/* The last thread of the group: ids are used again. */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&pids, &pid);
	return 0;
}

/*
 * HZ, the id of the recorder's own process as the hooks see it, and their clock: inside a PID
 * namespace getpid() says another, and inside a time namespace so does clock_gettime(). The
 * recorder listens for a moment and finds here, by its port, what the hook saw. A socket that has
 * not sent anything has the first timeout of RFC 6298, one second, in jiffies. Counting jiffies for
 * a tenth of a second was refused: on a busy host it told 300 Hz for 250.
 */
struct probed {
	u32 hz;
	u32 pid;
	u64 now_ns;
};

ESTATS_PROBED_ASSERTS

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, u16);
	__type(value, struct probed);
} probes SEC(".maps");

TRACEPOINT(inet_sock_set_state)
int BPF_PROG(probe_kernel, struct sock *sk, int old, int new)
{
	struct inet_connection_sock *icsk = (void *)sk;
	struct probed probed = { .now_ns = bpf_ktime_get_ns() };
	u16 port;

	if (new != TCP_LISTEN)
		return 0;
	port = BPF_CORE_READ(sk, __sk_common.skc_num);
	probed.hz = BPF_CORE_READ(icsk, icsk_rto);
	probed.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_map_update_elem(&probes, &port, &probed, BPF_ANY);
	return 0;
}
