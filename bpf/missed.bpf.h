/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often the kernel passed over each kprobe. It does not run a kprobe that interrupts another: a
 * softirq in the middle of one connection's event loses those of the connections that it serves.
 * The kernel counts that in struct kprobe (kprobes_inc_nmissed_count()). From Linux 6.7 on links
 * state the number (struct bpf_link_info). Before, only the structure has it, and only the kprobe
 * itself can say where that is: while it runs, current_kprobe of the CPU points to it, or, of
 * several at one place, kprobe_instance.
 *
 * Not counted before 6.7: a kprobe that interrupts a system call of bpf(2) that changes or reads a
 * map (bpf_prog_active). Such a call takes less than a microsecond, and the recorder makes some in
 * a second.
 */
#ifndef ESTATS_MISSED_BPF_H
#define ESTATS_MISSED_BPF_H

#include "recorder.bpf.h"

/* Addresses of the kernel's variables. 0: the kernel counts by itself, or they are not known. */
const volatile u64 kprobe_cpu_offsets = 0; /* __per_cpu_offset */
const volatile u64 kprobe_current = 0;	   /* current_kprobe */
const volatile u64 kprobe_of_several = 0;  /* kprobe_instance */

#define KPROBES 48

struct kprobe_misses {
	u64 kprobe; /* its struct, once it has run */
	u64 missed;
	u64 hook;
};

struct kprobes {
	struct kprobe_misses of[KPROBES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kprobes);
} kprobes SEC(".maps");

static __always_inline struct kprobes *all_kprobes(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&kprobes, &zero);
}

/* The kprobe that runs on this CPU. */
static __always_inline u64 running_kprobe(void)
{
	u64 offset, kprobe = 0;

	if (bpf_probe_read_kernel(
		    &offset, sizeof(offset),
		    (void *)(kprobe_cpu_offsets + sizeof(offset) * bpf_get_smp_processor_id())))
		return 0;
	bpf_probe_read_kernel(&kprobe, sizeof(kprobe), (void *)(kprobe_of_several + offset));
	if (!kprobe)
		bpf_probe_read_kernel(&kprobe, sizeof(kprobe), (void *)(kprobe_current + offset));
	return kprobe;
}

static __always_inline void note_kprobe(u32 at, u8 hook)
{
	struct kprobes *all;

	if (!kprobe_current)
		return;
	all = all_kprobes();
	if (!all || all->of[at].kprobe)
		return;
	all->of[at].hook = hook;
	all->of[at].kprobe = running_kprobe();
}

/*
 * In each program at the beginning of a function whose omission loses something. Of a function's
 * end the kernel passes over the same, and more, which kprobe.bpf.c counts (count_unended()).
 */
#define NOTE_KPROBE(hook)                                                                          \
	({                                                                                         \
		enum { at_ = __COUNTER__ };                                                        \
		_Static_assert(at_ < KPROBES, "as many kprobes as there is room for");             \
		note_kprobe(at_, hook);                                                            \
	})

/* Attached to nothing: the recorder runs it when it keeps its account (BPF_PROG_RUN, Linux 5.10).
 */
SEC("raw_tp")
int count_missed(void *ctx)
{
	struct kprobes *all = all_kprobes();
	u32 i;

	if (!all)
		return 0;
	for (i = 0; i < KPROBES; i++) {
		if (all->of[i].kprobe)
			all->of[i].missed = kprobe_missed((void *)all->of[i].kprobe);
	}
	return 0;
}

#endif
