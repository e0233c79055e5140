/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one epoll instance, timers as a sorted list, a stop flag and posts behind one
 * eventfd. Thread: the one that runs it; loop_stop and loop_post: any. Timers are the wait's
 * timeout, rounded up to the next millisecond: no timerfd, so arming costs no syscall, and no
 * epoll_pwait2, which kernel 5.10 lacks. A timer is never early and at most a millisecond (beside
 * scheduling) late.
 */
#include "vmm/loop/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"

/* Events that one wait collects. */
#define LOOP_BATCH_MAX 32

struct loop {
    const struct clock *clock;
    int epoll_fd;
    int wake_fd;
    atomic_bool stop;
    bool turning; /* a wait's events are being delivered */
    struct loop_post *posts;
    struct loop_post *posts_next; /* the one to be looked at next, while they are delivered */
    struct loop_timer *first;     /* sorted by due_ns; equal ones in the order of arming */
    int events_count;             /* of the batch being delivered */
    int events_next;
    struct epoll_event events[LOOP_BATCH_MAX]; /* data.ptr: source; NULL: forgotten meanwhile */
};

int loop_create(const struct clock *clock, struct loop **ret_loop, struct err *err)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    if (!loop)
        return err_set(err, -ENOMEM, "Cannot create the event loop: %s", ERR_OS(ENOMEM));
    loop->clock = clock;
    loop->wake_fd = FD_NONE;

    int rc = 0;
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        rc = -errno;
        goto err_free;
    }
    rc = fd_eventfd();
    if (rc < 0)
        goto err_free;
    loop->wake_fd = rc;
    /* The loop itself stands for its wake eventfd. Each write is an edge: nobody needs to read it,
     * and its counter lasts longer than any machine. */
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = loop};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &event) < 0) {
        rc = -errno;
        goto err_free;
    }
    *ret_loop = loop;
    return 0;

err_free:
    loop_free(loop);
    return err_set(err, rc, "Cannot create the event loop: %s", ERR_OS(rc));
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    fd_close(&loop->wake_fd);
    fd_close(&loop->epoll_fd);
    free(loop);
}

/* epoll reports EPOLLERR and EPOLLHUP whatever the mask: only a source that is not registered is
 * silent. */
static int src_control(struct loop *loop, struct loop_src *src, uint32_t from, uint32_t to)
{
    if (from == 0 && to == 0)
        return 0;
    int op = from == 0 ? EPOLL_CTL_ADD : to == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = to, .data.ptr = src};

    return epoll_ctl(loop->epoll_fd, op, src->fd, &event) < 0 ? -errno : 0;
}

/* Drops what was collected for the source and not delivered yet. */
static void src_forget_events(struct loop *loop, const struct loop_src *src)
{
    for (int i = loop->events_next; i < loop->events_count; i++) {
        if (loop->events[i].data.ptr == src)
            loop->events[i].data.ptr = NULL;
    }
}

int loop_add(struct loop *loop, struct loop_src *src)
{
    if (src->added)
        return -EEXIST;
    int rc = src_control(loop, src, 0, src->events);
    src->added = rc == 0;
    return rc;
}

int loop_modify(struct loop *loop, struct loop_src *src, uint32_t events)
{
    if (!src->added)
        return -ENOENT;
    if (events == src->events)
        return 0;
    int rc = src_control(loop, src, src->events, events);
    if (rc < 0)
        return rc;
    src->events = events;
    if (events == 0)
        src_forget_events(loop, src);
    return 0;
}

void loop_remove(struct loop *loop, struct loop_src *src)
{
    if (!src->added)
        return;
    /* Fails only when the fd was closed too early, and then epoll has forgotten it already. */
    (void)src_control(loop, src, src->events, 0);
    src_forget_events(loop, src);
    src->added = false;
}

void loop_timer_disarm(struct loop *loop, struct loop_timer *timer)
{
    if (!loop_timer_armed(timer))
        return;
    struct loop_timer **link = &loop->first;
    while (*link && *link != timer)
        link = &(*link)->next;
    if (*link)
        *link = timer->next;
    timer->next = NULL;
    timer->due_ns = 0;
}

void loop_timer_arm(struct loop *loop, struct loop_timer *timer, uint64_t delay_ns)
{
    loop_timer_disarm(loop, timer);

    uint64_t due_ns;
    if (__builtin_add_overflow(clock_now_ns(loop->clock), delay_ns, &due_ns))
        due_ns = UINT64_MAX;
    timer->due_ns = due_ns ? due_ns : 1;

    struct loop_timer **link = &loop->first;
    while (*link && (*link)->due_ns <= timer->due_ns)
        link = &(*link)->next;
    timer->next = *link;
    *link = timer;
}

