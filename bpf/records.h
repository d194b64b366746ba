/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire records: what crosses the ring buffers. Plain integers, explicit padding; both sides
 * assert the sizes (here and in src/wire/decode.rs).
 */
#ifndef ESTATS_RECORDS_H
#define ESTATS_RECORDS_H

#include "estats_schema.h"

enum record_kind {
	RECORD_HOOK = 1,
	RECORD_LIFECYCLE = 2,
	RECORD_SOCKET = 3,
	RECORD_PACKET = 4,
};

struct record_header {
	u64 ts_ns;  /* CLOCK_MONOTONIC */
	u64 seq;    /* per CPU, over all rings */
	u64 cookie; /* socket cookie */
	u16 generation;
	u16 cpu;
	u8 kind;   /* enum record_kind */
	u8 hook;   /* enum estats_hook */
	u16 count; /* operations that follow (RECORD_HOOK), or bytes (RECORD_PACKET) */
};

_Static_assert(sizeof(struct record_header) == 32, "record_header is part of the ABI");

struct operation {
	u64 value;
	u16 var; /* enum estats_var */
	u8 op;	 /* enum estats_op */
	u8 pad[5];
};

_Static_assert(sizeof(struct operation) == 16, "operation is part of the ABI");

/*
 * No record has more operations: each streamed variable of the schema once, and again
 *   State, Limstate	by what reads the socket and by the event itself;
 *   CurCwnd, InRecovery, CurSsthresh	likewise, at a change of the congestion state;
 *   three counters	of such a change: one that is caught up with, and the one reported;
 *   CERcvd, ECESent	of the segments before, and of the one in hand;
 *   SoftErrors, SoftErrorReason	likewise;
 *   HCDataOctetsIn, SegsOut, Timeouts	`missed`, beside their values;
 *   CurrentTs		at the end.
 */
#define REPEATED_OPS 16
#define MAX_OPS	     (ESTATS_STREAMED + REPEATED_OPS)

struct hook_record {
	struct record_header hdr;
	struct operation ops[MAX_OPS];
	struct operation dropped; /* how many found no place */
};

_Static_assert(MAX_OPS >= ESTATS_READ_FROM_SOCKET + REPEATED_OPS, "a reading of everything fits");
_Static_assert(__builtin_offsetof(struct hook_record, dropped) ==
		       sizeof(struct record_header) + MAX_OPS * sizeof(struct operation),
	       "`dropped` follows a full record without a gap");

#define COMM_LEN 16

struct lifecycle_record {
	struct record_header hdr;
	u64 start_ns;
	u64 cgroup_id;
	u8 local_addr[16];
	u8 remote_addr[16];
	char comm[COMM_LEN];
	char congestion[COMM_LEN];
	u32 netns;
	u32 pid;
	u32 uid;
	u32 sk_err;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u8 event; /* enum estats_event */
	u8 old_state;
	u8 new_state;
	u8 active;
	u8 established;
	u8 first_fin;
	u32 mptcp; /* token of the MPTCP connection; 0: plain TCP */
};

_Static_assert(sizeof(struct lifecycle_record) == 144, "lifecycle_record is part of the ABI");

/* A snapshot of a socket; its fields and their places are those of src/schema/socket.rs. */
struct socket_record {
	struct record_header hdr;
	u64 present[2]; /* bit per field: it has a value */
	u8 local_addr[16];
	u8 remote_addr[16];
	u32 netns;
	u32 poll;
	u16 family;
	u16 local_port;
	u16 remote_port;
	u8 why; /* enum estats_why */
	u8 pad;
	ESTATS_SOCKET_AGING_MEMBERS
	/* From here on --changed-only compares. */
	char congestion[16] __attribute__((aligned(8)));
	ESTATS_SOCKET_MEMBERS
} __attribute__((aligned(8)));

ESTATS_SOCKET_ASSERTS

/*
 * A packet as it was where it was seen: its beginning, link header included, as far as it is kept.
 * What the bytes mean is decided by the recorder (src/wire/packet.rs).
 */
struct packet_record {
	struct record_header hdr; /* count bytes of data are the packet's, the rest is slack */
	u32 wire_len; /* of the skb, as GRO or TSO has it; a tag beside it not counted */
	u32 ifindex;
	u32 netns;
	u16 gso_segs; /* 0: not known */
	u16 gso_size; /* payload of each segment; 0: not a super-packet */
	u16 ip_offset;
	u16 tag; /* VLAN tag (TCI) that stands beside the packet, not in it */
	u8 tagged;
	u8 pad[3];
	u8 data[];
};

_Static_assert(sizeof(struct packet_record) == 56, "packet_record is part of the ABI");

/* Counters of one CPU, read by the recorder. */
struct cpu_counters {
	u64 emitted;			 /* records attempted = next sequence number */
	u64 lost[ESTATS_HOOK_COUNT + 1]; /* by hook */
	u64 map_failures;		 /* per-socket state that could not be allocated */
	u64 dropped_ops;		 /* operations for which a record had no room */
	u64 not_followed; /* connections without state: nothing is recorded of them */
	u64 lost_begins;  /* lifecycle records that say that one begins */
	u64 lost_ends;	  /* likewise that it ends */
	u64 not_ip[2];	  /* packets of other protocols that interfaces got, that they gave */
	u64 malformed[ESTATS_HOOK_COUNT + 1]; /* packets with malformed IP headers, by hook */
	u64 refused;			      /* connections that no filter let pass */
	u64 unended[ESTATS_HOOK_COUNT + 1];   /* ends of functions that were not seen, by hook */
};

#endif
