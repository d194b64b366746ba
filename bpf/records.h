/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The wire records: what crosses the ring buffers. Their members, with what they mean, are those of
 * src/schema/record.rs, from which build.rs writes the lists and asserts of their places used here.
 */
#ifndef ESTATS_RECORDS_H
#define ESTATS_RECORDS_H

#include "estats_schema.h"

struct record_header {
	ESTATS_RECORD_HEADER_MEMBERS
};

ESTATS_RECORD_HEADER_ASSERTS

struct operation {
	ESTATS_OPERATION_MEMBERS
};

ESTATS_OPERATION_ASSERTS

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

struct lifecycle_record {
	ESTATS_LIFECYCLE_RECORD_MEMBERS
};

ESTATS_LIFECYCLE_RECORD_ASSERTS

/* A snapshot of a socket; its fields are those of src/schema/socket.rs. */
struct socket_record {
	ESTATS_SOCKET_RECORD_MEMBERS
	ESTATS_SOCKET_AGING_MEMBERS
	/* From here on --changed-only compares. */
	char congestion[COMM_LEN] __attribute__((aligned(8)));
	ESTATS_SOCKET_MEMBERS
} __attribute__((aligned(8)));

ESTATS_SOCKET_RECORD_ASSERTS
ESTATS_SOCKET_ASSERTS

/*
 * A packet as it was where it was seen: its beginning, link header included, as far as it is kept.
 * What the bytes mean is decided by the recorder (src/wire/packet.rs).
 */
struct packet_record {
	ESTATS_PACKET_RECORD_MEMBERS
	u8 data[];
};

ESTATS_PACKET_RECORD_ASSERTS

/* A packet of TCP that the kernel dropped. */
struct drop_record {
	ESTATS_DROP_RECORD_MEMBERS
};

ESTATS_DROP_RECORD_ASSERTS

/* Counters of one CPU, read by the recorder. */
struct cpu_counters {
	/* Records attempted = next sequence number. The upper bits: see number.bpf.h. */
	u64 emitted;
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
} __attribute__((aligned(64)));		      /* no CPU's are in a cache line of another's */

ESTATS_CPU_COUNTERS_ASSERTS

#endif
