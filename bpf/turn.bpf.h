/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every event has two programs, of which one handles it.
 *
 * The kernel does not run a tracing program on a CPU where that program runs already
 * (prog->active): a softirq that interrupts it in the middle of one connection's event loses
 * another's. A second program at the same place stands in: whichever comes first handles the event
 * and leaves a mark with the connection, the other finds the mark and takes it away. The socket
 * lock makes that safe, and the order in which the kernel calls them does not matter. An event is
 * lost only if both are skipped, or one of them at two events in a row; the kernel counts that.
 */
#ifndef ESTATS_TURN_BPF_H
#define ESTATS_TURN_BPF_H

#include "recorder.bpf.h"

/* Where there is only one program. */
#define TURN_ALWAYS (~0U)

/* `turn` is an event with 0 or 1 for the program. */
static __always_inline bool my_turn(struct conn *c, u32 turn)
{
	u32 bit = 1U << (turn >> 1);

	if (turn == TURN_ALWAYS)
		return true;
	if (c->handled[!(turn & 1)] & bit) {
		c->handled[!(turn & 1)] &= ~bit;
		return false;
	}
	c->handled[turn & 1] |= bit;
	return true;
}

/*
 * Two programs NAME and NAME_again at one place; `call` gives them their turn. build.rs numbers the
 * names: TURN_NAME, enum estats_turn.
 */
#define HOOK(section, name, call, args...)                                                         \
	SEC(section)                                                                               \
	int BPF_PROG(name, args)                                                                   \
	{                                                                                          \
		const u32 turn = TURN_##name << 1;                                                 \
		return call;                                                                       \
	}                                                                                          \
	SEC(section)                                                                               \
	int BPF_PROG(name##_again, args)                                                           \
	{                                                                                          \
		const u32 turn = TURN_##name << 1 | 1;                                             \
		return call;                                                                       \
	}                                                                                          \
	/* for the semicolon */                                                                    \
	_Static_assert(TURN_##name < 32, "a bit of u32 handled[]")

#endif
