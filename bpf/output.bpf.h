/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From the hooks to the recorder: ring buffers, or perf buffers where the kernel has none. */
#ifndef ESTATS_OUTPUT_BPF_H
#define ESTATS_OUTPUT_BPF_H

#include "recorder.bpf.h"
#include "rest.bpf.h"

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* replaced by the recorder */
};

/* Operations: a ring per CPU, so that CPUs do not wait for each other's spinlock. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* replaced by the number of possible CPUs */
	__type(key, u32);
	__array(values, struct ring);
} hook_rings __weak SEC(".maps");

/*
 * Lifecycle and final-value records: a ring of their own, so that a flood of operations never
 * crowds them out. One for all CPUs: a connection sends a handful.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* replaced by the recorder */
} lifecycle_ring __weak SEC(".maps");

#ifdef ESTATS_KPROBE
/* The same two as perf buffers, each one per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} hook_events __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(u32));
	__uint(value_size, sizeof(u32));
} lifecycle_events __weak SEC(".maps");
#endif

/*
 * No wake-up: the recorder drains by the clock, since a wake-up costs about a microsecond per
 * event (docs/benchmarks.md).
 */
static __always_inline bool hand_over(void *ctx, bool lifecycle, void *record, u64 size)
{
	u32 cpu = bpf_get_smp_processor_id();
	void *ring;

	if (!has_number(record))
		return false;
#ifdef ESTATS_KPROBE
	if (use_perf || !has_rings()) {
		void *events = lifecycle ? (void *)&lifecycle_events : (void *)&hook_events;

		return !bpf_perf_event_output(ctx, events, BPF_F_CURRENT_CPU, record, size);
	}
#endif
	ring = lifecycle ? (void *)&lifecycle_ring : bpf_map_lookup_elem(&hook_rings, &cpu);

	return ring && !bpf_ringbuf_output(ring, record, size, BPF_RB_NO_WAKEUP);
}

/* Sends the record under construction, if it holds anything. */
static __noinline __attribute__((unused)) int commit(void *ctx, struct conn *c, bool final)
{
	struct cpu_counters *cpu = cpu_counters();
	u32 n = c->rec.hdr.count;
	u64 size;

	waits(c, c->rec.hdr.ts_ns);
	if (!n || !cpu || is_over())
		return 0;
	if (n > MAX_OPS)
		n = MAX_OPS;
	if (c->dropped_ops) {
		/* The record is full: the place behind it is for this. */
		struct operation *o = &c->rec.dropped;

		atomic_add(&cpu->dropped_ops, c->dropped_ops);
		o->value = c->dropped_ops;
		o->var = ESTATS_State;
		o->op = ESTATS_OP_missed;
		c->dropped_ops = 0;
		n = MAX_OPS + 1;
		c->rec.hdr.count = n;
	}
	c->rec.hdr.cpu = bpf_get_smp_processor_id();
	c->rec.hdr.seq = next_seq(cpu);
	size = sizeof(struct record_header) + n * sizeof(struct operation);
	if (!hand_over(ctx, final, &c->rec, size)) {
		count_loss(cpu, c->rec.hdr.hook);
		c->lossy = 1;
	}
	return 0;
}

#endif
