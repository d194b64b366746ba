/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packet digests: how far a packet is copied, which are, and how they leave. The bytes go out as
 * they are; what they mean is decided outside the kernel.
 */
#ifndef ESTATS_PACKET_BPF_H
#define ESTATS_PACKET_BPF_H

#include "filter.bpf.h"
#include "output.bpf.h"
#include "state.bpf.h"

/* Set by the recorder before loading: bytes after IP that are kept at least, if they are there. */
const volatile u32 digest_bytes __weak = 0;

/* A ring per CPU, apart from those of operations, which packets must not crowd out. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* replaced by the number of possible CPUs */
	__type(key, u32);
	__array(values, struct ring);
} packet_rings __weak SEC(".maps");

static __always_inline u32 netns_of(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = kernel_skb(skb);

	if (!kernel)
		return BPF_CORE_READ((struct sk_buff *)skb, dev, nd_net.net, ns.inum);
	return kernel->dev->nd_net.net->ns.inum;
}

/* The namespace of the socket that sent it; 0 if none is known. */
static __always_inline u32 sender_netns_of(struct __sk_buff *skb)
{
	const struct sk_buff *kernel = kernel_skb(skb);
	const struct sock *sk;

	if (!kernel) {
		sk = BPF_CORE_READ((struct sk_buff *)skb, sk);
		return sk ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0;
	}
	sk = kernel->sk;
	return sk ? sk->__sk_common.skc_net.net->ns.inum : 0;
}

/*
 * The cookie of a socket of the namespace where the packet is seen. A packet keeps its sender's
 * socket all the way through veth: what arrives at an interface, or is forwarded, is not its.
 */
static __always_inline u64 packet_cookie(struct __sk_buff *skb, u8 hook, u32 netns)
{
	if (hook == ESTATS_HOOK_interface_in)
		return 0;
	if (hook == ESTATS_HOOK_interface_out && sender_netns_of(skb) != netns)
		return 0;
	return bpf_get_socket_cookie(skb);
}

/* Reads bytes wherever they lie; mostly they lie in the linear part. */
static __always_inline bool peek(struct __sk_buff *skb, u32 at, void *to, u32 size)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + at + size <= end) {
		__builtin_memcpy(to, data + at, size);
		return true;
	}
	return !bpf_skb_load_bytes(skb, at, to, size);
}

static __always_inline bool is_tag(u16 type)
{
	return type == bpf_htons(0x8100) || type == bpf_htons(0x88a8) || type == bpf_htons(0x9100);
}

/* More tags than that are not looked behind. */
#define MAX_TAGS 4

/* Past the VLAN tags that stand in an Ethernet header; `type` becomes what they leave. */
static __always_inline u32 after_tags(struct __sk_buff *skb, u32 ip, u16 *type)
{
	u32 at;
	int i;

	for (at = 12, i = 0; i <= MAX_TAGS; i++, at += 4) {
		if (!peek(skb, at, type, sizeof(*type)))
			return ip;
		if (!is_tag(*type))
			return at + 2;
	}
	return ip;
}

/*
 * Where IP begins: link headers differ, and some interfaces have none. Of several tags only the
 * first was taken off, and what follows it passes for the network's header. `type` becomes the
 * packet's EtherType.
 */
static __always_inline u32 ip_offset_of(struct __sk_buff *skb, u16 *type)
{
	const struct sk_buff *kernel = kernel_skb(skb);
	u64 head, headroom, offset;
	u16 network;

	if (kernel) {
		head = (u64)kernel->head;
		headroom = (u64)kernel->data;
		network = kernel->network_header;
	} else {
		kernel = (void *)skb;
		head = (u64)BPF_CORE_READ(kernel, head);
		headroom = (u64)BPF_CORE_READ(kernel, data);
		network = BPF_CORE_READ(kernel, network_header);
	}
	offset = network - pointer_difference(headroom, head);
	*type = skb->protocol;
	return offset >= 14 && is_tag(*type) ? after_tags(skb, offset, type) : offset;
}

/*
 * The first octet of other protocols may look like IP's. What a program sends at the link may have
 * no type, or that of every protocol (ETH_P_ALL): then its first octet is all there is.
 */
static __always_inline bool may_be_ip(u16 type)
{
	return type == bpf_htons(0x0800) || type == bpf_htons(0x86dd) || !type ||
	       type == bpf_htons(0x0003);
}

/* Longer link headers, tags included, than any interface of IP has. */
#define MAX_IP_OFFSET 64

/* What decides how much is kept, and by which filters. */
struct headers {
	u32 end; /* of what is kept */
	u16 src;
	u16 dst;
	bool ported; /* it has these two */
};

