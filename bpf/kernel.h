/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's structures, as far as the recorder reads them: only the fields used, every access
 * relocated (CO-RE) to the running kernel's layout, so order and gaps here mean nothing. A
 * generated vmlinux.h was refused: 2.8 MB of one kernel's layout in which nobody sees what is
 * read. tests/offline/btf.rs holds every field against the running kernel's BTF.
 */
#ifndef ESTATS_KERNEL_H
#define ESTATS_KERNEL_H

#include <linux/types.h>
#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

#define NULL		      ((void *)0)
#define offsetof(type, field) __builtin_offsetof(type, field)

#define AF_INET	 2
#define AF_INET6 10

#define IPPROTO_ICMP	1
#define IPPROTO_TCP	6
#define IPPROTO_UDP	17
#define IPPROTO_DCCP	33
#define IPPROTO_ICMPV6	58
#define IPPROTO_SCTP	132
#define IPPROTO_UDPLITE 136

/* include/net/tcp_states.h */
enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

/* include/uapi/linux/tcp.h, enum tcp_ca_state */
enum {
	CA_OPEN = 0,
	CA_DISORDER = 1,
	CA_CWR = 2,
	CA_RECOVERY = 3,
	CA_LOSS = 4,
};

/* include/net/tcp.h */
#define TCP_INFINITE_SSTHRESH 0x7fffffff
#define TCP_NAGLE_OFF	      1
#define TCPCB_SACKED_ACKED    0x01
#define TCPCB_SACKED_RETRANS  0x02
#define TCPCB_LOST	      0x04
#define FLAG_DATA_SACKED      0x20     /* net/ipv4/tcp_input.c */
#define SK_PACING_NEEDED      1	       /* include/net/sock.h */
#define TCP_ECN_OK	      (1 << 0) /* TCP_ECN_MODE_RFC3168 from Linux 6.18 on */
#define TCP_ECN_DEMAND_CWR    (1 << 2)
#define TCP_ECN_MODE_ACCECN   (1 << 4)

#define SOCKFS_MAGIC 0x534f434b /* include/uapi/linux/magic.h */

#define TCPHDR_FIN 0x01
#define TCPHDR_SYN 0x02
#define TCPHDR_RST 0x04
#define TCPHDR_ACK 0x10
#define TCPHDR_ECE 0x40
#define TCPHDR_CWR 0x80

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	s64 counter;
} atomic64_t;

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	atomic_t refs;
} refcount_t;

typedef struct {
	u32 val;
} kuid_t;

