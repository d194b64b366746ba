/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every hook stands on: sequence numbers, loss counters, the state of a connection, and the
 * building of records. Nothing here decides what a value means.
 */
#ifndef ESTATS_RECORDER_BPF_H
#define ESTATS_RECORDER_BPF_H

#include "kernel.h"
#include "compat.bpf.h"
#include <bpf/bpf_endian.h>
#include "records.h"
#include "clang.h"
#include "number.bpf.h"

/* Set by the recorder before loading. */
const volatile u64 resolution_ns __weak = 1000000; /* how often slow values may be sent */
const volatile bool filter_pid __weak = false;
const volatile bool filter_cgroup __weak = false;
const volatile bool filter_netns __weak = false;
const volatile bool filter_port __weak = false;
const volatile bool filter_addr __weak = false;
const volatile bool filter_comm __weak = false;
const volatile bool filter_not_port __weak = false;
const volatile bool filter_not_addr __weak = false;
const volatile bool use_perf __weak = false; /* perf buffers instead of rings */
const volatile bool with_packets __weak = false;
/* Programs at interfaces may outlive the recorder: they look whether it is there. */
const volatile bool guarded __weak = false;

/* Iterators over sockets hold each one's lock (bpf_iter_tcp_seq_show(), since Linux 5.15). */
const volatile bool iterators_lock __weak = true;

/* Written by the recorder alone, all at once. Set after loading, before attaching. */
u32 hz __weak = 0;

/* Bit per hook (enum estats_hook) that is attached, set before connections begin to be followed. */
u64 hooked __weak = 0;

/* When the recorder last said that it is there. */
u64 alive_ns __weak = 0;

/* The recording is over: with kprobes nothing is sent any more, though hooks are attached still. */
bool over __weak = false;

static __always_inline bool is_over(void)
{
#ifdef ESTATS_KPROBE
	return over;
#else
	return false;
#endif
}

static __always_inline bool is_hooked(u8 hook)
{
	return hooked >> hook & 1;
}

#ifdef ESTATS_KPROBE
static __always_inline void note_reuse(void)
{
}
#else
/*
 * Some socket was used for a second connection: until then every generation is 0. A map of its own:
 * the recorder writes all variables above at once, and would write over what a program has set.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} reused __weak SEC(".maps");

static __always_inline void note_reuse(void)
{
	u32 zero = 0, *is = bpf_map_lookup_elem(&reused, &zero);

	if (is)
		*is = 1;
}

static __always_inline bool is_reused(void)
{
	u32 zero = 0, *is = bpf_map_lookup_elem(&reused, &zero);

	return is && *is;
}
#endif

#ifdef ESTATS_KPROBE
/* Arrays that the recorder maps into its memory: see src/capture/shared.rs. */
#define OF_EACH_CPU(value_type)                                                                    \
	__uint(type, BPF_MAP_TYPE_ARRAY);                                                          \
	__uint(map_flags, BPF_F_MMAPABLE);                                                         \
	__uint(max_entries, 1); /* replaced by the number of possible CPUs */                      \
	__type(key, u32);                                                                          \
	__type(value, value_type)
#define OF_THIS_CPU bpf_get_smp_processor_id()
#else
#define OF_EACH_CPU(value_type)                                                                    \
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                                   \
	__uint(max_entries, 1);                                                                    \
	__type(key, u32);                                                                          \
	__type(value, value_type)
#define OF_THIS_CPU 0
#endif

struct {
	OF_EACH_CPU(struct cpu_counters);
} counters __weak SEC(".maps");

/* Positions of the cached values of fast and slow reads. */
enum cached {
#define X(name, expr) CACHED_##name,
	ESTATS_FAST(X) ESTATS_SLOW(X)
#undef X
		CACHED_COUNT,
};

/* Extremes, kept exactly here and sent with the slow values when they moved. */
enum extreme {
#define X(name, op) EXTREME_##name,
	ESTATS_EXTREMES(X)
#undef X
		EXTREME_COUNT,
};

#define NEVER_SENT (~0ULL) /* no variable reaches it */

enum decision {
	UNDECIDED = 0, /* owner, netns and cgroup pass; the port is not known yet */
	RECORDED,
	REJECTED,
};

/* A received segment in hand. */
struct segment {
	u32 seq;
	u32 end_seq;
	u32 ack;
	u32 payload;
	u32 tsval;
	u32 option; /* parser's offset */
	u32 mss;
	u16 window; /* as the header has it, not scaled */
	u8 flags;
	u8 has_tsval;
	u8 has_wscale;
	u8 wscale;
	u8 sack_blocks;
	u8 tos;
	u8 error;      /* the soft error that was counted for it */
	u32 first_ack; /* of its header; see skb_cb() */
};

