/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net device (virtio 1.2, 5.1; devices.md 4): its life, features and events.
 */
#include "devices/net/net.h"

#include <assert.h>
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/net/net_int.h"

/* Linux 6.2; Debian 12's headers are older. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* Config space, virtio 1.2, 5.1.4, as far as its features are offered. */
struct net_wire_config {
    uint8_t mac[6];
    le16_t status;
    le16_t max_virtqueue_pairs;
    le16_t mtu;
};
static_assert(sizeof(struct net_wire_config) == 12, "virtio 1.2, 5.1.4");

static void on_rx_unblocked(void *ctx)
{
    struct net *net = ctx;
    (void)pthread_mutex_lock(&net->dev.lock);
    metric_inc(&net->metrics->rx_event_rate_limiter_count);
    if (virtio_serves(&net->dev))
        net_rx_serve(net);
    (void)pthread_mutex_unlock(&net->dev.lock);
}

static void on_tx_unblocked(void *ctx)
{
    struct net *net = ctx;
    (void)pthread_mutex_lock(&net->dev.lock);
    metric_inc(&net->metrics->tx_rate_limiter_event_count);
    if (virtio_serves(&net->dev))
        net_tx_serve(net);
    (void)pthread_mutex_unlock(&net->dev.lock);
}

static void on_tap(struct loop_src *src, uint32_t revents)
{
    struct net *net = src->ctx;
    (void)revents; /* an error shows in the read */
    (void)pthread_mutex_lock(&net->dev.lock);
    metric_inc(&net->metrics->rx_tap_event_count);
    if (virtio_serves(&net->dev))
        net_rx_serve(net);
    else
        IGNORE_RESULT(loop_modify(net->env.loop, src, 0)); /* added: cannot fail */
    (void)pthread_mutex_unlock(&net->dev.lock);
}

static void on_filter_due(struct loop_timer *timer)
{
    struct net *net = timer->ctx;
    (void)pthread_mutex_lock(&net->dev.lock);
    if (virtio_serves(&net->dev)) /* else the next pass arms it again */
        net_rx_serve(net);
    (void)pthread_mutex_unlock(&net->dev.lock);
}

static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    struct net *net = net_of(dev);
    if (idx == NET_RX) {
        metric_inc(&net->metrics->rx_queue_event_count);
        net_rx_serve(net);
    } else {
        metric_inc(&net->metrics->tx_queue_event_count);
        net_tx_serve(net);
    }
}

/* What the guest does itself when it receives: the TAP may leave it undone. */
static unsigned guest_offload(const struct virtio_dev *dev)
{
    static const struct {
        uint32_t feature;
        unsigned offload;
    } offloads[] = {
        {VIRTIO_NET_F_GUEST_CSUM, TUN_F_CSUM}, {VIRTIO_NET_F_GUEST_TSO4, TUN_F_TSO4},
        {VIRTIO_NET_F_GUEST_TSO6, TUN_F_TSO6}, {VIRTIO_NET_F_GUEST_UFO, TUN_F_UFO},
        {NET_F_GUEST_USO4, TUN_F_USO4},        {NET_F_GUEST_USO6, TUN_F_USO6},
    };
    unsigned offload = 0;
    for (size_t i = 0; i < ARRAY_LEN(offloads); i++)
        offload |= virtio_has(dev, offloads[i].feature) ? offloads[i].offload : 0;
    /* The kernel takes both kinds of UDP segmentation together, and segments only with
     * checksums. */
    if (!virtio_has(dev, NET_F_GUEST_USO4) || !virtio_has(dev, NET_F_GUEST_USO6))
        offload &= ~(unsigned)(TUN_F_USO4 | TUN_F_USO6);
    return offload & TUN_F_CSUM ? offload : 0;
}

static int activate(struct virtio_dev *dev)
{
    const struct net *net = net_of(dev);
    return net->env.tap_set_offload(&net->tap, guest_offload(dev));
}

static void reset(struct virtio_dev *dev)
{
    struct net *net = net_of(dev);
    net_rx_forget(net); /* the TAP's event and the timer find the device not serving and stop */
    net->filter_took = false;
    if (net->filter)
        net->filter->ops->reset(net->filter);
}

/* Nothing is ever in flight; the buffers popped ahead go back, so that a saved ring is whole. */
static int quiesce(struct virtio_dev *dev, uint64_t until_ns)
{
    (void)until_ns; /* takes no time */
    net_rx_return(net_of(dev));
    return 0;
}

static const struct virtio_dev_ops net_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = on_queue,
    .quiesce = quiesce,
};

static uint64_t features_of(const struct cfg_nic *nic, const struct tap *tap)
{
    static const uint32_t always[] = {
        VIRTIO_NET_F_CSUM,       VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4,
        VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_HOST_TSO4,  VIRTIO_NET_F_HOST_TSO6,
        VIRTIO_NET_F_MRG_RXBUF,
    };
    uint64_t bits = 0;
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        bits |= 1ull << always[i];
    if (tap->has_ufo)
        bits |= 1ull << VIRTIO_NET_F_GUEST_UFO | 1ull << VIRTIO_NET_F_HOST_UFO;
    if (tap->has_uso)
        bits |= 1ull << NET_F_GUEST_USO4 | 1ull << NET_F_GUEST_USO6 | 1ull << NET_F_HOST_USO;
    if (nic->has_guest_mac)
        bits |= 1ull << VIRTIO_NET_F_MAC;
    if (nic->has_mtu)
        bits |= 1ull << VIRTIO_NET_F_MTU;
    return bits;
}

