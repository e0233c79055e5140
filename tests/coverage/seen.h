/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the recorder's program in the kernel and the one that loads it.
 */
#pragma once

#define SEEN_CALLS_MAX 512
#define SEEN_ARGS_MAX 2

/* Which arguments of a call matter: indexes, or 6 for none. */
struct seen_wanted {
    unsigned char args[SEEN_ARGS_MAX];
};

/* One kind of call by one kind of thread. */
struct seen_key {
    char comm[16];
    unsigned int filters; /* how many the thread was under */
    unsigned int number;
    unsigned long long args[SEEN_ARGS_MAX];
};
