/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections whose socket may say more than was sent of it. A hook runs before the kernel handles
 * what called it, and leaves out slow values that were sent a moment ago: both comes with the next
 * hook's record, and a connection that rests has no next hook. So each connection waits, from its
 * last hook on, until the recorder has it looked at once more (look.bpf.h).
 *
 * How many wait is counted by the time of their last hook, in slots: the recorder knows from these
 * counts alone when the next look is due, and a connection that never rests never makes it look.
 */
#ifndef ESTATS_REST_BPF_H
#define ESTATS_REST_BPF_H

#include "recorder.bpf.h"

#define REST_WAITS REST_SLOTS /* set in `slot` of a connection that waits */

/* Set by the recorder before loading. */
const volatile u64 rest_ns __weak = 500000; /* how long a connection has no hook before a look */
const volatile u32 rest_shift __weak = 18;  /* width of a slot: a power of two of nanoseconds */

struct rest_slots {
	s32 waiting[REST_SLOTS]; /* summed over the CPUs: one CPU's may be below zero */
};

struct {
	OF_EACH_CPU(struct rest_slots);
} resting __weak SEC(".maps");

#ifndef ESTATS_KPROBE
/* Set by the recorder before it sleeps while nobody waits. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} asleep __weak SEC(".maps");

/* What wakes it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536); /* a page, of whatever size */
} alarm __weak SEC(".maps");
#endif

/* The first connection that begins to wait wakes the recorder: once for each of its sleeps. */
static __always_inline void wake_recorder(void)
{
#ifndef ESTATS_KPROBE
	u32 zero = 0, *sleeps = bpf_map_lookup_elem(&asleep, &zero);

	if (sleeps && *sleeps) {
		*sleeps = 0;
		bpf_ringbuf_output(&alarm, &zero, sizeof(zero), BPF_RB_FORCE_WAKEUP);
	}
#endif
}

static __always_inline void wait_in(struct conn *c, u32 slot)
{
	u32 key = OF_THIS_CPU, before = c->slot;
	struct rest_slots *slots;

	if (before == slot)
		return;
	slots = bpf_map_lookup_elem(&resting, &key);
	if (!slots)
		return;
#ifdef ESTATS_KPROBE
	c->slot = slot;
#else
	/* on_written() does not hold the socket lock. */
	before = __sync_lock_test_and_set(&c->slot, slot);
#endif
	if (before)
		atomic_add(&slots->waiting[before & (REST_SLOTS - 1)], -1);
	if (slot)
		atomic_add(&slots->waiting[slot & (REST_SLOTS - 1)], 1);
	if (slot && !before)
		wake_recorder();
}

/* A hook has run: the connection waits anew. */
static __always_inline void waits(struct conn *c, u64 now)
{
	wait_in(c, REST_WAITS | ((now >> rest_shift) & (REST_SLOTS - 1)));
}

/* All that the socket says has been sent, or nothing more will be asked of it. */
static __always_inline void waits_no_more(struct conn *c)
{
	wait_in(c, 0);
}

#endif