/* Counted where a record of its own would be too much; added with the slow values. */
enum pending {
	PENDING_SlowStart,
	PENDING_CongAvoid,
	PENDING_OtherReductions,
	PENDING_OtherReductionsCV,
	PENDING_CongOverCount,
	PENDING_LostRetransmitSegs,
	PENDING_RackTimeout,
	PENDING_CERcvd,
	PENDING_ECESent,
	PENDING_COUNT,
};

/* The undo function that runs, for tcp_undo_cwnd_reduction(). */
enum undo {
	UNDO_NONE = 0,
	UNDO_RECOVERY,
	UNDO_FRTO,
};

/*
 * State of one connection. The socket lock, which every hook that builds a record holds, also
 * protects the record under construction here; a per-CPU scratch was refused, since a preempted or
 * interrupted task-context hook would find it overwritten.
 */
struct conn {
	u64 cookie;
	u64 start_ns;
	u64 slow_ns;	/* when the slow values were last read */
	u64 segment_ns; /* when the last segment was sent or received */
	u64 cached[CACHED_COUNT];
	u64 extreme[EXTREME_COUNT];
	u64 octets_in;	   /* payload received and not yet sent as HCDataOctetsIn */
	u32 seq_in;	   /* end of what hooks saw of the peer's data */
	u32 segs_in;	   /* the kernel's count when ours agreed with it; see witness.bpf.h */
	u32 segs_seen;	   /* segments received since, by our count */
	u32 drops;	   /* sk_drops at that time */
	u32 seq_out;	   /* end of what hooks saw of our data, or a little beyond */
	u32 segs_out;	   /* the kernel's count when ours agreed with it */
	u32 segs_gone;	   /* segments sent since, by our count */
	u32 missed_in;	   /* segments received that no hook saw, not yet reported */
	u32 missed_out;	   /* likewise sent */
	u16 total_rto;	   /* the kernel's count when ours agreed with it */
	u16 timeouts;	   /* counted since */
	u32 gaps;	   /* of those received, known by a gap in the sequence alone */
	u32 dropped_ops;   /* operations for which the record in hand had no room */
	u32 extreme_moved; /* bit per extreme */
	u32 srtt_us;
	u32 mdev_us;
	u32 rcv_ooopack;
	u32 delivered_ce;
	u32 snd_initial;
	u32 rec_initial;
	u32 disorder_acks; /* duplicate ACKs of the running Disorder episode */
	u16 generation;
	u8 decision;
	u8 opened; /* lifecycle record sent */
	u8 closed;
	u8 close_lost; /* no room for the close record */
	u8 received;   /* a hook of received segments has run */
	u8 fin_in;     /* the peer's FIN is behind seq_in */
	u8 agreed;     /* segs_in is set */
	u8 sent;       /* a hook of sent segments has run */
	u8 timed;      /* total_rto is set */
	u8 begun_before;
	u8 used; /* whoever reads what was received has been looked at */
	u8 active;
	u8 established;
	u8 handshake; /* the handshake's results have been sent */
	u8 lossy;     /* a record was lost: what it said must be said again */
	u8 settled;   /* values that are final only after ESTABLISHED have been sent */
	u8 first_fin;
	u8 old_state;
	u8 ca_state; /* of the socket when a hook last saw it */
	u8 ooo_empty;
	u16 local_port; /* the kernel gives it back before the event of CLOSE */
	u8 ecn_demand_cwr;
	u8 ip_ttl;
	u8 ip_tos_in;
	u8 ip_tos_out;
	u8 seen_ip_in;
	u8 seen_ip_out;
	u8 handshake_data; /* has been counted */
	u32 mptcp;	   /* token, once it is known */
	struct segment segment;
	u8 header[72]; /* options of the segment in hand; the slack keeps masked reads inside */
	u32 pending[PENDING_COUNT];
	u32 handled[2]; /* see turn.bpf.h */
	u32 slot;	/* see rest.bpf.h */
	u32 snd_cwnd;	/* segments, when last seen */
	u32 snd_ssthresh;
	u32 undo_marker;
	u32 copied_seq;
	u32 segment_cwnd; /* at the segment before; likewise */
	u32 segment_ssthresh;
	u32 segment_cwnd_cnt;
	u32 loop_snd_nxt; /* tcp_write_xmit: at its beginning; likewise */
	u32 loop_octets;
	u32 loop_snd_cwnd;
	u32 loop_in_flight;
	u32 loop_mss;
	u8 loop_push_one;
	u8 in_loop;
	u8 reducing; /* in the event of a state whose threshold is set and whose window is not */
	u8 in_rack;
	u8 undo;	    /* enum undo */
	u8 ca_moved;	    /* the congestion state changed since the window was last seen */
	u8 restarted;	    /* tcp_cwnd_restart() was called since */
	u8 limstate;	    /* last sent */
	u8 recovered;	    /* the ACK in hand ends the Disorder: high_seq is acknowledged */
	u8 reno_slow_start; /* tcp_reno_cong_avoid() comes to a slow start; see window.bpf.h */
	u8 reno_cong_avoid; /* or to congestion avoidance */
	u8 inside;	    /* bit per enum frame; see ends.bpf.h */
	u32 writers;	    /* threads in tcp_sendmsg_locked(), as far as their ends were seen */
	u8 fin_out;	    /* our FIN is behind snd_nxt */
	u32 snd_nxt;	    /* when last seen */
	u32 bad_checksums;  /* of all connections, when last looked for its own */
	u64 octets_new;	    /* payload transmitted for the first time */
	u64 octets_again;   /* and again, as far as events of that were seen */
	u64 octets_refused; /* payload of retransmissions that the host refused, and counted */
	u64 again_counted;  /* bytes_retrans at the last event of a retransmission */
	u64 again_unseen;   /* how far events were behind bytes_retrans at most */
	u8 stalled;	    /* the host has refused or marked a segment */
	union {
		struct hook_record rec;
		struct lifecycle_record life;
		struct socket_record snap;
	};
};

