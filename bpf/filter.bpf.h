/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which connections are recorded. Decided once per connection, before anything is built: the
 * different filters must all let it pass (and), each for any of its values (or). The negative ones
 * keep out what has any of their values.
 */
#ifndef ESTATS_FILTER_BPF_H
#define ESTATS_FILTER_BPF_H

#include "mptcp.bpf.h"

#define MAX_FILTERS 1024

/* Thread group ids; children are added as they are born, see process.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, u32);
	__type(value, u8);
} pids __weak SEC(".maps");

/* Names of processes. */
struct comm_key {
	char comm[COMM_LEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILTERS);
	__type(key, struct comm_key);
	__type(value, u8);
} comms __weak SEC(".maps");

/* Inode numbers of network namespaces. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILTERS);
	__type(key, u32);
	__type(value, u8);
} netnses __weak SEC(".maps");

/* Ids of cgroups; their descendants pass too. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILTERS);
	__type(key, u64);
	__type(value, u8);
} cgroups __weak SEC(".maps");

/* Local or remote port, host byte order. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILTERS);
	__type(key, u16);
	__type(value, u8);
} ports __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_FILTERS);
	__type(key, u16);
	__type(value, u8);
} not_ports __weak SEC(".maps");

struct addr_key {
	u32 prefix_len;
	u8 addr[16]; /* IPv4 as IPv4-mapped IPv6, prefix 96 + n */
};

ESTATS_ADDR_KEY_ASSERTS

/* Local or remote address. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FILTERS);
	__type(key, struct addr_key);
	__type(value, u8);
} addrs __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_FILTERS);
	__type(key, struct addr_key);
	__type(value, u8);
} not_addrs __weak SEC(".maps");

static __always_inline bool filtering(void)
{
	return filter_pid || filter_comm || filter_cgroup || filter_netns || filter_port ||
	       filter_not_port || filter_addr || filter_not_addr;
}

/* The cgroup of the connection: a subflow's is its MPTCP socket's, whose address is `msk`. */
static __always_inline u64 connection_cgroup_id(const struct sock *sk, u64 msk)
{
	struct cgroup *cgroup;

	if (!msk)
		return cgroup_id(sk);
	cgroup = cgroup_of((const struct sock *)msk);
	return cgroup ? kernfs_id(BPF_CORE_READ(cgroup, kn)) : 0;
}

#define MAX_CGROUP_LEVELS 16

/* A subflow is in the cgroup of its MPTCP socket; old kernels leave it in a kworker's. */
static __always_inline bool cgroup_passes(const struct sock *sk)
{
	struct subflow s = subflow_of(sk);
	struct cgroup *cgroup = cgroup_of(s.msk ? (const struct sock *)s.msk : sk);
	int level, i;

	if (!cgroup)
		return false;
	level = BPF_CORE_READ(cgroup, level);
	for (i = 0; i < MAX_CGROUP_LEVELS; i++) {
		u64 id;

		if (i > level)
			break;
		id = ancestor_id(cgroup, i);
		if (!id)
			break;
		if (bpf_map_lookup_elem(&cgroups, &id))
			return true;
	}
	return false;
}

/*
 * Notes whether the owner is followed while it surely lives: a server that becomes a daemon after
 * listen() has left the set when its descendant is given connections.
 */
static __always_inline void follow(struct owner *owner)
{
	u32 pid = owner->pid;

	owner->followed = filter_pid && bpf_map_lookup_elem(&pids, &pid);
	owner->named = filter_comm && bpf_map_lookup_elem(&comms, owner->comm);
}

/* `current` is the owner. It has a name asked for if its thread has, or its process. */
static __always_inline void owner_is_current(struct owner *owner)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct comm_key process = {};

	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->inherited = 0;
	bpf_get_current_comm(owner->comm, sizeof(owner->comm));
	follow(owner);
	if (filter_comm && !owner->named) {
		BPF_CORE_READ_INTO(&process.comm, task, group_leader, comm);
		owner->named = !!bpf_map_lookup_elem(&comms, &process);
	}
}

/* Whether connections are chosen by their owner's process. */
static __always_inline bool by_process(void)
{
	return filter_pid || filter_comm;
}

/* Whether `current` is one of the processes that are chosen. */
static __always_inline bool current_is_chosen(void)
{
	struct owner owner = {};

	owner_is_current(&owner);
	return (!filter_pid || owner.followed) && (!filter_comm || owner.named);
}

/* What is known before the port is known. */
static __always_inline bool owner_passes(const struct sock *sk, const struct owner *owner)
{
	if (filter_pid && !(owner && owner->followed))
		return false;
	if (filter_comm && !(owner && owner->named))
		return false;
	if (filter_netns) {
		u32 inum = DEREF(sk, __sk_common.skc_net.net, ns.inum);

		if (!bpf_map_lookup_elem(&netnses, &inum))
			return false;
	}
	return !filter_cgroup || cgroup_passes(sk);
}

static __always_inline bool addr_is_in(void *map, const struct sock *sk, bool local)
{
	struct addr_key key = { .prefix_len = 128 };

	if (is_ipv6(sk->__sk_common.skc_family)) {
		BPF_CORE_READ_INTO(&key.addr, sk, __sk_common.skc_v6_daddr);
		if (local)
			BPF_CORE_READ_INTO(&key.addr, sk, __sk_common.skc_v6_rcv_saddr);
	} else {
		u32 addr = local ? sk->__sk_common.skc_rcv_saddr : sk->__sk_common.skc_daddr;

		key.addr[10] = 0xff;
		key.addr[11] = 0xff;
		__builtin_memcpy(&key.addr[12], &addr, sizeof(addr));
	}
	return bpf_map_lookup_elem(map, &key);
}

/* The rest, once both ports are final. */
static __always_inline bool tuple_passes(const struct sock *sk)
{
	u16 local = sk->__sk_common.skc_num;
	u16 remote = bpf_ntohs(sk->__sk_common.skc_dport);

	if (filter_port && !bpf_map_lookup_elem(&ports, &local) &&
	    !bpf_map_lookup_elem(&ports, &remote))
		return false;
	if (filter_not_port &&
	    (bpf_map_lookup_elem(&not_ports, &local) || bpf_map_lookup_elem(&not_ports, &remote)))
		return false;
	if (filter_addr && !addr_is_in(&addrs, sk, true) && !addr_is_in(&addrs, sk, false))
		return false;
	return !filter_not_addr ||
	       (!addr_is_in(&not_addrs, sk, true) && !addr_is_in(&not_addrs, sk, false));
}

#endif
