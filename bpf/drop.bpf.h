/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of TCP that the kernel drops: one record each. A packet may have no socket yet, or none
 * any more, so its ends are read from its own headers. Nobody holds a socket here.
 */
#ifndef ESTATS_DROP_BPF_H
#define ESTATS_DROP_BPF_H

#include "filter.bpf.h"
#include "output.bpf.h"
#include "socket.bpf.h"
#include "state.bpf.h"

#define ETH_IPV4  0x0800
#define ETH_IPV6  0x86dd
#define NO_HEADER 0xffff /* transport_header that was not set */

/* `enum estats_direction` of src/schema/hook.rs */
#define WAY_RECEIVED 1
#define WAY_SENT     2

/* Where the parts of a packet are, from the beginning of its buffer. */
struct drop_layout {
	const u8 *head;
	u32 data; /* what the layer that drops it looks at */
	u32 tail; /* end of what lies in the buffer */
	u32 ip;
	u32 len; /* from `data` on */
};

static __always_inline void drop_layout(const struct sk_buff *skb, struct drop_layout *l)
{
	l->head = skb->head;
	l->data = skb->data - l->head;
	l->tail = skb->tail;
	l->ip = skb->network_header;
	l->len = skb->len;
}

/*
 * Whether a packet is one that came in. It has its input interface from __netif_receive_skb_core()
 * on. enqueue_to_backlog() is before that. tcp_collapse() makes new packets of those in the queue
 * of a receiver: they have no interface, and unlike those that TCP sends no header.
 */
static __always_inline bool drop_received(const u64 *args, const struct sk_buff *skb,
					  const struct sock *own, const struct sock *receiver)
{
	if (skb->skb_iif || drop_reason(args) == drop_cpu_backlog)
		return true;
	if (receiver)
		return protocol_at(receiver) == IPPROTO_TCP;
	return own && skb->transport_header == NO_HEADER && protocol_at(own) == IPPROTO_TCP;
}

static __always_inline bool drop_read(const struct drop_layout *l, u32 at, void *to, u32 size)
{
	return at + size <= l->tail && !bpf_probe_read_kernel(to, size, l->head + at);
}

/*
 * Ends and payload by the headers: source as local end, to be turned for received packets. False if
 * there are no headers of TCP, or they are not where they can be read.
 */
static __always_inline bool drop_from_packet(const struct sk_buff *skb, const struct drop_layout *l,
					     struct drop_record *r)
{
	u16 protocol = bpf_ntohs(skb->protocol);
	u32 tcp, total, end = l->data + l->len;
	u8 ip[40], th[13];

	if (!l->ip || !drop_read(l, l->ip, ip, 20))
		return false;
	if (protocol == ETH_IPV4 && ip[0] >> 4 == 4) {
		/* Only the first fragment has ports, and that is no segment. */
		if (ip[9] != IPPROTO_TCP || (ip[0] & 15) < 5 || ((ip[6] & 0x3f) | ip[7]))
			return false;
		tcp = l->ip + (ip[0] & 15) * 4;
		total = ip[2] << 8 | ip[3];
		r->family = AF_INET;
		__builtin_memcpy(r->local_addr, ip + 12, 4);
		__builtin_memcpy(r->remote_addr, ip + 16, 4);
	} else if (protocol == ETH_IPV6 && ip[0] >> 4 == 6) {
		if (ip[6] != IPPROTO_TCP || !drop_read(l, l->ip + 20, ip + 20, 20))
			return false;
		tcp = l->ip + 40;
		total = ip[4] << 8 | ip[5];
		total = total ? total + 40 : 0;
		r->family = AF_INET6;
		__builtin_memcpy(r->local_addr, ip + 8, 16);
		__builtin_memcpy(r->remote_addr, ip + 24, 16);
	} else {
		return false;
	}
	if (!drop_read(l, tcp, th, sizeof(th)))
		return false;
	r->local_port = th[0] << 8 | th[1];
	r->remote_port = th[2] << 8 | th[3];
	/*
	 * Short frames are padded until ip_rcv() cuts that off; of super-packets the length of
	 * IP is another's. Behind IP a packet may have been merged with others.
	 */
	if (l->data <= l->ip && r->segments == 1 && total && l->ip + total < end)
		end = l->ip + total;
	tcp += (th[12] >> 4) * 4;
	r->octets = end > tcp ? end - tcp : 0;
	return true;
}

/* Likewise of a packet whose headers are gone, or not made yet, by its own socket. */
static __always_inline bool drop_from_socket(const struct sk_buff *skb, const struct sock *sk,
					     const struct drop_layout *l, struct drop_record *r)
{
	u32 tcp = skb->transport_header, inner = skb->inner_transport_header;
	u8 state, offset;

	if (protocol_at(sk) != IPPROTO_TCP)
		return false;
	/* These are no whole sockets, or have no other end. */
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || state == TCP_LISTEN)
		return false;
	r->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (is_ipv6(r->family)) {
		BPF_CORE_READ_INTO(&r->local_addr, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&r->remote_addr, sk, __sk_common.skc_v6_daddr);
	} else {
		u32 addr = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);

		__builtin_memcpy(r->local_addr, &addr, 4);
		addr = BPF_CORE_READ(sk, __sk_common.skc_daddr);
		__builtin_memcpy(r->remote_addr, &addr, 4);
	}
	r->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	r->remote_port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
	r->octets = l->len;
	/* In a tunnel the outer headers are before that of TCP; else that of IP is not there. */
	if (inner > l->data)
		tcp = inner;
	if ((tcp == inner || tcp == l->data) && tcp >= l->data &&
	    drop_read(l, tcp + 12, &offset, 1) && tcp - l->data + (offset >> 4) * 4 <= l->len)
		r->octets -= tcp - l->data + (offset >> 4) * 4;
	return true;
}

