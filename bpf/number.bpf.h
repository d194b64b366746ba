/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The number of a record, where no atomic instruction returns a value: before Linux 5.12. Verifiers
 * refuse a program that has such an instruction, even where it cannot be reached.
 *
 * A softirq's program may run between any two instructions of a program in task context, and takes
 * numbers too. So it is not enough to add to the count and to read it then. But the programs of a
 * CPU nest: an inner one ends before the outer one goes on. One word of each CPU has
 *
 *   how many numbers were taken, in the lower ESTATS_NUMBER_BITS;
 *   the sum of the numbers taken, mod 2^16, in the upper bits.
 *
 * A program adds 1 to the count, finds out its number, and adds it to the sum. It reads the word
 * before and after the first addition. The numbers `first` to `first + count - 1` were taken
 * between these readings, one of them by this program. The others were taken by inner programs.
 * These have ended, so they have added their numbers to the sum. Outer programs wait, and add
 * nothing. So the number that is missing in the sum is that of this program. This supposes that
 * inner programs found their numbers. The innermost does: its count is 1 and its number `first`. So
 * the one around it does, and so on.
 *
 * Count and sum are in one word because a load reads one word. Of two words, the second might be
 * read after another program has run. 48 bits are enough for eight years of a million records a
 * second, so nothing is ever carried from the count into the sum.
 *
 * Nothing of the kernel is included, so that number_test.c compiles it for the host, too.
 */
#ifndef ESTATS_NUMBER_BPF_H
#define ESTATS_NUMBER_BPF_H

#include "estats_schema.h"
#include "clang.h"

/* Not a number, but one was used up. */
#define NO_NUMBER (~0ULL)

#define NUMBER_MASK ((1ULL << ESTATS_NUMBER_BITS) - 1)

_Static_assert(64 - ESTATS_NUMBER_BITS == 16, "the sum is a u16");

/*
 * NO_NUMBER if more than 2^16 numbers were taken between the readings: the sum does not show which
 * is that of this program. Also if the programs did not nest, as far as it shows. Fully preemptible
 * kernels after Linux 5.10 can preempt programs of cgroups and iterators. Two tasks of one CPU
 * would both have to be preempted within these few instructions, one by the other. What is missing
 * in the sum is then one of the `count` numbers by chance only: `count` times in 65,536.
 *
 * The loads are volatile, so that each is one load, and no value is reused. Neither clang nor a CPU
 * changes the order of accesses to one word.
 */
static __always_inline u64 take_number(u64 *word)
{
	u64 before, after, first, count;
	u16 others, place;

	before = *(volatile u64 *)word;
	atomic_add(word, 1);
	after = *(volatile u64 *)word;

	first = before & NUMBER_MASK;
	count = (after - before) & NUMBER_MASK;
	others = (after >> ESTATS_NUMBER_BITS) - (before >> ESTATS_NUMBER_BITS);
	/* The sum of `count` numbers from `first` on, less the others, less `first`. */
	place = (count - 1) * first + (count * (count - 1) >> 1) - others;
	/* The sum is mod 2^16: what is carried out of the word is lost. */
	atomic_add(word, (first + place) << ESTATS_NUMBER_BITS);
	if (place >= count || count > 1 << 16)
		return NO_NUMBER;
	return first + place;
}

#endif
