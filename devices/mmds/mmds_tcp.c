/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Segments in IPv4 packets, taken apart and put together. The guest's checksums are not verified:
 * it may have left them to the device. Pure functions, any thread. Spec: mmds.md 2, 3; RFC 791,
 * 3.1; RFC 9293, 3.1, 3.2.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "devices/mmds/mmds_net.h"

/* Offsets in an IPv4 header. */
#define IP_TOTAL_LEN 2u
#define IP_FRAGMENT 6u
#define IP_TTL 8u
#define IP_PROTOCOL 9u
#define IP_CHECKSUM 10u
#define IP_SOURCE 12u
#define IP_DESTINATION 16u

#define IP_VERSION_4 4u
#define IP_IS_FRAGMENT 0x3fffu /* more fragments, or an offset */
#define IP_PROTOCOL_TCP 6u
#define OUR_TTL 1u

/* Offsets in a TCP header. */
#define TCP_SOURCE_PORT 0u
#define TCP_DESTINATION_PORT 2u
#define TCP_SEQ 4u
#define TCP_ACK 8u
#define TCP_DATA_OFFSET 12u
#define TCP_FLAGS 13u
#define TCP_WINDOW 14u
#define TCP_CHECKSUM 16u

#define OPTION_END 0u
#define OPTION_NOTHING 1u
#define OPTION_MSS 2u
#define OPTION_MSS_SIZE 4u

#define WORD_SIZE 4u /* of what both header lengths count */

enum mmds_packet mmds_segment_parse(const uint8_t *bytes, size_t len, size_t packet_len,
                                    struct mmds_segment *ret_segment)
{
    if (len < MMDS_IP_SIZE || bytes[0] >> 4 != IP_VERSION_4)
        return MMDS_PACKET_BAD;
    size_t ip_size = (bytes[0] & 0xfu) * WORD_SIZE;
    size_t total_len = be16_load(bytes + IP_TOTAL_LEN);
    if (ip_size < MMDS_IP_SIZE || ip_size > len || total_len < ip_size || total_len > packet_len ||
        be16_load(bytes + IP_FRAGMENT) & IP_IS_FRAGMENT)
        return MMDS_PACKET_BAD;
    if (bytes[IP_PROTOCOL] != IP_PROTOCOL_TCP)
        return MMDS_PACKET_OTHER;

    const uint8_t *tcp = bytes + ip_size;
    size_t sent = total_len - ip_size; /* behind the frame there may be padding */
    size_t here = len - ip_size < sent ? len - ip_size : sent;
    if (here < MMDS_TCP_SIZE)
        return MMDS_PACKET_BAD;
    size_t tcp_size = (size_t)(tcp[TCP_DATA_OFFSET] >> 4) * WORD_SIZE;
    if (tcp_size < MMDS_TCP_SIZE || tcp_size > here)
        return MMDS_PACKET_BAD;
    *ret_segment = (struct mmds_segment){
        .peer.port = be16_load(tcp + TCP_SOURCE_PORT),
        .port = be16_load(tcp + TCP_DESTINATION_PORT),
        .seq = be32_load(tcp + TCP_SEQ),
        .ack = be32_load(tcp + TCP_ACK),
        .flags = tcp[TCP_FLAGS],
        .window = be16_load(tcp + TCP_WINDOW),
        .options = tcp + MMDS_TCP_SIZE,
        .options_len = tcp_size - MMDS_TCP_SIZE,
        .payload = tcp + tcp_size,
        .payload_len = sent - tcp_size,
        .payload_here = here - tcp_size,
    };
    memcpy(ret_segment->peer.ip, bytes + IP_SOURCE, sizeof(ret_segment->peer.ip));
    return MMDS_PACKET_TCP;
}

