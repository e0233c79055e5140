/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock packet's header (virtio 1.2, 5.10.6; vsock.md 2) and the line by which a host program
 * asks for a port (vsock.md 1.1): wire bytes against plain values. Pure; any thread.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/le.h"

#define VSOCK_CID_HOST 2u
/* Payload of one packet, either way. */
#define VSOCK_PAYLOAD_MAX_SIZE 65536u

/* What a line has at least ("CONNECT 1\n") and at most. */
#define VSOCK_LINE_MIN_SIZE 10u
#define VSOCK_LINE_MAX_SIZE 32u

struct vsock_wire_header {
    le64_t src_cid;
    le64_t dst_cid;
    le32_t src_port;
    le32_t dst_port;
    le32_t len;
    le16_t type;
    le16_t op;
    le32_t flags;
    le32_t buf_alloc;
    le32_t fwd_cnt;
} __attribute__((packed));
#define VSOCK_HEADER_SIZE 44u
static_assert(sizeof(struct vsock_wire_header) == VSOCK_HEADER_SIZE, "virtio 1.2, 5.10.6");
static_assert(offsetof(struct vsock_wire_header, op) == 30, "virtio 1.2, 5.10.6");

enum vsock_op {
    VSOCK_OP_REQUEST,
    VSOCK_OP_RESPONSE,
    VSOCK_OP_RST,
    VSOCK_OP_SHUTDOWN,
    VSOCK_OP_RW,
    VSOCK_OP_CREDIT_UPDATE,
    VSOCK_OP_CREDIT_REQUEST,
    VSOCK_OP_UNSUPPORTED,
};

/* A header's values; of a stream, as nothing else is built. */
struct vsock_packet {
    uint64_t src_cid;
    uint64_t dst_cid;
    uint32_t src_port;
    uint32_t dst_port;
    uint32_t len; /* bytes of payload */
    uint16_t type;
    enum vsock_op op;
    uint32_t flags;
    uint32_t buf_alloc; /* bytes that the sender has room for, for this stream */
    uint32_t fwd_cnt;   /* bytes that it has passed on, modulo 2^32 */
};

/* The values of a header; nothing is judged, but an unknown operation is VSOCK_OP_UNSUPPORTED. */
void vsock_packet_decode(const struct vsock_wire_header *wire, struct vsock_packet *ret_packet);

/* The bytes of a header. packet: op must not be VSOCK_OP_UNSUPPORTED (asserted). */
void vsock_packet_encode(const struct vsock_packet *packet, struct vsock_wire_header *ret_wire);

/*
 * Parses what a host program has sent so far: "CONNECT <port>\n", which has to be there whole.
 * bytes: at most VSOCK_LINE_MAX_SIZE of them are looked at. Returns the length of the line in
 * bytes with *ret_port, or -EINVAL. Spec: vsock.md 1.1, 2.
 */
MUST_CHECK int vsock_line_parse(const uint8_t *bytes, size_t len, uint32_t *ret_port);
