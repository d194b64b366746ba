// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Connections that were open before the recording, and those still open at its end. An iterator
 * sees the sockets of one network namespace: the recorder opens it in each.
 */
#include "ends.bpf.h"
#include "look.bpf.h"
#include "walk.bpf.h"

char LICENSE[] SEC("license") __weak = "Dual BSD/GPL";

#define SOL_TCP			  6
#define TCP_BPF_SOCK_OPS_CB_FLAGS 1008

/*
 * Owners of existing sockets by socket address; filled by one walk over all open files. A socket
 * that finds no place has no owner in its row, nothing worse. 4 MiB of buckets.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 18);
	__type(key, u64);
	__type(value, struct owner);
} files SEC(".maps");

/* The owner of a socket that no iterator visits; its packets ask for it. */
static __always_inline void own_datagrams(struct socket *socket, const struct owner *found)
{
#ifdef ESTATS_KPROBE
	struct sock *sk = BPF_CORE_READ(socket, sk);
#else
	struct sock *sk = socket->sk;
#endif
	struct owner *owner;
	u16 family;

	if (!sk || (filter_pid && !found->followed) || (filter_comm && !found->named))
		return;
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	if (family != AF_INET && family != AF_INET6)
		return;
	owner = owner_make(sk);
	if (owner)
		*owner = *found;
}

SEC("iter/task_file")
int owners_of_files(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct owner owner = {};
	struct socket *socket;
	u16 protocol;
	u64 key;

	if (!task || !file || task->pid != task->tgid)
		return 0;
	socket = socket_from_file(file);
	if (!socket)
		return 0;
	key = (u64)BPF_CORE_READ(socket, sk);
	if (!key)
		return 0;
	protocol = protocol_at((const struct sock *)key);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP && !(with_packets && by_process()))
		return 0;
	owner.pid = task->tgid;
	BPF_CORE_READ_INTO(&owner.comm, task, comm);
	follow(&owner);
	if (protocol == IPPROTO_MPTCP)
		bpf_map_update_elem(&mptcp_owners, &key, &owner, BPF_NOEXIST);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP) {
		own_datagrams(socket, &owner);
		return 0;
	}
	/* Files are walked by process id: of several holders the oldest process owns. */
	bpf_map_update_elem(&files, &key, &owner, BPF_NOEXIST);
	return 0;
}

static __always_inline struct owner *owner_from_files(struct tcp_sock *tp)
{
	struct subflow s = subflow_of(tp);
	/* A process has a file of the MPTCP socket, none of its subflows. */
	u64 key = s.msk ? s.msk : (u64)tp;
	struct owner *found = bpf_map_lookup_elem(&files, &key), *owner;

	if (!found)
		return NULL;
	owner = owner_make(tp);
	if (owner)
		*owner = *found;
	return owner;
}

/* So that sockops sees segments where tcp_probe does not. */
static __always_inline void ask_for_callbacks(struct tcp_sock *tp, u8 state)
{
#ifndef ESTATS_KPROBE
	/* Other programs of the host may have set flags of their own on this socket. */
	int flags = tp->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG;

	if (state != TCP_ESTABLISHED)
		flags |= BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG;
	bpf_setsockopt(tp, SOL_TCP, TCP_BPF_SOCK_OPS_CB_FLAGS, &flags, sizeof(flags));
#endif
}

SEC("iter/tcp")
int baseline(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	u64 now = bpf_ktime_get_ns();
	struct owner *owner;
	struct sock *sk;
	struct conn *c;
	u8 state;

	if (!tp)
		return 0;
	sk = (struct sock *)tp;
	state = sk->__sk_common.skc_state;
	owner = owner_of(tp);
	if (!owner)
		owner = owner_from_files(tp);
	/* A listener has no row; its children inherit the owner. */
	if (state == TCP_LISTEN && owner)
		listens(tp, owner);
	if (state == TCP_LISTEN || state == TCP_CLOSE)
		return 0;
	/* The event hooks run already: a connection that has state is known to them. */
	if (conn_of(tp))
		return 0;
	if (!owner_passes(sk, owner)) {
		count_refused();
		return 0;
	}
	c = conn_make(tp);
	if (!c)
		return 0;
	conn_init(c, now);
	c->begun_before = 1;
	c->established = state != TCP_SYN_SENT && state != TCP_SYN_RECV;
	c->old_state = state;
	bracket_from(c, tp);
	if (!conn_open(ctx, c, tp, tp, cookie_of(c, tp), ESTATS_HOOK_baseline, now))
		return 0;
	begin(c, ESTATS_HOOK_baseline, now);
	SET(c, State, rfc_state(state));
	read_socket(c, tp, true, now);
	commit(ctx, c, true);
	snapshot(c, tp, SNAPSHOT(ESTATS_WHY_baseline, ESTATS_HOOK_baseline, state), now);
	ask_for_callbacks(tp, state);
	paced(ctx);
	return 0;
}

/* Connections that rest. Run only where iterators hold the lock of each socket. */
SEC("iter/tcp")
int rest(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	struct conn *c = tp ? conn_of(tp) : NULL;
	u64 now;

	if (!tp || !conn_live(c))
		return 0;
	count_unended_ends(c, (struct sock *)tp);
	now = bpf_ktime_get_ns();
	if (!rests(c, now))
		return 0;
	look_at_rest(ctx, c, tp, now);
	paced(ctx);
	return 0;
}

SEC("iter/tcp")
int sweep(struct bpf_iter__tcp *ctx)
{
	struct tcp_sock *tp = full_socket(ctx);
	struct conn *c;
	u64 now;

	if (!tp)
		return 0;
	c = conn_of(tp);
	if (!conn_live(c))
		return 0;
	/* Without the lock one of these functions may be running. */
	if (iterators_lock)
		count_unended_ends(c, (struct sock *)tp);
	now = bpf_ktime_get_ns();
	if (!conn_open(ctx, c, tp, tp, cookie_of(c, tp), ESTATS_HOOK_sweep, now))
		return 0;
	look_at_end(ctx, c, tp, tp, now);
	paced(ctx);
	return 0;
}