#define DNS_PORT	  53
#define DNS_HEADER	  12
#define DNS_FRAMING	  2
#define QUIC_LONG	  0x80
#define QUIC_FIXED	  0x40
#define QUIC_LONG_HEADER  6
#define QUIC_SHORT_HEADER 1

/* known_header() of src/wire/packet.rs; `first` is the first byte of the payload, 0 if there is
 * none. */
static __always_inline u32 known_header(u8 protocol, const struct headers *h, u8 first)
{
	bool dns = h->ported && (h->src == DNS_PORT || h->dst == DNS_PORT);

	if (protocol == IPPROTO_TCP)
		return dns ? DNS_FRAMING + DNS_HEADER : 0;
	if (protocol != IPPROTO_UDP)
		return 0;
	if (dns)
		return DNS_HEADER;
	if (first & QUIC_LONG)
		return QUIC_LONG_HEADER;
	return first & QUIC_FIXED ? QUIC_SHORT_HEADER : 0;
}

/* Extension headers of IPv6 that are walked: all that RFC 8200 (section 4.1) allows once each. */
#define MAX_EXTENSIONS 6
/* Offset to which they are: longer chains are not looked behind. */
#define MAX_TRANSPORT 1024

enum {
	NEXT_HOP_BY_HOP = 0,
	NEXT_ROUTING = 43,
	NEXT_FRAGMENT = 44,
	NEXT_AUTH = 51,
	NEXT_DESTINATION = 60,
	NEXT_MOBILITY = 135,
};

enum chain {
	CHAIN_ENDS,	/* a protocol comes, or a header that is not looked behind */
	CHAIN_FRAGMENT, /* data of a later fragment comes */
	CHAIN_MALFORMED,
};

/*
 * Past the extension headers of a packet that ends at `total`. read_extensions() of src/wire/ip.rs
 * has the same rules.
 */
static __always_inline enum chain skip_extensions(struct __sk_buff *skb, u32 *at, u8 *protocol,
						  u32 total)
{
	u8 extension[4];
	u32 size;
	int i;

	for (i = 0; i < MAX_EXTENSIONS; i++) {
		switch (*protocol) {
		case NEXT_HOP_BY_HOP:
			if (i)
				return CHAIN_MALFORMED;
			break;
		case NEXT_ROUTING:
		case NEXT_DESTINATION:
		case NEXT_MOBILITY:
		case NEXT_FRAGMENT:
		case NEXT_AUTH:
			break;
		default:
			return CHAIN_ENDS;
		}
		if (*at > MAX_TRANSPORT)
			return CHAIN_ENDS;
		size = *protocol == NEXT_AUTH ? 12 : 8;
		if (*at + size > total || !peek(skb, *at, extension, sizeof(extension)))
			return CHAIN_MALFORMED;
		if (*protocol == NEXT_AUTH) {
			if (!extension[1])
				return CHAIN_MALFORMED;
			size = extension[1] * 4 + 8;
		} else if (*protocol != NEXT_FRAGMENT) {
			size = extension[1] * 8 + 8;
		}
		*at += size;
		if (*at > total)
			return CHAIN_MALFORMED;
		if (*protocol == NEXT_FRAGMENT && (extension[2] << 8 | extension[3]) & 0xfff8) {
			*protocol = extension[0];
			return CHAIN_FRAGMENT;
		}
		*protocol = extension[0];
	}
	return CHAIN_ENDS;
}

enum ip_header {
	IP_READ,
	IP_OTHER,     /* it is of another protocol */
	IP_MALFORMED, /* longer than its frame, or what the kernel drops as no header */
};

/* `type` is an EtherType; 0 if there is none. */
static __always_inline enum ip_header read_headers(struct __sk_buff *skb, u32 ip, u16 type,
						   struct headers *h)
{
	u8 fixed[20], transport[14] = {}, protocol, first = 0;
	bool later = false;
	enum chain chain;
	u32 at, total, header;

