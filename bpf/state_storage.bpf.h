/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* State in socket storage, for programs that may read the socket through its BTF type. */
#ifndef ESTATS_STATE_STORAGE_BPF_H
#define ESTATS_STATE_STORAGE_BPF_H

#include "recorder.bpf.h"

/*
 * Socket local storage: it lives and dies with the socket, nothing is left behind, and no eviction
 * can mix up two connections.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conns __weak SEC(".maps");

/* BPF_F_CLONE hands the listener's owner to its children. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct owner);
} owners __weak SEC(".maps");

static __always_inline struct conn *conn_of(void *sk)
{
	return bpf_sk_storage_get(&conns, sk, 0, 0);
}

/* Without a word where there is no room. */
static __always_inline struct conn *conn_try(void *sk)
{
	return bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
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
	bpf_sk_storage_delete(&conns, sk);
}

static __always_inline struct owner *owner_of(void *sk)
{
	return bpf_sk_storage_get(&owners, sk, 0, 0);
}

static __always_inline struct owner *owner_make(void *sk)
{
	struct owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!owner)
		count_map_failure();
	return owner;
}

/* A child's owner: its listener's, until it proves to be another's. */
static __always_inline struct owner *owner_inherit(void *sk)
{
	struct owner *owner = owner_of(sk);

	if (owner)
		owner->inherited = 1;
	return owner;
}

/* Cloned storage is how children find it. */
static __always_inline void listens(void *sk, const struct owner *owner)
{
}

/* The kernel's own cookie, read when the connection is opened. */
static __always_inline u64 first_cookie(u64 now)
{
	return 0;
}

static __always_inline u64 cookie_of(const struct conn *c, void *sk)
{
	return bpf_get_socket_cookie(sk);
}

static __always_inline u16 protocol_of(const struct sock *sk)
{
	return sk->sk_protocol;
}

static __always_inline u8 state_of(const struct sock *sk)
{
	return sk->__sk_common.skc_state;
}

/* The socket, to be read field by field; `sk` itself is only a key. */
static __always_inline struct tcp_sock *socket_of(void *sk)
{
	return bpf_skc_to_tcp_sock(sk);
}

#endif
