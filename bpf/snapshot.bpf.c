// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The polls of --snapshots: every socket of a network namespace, recorded otherwise or not. */
#include "socket.bpf.h"
#include "state.bpf.h"
#include "walk.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

/* Set by the recorder before loading. */
const volatile u32 sample = 1;		  /* every Nth socket, by its cookie */
const volatile bool changed_only = false; /* only sockets of which anything changed */

/* Number of the poll that runs; set by the recorder before each. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} poll_numbers SEC(".maps");

/* A hash of what was last sent of a socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} polled SEC(".maps");

/* One is enough: the recorder's thread runs one poll at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct socket_record);
} scratch SEC(".maps");

/* The finalizer of splitmix64 */
static __always_inline u64 mixed(u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static __noinline u64 fingerprint(const struct socket_record *r, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = (const void *)tp;
	const u64 *word = (const void *)r + ESTATS_SOCKET_COMPARED_FROM;
	struct socket_timer timer = {};
	u64 hash = 0;
	u32 i;

	if (!tp || !r)
		return 0;
	for (i = 0; i < (sizeof(*r) - ESTATS_SOCKET_COMPARED_FROM) / sizeof(u64); i++)
		hash = mixed(hash ^ word[i]);
	/* Of fields that age, the time from which they count. */
	socket_timer(&timer, tp);
#define X(stamp) hash = mixed(hash ^ (u32)(stamp));
	ESTATS_SOCKET_STAMPS(X)
#undef X
	/* 0 stands for "never sent". */
	return hash | 1;
}

SEC("iter/tcp")
int poll(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	u64 now = bpf_ktime_get_ns(), cookie, hash = 0, *last = NULL;
	struct socket_record *r;
	struct sock *sk;
	struct conn *c = NULL;
	u32 zero = 0, *number;
	u8 state;

	if (!tp)
		return 0;
	sk = (struct sock *)tp;
	state = sk->__sk_common.skc_state;
	/* A listener is no connection; one that is over has had its last snapshot. */
	if (state == TCP_LISTEN || state == TCP_CLOSE)
		return 0;
	/*
	 * What is known of the connection lies four cache misses from the socket, and says nothing
	 * new where no filter rejects and every generation is 0.
	 */
	if (filtering() || is_reused()) {
		c = conn_of(tp);
		if (c) {
			if (c->decision == REJECTED || c->closed)
				return 0;
		} else if (!owner_passes(sk, owner_of(tp))) {
			return 0;
		}
		if (!(c && c->decision == RECORDED) && !tuple_passes(sk))
			return 0;
	}
	cookie = bpf_get_socket_cookie(tp);
	if (sample > 1 && mixed(cookie) % sample)
		return 0;
	/* Before the socket is read: its memory counts among the fields. */
	if (changed_only) {
		last = bpf_sk_storage_get(&polled, tp, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (!last)
			count_map_failure();
	}
	r = bpf_map_lookup_elem(&scratch, &zero);
	if (!r)
		return 0;
	read_snapshot(r, tp, SNAPSHOT(ESTATS_WHY_poll, ESTATS_HOOK_poll, state), now);
	if (last) {
		hash = fingerprint(r, tp);
		if (*last == hash)
			return 0;
	}
	r->hdr.cookie = cookie;
	r->hdr.generation = c ? c->generation : 0;
	number = bpf_map_lookup_elem(&poll_numbers, &zero);
	r->poll = number ? *number : 0;
	if (send_snapshot(r) && last)
		*last = hash;
	paced(ctx);
	return 0;
}
