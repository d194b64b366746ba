/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments with a wrong checksum. The kernel throws them away where nobody holds the socket, or
 * before it is looked for (tcp_v4_rcv(), tcp_add_backlog(), tcp_v4_do_rcv(),
 * tcp_rcv_established()), so the event has only the packet. They are kept by addresses and ports,
 * until a hook of that connection comes to take them.
 */
#ifndef ESTATS_CHECKSUM_BPF_H
#define ESTATS_CHECKSUM_BPF_H

#include "syn.bpf.h"

/* tcpEStatsStackSoftErrorReason */
enum soft_error {
	SOFT_NONE = 0,
	SOFT_BELOW_DATA_WINDOW = 1,
	SOFT_ABOVE_DATA_WINDOW = 2,
	SOFT_BELOW_ACK_WINDOW = 3,
	SOFT_ABOVE_ACK_WINDOW = 4,
	SOFT_BELOW_TS_WINDOW = 5,
	SOFT_CHECKSUM = 7,
};

struct bad_checksum {
	u64 ts_ns; /* of the last one */
	u32 count;
	u32 seq; /* of the last one, network byte order */
};

/*
 * `net` of the key is 0 where the namespace is not known any more. Packets of no connection push
 * the oldest out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct syn_key);
	__type(value, struct bad_checksum);
} bad_checksums __weak SEC(".maps");

/* How many there were: as long as it stands still no connection looks for its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} bad_checksum_count __weak SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct dst_entry___net {
	struct net_device *dev;
};

struct sk_buff___dst {
	unsigned long _skb_refdst;
};

#pragma clang attribute pop

/* The packet has left its device; its route has one, until it waits on the backlog. */
static __always_inline u64 net_of(const struct sk_buff *skb)
{
	const struct sk_buff___dst *with = (const void *)skb;
	const struct net_device *dev = BPF_CORE_READ(skb, dev);
	const struct dst_entry___net *dst = (const void *)(BPF_CORE_READ(with, _skb_refdst) & ~1UL);

	if (!dev && dst)
		dev = BPF_CORE_READ(dst, dev);
	return dev ? (u64)BPF_CORE_READ(dev, nd_net.net) : 0;
}

/* tcp_bad_csum(skb) */
static __always_inline int on_bad_checksum(const struct sk_buff *skb)
{
	const void *ip = BPF_CORE_READ(skb, head) + BPF_CORE_READ(skb, network_header);
	struct bad_checksum new = { .ts_ns = bpf_ktime_get_ns(), .count = 1 }, *old;
	const void *th = BPF_CORE_READ(skb, data);
	struct syn_key key = {};
	u32 zero = 0, *count;

	if (!ends_from_packet(&key, th, ip) || bpf_probe_read_kernel(&new.seq, 4, th + 4))
		return 0;
	key.net = net_of(skb);
	old = bpf_map_lookup_elem(&bad_checksums, &key);
	/* Another CPU may have put it there since. */
	if (!old && bpf_map_update_elem(&bad_checksums, &key, &new, BPF_NOEXIST))
		old = bpf_map_lookup_elem(&bad_checksums, &key);
	if (old) {
		__sync_fetch_and_add(&old->count, 1);
		old->seq = new.seq;
		old->ts_ns = new.ts_ns;
	}
	count = bpf_map_lookup_elem(&bad_checksum_count, &zero);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}

/* Takes those that are kept with this key. */
static __always_inline u32 bad_checksums_of(struct conn *c, const struct syn_key *key)
{
	struct bad_checksum *bad = bpf_map_lookup_elem(&bad_checksums, key);
	u32 n = 0;

	if (!bad)
		return 0;
	/* Else of a connection with these ends that is over. */
	if (bad->ts_ns >= c->start_ns) {
		n = bad->count;
		SET(c, SoftErrorReason, SOFT_CHECKSUM);
		/* Its numbers may be wrong as well. The kernel found only the checksum. */
		if (n && c->segment.error && bad->seq == bpf_htonl(c->segment.seq)) {
			c->segment.error = 0;
			n--;
		}
	}
	bpf_map_delete_elem(&bad_checksums, key);
	return n;
}

/* Counts those of this connection that came since the look before. */
static __always_inline void take_bad_checksums(struct conn *c, const struct tcp_sock *tp)
{
	const struct sock *sk = (const void *)tp;
	struct syn_key key = {};
	u32 zero = 0, *count;
	u64 n;

	if (!is_hooked(ESTATS_HOOK_bad_checksum))
		return;
	count = bpf_map_lookup_elem(&bad_checksum_count, &zero);
	if (!count || *count == c->bad_checksums)
		return;
	c->bad_checksums = *count;
	syn_from_socket(&key, c, sk);
	n = bad_checksums_of(c, &key);
	key.net = 0;
	n += bad_checksums_of(c, &key);
	if (n)
		ADD(c, SoftErrors, n);
}

#endif