static __always_inline void drop_turn(struct drop_record *r)
{
	u16 port = r->local_port;
	u8 addr[16];

	__builtin_memcpy(addr, r->local_addr, 16);
	__builtin_memcpy(r->local_addr, r->remote_addr, 16);
	__builtin_memcpy(r->remote_addr, addr, 16);
	r->local_port = r->remote_port;
	r->remote_port = port;
}

static __always_inline bool drop_addr_is_in(void *map, const struct drop_record *r, bool local)
{
	struct addr_key key = { .prefix_len = 128 };

	if (r->family == AF_INET6) {
		__builtin_memcpy(key.addr, local ? r->local_addr : r->remote_addr, 16);
	} else {
		key.addr[10] = 0xff;
		key.addr[11] = 0xff;
		__builtin_memcpy(&key.addr[12], local ? r->local_addr : r->remote_addr, 4);
	}
	return bpf_map_lookup_elem(map, &key);
}

/* Filters that the packet itself answers. */
static __always_inline bool drop_passes(const struct drop_record *r)
{
	u16 local = r->local_port, remote = r->remote_port;
	u32 netns = r->netns;

	if (filter_netns && !bpf_map_lookup_elem(&netnses, &netns))
		return false;
	if (filter_port && !bpf_map_lookup_elem(&ports, &local) &&
	    !bpf_map_lookup_elem(&ports, &remote))
		return false;
	if (filter_not_port &&
	    (bpf_map_lookup_elem(&not_ports, &local) || bpf_map_lookup_elem(&not_ports, &remote)))
		return false;
	if (filter_addr && !drop_addr_is_in(&addrs, r, true) && !drop_addr_is_in(&addrs, r, false))
		return false;
	return !filter_not_addr ||
	       (!drop_addr_is_in(&not_addrs, r, true) && !drop_addr_is_in(&not_addrs, r, false));
}

/* A socket of this packet's local end: a received packet may still have its sender's. */
static __always_inline bool drop_is_of(const struct sock *sk, const struct drop_record *r)
{
	return sk && BPF_CORE_READ(sk, __sk_common.skc_num) == r->local_port;
}

static __always_inline u32 drop_netns(const struct sk_buff *skb, const struct sock *sk)
{
	const struct net_device *dev;

	if (sk)
		return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	/* TCP takes the device away when it has found a socket. */
	dev = skb->dev;
	return dev ? BPF_CORE_READ(dev, nd_net.net, ns.inum) : 0;
}

/*
 * Drops may come in floods, and must not crowd out what else is in the ring: they take no more than
 * half of it.
 */
static __always_inline bool send_drop(struct drop_record *r)
{
	void *ring = &socket_ring;

	if (bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >
	    bpf_ringbuf_query(ring, BPF_RB_RING_SIZE) / 2)
		return false;
	return !bpf_ringbuf_output(ring, r, sizeof(*r), BPF_RB_NO_WAKEUP);
}

/* kfree_skb(skb, location, reason, rx_sk); `own` is the packet's socket. */
static __always_inline int on_drop(const u64 *args, const struct sk_buff *skb, struct sock *own,
				   struct sock *receiver)
{
	struct drop_record r = { .segments = segments_of(skb) };
	bool received = drop_received(args, skb, own, receiver);
	struct cpu_counters *cpu;
	struct drop_layout l;
	struct sock *sk = own;
	struct conn *c = NULL;

	if (is_over() || (drop_has_reason() && drop_reason(args) == drop_consumed))
		return 0;
	drop_layout(skb, &l);
	/* A backlog gets packets that begin with the header of IP, which is not marked yet. */
	if (received && !l.ip)
		l.ip = l.data;
	/* What is on its way out has no header before what is handed down. */
	if ((!received && l.ip < l.data) || !drop_from_packet(skb, &l, &r)) {
		if (received && receiver)
			sk = receiver;
		if (!sk || !drop_from_socket(skb, sk, &l, &r))
			return 0;
	} else if (received) {
		drop_turn(&r);
		if (drop_is_of(receiver, &r))
			sk = receiver;
	}
	if (drop_is_of(sk, &r))
		c = conn_of(sk);
	else
		sk = NULL;
	r.netns = drop_netns(skb, sk);
	if (c && c->decision != UNDECIDED) {
		if (c->decision != RECORDED)
			return 0;
		r.hdr.cookie = c->cookie;
		r.hdr.generation = c->generation;
	} else if (by_process() || filter_cgroup || !drop_passes(&r)) {
		/* Whose it is, the packet does not say. */
		return 0;
	}
	cpu = cpu_counters();
	if (!cpu)
		return 0;
	r.way = received ? WAY_RECEIVED : WAY_SENT;
	r.has_reason = drop_has_reason();
	r.reason = drop_reason(args);
	r.hdr.ts_ns = bpf_ktime_get_ns();
	r.hdr.kind = RECORD_DROP;
	r.hdr.hook = ESTATS_HOOK_drops;
	r.hdr.cpu = bpf_get_smp_processor_id();
	r.hdr.seq = next_seq(cpu);
	if (!send_drop(&r))
		count_loss(cpu, ESTATS_HOOK_drops);
	return 0;
}

#endif
