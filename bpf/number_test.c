// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whether take_number() gives each number once, and leaves none out, whatever interrupts it. A
 * program of the host: src/capture/number.rs compiles and runs it. Signal handlers stand for the
 * programs of softirqs: they nest in the same way.
 *
 *   number_test steps	x86 only: is interrupted at every instruction, and so are the interrupters
 *   number_test timers	is interrupted by two timers, whose handlers interrupt each other
 *
 * ADD_THEN_READ: with what take_number() was made to replace. Then the test has to fail.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#include "number.bpf.h"

#define BARRIER() asm volatile("" ::: "memory")

static u64 word;

static __always_inline u64 take(void)
{
#ifdef ADD_THEN_READ
	atomic_add(&word, 1);
	return *(volatile u64 *)&word - 1;
#else
	return take_number(&word);
#endif
}

static u64 end_of_numbers(void)
{
	return *(volatile u64 *)&word & NUMBER_MASK;
}

static void fail(const char *what, u64 number)
{
	printf("number %llu %s\n", number, what);
	exit(1);
}

/* How often each number from `first` on was taken. */
#define ROOM (1 << 26)
static unsigned char times[ROOM];
static u64 first;
static u64 without; /* NO_NUMBER was given */

static void note(u64 number)
{
	if (number == NO_NUMBER) {
		__atomic_fetch_add(&without, 1, __ATOMIC_RELAXED);
		return;
	}
	if (number < first || number - first >= ROOM)
		fail("is none of these", number);
	__atomic_fetch_add(&times[number - first], 1, __ATOMIC_RELAXED);
}

/* All of those taken since the last check. Returns how many stood without a number: `most` or less.
 */
static u64 check(u64 most)
{
	u64 n = end_of_numbers() - first, missing = 0, were_without = without;

	for (u64 i = 0; i < n; i++) {
		if (times[i] > 1)
			fail("stands twice", first + i);
		missing += !times[i];
		if (missing > were_without)
			fail("is missing", first + i);
	}
	if (missing < were_without || were_without > most)
		fail("times none was given", were_without);
	memset(times, 0, n);
	first += n;
	without = 0;
	return were_without;
}

#ifdef __x86_64__
/* What interrupts the programs of one depth, at which two instructions, and how often each. */
#define DEPTHS 2
#define NEVER  (~0U)
struct plan {
	u32 at[2];
	u32 each;
	u32 step; /* instructions so far */
};
static struct plan plans[DEPTHS];
static u32 depth;

/* TF: a SIGTRAP after each instruction. In a handler the kernel has cleared it. */
#define SINGLE_STEP 0x100

static void take_in_steps(void)
{
	u64 number;

	plans[depth].step = 0;
	BARRIER();
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | SINGLE_STEP);
	BARRIER();
	number = take();
	BARRIER();
	__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~SINGLE_STEP);
	BARRIER();
	note(number);
}

static void on_step(int signal)
{
	struct plan *plan = &plans[depth];
	u32 step = plan->step++;

	(void)signal;
	if (step != plan->at[0] && step != plan->at[1])
		return;
	depth++;
	for (u32 i = 0; i < plan->each; i++) {
		if (depth < DEPTHS)
			take_in_steps();
		else
			note(take());
	}
	depth--;
}

static void interrupted(struct plan outer, struct plan inner)
{
	plans[0] = outer;
	plans[1] = inner;
	take_in_steps();
}

static void steps(void)
{
	struct sigaction action = { .sa_handler = on_step, .sa_flags = SA_NODEFER };
	const struct plan never = { { NEVER, NEVER }, 0, 0 };
	u32 instructions, ways = 0;
	u64 were_without = 0;

	sigaction(SIGTRAP, &action, NULL);
	interrupted(never, never);
	check(0);
	instructions = plans[0].step;
	if (instructions < 5)
		fail("instructions are too few", instructions);
	for (u32 a = 0; a < instructions; a++) {
		for (u32 b = 0; b < instructions; b++) {
			/* One, which is interrupted by two. */
			interrupted((struct plan){ { a, NEVER }, 1, 0 },
				    (struct plan){ { b, NEVER }, 2, 0 });
			check(0);
			/* At two places, twice and by three, one of them on top of another. */
			interrupted((struct plan){ { a, b }, 1, 0 },
				    (struct plan){ { b, NEVER }, 1, 0 });
			check(0);
			ways += 2;
		}
		/* With its own and that of the one between, as many as can be distinguished. */
		interrupted((struct plan){ { a, NEVER }, 1, 0 },
			    (struct plan){ { a, NEVER }, (1 << 16) - 2, 0 });
		check(0);
		/* One more: the outer one is without a number, and all others have theirs. */
		interrupted((struct plan){ { a, NEVER }, 1, 0 },
			    (struct plan){ { a, NEVER }, (1 << 16) - 1, 0 });
		were_without += check(1);
	}
	if (!were_without)
		fail("were too many for none", were_without);
	printf("%u instructions, %u ways, %llu without a number\n", instructions, ways,
	       were_without);
}
#else
static void steps(void)
{
	fail("of instructions can be had: this needs x86", 0);
}
#endif

/*
 * One timer interrupts the main program, and its handler is interrupted by the other. Each is set
 * anew for one signal: of signals at a period, a slow machine has the next before the handler
 * begins, and so on until the stack is full.
 */
static timer_t timer_ids[2];
static volatile u32 running;
static volatile u64 interruptions[2];

static void set_timer(u32 which, long ns)
{
	struct itimerspec once = { { 0, 0 }, { 0, ns } };

	timer_settime(timer_ids[which], 0, &once, NULL);
}

static void on_timer(int signal)
{
	interruptions[running != 0]++;
	running++;
	if (signal == SIGRTMIN)
		set_timer(1, 1000 + interruptions[0] % 64 * 100);
	for (u32 i = 0; i < 200; i++)
		note(take());
	running--;
}

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void timers(void)
{
	struct sigaction action = { .sa_handler = on_timer };
	u64 before;

	for (int i = 0; i < 2; i++) {
		struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
					  .sigev_signo = SIGRTMIN + i };

		sigaction(SIGRTMIN + i, &action, NULL);
		if (timer_create(CLOCK_MONOTONIC, &event, &timer_ids[i]))
			fail("timers can be had", i);
	}
	while (cpu_seconds() < 1 && end_of_numbers() - first < ROOM / 2) {
		before = interruptions[0];
		set_timer(0, 1000 + before % 256 * 50);
		while (interruptions[0] == before && end_of_numbers() - first < ROOM / 2)
			note(take());
	}
	set_timer(0, 0);
	set_timer(1, 0);
	check(0);
	printf("%llu numbers, %llu interruptions, %llu of interrupters\n", first, interruptions[0],
	       interruptions[1]);
	if (interruptions[0] < 100 || !interruptions[1])
		fail("interruptions are too few", interruptions[0]);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "steps"))
		steps();
	else if (argc == 2 && !strcmp(argv[1], "timers"))
		timers();
	else
		return 2;
	return 0;
}