/*
 * Who opened the socket. Taken where `current` is the owner by construction of the kernel
 * (connect, listen); children, which are born in softirq on top of any task, inherit it.
 */
struct owner {
	u32 pid;
	u8 inherited;
	u8 followed; /* the process was one of those recorded when it became the owner */
	u8 named;    /* it had one of the names asked for */
	u8 pad;
	char comm[COMM_LEN];
};

static __always_inline struct cpu_counters *cpu_counters(void)
{
	u32 key = OF_THIS_CPU;

	return bpf_map_lookup_elem(&counters, &key);
}

static __always_inline void count_refused(void)
{
	struct cpu_counters *cpu = cpu_counters();

	if (cpu)
		atomic_add(&cpu->refused, 1);
}

static __always_inline void count_map_failure(void)
{
	struct cpu_counters *cpu = cpu_counters();

	if (cpu)
		atomic_add(&cpu->map_failures, 1);
}

static __always_inline void count_not_followed(void)
{
	struct cpu_counters *cpu = cpu_counters();

	if (!cpu)
		return;
	atomic_add(&cpu->map_failures, 1);
	atomic_add(&cpu->not_followed, 1);
}

/* Atomic, because a softirq may interrupt a task-context hook between reading and writing. */
static __always_inline u64 next_seq(struct cpu_counters *cpu)
{
#ifdef ESTATS_KPROBE
	return take_number(&cpu->emitted);
#else
	return __sync_fetch_and_add(&cpu->emitted, 1);
#endif
}

/* Without a number nothing can be handed over, and counts as lost. */
static __always_inline bool has_number(const struct record_header *hdr)
{
#ifdef ESTATS_KPROBE
	return hdr->seq != NO_NUMBER;
#else
	return true;
#endif
}

static __always_inline void count_loss(struct cpu_counters *cpu, u8 hook)
{
	if (hook <= ESTATS_HOOK_COUNT)
		atomic_add(&cpu->lost[hook], 1);
}

static __always_inline void begin(struct conn *c, u8 hook, u64 now)
{
	struct record_header *hdr = &c->rec.hdr;

	hdr->ts_ns = now;
	hdr->cookie = c->cookie;
	hdr->generation = c->generation;
	hdr->kind = RECORD_HOOK;
	hdr->hook = hook;
	hdr->count = 0;
}

static __always_inline void push(struct conn *c, u16 var, u8 op, u64 value)
{
	u64 n = c->rec.hdr.count;
	struct operation *o;

	/* Or clang tests a copy of n and the verifier does not know the bound of this one. */
	barrier_var(n);
	if (n >= MAX_OPS) {
		c->dropped_ops++;
		return;
	}
	o = &c->rec.ops[n];
	o->value = value;
	o->var = var;
	o->op = op;
	c->rec.hdr.count = n + 1;
}

#define SET(c, name, value) push(c, ESTATS_##name, ESTATS_OP_set, value)
#define ADD(c, name, value) push(c, ESTATS_##name, ESTATS_OP_add, value)
#define INC(c, name)	    push(c, ESTATS_##name, ESTATS_OP_inc, 1)
#define MISSED(c, name, n)  push(c, ESTATS_##name, ESTATS_OP_missed, n)
#define VOID(c, name)	    push(c, ESTATS_##name, ESTATS_OP_void, 0)

#endif
