/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock device (virtio 1.2, 5.10; vsock.md): its life, events and time.
 */
#include "devices/vsock/vsock.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "devices/vsock/vsock_int.h"

/* An interrupt for no more than packets taken waits so long, and for less than this part of the
 * ring. */
#define LAZY_NS NS_PER_MS
#define LAZY_PART 4

#define BIND_FAILED "Error binding to the host-side Unix socket: "

/* virtio 1.2, 5.10.4 */
struct wire_config {
    le64_t guest_cid;
};
static_assert(sizeof(struct wire_config) == 8, "virtio 1.2, 5.10.4");

void vsock_watch_listener(struct vsock *vsock)
{
    bool watched = !vsock->parked && !vsock->accept_failed;
    if (loop_modify(vsock->env.loop, &vsock->listener, watched ? EPOLLIN : 0) < 0)
        vsock_watch_failed(vsock);
}

void vsock_watch_failed(struct vsock *vsock)
{
    metric_inc(&metrics.vsock.muxer_event_fails);
    vsock->watch_failed = true;
    vsock_arm_timer(vsock);
}

void vsock_arm_timer(struct vsock *vsock)
{
    const struct vsock_conn *first = TAILQ_FIRST(&vsock->expiring);
    uint64_t now_ns = clock_now_ns(vsock->env.clock);
    uint64_t delay_ns = UINT64_MAX;
    if (first)
        delay_ns = first->deadline_ns > now_ns ? first->deadline_ns - now_ns : 0;
    bool retries = vsock->connecting_count > 0 || vsock->accept_failed || vsock->watch_failed;
    if (retries && delay_ns > VSOCK_RETRY_NS)
        delay_ns = VSOCK_RETRY_NS;
    if (delay_ns < UINT64_MAX)
        loop_timer_arm(vsock->env.loop, &vsock->timer, delay_ns);
    else
        loop_timer_disarm(vsock->env.loop, &vsock->timer);
}

/* The device serves after a while in which it did not: what was silent is looked at, and nobody's
 * time has gone on. */
static void unpark(struct vsock *vsock)
{
    struct vsock_conn *conn;

    if (!vsock->parked)
        return;
    uint64_t away_ns = clock_now_ns(vsock->env.clock) - vsock->parked_at_ns;
    vsock->parked = false;
    TAILQ_FOREACH(conn, &vsock->all, in_all)
    {
        if (conn->deadline_ns)
            conn->deadline_ns += away_ns;
        vsock_conn_watch(conn);
    }
    vsock_watch_listener(vsock);
    vsock_arm_timer(vsock);
}

static void park(struct vsock *vsock)
{
    if (vsock->parked)
        return;
    vsock->parked = true;
    vsock->parked_at_ns = clock_now_ns(vsock->env.clock);
    vsock_watch_listener(vsock);
    loop_timer_disarm(vsock->env.loop, &vsock->timer);
}

/* Publishes everything. That the guest's packets were taken is no news that it waits for: that
 * comes with the next packet to it, or when the ring fills, or a millisecond later. */
static void flush(struct vsock *vsock)
{
    const struct vq *tx = &vsock->dev.queues[VSOCK_TX];
    uint16_t untold = (uint16_t)(tx->next_used - tx->signalled);
    bool waits =
        virtio_queues_flush(&vsock->dev, untold < tx->setup.size / LAZY_PART ? 1u << VSOCK_TX : 0);
    if (!waits)
        loop_timer_disarm(vsock->env.loop, &vsock->lazy_timer);
    else if (!loop_timer_armed(&vsock->lazy_timer))
        loop_timer_arm(vsock->env.loop, &vsock->lazy_timer, LAZY_NS);
}

static void on_lazy_timer(struct loop_timer *timer)
{
    struct vsock *vsock = timer->ctx;
    (void)pthread_mutex_lock(&vsock->dev.lock);
    if (virtio_serves(&vsock->dev))
        IGNORE_RESULT(virtio_queues_flush(&vsock->dev, 0)); /* nothing waits then */
    (void)pthread_mutex_unlock(&vsock->dev.lock);
}

/* Under the lock. True: the device serves. A former driver's streams are gone after it. */
static bool serves_now(struct vsock *vsock)
{
    if (vsock->stale)
        vsock_conn_remove_all(vsock);
    if (!virtio_serves(&vsock->dev))
        park(vsock);
    else
        unpark(vsock);
    return !vsock->parked;
}

