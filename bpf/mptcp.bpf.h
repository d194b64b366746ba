/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Subflows of Multipath TCP. The kernel opens those after the first from a kworker, and closes them
 * there: what process they are of, only their MPTCP socket can tell. Every subflow's socket leads
 * to it (net/mptcp/protocol.h; compat.bpf.h). Fields are
 * read by copying, so that all hook types can: `sk` is a subflow's address in the kernel.
 */
#ifndef ESTATS_MPTCP_BPF_H
#define ESTATS_MPTCP_BPF_H

#include "state.bpf.h"

#define IPPROTO_MPTCP 262
#define PF_KTHREAD    0x00200000 /* include/linux/sched.h */

/*
 * Owners of MPTCP sockets, by their addresses: taken from the first subflow, which the application
 * opens itself, or from the files of processes. LRU: an owner that had to give way costs a name,
 * and with a filter by process later subflows of that connection.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct owner);
} mptcp_owners __weak SEC(".maps");

struct subflow {
	u64 msk;     /* address of the MPTCP socket; 0: a socket of plain TCP, or not set yet */
	bool joined; /* not the first subflow */
	bool agreed; /* the peer speaks MPTCP */
	u32 token;   /* of the MPTCP connection; 0: none yet */
};

static __always_inline struct subflow subflow_of(const void *sk)
{
	const struct mptcp_subflow_context *context;
	/* A variable: BPF_CORE_READ() would relocate a member of our own struct. */
	const struct mptcp_sock *msk;
	struct subflow s = {};

	if (!has_mptcp())
		return s;
	context = subflow_context(sk);
	if (!context)
		return s;
	msk = (const void *)BPF_CORE_READ(context, conn);
	s.msk = (u64)msk;
	s.joined = BPF_CORE_READ_BITFIELD_PROBED(context, request_join) ||
		   BPF_CORE_READ_BITFIELD_PROBED(context, mp_join);
	s.agreed = s.joined || BPF_CORE_READ_BITFIELD_PROBED(context, mp_capable);
	if (msk)
		s.token = BPF_CORE_READ(msk, token);
	/* The first subflow has it before and after its MPTCP socket. */
	if (!s.token && !s.joined)
		s.token = BPF_CORE_READ(context, token);
	return s;
}

/* Tasks of the kernel itself: a kworker does what an application has asked for, or nobody. */
static __always_inline bool in_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

/* The owner of the MPTCP socket becomes the subflow's; NULL if nobody knows it. */
static __always_inline struct owner *owner_of_connection(void *sk, u64 msk)
{
	struct owner *known = bpf_map_lookup_elem(&mptcp_owners, &msk), *owner;

	owner = known ? owner_make(sk) : NULL;
	if (owner)
		*owner = *known;
	return owner;
}

static __always_inline void owns_connection(u64 msk, const struct owner *owner)
{
	bpf_map_update_elem(&mptcp_owners, &msk, owner, BPF_ANY);
}

#endif
