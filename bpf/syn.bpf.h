/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the peer's SYN offered. It comes before there is a socket, so it is kept by addresses until
 * the connection is established.
 */
#ifndef ESTATS_SYN_BPF_H
#define ESTATS_SYN_BPF_H

#include "state.bpf.h"

struct syn_key {
	u64 net;       /* address of the network namespace */
	u8 remote[16]; /* IPv4 as IPv4-mapped IPv6 */
	u8 local[16];
	u16 remote_port; /* network byte order */
	u16 local_port;
	u32 pad;
};

/* The MSS option, 0 if there was none. A flood of SYNs pushes the oldest out. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct syn_key);
	__type(value, u32);
} syns __weak SEC(".maps");

static __always_inline bool ends_from_packet(struct syn_key *key, const void *th, const void *ip)
{
	u8 version;
	u16 ports[2];

	if (bpf_probe_read_kernel(&version, 1, ip) || bpf_probe_read_kernel(ports, 4, th))
		return false;
	key->remote_port = ports[0];
	key->local_port = ports[1];
	if (version >> 4 == 6)
		return !bpf_probe_read_kernel(key->remote, 16, ip + 8) &&
		       !bpf_probe_read_kernel(key->local, 16, ip + 24);
	key->remote[10] = key->remote[11] = 0xff;
	key->local[10] = key->local[11] = 0xff;
	return !bpf_probe_read_kernel(key->remote + 12, 4, ip + 12) &&
	       !bpf_probe_read_kernel(key->local + 12, 4, ip + 16);
}

static __always_inline bool syn_from_packet(struct syn_key *key, const struct sock *sk,
					    const void *th, const void *ip)
{
	key->net = (u64)BPF_CORE_READ(sk, __sk_common.skc_net.net);
	return ends_from_packet(key, th, ip);
}

/* The port from `c`: the kernel gives the socket's back before the event of CLOSE. */
static __always_inline void syn_from_socket(struct syn_key *key, const struct conn *c,
					    const struct sock *sk)
{
	u32 addr;

	key->net = (u64)sk->__sk_common.skc_net.net;
	key->remote_port = sk->__sk_common.skc_dport;
	key->local_port = bpf_htons(c->local_port);
	if (is_ipv6(sk->__sk_common.skc_family)) {
		BPF_CORE_READ_INTO(&key->remote, sk, __sk_common.skc_v6_daddr);
		BPF_CORE_READ_INTO(&key->local, sk, __sk_common.skc_v6_rcv_saddr);
		return;
	}
	key->remote[10] = key->remote[11] = 0xff;
	key->local[10] = key->local[11] = 0xff;
	addr = sk->__sk_common.skc_daddr;
	__builtin_memcpy(key->remote + 12, &addr, 4);
	addr = sk->__sk_common.skc_rcv_saddr;
	__builtin_memcpy(key->local + 12, &addr, 4);
}

/* The MSS that the peer's SYN offered; `otherwise` where it was not seen. */
static __always_inline u64 syn_mss(const struct conn *c, const struct sock *sk, u64 otherwise)
{
	struct syn_key key = {};
	u32 *mss;

	if (!is_hooked(ESTATS_HOOK_conn_request))
		return otherwise;
	syn_from_socket(&key, c, sk);
	mss = bpf_map_lookup_elem(&syns, &key);
	return mss ? *mss : otherwise;
}

#endif
