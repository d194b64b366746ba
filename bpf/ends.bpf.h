/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ends of functions that no kretprobe showed. The kernel has a limited number of places for
 * functions whose end is awaited (struct kretprobe, maxactive). Linux 5.10 without
 * CONFIG_PREEMPTION has one for each possible CPU. Other and newer kernels have two for each, and
 * at least ten. An event of perf cannot ask for more. The kernel may also pass over the program at
 * the end.
 *
 * The programs at the beginnings note with the connection what runs. Whatever has not ended when it
 * cannot run any more has ended unseen. For tcp_sendmsg_locked() this is the only count of missing
 * places: it sleeps in its place, so writers that wait use up all places, and the kernel's own
 * number (nmissed) grows with every write on the host, recorded or not.
 */
#ifndef ESTATS_ENDS_BPF_H
#define ESTATS_ENDS_BPF_H

#include "conn.bpf.h"

#ifdef ESTATS_KPROBE

enum frame {
	FRAME_WRITE_XMIT,
	FRAME_RACK,
	FRAME_UNDO_RECOVERY,
	FRAME_UNDO_LOSS,
	FRAME_SYNC_MSS,
	FRAME_SENDMSG,
	FRAME_LOCK,
	FRAME_COUNT,
};

static __always_inline void add_unended(u8 hook, u32 count)
{
	struct cpu_counters *cpu = cpu_counters();

	/* Hooks are detached one after the other: what is no longer seen then was not missed. */
	if (is_over())
		return;
	if (cpu && hook <= ESTATS_HOOK_COUNT)
		atomic_add(&cpu->unended[hook], count);
}

static __always_inline u8 hook_of(enum frame frame)
{
	switch (frame) {
	case FRAME_WRITE_XMIT:
		return ESTATS_HOOK_write_xmit;
	case FRAME_RACK:
		return ESTATS_HOOK_rack_detect;
	case FRAME_SYNC_MSS:
		return ESTATS_HOOK_sync_mss;
	default:
		return ESTATS_HOOK_undo;
	}
}

/* The function does not sleep, and whoever holds the socket runs it once. */
static __always_inline void count_unended(struct conn *c, enum frame frame)
{
	u8 bit = 1 << frame;

	if (!(c->inside & bit))
		return;
	c->inside &= ~bit;
	add_unended(hook_of(frame), 1);
}

/*
 * Whoever holds the socket and is not in tcp_sendmsg_locked() calls this. Threads that are in it
 * then have given back the lock: they wait for memory or for the handshake, and the kernel counts
 * them (sk_write_pending). All others have left it unseen.
 *
 * Some that wait are not in tcp_sendmsg_locked(): in sendfile() before Linux 6.5, in kTLS, in a
 * sockmap. While one of these waits, one end that was missed is not noticed.
 *
 * A reset in the backlog that a writer empties (sk_flush_backlog()) closes the connection inside of
 * that function: one too many is counted then, and rows are lossy for nothing.
 */
static __always_inline void count_unended_writers(struct conn *c, const struct sock *sk)
{
	u32 writers = c->writers, waiting;

	if (!writers)
		return;
	waiting = BPF_CORE_READ(sk, sk_write_pending);
	if (writers <= waiting)
		return;
	c->writers = waiting;
	add_unended(ESTATS_HOOK_sendmsg, writers - waiting);
}

/*
 * Whoever holds the socket calls this, from none of these functions. Before the time of the record
 * is taken that ends the row: the account that has the count then stands for that time, too.
 */
static __always_inline void count_unended_ends(struct conn *c, const struct sock *sk)
{
	count_unended_writers(c, sk);
	if (!c->inside)
		return;
	count_unended(c, FRAME_WRITE_XMIT);
	count_unended(c, FRAME_RACK);
	count_unended(c, FRAME_UNDO_RECOVERY);
	count_unended(c, FRAME_UNDO_LOSS);
	count_unended(c, FRAME_SYNC_MSS);
}

static __always_inline void function_begins(struct conn *c, const struct sock *sk, enum frame frame)
{
	if (frame == FRAME_SENDMSG) {
		count_unended_writers(c, sk);
		c->writers++;
	} else if (frame != FRAME_LOCK) {
		/* Without the end of FRAME_LOCK the connection waits for a look again. */
		count_unended(c, frame);
		c->inside |= 1 << frame;
	}
}

static __always_inline void function_ends(struct conn *c, enum frame frame)
{
	if (frame != FRAME_SENDMSG)
		c->inside &= ~(1 << frame);
	else if (c->writers)
		c->writers--;
}

#else

static __always_inline void count_unended_ends(struct conn *c, const struct sock *sk)
{
}

#endif
#endif