static bool event_begin(struct vsock *vsock)
{
    (void)pthread_mutex_lock(&vsock->dev.lock);
    return serves_now(vsock);
}

/* Ends one that made something for the guest. */
static void event_end(struct vsock *vsock)
{
    if (!vsock->parked) {
        vsock_rx_serve(vsock);
        flush(vsock);
    }
    (void)pthread_mutex_unlock(&vsock->dev.lock);
}

static void silence(struct vsock *vsock, struct loop_src *src)
{
    IGNORE_RESULT(loop_modify(vsock->env.loop, src, 0)); /* added: cannot fail */
}

void vsock_on_socket(struct loop_src *src, uint32_t revents)
{
    struct vsock_conn *conn = src->ctx;
    struct vsock *vsock = conn->vsock;

    (void)pthread_mutex_lock(&vsock->dev.lock);
    bool gone = vsock->stale; /* the stream too */
    bool serves = serves_now(vsock);
    if (serves && !gone)
        vsock_conn_on_host(conn, revents);
    else if (!gone)
        silence(vsock, src);
    event_end(vsock);
}

static void on_listener(struct loop_src *src, uint32_t revents)
{
    struct vsock *vsock = src->ctx;
    (void)revents; /* an error shows in the accept */
    if (event_begin(vsock))
        vsock_host_accept(vsock);
    event_end(vsock);
}

/* Sockets that the kernel did not take are offered again. */
static void rewatch(struct vsock *vsock)
{
    struct vsock_conn *conn;
    if (!vsock->watch_failed)
        return;
    vsock->watch_failed = false;
    TAILQ_FOREACH(conn, &vsock->all, in_all)
    {
        vsock_conn_watch(conn);
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct vsock *vsock = timer->ctx;
    if (event_begin(vsock)) {
        uint64_t now_ns = clock_now_ns(vsock->env.clock);
        struct vsock_conn *conn;
        vsock->accept_failed = false;
        vsock_watch_listener(vsock);
        rewatch(vsock);
        vsock_host_retry(vsock);
        while ((conn = TAILQ_FIRST(&vsock->expiring)) && conn->deadline_ns <= now_ns)
            vsock_conn_kill(conn);
        vsock_arm_timer(vsock);
    }
    event_end(vsock);
}

/* The driver was reset. */
static void on_post(struct loop_post *post)
{
    struct vsock *vsock = post->ctx;
    (void)event_begin(vsock); /* that is all there is to do */
    event_end(vsock);
}

/* The guest gives the event's buffer back when it has taken note of the event (vsock.md 6); a kick
 * of ours alone does not say so. */
static void on_event_queue(struct vsock *vsock)
{
    if (vq_notify_next(&vsock->dev.queues[VSOCK_EVENT]) != vsock->reset_avail_idx)
        vsock->reset_pending = false;
}

static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    struct vsock *vsock = vsock_of(dev);
    (void)serves_now(vsock); /* it does: the caller has looked */
    if (idx == VSOCK_EVENT)
        on_event_queue(vsock);
    if (idx == VSOCK_RX)
        metric_inc(&metrics.vsock.rx_queue_event_count);
    if (idx == VSOCK_TX) {
        metric_inc(&metrics.vsock.tx_queue_event_count);
        vsock_tx_serve(vsock);
    }
    vsock_rx_serve(vsock);
    flush(vsock);
}

static int activate(struct virtio_dev *dev)
{
    (void)dev; /* its queues are served next, on the loop */
    return 0;
}

/* On a vCPU's thread: the sockets are the loop's. */
static void reset(struct virtio_dev *dev)
{
    struct vsock *vsock = vsock_of(dev);
    vsock->stale = true;
    vsock->reset_pending = false;
    loop_post(vsock->env.loop, &vsock->post);
}

/* No chain is ever kept; sockets that have something are silenced when they say so. */
static int quiesce(struct virtio_dev *dev, uint64_t until_ns)
{
    struct vsock *vsock = vsock_of(dev);
    (void)until_ns; /* takes no time */
    loop_timer_disarm(vsock->env.loop, &vsock->lazy_timer);
    IGNORE_RESULT(virtio_queues_flush(dev, 0)); /* nothing waits then */
    park(vsock);
    return 0;
}

static const struct virtio_dev_ops vsock_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = on_queue,
    .quiesce = quiesce,
};

