/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/vsock: the device and its streams. vsock.c its life and events, vsock_table.c the
 * streams as a set, vsock_conn.c one stream's rules, vsock_host.c how host programs open one,
 * vsock_tx.c packets from the guest, vsock_rx.c packets to it. All of it under the virtio device's
 * lock, on the vmm thread, but for activate and reset, which come from a vCPU's.
 */
#pragma once

#include <stdbool.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include "base/metrics.h"
#include "devices/backend/uds.h"
#include "devices/vsock/vsock.h"
#include "devices/vsock/vsock_packet.h"

#define VSOCK_RX 0u
#define VSOCK_TX 1u
#define VSOCK_EVENT 2u
#define VSOCK_QUEUES_COUNT 3u

/* Bytes of one stream that are kept while its host program does not read: what the guest is told
 * that there is room for. Four times the reference's: with one packet's room the guest waits for
 * news of it after each (perf/README.md). Nothing is allocated before a host program is slow. */
#define VSOCK_BUF_SIZE 262144u
/* Bytes of all streams that are kept: as many as 1,023 streams of the reference keep. */
#define VSOCK_KEPT_MAX_SIZE (64u << 20)
/* The guest is told of room when it believes in less than this. */
#define VSOCK_CREDIT_LOW (VSOCK_BUF_SIZE / 2)
/* How long an answer may take (vsock.md 4). */
#define VSOCK_ANSWER_MAX_NS (2 * NS_PER_S)
/* What could not be done for want of room is tried again after this. */
#define VSOCK_RETRY_NS (10 * NS_PER_MS)

/* The guest's buffers of one read of a socket. */
#define VSOCK_READ_CHAINS_MAX 64u

/* The ports of streams that host programs open (vsock.md 1.1). */
#define VSOCK_LOCAL_PORT_FIRST (1u << 30)
#define VSOCK_LOCAL_PORT_END (1u << 31)

#define VSOCK_BUCKETS_COUNT 256u
/* Refusals of packets that belong to no stream, waiting for the guest's buffers. */
#define VSOCK_RSTS_MAX 256u

enum vsock_conn_state {
    VSOCK_LINE,         /* a host program has connected and not named a port; in no bucket */
    VSOCK_LOCAL_INIT,   /* it has; the guest has not answered */
    VSOCK_CONNECTING,   /* the guest has asked; the host program's queue is full */
    VSOCK_PEER_INIT,    /* it took us; the guest has not been told */
    VSOCK_ESTABLISHED,  /* bytes flow */
    VSOCK_LOCAL_CLOSED, /* the host program is gone; the guest has been told, or will be */
    VSOCK_KILLED,       /* closed on our side; RST is still to be told */
};

/* What a stream has for the guest: bits of vsock_conn.pending. */
#define VSOCK_HAS_RST 0x01u
#define VSOCK_HAS_RESPONSE 0x02u
#define VSOCK_HAS_REQUEST 0x04u
#define VSOCK_HAS_DATA 0x08u /* the socket is worth a read */
#define VSOCK_HAS_SHUTDOWN 0x10u
#define VSOCK_HAS_CREDIT_UPDATE 0x20u

struct vsock_conn {
    struct vsock *vsock;
    enum vsock_conn_state state;
    struct loop_src src; /* the host's socket; FD_NONE: none yet, or closed */
    uint32_t local_port;
    uint32_t peer_port;
    uint32_t pending;

    uint32_t peer_buf_alloc; /* the guest's room, as it last said */
    uint32_t peer_fwd_cnt;
    uint32_t sent_cnt;    /* bytes to the guest, modulo 2^32 */
    uint32_t fwd_cnt;     /* bytes to the host's socket, modulo 2^32 */
    uint32_t fwd_told;    /* as the guest knows it */
    uint32_t chains_hint; /* how many of the guest's buffers a read is likely to fill */