	if (ip > MAX_IP_OFFSET || !may_be_ip(type))
		return IP_OTHER;
	if (!peek(skb, ip, fixed, sizeof(fixed)))
		return IP_MALFORMED;
	total = fixed[2] << 8 | fixed[3];
	if (fixed[0] >> 4 == 4) {
		at = ip + (fixed[0] & 15) * 4;
		protocol = fixed[9];
		later = (fixed[6] << 8 | fixed[7]) & 0x1fff;
		if ((fixed[0] & 15) < 5)
			return IP_MALFORMED;
	} else if (fixed[0] >> 4 == 6) {
		at = ip + 40;
		total = fixed[4] << 8 | fixed[5];
		total = total ? total + 40 : 0;
		protocol = fixed[6];
	} else {
		return type == bpf_htons(0x0800) || type == bpf_htons(0x86dd) ? IP_MALFORMED
									      : IP_OTHER;
	}
	/* Zero: longer than the field can say. Otherwise what follows pads a short frame. */
	total = total ? ip + total : skb->len;
	/* Longer than its frame: ip_rcv_core() and ip6_rcv_core() drop it (InTruncatedPkts). */
	if (total > skb->len || at > total)
		return IP_MALFORMED;
	if (fixed[0] >> 4 == 6) {
		chain = skip_extensions(skb, &at, &protocol, total);
		if (chain == CHAIN_MALFORMED)
			return IP_MALFORMED;
		later = chain == CHAIN_FRAGMENT;
	}
	h->ported = false;
	h->src = 0;
	h->dst = 0;
	h->end = at;
	if (!later && at <= MAX_TRANSPORT) {
		if (peek(skb, at, transport, sizeof(transport)) || peek(skb, at, transport, 9))
			first = transport[8];
		else
			peek(skb, at, transport, 8);
		switch (protocol) {
		case IPPROTO_TCP:
			header = (transport[12] >> 4) * 4;
			if (header < 20)
				header = 20;
			h->ported = true;
			break;
		case IPPROTO_UDP:
		case IPPROTO_UDPLITE:
			h->ported = true;
			header = 8;
			break;
		case IPPROTO_ICMP:
		case IPPROTO_ICMPV6:
			header = 8;
			break;
		case IPPROTO_SCTP:
		case IPPROTO_DCCP:
			h->ported = true;
			header = 12;
			break;
		default:
			header = 0;
		}
		h->src = transport[0] << 8 | transport[1];
		h->dst = transport[2] << 8 | transport[3];
		header += known_header(protocol, h, at + header < total ? first : 0);
		h->end += header > digest_bytes ? header : digest_bytes;
	}
	if (h->end > total)
		h->end = total;
	return IP_READ;
}

/* Local or remote, as with connections: here source or destination. */
static __always_inline bool address_is_in(void *map, struct __sk_buff *skb, u32 ip, bool source)
{
	struct addr_key key = { .prefix_len = 128 };
	u8 version;

	if (!peek(skb, ip, &version, sizeof(version)))
		return false;
	if (version >> 4 == 6) {
		if (!peek(skb, ip + (source ? 8 : 24), key.addr, 16))
			return false;
	} else {
		key.addr[10] = 0xff;
		key.addr[11] = 0xff;
		if (!peek(skb, ip + (source ? 12 : 16), &key.addr[12], 4))
			return false;
	}
	return bpf_map_lookup_elem(map, &key);
}

/* Filters that a packet itself answers. A packet without ports has none of those asked for. */
static __always_inline bool packet_passes(struct __sk_buff *skb, u32 ip, const struct headers *h,
					  u32 netns)
{
	u16 src = h->src, dst = h->dst;

	if (filter_netns && !bpf_map_lookup_elem(&netnses, &netns))
		return false;
	if (filter_port && !(h->ported && (bpf_map_lookup_elem(&ports, &src) ||
					   bpf_map_lookup_elem(&ports, &dst))))
		return false;
	if (filter_not_port && h->ported &&
	    (bpf_map_lookup_elem(&not_ports, &src) || bpf_map_lookup_elem(&not_ports, &dst)))
		return false;
	if (filter_addr && !address_is_in(&addrs, skb, ip, true) &&
	    !address_is_in(&addrs, skb, ip, false))
		return false;
	return !filter_not_addr || (!address_is_in(&not_addrs, skb, ip, true) &&
				    !address_is_in(&not_addrs, skb, ip, false));
}

/*
 * Filters that only its socket answers: as its connection was decided, else by the owner. A
 * listener's are those of the connections that it makes.
 */
static __always_inline bool socket_passes(struct __sk_buff *skb)
{
	struct sock *sk = BPF_CORE_READ((struct sk_buff *)skb, sk);
	struct owner *owner;
	struct conn *c;
#ifdef ESTATS_KPROBE
	void *key = sk;
#else
	struct bpf_sock *key = skb->sk;

	if (key)
		key = bpf_sk_fullsock(key);
#endif
	if (!key)
		return false;
	c = conn_of(key);
	if (c && c->decision != UNDECIDED)
		return c->decision == RECORDED;
	if (by_process()) {
		owner = owner_of(key);
		if (!owner || (filter_pid && !owner->followed) || (filter_comm && !owner->named))
			return false;
	}
	return !filter_cgroup || cgroup_passes(sk);
}