int mmds_segment_mss(const struct mmds_segment *segment, uint16_t *ret_mss)
{
    const uint8_t *options = segment->options;
    size_t left = segment->options_len;

    *ret_mss = MMDS_MSS_DEFAULT;
    while (left > 0 && options[0] != OPTION_END) {
        size_t size = 1;
        if (options[0] != OPTION_NOTHING) {
            if (left < 2 || options[1] < 2 || options[1] > left)
                return -EPROTO;
            size = options[1];
        }
        if (options[0] == OPTION_MSS) {
            if (size != OPTION_MSS_SIZE || be16_load(options + 2) == 0)
                return -EPROTO;
            *ret_mss = be16_load(options + 2);
        }
        options += size;
        left -= size;
    }
    return 0;
}

/* Sum of 16-bit words, the last one padded with a zero (RFC 1071). */
static uint32_t sum_of(const uint8_t *bytes, size_t len)
{
    uint32_t sum = 0; /* of at most 64 KiB */

    for (size_t i = 0; i + 1 < len; i += 2)
        sum += be16_load(bytes + i);
    return len % 2 ? sum + ((uint32_t)bytes[len - 1] << 8) : sum;
}

static uint16_t checksum_of(uint32_t sum)
{
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)~sum;
}

static size_t build_tcp(const struct mmds_segment *segment, uint8_t *tcp)
{
    size_t size = MMDS_TCP_SIZE + (segment->mss ? OPTION_MSS_SIZE : 0);

    memset(tcp, 0, size);
    be16_store(tcp + TCP_SOURCE_PORT, segment->port);
    be16_store(tcp + TCP_DESTINATION_PORT, segment->peer.port);
    be32_store(tcp + TCP_SEQ, segment->seq);
    be32_store(tcp + TCP_ACK, segment->ack);
    tcp[TCP_DATA_OFFSET] = (uint8_t)(size / WORD_SIZE << 4);
    tcp[TCP_FLAGS] = segment->flags;
    be16_store(tcp + TCP_WINDOW, segment->window);
    if (segment->mss) {
        tcp[MMDS_TCP_SIZE] = OPTION_MSS;
        tcp[MMDS_TCP_SIZE + 1] = OPTION_MSS_SIZE;
        be16_store(tcp + MMDS_TCP_SIZE + 2, segment->mss);
    }
    if (segment->payload_len > 0)
        memcpy(tcp + size, segment->payload, segment->payload_len);
    return size + segment->payload_len;
}

size_t mmds_segment_build(const struct mmds_segment *segment, const uint8_t our_ip[static 4],
                          uint8_t *ret_packet)
{
    uint8_t *ip = ret_packet;
    uint8_t *tcp = ip + MMDS_IP_SIZE;

    assert(segment->payload_len <= MMDS_PAYLOAD_MAX_SIZE - (segment->mss ? OPTION_MSS_SIZE : 0));
    size_t tcp_len = build_tcp(segment, tcp);
    memset(ip, 0, MMDS_IP_SIZE);
    ip[0] = IP_VERSION_4 << 4 | MMDS_IP_SIZE / WORD_SIZE;
    be16_store(ip + IP_TOTAL_LEN, (uint16_t)(MMDS_IP_SIZE + tcp_len));
    ip[IP_TTL] = OUR_TTL;
    ip[IP_PROTOCOL] = IP_PROTOCOL_TCP;
    memcpy(ip + IP_SOURCE, our_ip, 4);
    memcpy(ip + IP_DESTINATION, segment->peer.ip, 4);
    be16_store(ip + IP_CHECKSUM, checksum_of(sum_of(ip, MMDS_IP_SIZE)));
    /* The pseudo header: both addresses, the protocol, the length. */
    uint32_t sum = sum_of(ip + IP_SOURCE, 8) + IP_PROTOCOL_TCP + (uint32_t)tcp_len;
    be16_store(tcp + TCP_CHECKSUM, checksum_of(sum + sum_of(tcp, tcp_len)));
    return MMDS_IP_SIZE + tcp_len;
}
