/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop of the vmm thread: epoll over file descriptors, one-shot timers, posts, a stop
 * flag. Everything runs on the thread that calls loop_run, except loop_stop and loop_post, which
 * any thread may call. News goes up only through the callbacks stored here (ARCHITECTURE.md).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"

struct loop;

/*
 * One watched fd, in the caller's storage. Set fd, events (EPOLLIN, EPOLLOUT, ...), fn and ctx
 * before loop_add; the loop owns `added`. The fd stays the caller's and must be removed before it
 * is closed.
 */
struct loop_src {
    int fd;
    uint32_t events;
    void (*fn)(struct loop_src *src, uint32_t revents);
    void *ctx;
    bool added;
};

/* One-shot timer in the caller's storage. Set fn and ctx; the loop owns the rest. */
struct loop_timer {
    void (*fn)(struct loop_timer *timer);
    void *ctx;
    uint64_t due_ns; /* monotonic; 0: not armed */
    struct loop_timer *next;
};

/*
 * News from other threads, in the caller's storage: set fn and ctx before loop_post_add; the loop
 * owns the rest.
 */
struct loop_post {
    void (*fn)(struct loop_post *post);
    void *ctx;
    _Atomic bool pending;
    struct loop_post *next;
};

/* Creates a loop. clock: borrowed for the loop's life (tests bring their own).
 * Returns 0 with *ret_loop (loop_free frees it) or -errno. */
MUST_CHECK int loop_create(const struct clock *clock, struct loop **ret_loop, struct err *err);

/* Frees the loop; sources and timers are the callers'. NULL is fine. */
void loop_free(struct loop *loop);

/* Watches src->fd for src->events. Returns 0, -EEXIST when added already, or -errno of
 * epoll_ctl. */
MUST_CHECK int loop_add(struct loop *loop, struct loop_src *src);

/* Changes the events of an added source; 0 keeps it added but silent, hang-up and errors
 * included, and drops what was collected for it. Returns 0, -ENOENT when not added, or -errno of
 * epoll_ctl. */
MUST_CHECK int loop_modify(struct loop *loop, struct loop_src *src, uint32_t events);

/* Forgets an added source; safe from inside any callback, also its own; not added is fine. After
 * this the source's callback is not called again, even when its event was already collected. */
void loop_remove(struct loop *loop, struct loop_src *src);

/* Arms (or moves) a timer to fire `delay_ns` from now, at least once the loop runs. */
void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns);

/* Disarms; not armed is fine. */
void loop_timer_disarm(struct loop *loop, struct loop_timer *timer);

static inline bool loop_timer_armed(const struct loop_timer *timer)
{
    return timer->due_ns != 0;
}

/* Runs callbacks until loop_stop. Returns 0, or -errno when epoll itself fails. */
MUST_CHECK int loop_run(struct loop *loop, struct err *err);

/* Waits at most timeout_ms (-1: for ever, 0: not at all) for one batch of events and due timers,
 * and runs their callbacks. Returns the number of callbacks run (0 too when interrupted or
 * stopped), -EBUSY from inside a callback, or -errno. For tests and for phases before the run. */
MUST_CHECK int loop_turn(struct loop *loop, int timeout_ms);

/* Makes loop_run return after the callback that is running. Any thread; safe in a signal
 * handler. */
void loop_stop(struct loop *loop);

/* Lets other threads call `post` on this loop. Thread: the loop's. */
void loop_post_add(struct loop *loop, struct loop_post *post);

/* Forgets a post; not added is fine. A post's own callback may do it. Thread: the loop's. */
void loop_post_remove(struct loop *loop, struct loop_post *post);

/* Has post->fn called on the loop soon; several calls before that are one. Any thread; safe in a
 * signal handler. The post must be added. */
void loop_post(struct loop *loop, struct loop_post *post);
