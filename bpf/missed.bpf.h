/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How often the kernel passed over each kprobe, before Linux 6.7. From then on links and programs
 * count by themselves (struct bpf_link_info, struct bpf_prog_info).
 *
 * There are three reasons:
 * - The kernel does not run a kprobe that interrupts another: a softirq in the middle of one
 *   connection's event loses those of the connections that it serves. Counted in struct kprobe.
 * - A kretprobe has a limited number of places (maxactive). Counted in struct kretprobe.
 * - A kprobe ran, but another BPF program was running on the CPU (bpf_prog_active): a classic
 *   tracepoint of another tool, or a system call of bpf(2) on a map. Nobody counts that. But the
 *   kernel counts for each CPU how often a kprobe ran (nhit), and each program here how often it
 *   ran itself (count_run()). The difference is what was passed over.
 *
 * The recorder runs the programs of this file (BPF_PROG_RUN, Linux 5.10). The first finds the
 * kernel's structures from the descriptors of the links, since it runs in the recorder's context.
 * src/capture/kprobes.rs says in which order they run.
 */
#ifndef ESTATS_MISSED_BPF_H
#define ESTATS_MISSED_BPF_H

#include "state.bpf.h"

/* A kprobe that the recorder has attached; its number is that of its program, from 1 on. */
struct kprobe_place {
	u64 fd;	     /* of its link, and one more; 0: it is not counted */
	u64 address; /* of its struct trace_kprobe; 0: not found */
	u64 missed;  /* by the kernel's own count */
};

ESTATS_KPROBE_PLACE_ASSERTS

struct kprobes {
	u64 levels; /* the map `levels`, as the kernel has it */
	struct kprobe_place of[KPROBES];
};

ESTATS_KPROBES_ASSERTS

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct kprobes);
} kprobes SEC(".maps");

/* Of one CPU. No per-CPU map: programs on other CPUs could not read it before Linux 5.19. */
struct cpu_kprobes {
	u64 level;		     /* where this CPU has its own of `levels`; 0: not known yet */
	u64 runs[KPROBES];	     /* of each program */
	u64 hits[KPROBES];	     /* when last counted, as the next */
	u64 passed_over[2][KPROBES]; /* hits without a run; by who counts: the recorder, a thread */
};

ESTATS_CPU_KPROBES_ASSERTS

struct {
	OF_EACH_CPU(struct cpu_kprobes);
} cpu_kprobes SEC(".maps");

static __always_inline struct cpu_kprobes *cpu_kprobes_of(u32 cpu)
{
	return bpf_map_lookup_elem(&cpu_kprobes, &cpu);
}

/*
 * The first thing in each kprobe's program. No atomic addition: the kernel does not run a kprobe
 * that interrupts another on this CPU.
 */
static __always_inline void count_run(u32 number)
{
	struct cpu_kprobes *own;

	if (!number || number > KPROBES)
		return;
	own = cpu_kprobes_of(bpf_get_smp_processor_id());
	if (own)
		own->runs[number - 1]++;
}

/*
 * A program at a function's beginning or end, as BPF_KPROBE() of libbpf, that counts its runs. The
 * recorder looks for number_NAME of every kprobe and kretprobe in this object, so that none can be
 * left out. 0: its runs are not counted.
 */
#define COUNTED_KPROBE(name, args...)                                                              \
	name(struct pt_regs *ctx);                                                                 \
	const volatile u32 number_##name = 0;                                                      \
	static __always_inline int name##_body(struct pt_regs *ctx, ##args);                       \
	int name(struct pt_regs *ctx)                                                              \
	{                                                                                          \
		count_run(number_##name);                                                          \
		_Pragma("GCC diagnostic push")                                                     \
			_Pragma("GCC diagnostic ignored \"-Wint-conversion\"") return name##_body( \
				___bpf_kprobe_args(args));                                         \
		_Pragma("GCC diagnostic pop")                                                      \
	}                                                                                          \
	static __always_inline int name##_body(struct pt_regs *ctx, ##args)

static __always_inline struct kprobes *all_kprobes(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&kprobes, &zero);
}

/* A pointer that the verifier knows, as a number: memory forgets what it is. */
#define AS_NUMBER(at, pointer)                                                                     \
	({                                                                                         \
		*(volatile u64 *)(at) = (u64)(pointer);                                            \
		*(volatile u64 *)(at);                                                             \
	})

/* Returns how many of the kprobes were found. */
SEC("raw_tp")
int find_kprobes(void *ctx)
{
	struct kprobes *all = all_kprobes();
	u32 i, found = 0;
	u64 map;

	if (!all || !can_find_kprobes())
		return 0;
	map = AS_NUMBER(&all->levels, &levels);
	all->levels = per_cpu_values(map);
	for (i = 0; i < KPROBES; i++) {
		if (!all->of[i].fd)
			continue;
		all->of[i].address = kprobe_of_link(all->of[i].fd - 1);
		found += !!all->of[i].address;
	}
	return found;
}

/* Runs on each CPU once: where that has its own values of what each CPU has. */
SEC("raw_tp")
int note_cpu(void *ctx)
{
	struct cpu_kprobes *own = cpu_kprobes_of(bpf_get_smp_processor_id());
	u32 *level = copy_level();

	if (!own || !level)
		return 0;
	AS_NUMBER(&own->level, level);
	return 1;
}

/* What the kernel has counted. */
SEC("raw_tp")
int count_missed(void *ctx)
{
	struct kprobes *all = all_kprobes();
	u32 i;

	if (!all || !can_find_kprobes())
		return 0;
	for (i = 0; i < KPROBES; i++) {
		if (all->of[i].address)
			all->of[i].missed = kprobe_missed(all->of[i].address);
	}
	return 1;
}

/* More often no program runs on one CPU while another looks. */
#define TRIES 8

/*
 * What was passed over on the CPU that the first argument names, for who the second does. Both
 * numbers may change meanwhile: they are read again until the program has not run between. A hit
 * whose program has not begun yet counts as passed over: the result may be too high. It is never
 * too low on a machine where CPUs see each other's stores in order, and on that CPU itself.
 * Elsewhere a run may be seen before its hit (IS_ORDERED of src/capture/kprobes.rs).
 */
SEC("raw_tp")
int count_passed(u64 *ctx)
{
	struct kprobes *all = all_kprobes();
	struct cpu_kprobes *cpu = cpu_kprobes_of(ctx[0]);
	u64 runs, hits, offset, by = ctx[1] & 1;
	u32 i, try;

	if (!all || !cpu || !cpu->level || !can_find_kprobes())
		return 0;
	offset = cpu->level - all->levels;
	for (i = 0; i < KPROBES; i++) {
		if (!all->of[i].address)
			continue;
		for (try = 0; try < TRIES; try++) {
			runs = *(volatile u64 *)&cpu->runs[i];
			hits = kprobe_hits(all->of[i].address, offset);
			if (runs == *(volatile u64 *)&cpu->runs[i])
				break;
		}
		cpu->hits[i] = hits;
		cpu->passed_over[by][i] = hits - runs;
	}
	return 1;
}

#endif