struct minmax_sample {
	u32 t;
	u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct in6_addr {
	union {
		u8 u6_addr8[16];
	} in6_u;
};

struct ns_common {
	unsigned int inum;
};

struct netns_ipv4 {
	u8 sysctl_tcp_ecn;
	u8 sysctl_tcp_sack;
	u8 sysctl_tcp_timestamps;
	u8 sysctl_tcp_min_tso_segs;
	u8 sysctl_tcp_tso_win_divisor;
};

struct net {
	struct ns_common ns;
	struct netns_ipv4 ipv4;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	u32 skc_daddr;
	u32 skc_rcv_saddr;
	u16 skc_dport;
	u16 skc_num;
	u16 skc_family;
	volatile unsigned char skc_state;
	unsigned long skc_flags;
	possible_net_t skc_net;
	atomic64_t skc_cookie;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

struct kernfs_node {
	u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct rb_node {
	struct rb_node *rb_left;
};

struct rb_root {
	struct rb_node *rb_node;
};

struct sk_buff_head {
	struct sk_buff *next;
	struct sk_buff *prev;
	u32 qlen;
};

struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	struct sk_buff_head sk_write_queue;
	struct rb_root tcp_rtx_queue;
	u32 sk_pacing_status;
	u8 sk_pacing_shift;
	u32 sk_gso_max_size;
	u16 sk_gso_max_segs;
	int sk_err;
	u32 sk_priority;
	kuid_t sk_uid;
	u16 sk_type;
	u16 sk_protocol;
	atomic_t sk_drops;
	struct {
		int owned;
	} sk_lock;
	struct {
		atomic_t rmem_alloc;
		int len;
	} sk_backlog;
	int sk_rcvbuf;
	int sk_sndbuf;
	int sk_forward_alloc;
	int sk_wmem_queued;
	int sk_write_pending;
	refcount_t sk_wmem_alloc;
	atomic_t sk_omem_alloc;
	u8 sk_shutdown;
	u32 sk_mark;
	unsigned long sk_pacing_rate;
	unsigned long sk_max_pacing_rate;
	struct socket *sk_socket;
	struct sock_cgroup_data sk_cgrp_data;
};

struct socket {
	struct sock *sk;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct inet_sock {
	struct sock sk;
	u8 tos;
};

struct tcp_congestion_ops {
	char name[16];
	void *cong_control;
	void *min_tso_segs;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	u32 icsk_rto;
	const struct tcp_congestion_ops *icsk_ca_ops;
	u8 icsk_ca_state : 5;
	u8 icsk_retransmits;
	u8 icsk_backoff;
	u8 icsk_pending;
	u8 icsk_probes_out;
	u32 icsk_pmtu_cookie;
	struct {
		u32 ato : 8;
		u32 lrcvtime;
		u16 rcv_mss;
	} icsk_ack;
	u64 icsk_ca_priv[13];
	struct {
		u32 probe_size : 31;
	} icsk_mtup;
};

struct tcp_options_received {
	int ts_recent_stamp;
	u32 ts_recent;
	u16 tstamp_ok : 1;
	u16 wscale_ok : 1;
	u16 sack_ok : 3;
	u16 snd_wscale : 4;
	u16 rcv_wscale : 4;
	u16 mss_clamp;
};

struct net_device {
	possible_net_t nd_net;
};

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	unsigned long _skb_refdst;
	unsigned int len;
	int skb_iif;
	u16 protocol;
	u16 inner_transport_header;
	u16 transport_header;
	u16 network_header;
	u32 tail;
	u32 end;
	struct rb_node rbnode;
	u64 skb_mstamp_ns;
	unsigned char *head;
	unsigned char *data;
	char cb[48];
};

struct skb_shared_info {
	u16 gso_segs;
};

#define RCV_SHUTDOWN 1 /* include/net/sock.h */
#define SOCK_DONE    1 /* enum sock_flags, include/net/sock.h */
#define EPIPE	     32
/* on all architectures but alpha, mips, parisc and sparc */
#define ECONNABORTED 103
#define ECONNRESET   104

struct tcp_skb_cb {
	u32 seq;
	u32 end_seq;
	u16 tcp_gso_segs;
	u8 sacked;
	u8 ip_dsfield;
	u8 eor : 1;
	u32 ack_seq;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 reordering;
	u32 snd_wl1;
	u32 snd_wnd;
	u32 max_window;
	u32 mss_cache;
	u32 snd_cwnd;
	u32 lost_out;
	u32 sacked_out;
	u32 copied_seq;
	u32 rttvar_us;
	u32 retrans_out;
	u16 advmss;
	u32 snd_ssthresh;
	struct rb_root out_of_order_queue;
	u32 segs_out;
	u32 data_segs_out;
	u64 bytes_sent;
	u32 write_seq;
	u32 mdev_us;
	u8 ecn_flags;
	u8 nonagle : 4;
	u8 repair : 1;
	u32 rcv_nxt;
	u32 snd_nxt;
	u32 snd_una;
	u32 window_clamp;
	u32 srtt_us;
	u32 packets_out;
	u32 delivered_ce;
	u32 rcv_wnd;
	struct tcp_options_received rx_opt;
	u64 bytes_received;
	u32 segs_in;
	u32 data_segs_in;
	u32 rcv_wup;
	u64 bytes_acked;
	struct {
		u32 rtt_us;
	} rcv_rtt_est;
	struct {
		int space;
	} rcvq_space;
	u32 rcv_ssthresh;
	struct minmax rtt_min;
	u8 chrono_type;
	u32 chrono_start;
	u32 chrono_stat[3];
	u32 lsndtime;
	u32 rcv_tstamp;
	u8 rate_app_limited : 1;
	u32 rate_delivered;
	u32 rate_interval_us;
	u32 delivered;
	u32 reord_seen;
	u8 syn_data_acked : 1;
	u32 dsack_dups;
	u32 snd_cwnd_clamp;
	u32 prior_cwnd;
	u32 prior_ssthresh;
	u32 undo_marker;
	u32 snd_cwnd_cnt;
	u32 snd_cwnd_used;
	u32 max_packets_out;
	u8 is_cwnd_limited : 1;
	u64 tcp_wstamp_ns;
	u64 tcp_clock_cache;
	struct sk_buff *ooo_last_skb;
	u32 high_seq;
	u64 bytes_retrans;
	u32 total_retrans;
	u8 bpf_sock_ops_cb_flags;
	u32 rcv_ooopack;
};

struct signal_struct {
	struct {
		int counter;
	} live;
};

struct task_struct {
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader;
	char comm[16];
	struct signal_struct *signal;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
};

struct bpf_iter__task_file {
	struct task_struct *task;
	struct file *file;
};

struct bpf_sock_ops_kern {
	struct sk_buff *skb;
};

#pragma clang attribute pop

/*
 * What is behind pointers of the kernel: DEREF(sk, skc_net.net, ns.inum). Programs that know a
 * socket's type load it, guarded by the kernel; BPF_CORE_READ calls a helper for each pointer:
 * in a snapshot, a fifth of the kernel's time. Those of kprobes have no types to go by.
 */
#ifdef ESTATS_KPROBE
#define DEREF(src, ...) BPF_CORE_READ(src, __VA_ARGS__)
#else
#define DEREF_2(src, a, b)		    ((src)->a->b)
#define DEREF_3(src, a, b, c)		    ((src)->a->b->c)
#define DEREF_OF(_1, _2, _3, _4, name, ...) name
#define DEREF(...)			    DEREF_OF(__VA_ARGS__, DEREF_3, DEREF_2)(__VA_ARGS__)
#endif

#endif
