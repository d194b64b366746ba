/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the state of connections and owners is kept, and how a socket is read. Both variants offer
 * the same functions: bodies do not know which they run on.
 */
#ifndef ESTATS_STATE_BPF_H
#define ESTATS_STATE_BPF_H

#ifdef ESTATS_KPROBE
#include "state_hash.bpf.h"
#else
#include "state_storage.bpf.h"
#endif

#endif
