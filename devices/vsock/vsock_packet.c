/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Headers and CONNECT lines (virtio 1.2, 5.10.6; vsock.md 1.1). Pure; any thread.
 */
#include "devices/vsock/vsock_packet.h"

#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <strings.h>

#include "base/ck.h"

static const uint16_t wire_ops[] = {
    [VSOCK_OP_REQUEST] = VIRTIO_VSOCK_OP_REQUEST,
    [VSOCK_OP_RESPONSE] = VIRTIO_VSOCK_OP_RESPONSE,
    [VSOCK_OP_RST] = VIRTIO_VSOCK_OP_RST,
    [VSOCK_OP_SHUTDOWN] = VIRTIO_VSOCK_OP_SHUTDOWN,
    [VSOCK_OP_RW] = VIRTIO_VSOCK_OP_RW,
    [VSOCK_OP_CREDIT_UPDATE] = VIRTIO_VSOCK_OP_CREDIT_UPDATE,
    [VSOCK_OP_CREDIT_REQUEST] = VIRTIO_VSOCK_OP_CREDIT_REQUEST,
};
static_assert(ARRAY_LEN(wire_ops) == VSOCK_OP_UNSUPPORTED, "a number for every operation");

static enum vsock_op op_from_wire(uint16_t wire)
{
    uint32_t op = 0;
    while (op < ARRAY_LEN(wire_ops) && wire_ops[op] != wire)
        op++;
    return (enum vsock_op)op;
}

void vsock_packet_decode(const struct vsock_wire_header *wire, struct vsock_packet *ret_packet)
{
    *ret_packet = (struct vsock_packet){
        .src_cid = le64_get(wire->src_cid),
        .dst_cid = le64_get(wire->dst_cid),
        .src_port = le32_get(wire->src_port),
        .dst_port = le32_get(wire->dst_port),
        .len = le32_get(wire->len),
        .type = le16_get(wire->type),
        .op = op_from_wire(le16_get(wire->op)),
        .flags = le32_get(wire->flags),
        .buf_alloc = le32_get(wire->buf_alloc),
        .fwd_cnt = le32_get(wire->fwd_cnt),
    };
}

void vsock_packet_encode(const struct vsock_packet *packet, struct vsock_wire_header *ret_wire)
{
    assert(packet->op < ARRAY_LEN(wire_ops));
    *ret_wire = (struct vsock_wire_header){
        .src_cid = le64_put(packet->src_cid),
        .dst_cid = le64_put(packet->dst_cid),
        .src_port = le32_put(packet->src_port),
        .dst_port = le32_put(packet->dst_port),
        .len = le32_put(packet->len),
        .type = le16_put(packet->type),
        .op = le16_put(wire_ops[packet->op]),
        .flags = le32_put(packet->flags),
        .buf_alloc = le32_put(packet->buf_alloc),
        .fwd_cnt = le32_put(packet->fwd_cnt),
    };
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* The next word from *at on, which moves behind it. Returns its length; 0: there is none. */
static size_t word_next(const uint8_t *bytes, size_t len, size_t *at, const uint8_t **ret_word)
{
    while (*at < len && is_space(bytes[*at]))
        ++*at;
    size_t start = *at;
    while (*at < len && !is_space(bytes[*at]))
        ++*at;
    *ret_word = bytes + start;
    return *at - start;
}

static int port_parse(const uint8_t *word, size_t len, uint32_t *ret_port)
{
    size_t at = len > 0 && word[0] == '+';
    uint64_t port = 0;
    if (at == len)
        return -EINVAL;
    for (; at < len; at++) {
        if (word[at] < '0' || word[at] > '9')
            return -EINVAL;
        port = port * 10 + (uint64_t)(word[at] - '0'); /* a line is too short for it to wrap */
    }
    if (port > UINT32_MAX)
        return -EINVAL;
    *ret_port = (uint32_t)port;
    return 0;
}
static_assert(VSOCK_LINE_MAX_SIZE <= 32, "see above");

int vsock_line_parse(const uint8_t *bytes, size_t len, uint32_t *ret_port)
{
    static const char verb[] = "connect";
    size_t line_len = VSOCK_LINE_MIN_SIZE;
    size_t at = 0;
    const uint8_t *word;

    /* Only the last byte that was taken is compared: a line feed in the first ten is a space. */
    while (line_len <= len && line_len < VSOCK_LINE_MAX_SIZE && bytes[line_len - 1] != '\n')
        line_len++;
    if (line_len > len)
        return -EINVAL;
    size_t word_len = word_next(bytes, line_len, &at, &word);
    if (word_len != sizeof(verb) - 1 || strncasecmp((const char *)word, verb, word_len) != 0)
        return -EINVAL;
    word_len = word_next(bytes, line_len, &at, &word);
    int rc = port_parse(word, word_len, ret_port);
    return rc < 0 ? rc : (int)line_len;
}