/* The packet's beginning, `size` or less of it, straight into the ring. */
static __always_inline bool output_packet(struct __sk_buff *skb, void *ring,
					  const struct packet_record *head, u32 len, const u32 size)
{
	struct packet_record *r = bpf_ringbuf_reserve(ring, sizeof(struct packet_record) + size, 0);
	u32 last = len - 1;

	if (!r)
		return false;
	*r = *head;
	/*
	 * One check for both bounds, of the very register that the length is made from, as in
	 * read_syn(): some verifiers take the length for 0 otherwise.
	 */
	barrier_var(last);
	/* Bytes that are there: this cannot fail. Of one that did, nothing would be true. */
	if (last < size && bpf_skb_load_bytes(skb, 0, r->data, last + 1)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return false;
	}
	bpf_ringbuf_submit(r, BPF_RB_NO_WAKEUP);
	return true;
}

/* The longest beginning of a packet that is kept. */
#define MAX_DIGEST 2048

/* One record, of a size not much larger than what it holds: a reservation's must be a constant. */
static __always_inline bool hand_over_packet(struct __sk_buff *skb, struct packet_record *head,
					     u32 len)
{
	u32 cpu = head->hdr.cpu;
	void *ring = bpf_map_lookup_elem(&packet_rings, &cpu);

	if (!ring || !has_number(&head->hdr))
		return false;
	barrier_var(len);
	if (len <= 48)
		return output_packet(skb, ring, head, len, 48);
	if (len <= 64)
		return output_packet(skb, ring, head, len, 64);
	if (len <= 80)
		return output_packet(skb, ring, head, len, 80);
	if (len <= 96)
		return output_packet(skb, ring, head, len, 96);
	if (len <= 128)
		return output_packet(skb, ring, head, len, 128);
	if (len <= 192)
		return output_packet(skb, ring, head, len, 192);
	if (len <= 512)
		return output_packet(skb, ring, head, len, 512);
	if (len <= MAX_DIGEST)
		return output_packet(skb, ring, head, len, MAX_DIGEST);
	return false;
}

/*
 * Longer than the recorder is ever silent. A filter of a clsact qdisc stays when the recorder is
 * killed, and should cost little then.
 */
#define GUARD_NS 10000000000ULL

/* No digest is made of it, but it is counted: an interface's own counters have it. */
static __always_inline void count_other(u8 hook)
{
	struct cpu_counters *cpu = cpu_counters();

	if (cpu && hook == ESTATS_HOOK_interface_in)
		atomic_add(&cpu->not_ip[0], 1);
	if (cpu && hook == ESTATS_HOOK_interface_out)
		atomic_add(&cpu->not_ip[1], 1);
}

/* Anybody on the network can send it; whose it is cannot be known, so no filter is asked. */
static __always_inline void count_malformed(u8 hook)
{
	struct cpu_counters *cpu = cpu_counters();

	if (cpu)
		atomic_add(&cpu->malformed[hook], 1);
}

/* `by_socket`: the filters by process and cgroup are asked too. */
static __always_inline void on_packet(struct __sk_buff *skb, u32 ip, u16 type, u8 hook,
				      bool by_socket)
{
	struct packet_record head = {};
	u64 now = bpf_ktime_get_ns();
	struct cpu_counters *cpu;
	struct headers h;

	if (is_over())
		return;
	switch (read_headers(skb, ip, type, &h)) {
	case IP_READ:
		break;
	case IP_OTHER:
		count_other(hook);
		return;
	case IP_MALFORMED:
		count_malformed(hook);
		return;
	}
	head.netns = netns_of(skb);
	if (!packet_passes(skb, ip, &h, head.netns))
		return;
	if (by_socket && (by_process() || filter_cgroup) && !socket_passes(skb))
		return;
	cpu = cpu_counters();
	if (!cpu)
		return;
	if (h.end > MAX_DIGEST)
		h.end = MAX_DIGEST;
	if (!by_socket && guarded && now - alive_ns > GUARD_NS) {
		next_seq(cpu);
		count_loss(cpu, hook);
		return;
	}
	head.hdr.ts_ns = now;
	head.hdr.seq = next_seq(cpu);
	head.hdr.cookie = packet_cookie(skb, hook, head.netns);
	head.hdr.cpu = bpf_get_smp_processor_id();
	head.hdr.kind = RECORD_PACKET;
	head.hdr.hook = hook;
	head.hdr.count = h.end;
	head.wire_len = skb->len;
	head.ifindex = skb->ifindex;
	head.gso_segs = skb->gso_segs;
	head.gso_size = skb->gso_size;
	head.ip_offset = ip;
	head.tagged = skb->vlan_present;
	head.tag = skb->vlan_tci;
	if (!hand_over_packet(skb, &head, h.end))
		count_loss(cpu, hook);
}

#endif
