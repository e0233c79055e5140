/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/mmds: the network of one interface, bottom up: segments in IPv4 packets
 * (mmds_tcp.c), a connection (mmds_conn.c), all connections (mmds_endpoint.c), frames (mmds_nic.c).
 * Bytes of the guest are copies, and every length is explicit. Thread: vmm, under the interface's
 * lock. Spec: mmds.md 1-3.
 */
#pragma once

#include <assert.h>

#include "devices/mmds/mmds_int.h"

#define MMDS_PORT 80u
#define MMDS_CONNS_MAX 30u
#define MMDS_RESETS_MAX 100u

#define MMDS_RESPONSE_MAX_SIZE (1u << 30) /* far below where sequence numbers meet */
/* While the VM's responses that are not acknowledged yet have more than this, no more are made. */
#define MMDS_RESPONSES_MAX_SIZE (16u << 20)

#define MMDS_ETH_SIZE 14u
#define MMDS_IP_SIZE 20u  /* of ours; the guest's may have options */
#define MMDS_TCP_SIZE 20u /* likewise */
#define MMDS_MSS_DEFAULT 536u
/* Payload of our largest segment. */
#define MMDS_PAYLOAD_MAX_SIZE                                                                      \
    (FRAME_FILTER_PULL_MAX_SIZE - MMDS_ETH_SIZE - MMDS_IP_SIZE - MMDS_TCP_SIZE)

/* Headers with all options and a window of payload: no more of a frame is ever asked for. */
static_assert(MMDS_ETH_SIZE + 60 + 60 + MMDS_REQUEST_MAX_SIZE <= FRAME_FILTER_TAKE_MAX_SIZE,
              "a frame that fills the window is seen whole");

/* 1.2e9 and 40e9 cycles of the reference at 3 GHz. */
#define MMDS_RETRANSMIT_NS (400 * NS_PER_MS)
#define MMDS_EVICT_NS (13333 * NS_PER_MS)
#define MMDS_RETRIES_MAX 15u

enum mmds_tcp_flag {
    MMDS_FIN = 1u << 0,
    MMDS_SYN = 1u << 1,
    MMDS_RST = 1u << 2,
    MMDS_PSH = 1u << 3,
    MMDS_ACK = 1u << 4,
};

/* The guest's end of a connection. */
struct mmds_peer {
    uint8_t ip[4];
    uint16_t port;
};

/* A segment, taken apart or to be put together. */
struct mmds_segment {
    struct mmds_peer peer;
    uint16_t port; /* ours */
    uint32_t seq;
    uint32_t ack;
    uint8_t flags; /* all eight of the wire: enum mmds_tcp_flag and URG, ECE, CWR */
    uint16_t window;
    const uint8_t *options; /* from the guest */
    size_t options_len;
    uint16_t mss;           /* to the guest: an option of ours; 0: none */
    const uint8_t *payload; /* borrowed */
    size_t payload_len;     /* bytes that the guest says it has sent */
    size_t payload_here;    /* bytes of them that are here */
};

/* mmds_tcp.c: pure. */
enum mmds_packet {
    MMDS_PACKET_TCP,
    MMDS_PACKET_OTHER, /* an IPv4 packet of another protocol */
    MMDS_PACKET_BAD,   /* no packet, a fragment, or no segment */
};
/* Takes an IPv4 packet apart: bytes of `len` are here, of packet_len that were sent. */
MUST_CHECK enum mmds_packet mmds_segment_parse(const uint8_t *bytes, size_t len, size_t packet_len,
                                               struct mmds_segment *ret_segment);
/* The MSS that options say, or the default. Returns 0 or -EPROTO (options that cannot be). */
MUST_CHECK int mmds_segment_mss(const struct mmds_segment *segment, uint16_t *ret_mss);
/* Puts an IPv4 packet together, with checksums. ret_packet: FRAME_FILTER_PULL_MAX_SIZE less the
 * Ethernet header. Returns its length. */