    bool peer_no_recv; /* the guest said SHUTDOWN for a direction */
    bool peer_no_send;
    bool host_ended;    /* the host program writes no more, but reads */
    bool writing_ended; /* the host program was told that the guest sends no more */
    /* The socket is not looked at: with HAS_DATA there is no buffer of the guest, without it no
     * credit. */
    bool starved;
    bool counted; /* as a connection, by the metrics */

    uint8_t *buf; /* VSOCK_BUF_SIZE bytes while the host program does not read; NULL: all written */
    uint32_t buf_off;
    uint32_t buf_len; /* bytes from buf_off on, round and round */

    uint64_t deadline_ns; /* monotonic; 0: none */
    bool queued;          /* in vsock.ready */
    LIST_ENTRY(vsock_conn) in_bucket;
    TAILQ_ENTRY(vsock_conn) in_all;
    TAILQ_ENTRY(vsock_conn) in_ready;
    TAILQ_ENTRY(vsock_conn) in_expiring;
};
LIST_HEAD(vsock_bucket, vsock_conn);
TAILQ_HEAD(vsock_list, vsock_conn);

/* A refusal of a packet that belongs to no stream. */
struct vsock_rst {
    uint32_t local_port;
    uint32_t peer_port;
};

/* One of the guest's buffers for packets to it: a chain that was popped and not pushed. */
struct vsock_slot {
    gpa_t addr; /* where the header goes */
    uint16_t head;
    uint32_t size; /* bytes of payload that it takes */
};

/* Buffers popped for one read of a socket; the pieces also for one write of a packet. */
struct vsock_batch {
    struct vsock_slot slots[VSOCK_READ_CHAINS_MAX];
    struct iovec iov[VQ_SIZE_MAX];
    uint32_t slots_count;
    uint32_t iov_count;
    uint32_t size; /* bytes of payload of all */
};

struct vsock {
    struct virtio_dev dev;
    struct vsock_env env;
    uint32_t guest_cid;
    char uds_path[UDS_PATH_MAX_LEN + 1];
    dev_t file_dev; /* the file at uds_path that is ours */
    ino_t file_ino;
    struct loop_src listener;     /* watched while the driver is ready */
    struct loop_post post;        /* the driver was reset, on a vCPU's thread */
    struct loop_timer timer;      /* of deadlines and of what is tried again */
    struct loop_timer lazy_timer; /* of an interrupt that may wait */
    bool stale;                   /* the streams are a former driver's */
    bool parked;        /* sockets may be silent and timers unarmed: the device did not serve */
    bool accept_failed; /* no descriptor for a new stream: tried again by the timer */
    bool watch_failed;  /* a socket that the kernel did not take to be watched: likewise */
    uint64_t parked_at_ns;

    struct vsock_bucket buckets[VSOCK_BUCKETS_COUNT]; /* by both ports */
    struct vsock_list all;
    struct vsock_list ready;    /* have something for the guest, in turn */
    struct vsock_list expiring; /* have a deadline, the next one first */
    uint32_t conns_count;
    uint32_t kept_size; /* bytes kept of all streams */
    uint32_t connecting_count;
    uint32_t retry_from; /* which of those is asked next */
    uint32_t last_local_port;
    bool reset_pending; /* the guest was told that its streams are gone, and has not taken note */
    uint16_t reset_avail_idx; /* the event queue's avail index when it was told */

    struct vsock_rst rsts[VSOCK_RSTS_MAX]; /* from rsts_first on, round and round */
    uint32_t rsts_first;
    uint32_t rsts_count;

    struct vq_chain chain; /* the one being looked at */
    struct vsock_batch batch;
};

/* It is a connection from now on. */
static inline void vsock_conn_count(struct vsock_conn *conn)
{
    conn->counted = true;
    metric_inc(&metrics.vsock.conns_added);
}

static inline struct vsock *vsock_of(struct virtio_dev *dev)
{
    return CONTAINER_OF(dev, struct vsock, dev);
}

