// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where packets are seen: attach points only, bodies are in packet.bpf.h. */
#include "packet.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

/* These two let every packet pass. */
#define PASS 1

/* cgroup_skb programs see a packet from its IP header on. */
SEC("cgroup_skb/ingress")
int socket_in(struct __sk_buff *skb)
{
	on_packet(skb, 0, 0, ESTATS_HOOK_socket_in, true);
	return PASS;
}

SEC("cgroup_skb/egress")
int socket_out(struct __sk_buff *skb)
{
	on_packet(skb, 0, 0, ESTATS_HOOK_socket_out, true);
	return PASS;
}

/*
 * The owner of a socket that is not TCP's is who made it: only then is `current` its owner by
 * construction. Loaded where processes are chosen.
 */
SEC("cgroup/sock_create")
int socket_made(struct bpf_sock *ctx)
{
	struct owner *owner;

	if (ctx->protocol == IPPROTO_TCP)
		return PASS;
	owner = owner_make(ctx);
	if (!owner)
		return PASS;
	if (filter_comm) {
		owner_is_current(owner);
		return PASS;
	}
	/* Older kernels give such programs an id and no name. */
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->inherited = 0;
	follow(owner);
	return PASS;
}

/* What the next program says, or to go on if there is none (TC_ACT_UNSPEC, TCX_NEXT). */
#define NEXT -1

SEC("tc/ingress")
int interface_in(struct __sk_buff *skb)
{
	u16 type;
	u32 ip = ip_offset_of(skb, &type);

	on_packet(skb, ip, type, ESTATS_HOOK_interface_in, false);
	return NEXT;
}

SEC("tc/egress")
int interface_out(struct __sk_buff *skb)
{
	u16 type;
	u32 ip = ip_offset_of(skb, &type);

	on_packet(skb, ip, type, ESTATS_HOOK_interface_out, false);
	return NEXT;
}