size_t mmds_segment_build(const struct mmds_segment *segment, const uint8_t our_ip[static 4],
                          uint8_t *ret_packet);

/* Does a come before b? Sequence numbers go round. */
static inline bool mmds_seq_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* One connection: passively opened, one request at a time. */
struct mmds_conn {
    bool used;
    struct mmds_peer peer;
    uint16_t mss;         /* as the guest said; what it is told as well */
    uint64_t received_ns; /* when its last segment came */

    /* What we send. Numbers: una <= next <= max, and nothing behind `limit`. */
    uint32_t first_seq;
    uint32_t una;     /* oldest that is not acknowledged */
    uint32_t next;    /* to be sent next; goes back to una to send again */
    uint32_t max;     /* behind all that was ever sent */
    uint32_t limit;   /* the guest's window ends here */
    uint64_t sent_ns; /* the retransmission's clock; counts while una != max */
    uint32_t retries;
    bool established; /* our SYN was acknowledged */
    bool closing;     /* all is said: a FIN of ours has fin_seq */
    uint32_t fin_seq;
    bool owes_ack;

    /* What we receive. */
    uint32_t their_first_seq;
    uint32_t wanted; /* next byte of theirs */
    uint32_t edge;   /* of the window that they were told */
    bool their_fin;
    uint32_t request_len;
    uint8_t request[MMDS_REQUEST_MAX_SIZE];

    struct mmds *mmds; /* borrowed; counts responses */
    char *response;    /* heap; NULL: none */
    size_t response_len;
    uint32_t response_seq; /* of its first byte */
};

/* mmds_conn.c. What becomes of a connection: */
enum mmds_fate {
    MMDS_FATE_STAYS,
    MMDS_FATE_OVER,  /* both have said goodbye, or the guest has reset it */
    MMDS_FATE_RESET, /* we reset it: mmds_conn_reset_of says how */
};
/* Opens by a SYN. Returns 0, -EPROTO (payload, or options that cannot be: nothing happens). */
MUST_CHECK int mmds_conn_open(struct mmds_conn *conn, struct mmds *mmds,
                              const struct mmds_segment *syn, uint32_t first_seq, uint64_t now_ns);
/* Frees what it has; it is unused then. */
void mmds_conn_close(struct mmds_conn *conn);
MUST_CHECK enum mmds_fate mmds_conn_receive(struct mmds_conn *conn,
                                            const struct mmds_segment *segment, uint64_t now_ns);
/* Looks at the clock. */
MUST_CHECK enum mmds_fate mmds_conn_tick(struct mmds_conn *conn, uint64_t now_ns);
/* Its next segment; false: nothing to send now. */
MUST_CHECK bool mmds_conn_send(struct mmds_conn *conn, uint64_t now_ns,
                               struct mmds_segment *ret_segment);
/* When it has to be ticked; 0: never. */
uint64_t mmds_conn_due_ns(const struct mmds_conn *conn);
/* The segment that resets it. */
struct mmds_segment mmds_conn_reset_of(const struct mmds_conn *conn);

/* mmds_endpoint.c: every connection of an interface, and what is refused. */
struct mmds_endpoint {
    struct mmds_conn conns[MMDS_CONNS_MAX];
    uint32_t conns_count; /* that are used: without any nothing is looked through */
    uint32_t turn;        /* whose turn it is to send */
    struct mmds_segment resets[MMDS_RESETS_MAX];
    uint32_t resets_first; /* first .. first + count, round and round */
    uint32_t resets_count;
};
void mmds_endpoint_receive(struct mmds_endpoint *endpoint, struct mmds *mmds,
                           const struct mmds_segment *segment);
MUST_CHECK bool mmds_endpoint_send(struct mmds_endpoint *endpoint, uint64_t now_ns,
                                   struct mmds_segment *ret_segment);
uint64_t mmds_endpoint_due_ns(const struct mmds_endpoint *endpoint);
void mmds_endpoint_reset(struct mmds_endpoint *endpoint);
