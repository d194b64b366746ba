/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What differs between kernels of kprobes, as the tracing system has them: how often each was run
 * and was passed over. Rules are those of compat.bpf.h, which includes this.
 */
#ifndef ESTATS_COMPAT_KPROBE_BPF_H
#define ESTATS_COMPAT_KPROBE_BPF_H

#include "flavours.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Whether the type information has all that the next ones read (CONFIG_KPROBE_EVENTS). */
static __always_inline bool can_find_kprobes(void)
{
	return bpf_core_field_exists(struct task_struct___compat, files) &&
	       bpf_core_field_exists(struct files_struct___compat, fdt) &&
	       bpf_core_field_exists(struct fdtable___compat, fd) &&
	       bpf_core_field_exists(struct perf_event___compat, tp_event) &&
	       bpf_core_field_exists(struct trace_probe_event___compat, call) &&
	       bpf_core_field_exists(struct trace_probe_event___compat, probes) &&
	       bpf_core_field_exists(struct trace_probe___compat, list) &&
	       bpf_core_field_exists(struct trace_probe___compat, event) &&
	       bpf_core_field_exists(struct trace_kprobe___compat, rp) &&
	       bpf_core_field_exists(struct trace_kprobe___compat, nhit) &&
	       bpf_core_field_exists(struct trace_kprobe___compat, tp) &&
	       bpf_core_field_exists(struct kretprobe___compat, kp) &&
	       bpf_core_field_exists(struct kretprobe___compat, nmissed) &&
	       bpf_core_field_exists(struct kprobe___compat, nmissed) &&
	       bpf_core_field_exists(struct bpf_array___compat, pptrs);
}

/*
 * The event behind this descriptor of the current process.
 * since v5.15, commit b89fbfbb854c: a link, which has the event; before: the event itself
 */
static __always_inline u64 event_of_descriptor(u64 fd)
{
	const struct task_struct___compat *task = (const void *)bpf_get_current_task();
	struct file **descriptors = BPF_CORE_READ(task, files, fdt, fd), *file = NULL;
	u64 behind;

	if (!descriptors || bpf_probe_read_kernel(&file, sizeof(file), descriptors + fd) || !file)
		return 0;
	behind = (u64)BPF_CORE_READ(file, private_data);
	if (!behind || !bpf_core_field_exists(struct bpf_perf_link___compat, perf_file))
		return behind;
	return (u64)BPF_CORE_READ((const struct bpf_perf_link___compat *)behind, perf_file,
				  private_data);
}

/*
 * The address of the struct trace_kprobe that is attached by this descriptor; 0 if none is, which
 * is known by its way back to the event.
 */
static __always_inline u64 kprobe_of_link(u64 fd)
{
	const struct perf_event___compat *event = (const void *)event_of_descriptor(fd);
	const struct trace_probe_event___compat *probes;
	const struct trace_probe___compat *probe;
	u64 call, first;

	if (!event)
		return 0;
	call = (u64)BPF_CORE_READ(event, tp_event);
	if (!call)
		return 0;
	probes = (const void *)(call -
				bpf_core_field_offset(struct trace_probe_event___compat, call));
	first = (u64)BPF_CORE_READ(probes, probes.next);
	if (!first)
		return 0;
	probe = (const void *)(first - bpf_core_field_offset(struct trace_probe___compat, list));
	if (BPF_CORE_READ(probe, event) != probes)
		return 0;
	return (u64)probe - bpf_core_field_offset(struct trace_kprobe___compat, tp);
}

/* Of the kprobe at this address: how often the kernel did not run it, or had no place for the end.
 */
static __always_inline u64 kprobe_missed(u64 address)
{
	const struct trace_kprobe___compat *k = (const void *)address;

	return BPF_CORE_READ(k, rp.kp.nmissed) + (u32)BPF_CORE_READ(k, rp.nmissed);
}

/* How often the kernel ran it on the CPU whose values are at this offset. */
static __always_inline u64 kprobe_hits(u64 address, u64 offset)
{
	const struct trace_kprobe___compat *k = (const void *)address;
	unsigned long hits = 0;

	bpf_probe_read_kernel(&hits, sizeof(hits), (void *)((u64)BPF_CORE_READ(k, nhit) + offset));
	return hits;
}

/* Where the values of a per-CPU array are: an address to which each CPU adds its offset. */
static __always_inline u64 per_cpu_values(u64 map)
{
	u64 values = 0;

	bpf_probe_read_kernel(
		&values, sizeof(values),
		(void *)(map + bpf_core_field_offset(struct bpf_array___compat, pptrs)));
	return values;
}

#endif