/* The wait's timeout: at most timeout_ms (-1: no bound), and not beyond the first timer. */
static int wait_ms(const struct loop *loop, int timeout_ms)
{
    if (!loop->first || timeout_ms == 0)
        return timeout_ms;

    uint64_t now_ns = clock_now_ns(loop->clock);
    if (loop->first->due_ns <= now_ns)
        return 0;
    uint64_t left_ms = (loop->first->due_ns - now_ns - 1) / NS_PER_MS + 1;
    if (timeout_ms > 0 && left_ms > (uint64_t)timeout_ms)
        return timeout_ms;
    return left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static bool is_stopped(const struct loop *loop)
{
    return atomic_load_explicit(&loop->stop, memory_order_acquire);
}

/* Runs the posts that were made; returns how many. */
static int deliver_posts(struct loop *loop)
{
    int ran = 0;

    for (struct loop_post *post = loop->posts; post && !is_stopped(loop); post = loop->posts_next) {
        loop->posts_next = post->next;
        if (atomic_exchange_explicit(&post->pending, false, memory_order_acq_rel)) {
            post->fn(post);
            ran++;
        }
    }
    return ran;
}

/* Delivers the batch; returns the number of callbacks run. */
static int deliver_events(struct loop *loop)
{
    int ran = 0;

    while (loop->events_next < loop->events_count && !is_stopped(loop)) {
        const struct epoll_event event = loop->events[loop->events_next++];
        struct loop_src *src = event.data.ptr;
        if (!src)
            continue;
        if (event.data.ptr == loop) {
            ran += deliver_posts(loop);
            continue;
        }
        /* A callback may have narrowed the mask since the event was collected. */
        uint32_t revents = event.events & (src->events | EPOLLERR | EPOLLHUP);
        if (revents == 0)
            continue;
        src->fn(src, revents);
        ran++;
    }
    /* What a stop left over is level-triggered and comes again. */
    loop->events_next = 0;
    loop->events_count = 0;
    return ran;
}

/* Fires what is due now. What callbacks arm meanwhile has to wait for the next turn. */
static int fire_timers(struct loop *loop)
{
    if (!loop->first)
        return 0;

    uint64_t now_ns = clock_now_ns(loop->clock);
    uint32_t budget = 0;
    for (const struct loop_timer *at = loop->first; at && at->due_ns <= now_ns; at = at->next)
        budget++;

    int ran = 0;
    while (budget-- > 0 && loop->first && loop->first->due_ns <= now_ns && !is_stopped(loop)) {
        struct loop_timer *timer = loop->first;
        loop_timer_disarm(loop, timer);
        timer->fn(timer);
        ran++;
    }
    return ran;
}

int loop_turn(struct loop *loop, int timeout_ms)
{
    if (loop->turning)
        return -EBUSY;
    if (is_stopped(loop))
        return 0;

    int count = epoll_wait(loop->epoll_fd, loop->events, LOOP_BATCH_MAX, wait_ms(loop, timeout_ms));
    if (count < 0 && errno != EINTR)
        return -errno;

    loop->turning = true;
    loop->events_next = 0;
    loop->events_count = count < 0 ? 0 : count;
    int ran = deliver_events(loop);
    ran += fire_timers(loop);
    loop->turning = false;
    return ran;
}

int loop_run(struct loop *loop, struct err *err)
{
    while (!is_stopped(loop)) {
        int rc = loop_turn(loop, -1);
        if (rc < 0)
            return err_set(err, rc, "Cannot wait for events: %s", ERR_OS(rc));
    }
    /* The stop is used up, so that the loop can run again. */
    int rc = fd_event_take(loop->wake_fd);
    if (rc < 0)
        return err_set(err, rc, "Cannot reset the event loop: %s", ERR_OS(rc));
    atomic_store_explicit(&loop->stop, false, memory_order_release);
    /* So are the wake-ups of posts that were not delivered: the next run must look at them. */
    return loop->posts ? fd_event_raise(loop->wake_fd) : 0;
}

static void wake(struct loop *loop)
{
    int saved = errno;
    /* Cannot fail for an open eventfd; were it to, the flag is still seen by the turn that runs. */
    IGNORE_RESULT(fd_event_raise(loop->wake_fd));
    errno = saved;
}

void loop_stop(struct loop *loop)
{
    atomic_store_explicit(&loop->stop, true, memory_order_release);
    wake(loop);
}

void loop_post_add(struct loop *loop, struct loop_post *post)
{
    atomic_store_explicit(&post->pending, false, memory_order_relaxed);
    post->next = loop->posts;
    loop->posts = post;
}

void loop_post_remove(struct loop *loop, struct loop_post *post)
{
    if (loop->posts_next == post)
        loop->posts_next = post->next;
    for (struct loop_post **at = &loop->posts; *at; at = &(*at)->next) {
        if (*at == post) {
            *at = post->next;
            return;
        }
    }
}

void loop_post(struct loop *loop, struct loop_post *post)
{
    atomic_store_explicit(&post->pending, true, memory_order_release);
    wake(loop);
}