/* vsock.c: looks at the listening socket when somebody could be taken. */
void vsock_watch_listener(struct vsock *vsock);
/* The kernel did not take a socket to be watched: it is offered again. */
void vsock_watch_failed(struct vsock *vsock);
/* Something happened at a stream's socket. */
void vsock_on_socket(struct loop_src *src, uint32_t revents);
/* Arms the timer for what is due next, if anything is. */
void vsock_arm_timer(struct vsock *vsock);

/* vsock_table.c */
void vsock_table_init(struct vsock *vsock);
/* A stream in state LINE, with a socket or FD_NONE. When there are VSOCK_CONNS_MAX, the oldest in
 * that state makes room. Returns NULL when there is none, or no memory; then the fd stays the
 * caller's. */
struct vsock_conn *vsock_conn_create(struct vsock *vsock, int fd);
/* Gives it its ports: it can be found from now on. */
void vsock_conn_register(struct vsock_conn *conn, uint32_t local_port, uint32_t peer_port);
struct vsock_conn *vsock_conn_find(struct vsock *vsock, uint32_t local_port, uint32_t peer_port);
/* Closes and frees it. */
void vsock_conn_remove(struct vsock_conn *conn);
void vsock_conn_remove_all(struct vsock *vsock);
/* A port that no stream has. */
uint32_t vsock_local_port_next(struct vsock *vsock);
/* It has something for the guest: its turn comes. */
void vsock_conn_enqueue(struct vsock_conn *conn, uint32_t pending);
/* Takes it out of `ready`. */
void vsock_conn_dequeue(struct vsock_conn *conn);
/* It ends unless something comes within VSOCK_ANSWER_MAX_NS; or not any more. */
void vsock_conn_set_deadline(struct vsock_conn *conn);
void vsock_conn_clear_deadline(struct vsock_conn *conn);
/* A packet that belongs to no stream is refused. */
void vsock_refuse(struct vsock *vsock, uint32_t local_port, uint32_t peer_port);

/* vsock_conn.c */
/* Closes the host's socket, once; nothing is read or written any more. */
void vsock_conn_close_host(struct vsock_conn *conn);
/* Ends a stream by RST, which stays to be told. */
void vsock_conn_end(struct vsock_conn *conn);
/* The same by force: counted. */
void vsock_conn_kill(struct vsock_conn *conn);
/* The host's socket is looked at for what the stream's state needs, and for nothing else. */
void vsock_conn_watch(struct vsock_conn *conn);
/* How many bytes the guest has room for. */
uint32_t vsock_conn_credit(const struct vsock_conn *conn);
/* A packet of the guest for this stream, payload behind the header of vsock.chain. May free it. */
void vsock_conn_on_packet(struct vsock_conn *conn, const struct vsock_packet *packet);
/* Something happened at its socket. May free it. */
void vsock_conn_on_host(struct vsock_conn *conn, uint32_t revents);
/* The host program reads no more and writes no more: the guest is told. */
void vsock_conn_host_gone(struct vsock_conn *conn);
/* The host program writes no more. */
void vsock_conn_host_ended(struct vsock_conn *conn);

/* vsock_host.c */
/* Takes those who wait at the listening socket. */
void vsock_host_accept(struct vsock *vsock);
/* Reads the line that names a port. is_new: it need not be there yet. May free it. */
void vsock_host_on_line(struct vsock_conn *conn, bool is_new);
/* The guest asks for a host program. */
void vsock_host_connect(struct vsock *vsock, const struct vsock_packet *packet);
/* Asks again those whose queue was full. */
void vsock_host_retry(struct vsock *vsock);

/* vsock_tx.c: takes what the guest has sent, for as long as the budget lasts. Published by the
 * caller. */
void vsock_tx_serve(struct vsock *vsock);

/* vsock_rx.c: gives the guest what there is for it, for as long as it has buffers and the budget
 * lasts. Published by the caller. */
void vsock_rx_serve(struct vsock *vsock);
