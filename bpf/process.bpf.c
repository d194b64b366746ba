// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Keeps the set of recorded processes: children join it, the dead leave it. */
#include "filter.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	u32 pid = parent->tgid, born = child->tgid;
	u8 yes = 1;

	if (pid != born && bpf_map_lookup_elem(&pids, &pid))
		bpf_map_update_elem(&pids, &born, &yes, BPF_ANY);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	u32 pid = task->tgid;

	/* The last thread of the group: ids are used again. */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		bpf_map_delete_elem(&pids, &pid);
	return 0;
}

/*
 * Jiffies, so that the recorder can measure HZ where no kernel config is at hand, and the id of
 * the recorder's own process as the hooks see it: inside a PID namespace getpid() says another.
 */
u64 jiffies = 0;
u32 recorder_pid = 0;

SEC("syscall")
int probe_kernel(void *ctx)
{
	jiffies = bpf_jiffies64();
	recorder_pid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}