static int start_listening(struct vsock *vsock, struct err *err)
{
    int fd = uds_listen(vsock->uds_path);
    if (fd < 0)
        return err_set(err, fd, BIND_FAILED "%s", ERR_OS(fd));
    vsock->listener.fd = fd;
    struct stat stat = {0}; /* an abstract name has no file */
    (void)lstat(vsock->uds_path, &stat);
    vsock->file_dev = stat.st_dev;
    vsock->file_ino = stat.st_ino;
    int rc = loop_add(vsock->env.loop, &vsock->listener); /* silent until the driver is ready */
    if (rc == 0)
        return 0;
    struct err unlink_err = ERR_INIT; /* the first failure is the one to tell */
    IGNORE_RESULT(vsock_unlink(vsock, &unlink_err));
    return err_set(err, rc, "watching %s: %s", vsock->uds_path, ERR_OS(rc));
}

static void vsock_init(struct vsock *vsock, const struct cfg_vsock *config,
                       const struct vsock_env *env)
{
    const struct wire_config wire = {le64_put(config->guest_cid)};

    vsock->env = *env;
    vsock->guest_cid = config->guest_cid;
    vsock->parked = true;
    vsock->parked_at_ns = clock_now_ns(env->clock);
    vsock->listener = (struct loop_src){.fd = FD_NONE, .fn = on_listener, .ctx = vsock};
    vsock->timer = (struct loop_timer){.fn = on_timer, .ctx = vsock};
    vsock->lazy_timer = (struct loop_timer){.fn = on_lazy_timer, .ctx = vsock};
    vsock->post = (struct loop_post){.fn = on_post, .ctx = vsock};
    vsock_table_init(vsock);
    loop_post_add(env->loop, &vsock->post);
    /* Everything is used in the order in which it came; no table of descriptors (vsock.md 2). */
    vsock->dev.offered |= 1ull << VIRTIO_F_IN_ORDER;
    vsock->dev.offered &= ~(1ull << VIRTIO_RING_F_INDIRECT_DESC);
    vsock->dev.activate_fails = &metrics.vsock.activate_fails;
    vsock->dev.cfg_fails = &metrics.vsock.cfg_fails;
    memcpy(vsock->dev.config, &wire, sizeof(wire));
    vsock->dev.config_size = sizeof(wire);
}

int vsock_create(const struct cfg_vsock *config, const struct vsock_env *env,
                 struct vsock **ret_vsock, struct err *err)
{
    size_t path_size = strlen(config->uds_path) + 1;
    struct vsock *vsock = calloc(1, sizeof(*vsock));
    if (!vsock)
        return err_set(err, -ENOMEM, "no memory for the vsock device");
    if (path_size > sizeof(vsock->uds_path)) {
        free(vsock);
        return err_set(err, -ENAMETOOLONG, BIND_FAILED "path must be shorter than SUN_LEN");
    }
    int rc = virtio_dev_init(&vsock->dev, &vsock_ops, VIRTIO_ID_VSOCK, VSOCK_QUEUES_COUNT);
    if (rc < 0) {
        free(vsock);
        return err_set(err, rc, "vsock device: %s", ERR_OS(rc));
    }
    memcpy(vsock->uds_path, config->uds_path, path_size);
    vsock_init(vsock, config, env);
    rc = start_listening(vsock, err);
    if (rc < 0) {
        vsock_free(vsock);
        return rc;
    }
    *ret_vsock = vsock;
    return 0;
}

void vsock_free(struct vsock *vsock)
{
    if (!vsock)
        return;
    vsock_conn_remove_all(vsock);
    loop_timer_disarm(vsock->env.loop, &vsock->timer);
    loop_timer_disarm(vsock->env.loop, &vsock->lazy_timer);
    loop_post_remove(vsock->env.loop, &vsock->post);
    loop_remove(vsock->env.loop, &vsock->listener);
    fd_close(&vsock->listener.fd);
    virtio_dev_done(&vsock->dev);
    free(vsock);
}

int vsock_unlink(const struct vsock *vsock, struct err *err)
{
    struct stat stat;
    if (lstat(vsock->uds_path, &stat) < 0)
        return err_set(err, -errno, BIND_FAILED "%s", ERR_OS(errno));
    if (stat.st_dev != vsock->file_dev || stat.st_ino != vsock->file_ino)
        return 0; /* somebody else's: it stays */
    if (unlink(vsock->uds_path) < 0)
        return err_set(err, -errno, BIND_FAILED "%s", ERR_OS(errno));
    return 0;
}

struct virtio_dev *vsock_virtio(struct vsock *vsock)
{
    return &vsock->dev;
}
