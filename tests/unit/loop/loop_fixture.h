/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the loop's tests share: an eventfd under watch, a timer, and a clock of our own. Single
 * thread.
 */
#pragma once

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "tests/unit/unit.h"
#include "vmm/loop/loop.h"

/* One eventfd under watch and what its callback is to do. */
struct watch {
    struct loop_src src;
    struct loop *loop;
    unsigned calls;
    uint32_t revents;
    struct loop_src *remove; /* in the callback */
    bool add_again;          /* after remove */
    bool silence;            /* sets the mask of `remove` to 0 instead */
    bool keep;               /* does not take the event */
    bool stop;
};

struct tick {
    struct loop_timer timer;
    struct loop *loop;
    unsigned calls;
    char mark;
    struct loop_timer *disarm; /* in the callback */
    bool rearm;
    uint64_t rearm_ns;
    bool stop;
};

static uint64_t fake_now_ns;
static char order[64];

static inline uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fake_now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now, .ctx = NULL};

static inline struct loop *make_loop(const struct clock *clock)
{
    struct loop *loop = NULL;

    fake_now_ns = 1000 * NS_PER_S;
    memset(order, 0, sizeof(order));
    assert_int_equal(loop_create(clock, &loop, NULL), 0);
    return loop;
}

static inline void on_watch(struct loop_src *src, uint32_t revents)
{
    struct watch *watch = src->ctx;

    watch->calls++;
    watch->revents = revents;
    if (!watch->keep)
        assert_int_equal(fd_event_take(src->fd), 1);
    if (watch->remove && watch->silence) {
        assert_int_equal(loop_modify(watch->loop, watch->remove, 0), 0);
    } else if (watch->remove) {
        loop_remove(watch->loop, watch->remove);
        if (watch->add_again)
            assert_int_equal(loop_add(watch->loop, watch->remove), 0);
    }
    if (watch->stop)
        loop_stop(watch->loop);
}

static inline void watch_init(struct watch *watch, struct loop *loop, bool raised)
{
    *watch = (struct watch){.loop = loop};
    watch->src =
        (struct loop_src){.fd = fd_eventfd(), .events = EPOLLIN, .fn = on_watch, .ctx = watch};
    assert_true(watch->src.fd >= 0);
    assert_int_equal(loop_add(loop, &watch->src), 0);
    if (raised)
        assert_int_equal(fd_event_raise(watch->src.fd), 0);
}

static inline void watch_done(struct watch *watch)
{
    loop_remove(watch->loop, &watch->src);
    fd_close(&watch->src.fd);
}

static inline void on_tick(struct loop_timer *timer)
{
    struct tick *tick = timer->ctx;

    tick->calls++;
    assert_false(loop_timer_armed(timer));
    if (tick->mark)
        order[strlen(order)] = tick->mark;
    if (tick->disarm)
        loop_timer_disarm(tick->loop, tick->disarm);
    if (tick->rearm)
        loop_timer_arm(tick->loop, timer, tick->rearm_ns);
    if (tick->stop)
        loop_stop(tick->loop);
}

static inline void tick_init(struct tick *tick, struct loop *loop, char mark)
{
    *tick = (struct tick){.loop = loop, .mark = mark};
    tick->timer = (struct loop_timer){.fn = on_tick, .ctx = tick};
}
