/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the code of one clang is refused and that of another taken (docs/compilers.md).
 */
#ifndef ESTATS_CLANG_H
#define ESTATS_CLANG_H

/*
 * Adds to a counter without its value before. __sync_fetch_and_add() is refused for this: clang 21
 * and newer make an instruction of it that returns the value, even if nobody reads it, since only
 * that instruction orders memory. Clang 14 to 19 make one without. Before Linux 5.12 there is no
 * other, and the verifier refuses the whole program: "BPF_STX uses reserved fields". A counter
 * needs no order.
 */
#define atomic_add(counter, n) ((void)__atomic_fetch_add(counter, n, __ATOMIC_RELAXED))

/*
 * An index that was compared with a variable, and so that the verifier knows its bound: at most
 * `mask`. Clang may know more than the verifier. Clang 22 and newer see that the variable is a
 * small one, and leave out a mask that can change nothing. But Linux 5.10 takes no bound from a
 * comparison of two variables, and refuses the program: "unbounded memory access". So the index is
 * hidden from clang first. A 64-bit copy, since the barrier takes whole registers: of 32 bits clang
 * would make the upper half zero again.
 */
#define masked_index(index, mask)                                                                  \
	({                                                                                         \
		u64 __index = (index);                                                             \
		barrier_var(__index);                                                              \
		__index &(mask);                                                                   \
	})

/*
 * A variable that is compared with constants, and compared again after calls. Clang 22 and newer
 * keep it in one register. Linux 5.10 and 6.1 then removed as dead code what runs for other
 * constants than the first: no connection was ever established, and nothing was refused. Their
 * verifiers know on some ways the value that a comparison left, and took other ways for the same.
 * They know no value of what is read from memory at each comparison, as clang 14 to 21 did of
 * themselves.
 */
#define tested_again volatile

#endif
