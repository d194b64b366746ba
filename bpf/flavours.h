/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's structures, as far as not every kernel has their fields: they must be asked for
 * first, which only compat.bpf.h does. libbpf ignores what stands behind ___ in a name.
 */
#ifndef ESTATS_FLAVOURS_H
#define ESTATS_FLAVOURS_H

#include "kernel.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct tcp_sock___compat {
	u8 fastopen_client_fail : 2;
	u8 tcp_usec_ts : 1;
	u8 syn_fastopen_child : 1;
	bool is_mptcp;
	u32 cwnd_usage_seq;
	u32 plb_rehash;
	u16 timeout_rehash;
	u16 total_rto;
	u16 total_rto_recoveries;
	u32 total_rto_time;
	u32 rto_stamp;
	u32 received_ce;
	u32 received_ecn_bytes[3];
	u32 delivered_ecn_bytes[3];
	u8 accecn_fail_mode : 4;
	u8 saw_accecn_opt : 2;
	u32 rcv_mwnd_seq;
};

struct hlist_node___compat {
	void *pprev;
};

struct timer_list___compat {
	struct hlist_node___compat entry;
	unsigned long expires;
};

struct inet_connection_sock___compat {
	unsigned long icsk_timeout;
	struct timer_list___compat icsk_retransmit_timer;
	struct timer_list___compat icsk_keepalive_timer;
	u32 icsk_rto_min;
	u32 icsk_delack_max;
	void *icsk_ulp_data;
};

struct sock___compat {
	struct timer_list___compat sk_timer;
	struct timer_list___compat tcp_retransmit_timer;
	unsigned long sk_ino;
};

struct ipv6_pinfo___compat {
	u8 tclass;
};

struct inet_sock___compat {
	struct ipv6_pinfo___compat *pinet6;
};

struct inode___compat {
	unsigned long i_ino;
};

struct socket_alloc___compat {
	struct inode___compat vfs_inode;
};

struct netns_ipv4___compat {
	u8 sysctl_tcp_tso_rtt_log;
};

struct net___compat {
	struct netns_ipv4___compat ipv4;
};

struct tcp_skb_cb___compat {
	u8 tcp_flags;
};

struct sock_cgroup_data___compat {
	u64 val;
};

union kernfs_node_id {
	u64 id;
};

struct kernfs_node___compat {
	union kernfs_node_id id;
};

struct cgroup___compat {
	u64 ancestor_ids[1];
};

struct kprobe___compat {
	unsigned long nmissed;
};

struct kretprobe___compat {
	struct kprobe___compat kp;
	int nmissed;
};

struct list_head___compat {
	struct list_head___compat *next;
};

/* Only where it stands is read. */
struct trace_event_call___compat {
};

struct trace_probe_event___compat {
	struct trace_event_call___compat call;
	struct list_head___compat probes;
};

struct trace_probe___compat {
	struct list_head___compat list;
	struct trace_probe_event___compat *event;
};

struct trace_kprobe___compat {
	struct kretprobe___compat rp;
	unsigned long *nhit; /* of each CPU */
	struct trace_probe___compat tp;
};

struct perf_event___compat {
	struct trace_event_call___compat *tp_event;
};

struct bpf_perf_link___compat {
	struct file *perf_file;
};

struct bpf_array___compat {
	void *pptrs[1];
};

struct fdtable___compat {
	struct file **fd;
};

struct files_struct___compat {
	struct fdtable___compat *fdt;
};

struct task_struct___compat {
	struct files_struct___compat *files;
};

struct mptcp_subflow_context {
	u32 token;
	u32 request_join : 1;
	u32 mp_capable : 1;
	u32 mp_join : 1;
	struct sock *conn; /* the MPTCP socket */
};

struct mptcp_sock {
	u32 token;
};

#pragma clang attribute pop

/* Enumerators have the numbers of the running kernel. */
enum skb_drop_reason___compat {
	SKB_DROP_REASON_TCP_INVALID_END_SEQUENCE___compat = 1,
};

enum inet_csk_ack_state_t___compat {
	ICSK_ACK_NOMEM___compat = 1,
};

#endif
