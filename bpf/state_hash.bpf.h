/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * State in hashes by the socket's address, for kprobes and raw tracepoints: they have neither
 * socket storage nor the cookie helper, and read kernel memory by copying it.
 */
#ifndef ESTATS_STATE_HASH_BPF_H
#define ESTATS_STATE_HASH_BPF_H

#include "recorder.bpf.h"

/*
 * Entries go when the socket is destroyed. A plain hash: an LRU would make room by dropping a
 * connection in the middle of its life, and nothing would tell; here the new one is refused and
 * counted (map_failures). Preallocated, since memory may not be asked for in a kprobe: 40 MB.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct conn);
} conns __weak SEC(".maps");

/* What a new entry is made of: the stack has 512 octets. Never written to. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct conn);
} blank __weak SEC(".maps");

/* LRU: an owner that had to give way costs a name in a row, nothing worse. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, u64);
	__type(value, struct owner);
} owners __weak SEC(".maps");

/*
 * How a child finds its listener's owner: a clone has all of these when it is made. Listeners that
 * share them (SO_REUSEPORT) share the last one's owner.
 */
struct listener {
	u64 net;
	u32 addr; /* IPv4; 0 for any */
	u32 port;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct listener);
	__type(value, struct owner);
} listeners __weak SEC(".maps");

/*
 * The socket in hand. Programs here run with preemption off, but a softirq may interrupt a task's
 * program and run another: each level has its copy, and whoever comes last leaves first.
 */
#define COPY_BYTES  4096
#define COPY_LEVELS 3

struct socket_copy {
	u8 octets[COPY_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COPY_LEVELS);
	__type(key, u32);
	__type(value, struct socket_copy);
} copies __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} levels __weak SEC(".maps");

static __always_inline u32 *copy_level(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&levels, &zero);
}

/* A hook's body, after which the copies that it took are free again. */
#define RUN(body)                                                                                  \
	({                                                                                         \
		u32 *level_ = copy_level(), before_ = level_ ? *level_ : 0;                        \
		int result_ = (body);                                                              \
		if (level_)                                                                        \
			*level_ = before_;                                                         \
		result_;                                                                           \
	})

static __always_inline struct conn *conn_of(void *sk)
{
	u64 key = (u64)sk;

	return bpf_map_lookup_elem(&conns, &key);
}

/* Without a word where there is no room. */
static __always_inline struct conn *conn_try(void *sk)
{
	u64 key = (u64)sk;
	struct conn *c = bpf_map_lookup_elem(&conns, &key), *new;
	u32 zero = 0;

	if (c)
		return c;
	new = bpf_map_lookup_elem(&blank, &zero);
	if (new)
		bpf_map_update_elem(&conns, &key, new, BPF_NOEXIST);
	return bpf_map_lookup_elem(&conns, &key);
}

static __always_inline struct conn *conn_make(void *sk)
{
	struct conn *c = conn_try(sk);

	if (!c)
		count_not_followed();
	return c;
}

static __always_inline void conn_forget(void *sk)
{
	u64 key = (u64)sk;

	bpf_map_delete_elem(&conns, &key);
}

static __always_inline struct owner *owner_of(void *sk)
{
	u64 key = (u64)sk;

	return bpf_map_lookup_elem(&owners, &key);
}

static __always_inline struct owner *owner_make(void *sk)
{
	u64 key = (u64)sk;
	struct owner *owner = bpf_map_lookup_elem(&owners, &key), new = {};

	if (owner)
		return owner;
	bpf_map_update_elem(&owners, &key, &new, BPF_NOEXIST);
	owner = bpf_map_lookup_elem(&owners, &key);
	if (!owner)
		count_map_failure();
	return owner;
}

static __always_inline void owner_forget(void *sk)
{
	u64 key = (u64)sk;

	bpf_map_delete_elem(&owners, &key);
}

static __always_inline void listener_key(struct sock *sk, struct listener *key)
{
	key->net = (u64)BPF_CORE_READ(sk, __sk_common.skc_net.net);
	key->addr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	key->port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

static __always_inline void listens(void *sk, const struct owner *owner)
{
	struct listener key;

	listener_key(sk, &key);
	bpf_map_update_elem(&listeners, &key, owner, BPF_ANY);
}

/* A child's owner: its listener's, until it proves to be another's. */
static __always_inline struct owner *owner_inherit(void *sk)
{
	struct owner *found, *owner;
	struct listener key;

	/* Of a socket at this address whose end nobody saw. */
	owner_forget(sk);
	listener_key(sk, &key);
	found = bpf_map_lookup_elem(&listeners, &key);
	if (!found) {
		/* Newer kernels (6.18) give the clone its own address before this event. */
		key.addr = 0;
		found = bpf_map_lookup_elem(&listeners, &key);
	}
	owner = found ? owner_make(sk) : NULL;
	if (!owner)
		return NULL;
	*owner = *found;
	owner->inherited = 1;
	return owner;
}

/*
 * An identity of our own, for sockets that nobody has asked for their cookie: the kernel counts
 * cookies from 1 and never reaches bit 63. No two connections begin in one nanosecond of one CPU,
 * and it takes 26 days until the nanoseconds repeat.
 */
static __always_inline u64 first_cookie(u64 now)
{
	return 1ULL << 63 | (now << 12 & ~(1ULL << 63)) | (bpf_get_smp_processor_id() & 0xfff);
}

/* The kernel's cookie where there is one, to be joined with `ss -e`; settled when opened. */
static __always_inline u64 cookie_of(const struct conn *c, void *sk)
{
	u64 cookie;

	if (c->opened)
		return c->cookie;
	cookie = BPF_CORE_READ((struct sock *)sk, __sk_common.skc_cookie.counter);
	return cookie ? cookie : c->cookie;
}

/* A bit field before Linux 5.6. */
static __always_inline u16 protocol_of(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(sk, sk_protocol);
}

static __always_inline u8 state_of(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_state);
}

/*
 * A copy of the socket, whole: bodies read its fields as they read a socket's, and one copy is
 * cheaper than the thirty that a look at the socket takes field by field. Only inside RUN().
 */
static __always_inline struct tcp_sock *socket_of(void *sk)
{
	u32 size = bpf_core_type_size(struct tcp_sock), level, *levels = copy_level();
	struct socket_copy *copy;

	if (!levels)
		return NULL;
	level = *levels;
	copy = bpf_map_lookup_elem(&copies, &level);
	if (!copy)
		return NULL;
	*levels = level + 1;
	if (size > sizeof(*copy) || bpf_probe_read_kernel(copy, size, sk))
		return NULL;
	return (struct tcp_sock *)copy;
}

#endif
