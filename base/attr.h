/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiler attributes and tiny generic macros that every room uses.
 * Any thread; no state.
 */
#pragma once

#include <stddef.h>

/* The caller must look at the result; ignoring on purpose is IGNORE_RESULT plus a reason. */
#define MUST_CHECK __attribute__((warn_unused_result))
#define IGNORE_RESULT(call)                                                                        \
    do {                                                                                           \
        if (call) {                                                                                \
        }                                                                                          \
    } while (0)
/* A large local that is written before it is read, on a hot path: not filled with zeros first, as
 * -ftrivial-auto-var-init has it for all others. */
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized))
#else
#define UNINITIALIZED
#endif
/* Keeps a large frame out of a caller that lives long. */
#define NO_INLINE __attribute__((noinline))
#define PRINTF_LIKE(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* The object of type `type` whose member `member` is at `ptr`. */
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
