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

#endif