static void fill_config(struct net *net, const struct cfg_nic *nic)
{
    struct net_wire_config config = {.mtu = le16_put(nic->has_mtu ? nic->mtu : 0)};
    net->has_mac = nic->has_guest_mac;
    memcpy(net->mac, nic->guest_mac, sizeof(net->mac));
    memcpy(config.mac, nic->guest_mac, sizeof(config.mac));
    memcpy(net->dev.config, &config, sizeof(config));
    net->dev.config_size = sizeof(config);
}

static struct rl_bucket_config bucket_config(const struct cfg_bucket *bucket)
{
    return rl_bucket_asked(bucket->present, bucket->size, bucket->one_time_burst,
                           bucket->refill_time_ms);
}

static void limiter_init(struct rl *rl, const struct cfg_rate_limiter *limiter,
                         const struct net_env *env, void (*on_unblocked)(void *ctx),
                         struct net *net)
{
    const struct rl_bucket_config configs[RL_KINDS_COUNT] = {
        [RL_BYTES] = bucket_config(&limiter->bandwidth),
        [RL_OPS] = bucket_config(&limiter->ops),
    };
    rl_init(rl, configs, env->clock, env->loop, on_unblocked, net);
}

static int open_backend(struct net *net, const struct cfg_nic *nic, const struct net_env *env,
                        struct err *err)
{
    int rc = env->tap_open(nic->host_dev_name, &net->tap, err);
    if (rc < 0)
        return rc;
    rc = metrics_net_of(nic->iface_id, &net->metrics); /* for ever: of what can be opened only */
    if (rc < 0)
        return err_set(err, rc, "no room for the metrics of interface %s: %s", nic->iface_id,
                       ERR_OS(rc));
    net->src = (struct loop_src){.fd = net->tap.fd, .fn = on_tap, .ctx = net};
    rc = loop_add(env->loop, &net->src); /* silent until the driver is ready */
    return rc < 0 ? err_set(err, rc, "watching %s: %s", net->tap.name, ERR_OS(rc)) : 0;
}

int net_create(const struct cfg_nic *nic, const struct net_env *env, struct net **ret_net,
               struct err *err)
{
    struct net *net = calloc(1, sizeof(*net));
    if (!net)
        return err_set(err, -ENOMEM, "no memory for interface %s", nic->iface_id);
    net->tap.fd = FD_NONE;
    net->env = *env;
    net->filter_timer = (struct loop_timer){.fn = on_filter_due, .ctx = net};
    int rc = virtio_dev_init(&net->dev, &net_ops, VIRTIO_ID_NET, 2);
    if (rc < 0) {
        free(net);
        return err_set(err, rc, "interface %s: %s", nic->iface_id, ERR_OS(rc));
    }
    rc = open_backend(net, nic, env, err);
    if (rc < 0) {
        tap_close(&net->tap);
        virtio_dev_done(&net->dev);
        free(net);
        return rc;
    }
    net->dev.activate_fails = &net->metrics->activate_fails;
    net->dev.cfg_fails = &net->metrics->cfg_fails;
    net->dev.offered |= features_of(nic, &net->tap);
    fill_config(net, nic);
    limiter_init(&net->rx_rl, &nic->rx_rate_limiter, env, on_rx_unblocked, net);
    limiter_init(&net->tx_rl, &nic->tx_rate_limiter, env, on_tx_unblocked, net);
    *ret_net = net;
    return 0;
}

void net_free(struct net *net)
{
    if (!net)
        return;
    rl_done(&net->rx_rl);
    rl_done(&net->tx_rl);
    loop_timer_disarm(net->env.loop, &net->filter_timer);
    loop_remove(net->env.loop, &net->src);
    tap_close(&net->tap);
    virtio_dev_done(&net->dev);
    free(net);
}

struct virtio_dev *net_virtio(struct net *net)
{
    return &net->dev;
}

void net_set_filter(struct net *net, struct frame_filter *filter)
{
    (void)pthread_mutex_lock(&net->dev.lock);
    net->filter = filter;
    if (!filter)
        loop_timer_disarm(net->env.loop, &net->filter_timer);
    (void)pthread_mutex_unlock(&net->dev.lock);
}

const char *net_host_name(const struct net *net)
{
    return net->tap.name;
}

static void replace_limiter(struct net *net, struct rl *rl, const struct cfg_rate_limiter *limiter,
                            uint32_t queue)
{
    const struct cfg_bucket *buckets[RL_KINDS_COUNT] = {
        [RL_BYTES] = &limiter->bandwidth, [RL_OPS] = &limiter->ops};
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        if (!buckets[kind]->present)
            continue;
        const struct rl_bucket_config config = bucket_config(buckets[kind]);
        rl_replace(rl, (enum rl_kind)kind, &config);
    }
    if (!rl_limits(rl)) { /* nothing waits any more, and no wait is worth its timer */
        rl_done(rl);
        if (virtio_serves(&net->dev))
            virtio_kick_self(&net->dev, queue);
    }
}

void net_replace_limiters(struct net *net, const struct cfg_rate_limiter *rx,
                          const struct cfg_rate_limiter *tx)
{
    (void)pthread_mutex_lock(&net->dev.lock);
    replace_limiter(net, &net->rx_rl, rx, NET_RX);
    replace_limiter(net, &net->tx_rl, tx, NET_TX);
    (void)pthread_mutex_unlock(&net->dev.lock);
}
