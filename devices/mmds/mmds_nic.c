/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of one interface: which are the service's, ARP, and Ethernet around IPv4. Thread: vmm,
 * under the interface's lock; `reset` perhaps a vCPU's, under it too. Spec: mmds.md 1, 2.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "base/metrics.h"
#include "devices/mmds/mmds_net.h"

/* Offsets in an Ethernet II frame, and behind its header in ARP for IPv4 and in IPv4. */
#define ETH_DESTINATION 0u
#define ETH_SOURCE 6u
#define ETH_TYPE 12u
#define MAC_SIZE 6u
#define TYPE_IPV4 0x0800u
#define TYPE_ARP 0x0806u

#define ARP_KIND 0u /* hardware, protocol and the sizes of their addresses */
#define ARP_OPERATION 6u
#define ARP_SENDER_MAC 8u
#define ARP_SENDER_IP 14u
#define ARP_TARGET_MAC 18u
#define ARP_TARGET_IP 24u
#define ARP_SIZE 28u
#define ARP_REQUEST 1u
#define ARP_REPLY 2u

#define IP_DESTINATION 16u
#define IP_SIZE 4u

static const uint8_t our_mac[MAC_SIZE] = {0x06, 0x01, 0x23, 0x45, 0x67, 0x01};
/* Ethernet, IPv4, 6, 4. */
static const uint8_t arp_kind[ARP_OPERATION] = {0, 1, 0x08, 0, MAC_SIZE, IP_SIZE};

struct mmds_nic {
    struct frame_filter filter;
    struct mmds *mmds; /* borrowed */
    uint8_t ip[IP_SIZE];
    uint8_t their_mac[MAC_SIZE]; /* source of the last frame taken */
    bool stale;                  /* all below is a former driver's */
    bool owes_arp;               /* the newest request is not answered */
    uint8_t arp_mac[MAC_SIZE];   /* who asked */
    uint8_t arp_ip[IP_SIZE];
    struct mmds_endpoint endpoint;
};
static_assert(offsetof(struct mmds_nic, filter) == 0, "a filter is its nic's first member");

static struct mmds_nic *nic_of(struct frame_filter *filter)
{
    return CONTAINER_OF(filter, struct mmds_nic, filter);
}

static const struct mmds_nic *const_nic_of(const struct frame_filter *filter)
{
    return (const struct mmds_nic *)filter;
}

static bool wants(const struct frame_filter *filter, const uint8_t *head, size_t head_len)
{
    const struct mmds_nic *nic = const_nic_of(filter);
    size_t off; /* of the address that has to be ours */

    if (head_len < MMDS_ETH_SIZE)
        return false;
    switch (be16_load(head + ETH_TYPE)) {
    case TYPE_IPV4:
        off = MMDS_ETH_SIZE + IP_DESTINATION;
        break;
    case TYPE_ARP:
        off = MMDS_ETH_SIZE + ARP_TARGET_IP;
        break;
    default:
        return false;
    }
    return head_len >= off + IP_SIZE && memcmp(head + off, nic->ip, IP_SIZE) == 0;
}

static void take_arp(struct mmds_nic *nic, const uint8_t *arp, size_t len)
{
    if (len < ARP_SIZE || memcmp(arp + ARP_KIND, arp_kind, sizeof(arp_kind)) != 0 ||
        be16_load(arp + ARP_OPERATION) != ARP_REQUEST) {
        metric_inc(&metrics.mmds.rx_accepted_err);
        return;
    }
    memcpy(nic->arp_mac, arp + ARP_SENDER_MAC, MAC_SIZE);
    memcpy(nic->arp_ip, arp + ARP_SENDER_IP, IP_SIZE);
    nic->owes_arp = true;
}

static void take_ipv4(struct mmds_nic *nic, const uint8_t *packet, size_t len, size_t packet_len)
{
    struct mmds_segment segment;
    enum mmds_packet kind = mmds_segment_parse(packet, len, packet_len, &segment);

    if (kind == MMDS_PACKET_OTHER) {
        metric_inc(&metrics.mmds.rx_accepted_unusual);
    } else if (kind == MMDS_PACKET_BAD || segment.port != MMDS_PORT) {
        metric_inc(&metrics.mmds.rx_accepted_err);
    } else {
        metric_inc(&metrics.mmds.rx_count);
        mmds_endpoint_receive(&nic->endpoint, nic->mmds, &segment);
    }
}

/* Ends what a former driver had. */
static void forget_former(struct mmds_nic *nic)
{
    if (!nic->stale)
        return;
    nic->stale = false;
    nic->owes_arp = false;
    mmds_endpoint_reset(&nic->endpoint);
}

static void take(struct frame_filter *filter, const uint8_t *bytes, size_t len, size_t frame_len)
{
    struct mmds_nic *nic = nic_of(filter);

    if (len < MMDS_ETH_SIZE) {
        metric_inc(&metrics.mmds.rx_bad_eth);
        return;
    }
    metric_inc(&metrics.mmds.rx_accepted);
    forget_former(nic);
    memcpy(nic->their_mac, bytes + ETH_SOURCE, MAC_SIZE);
    if (be16_load(bytes + ETH_TYPE) == TYPE_ARP)
        take_arp(nic, bytes + MMDS_ETH_SIZE, len - MMDS_ETH_SIZE);
    else
        take_ipv4(nic, bytes + MMDS_ETH_SIZE, len - MMDS_ETH_SIZE, frame_len - MMDS_ETH_SIZE);
}

static void put_ethernet(uint8_t *frame, const uint8_t *destination, uint16_t type)
{
    memcpy(frame + ETH_DESTINATION, destination, MAC_SIZE);
    memcpy(frame + ETH_SOURCE, our_mac, MAC_SIZE);
    be16_store(frame + ETH_TYPE, type);
}

static size_t pull_arp(struct mmds_nic *nic, uint8_t *frame)
{
    uint8_t *arp = frame + MMDS_ETH_SIZE;

    nic->owes_arp = false;
    put_ethernet(frame, nic->arp_mac, TYPE_ARP);
    memcpy(arp + ARP_KIND, arp_kind, sizeof(arp_kind));
    be16_store(arp + ARP_OPERATION, ARP_REPLY);
    memcpy(arp + ARP_SENDER_MAC, our_mac, MAC_SIZE);
    memcpy(arp + ARP_SENDER_IP, nic->ip, IP_SIZE);
    memcpy(arp + ARP_TARGET_MAC, nic->arp_mac, MAC_SIZE);
    memcpy(arp + ARP_TARGET_IP, nic->arp_ip, IP_SIZE);
    return MMDS_ETH_SIZE + ARP_SIZE;
}

static size_t pull(struct frame_filter *filter, uint8_t *frame)
{
    struct mmds_nic *nic = nic_of(filter);
    struct mmds_segment segment;
    size_t len;

    forget_former(nic);
    if (nic->owes_arp) {
        len = pull_arp(nic, frame);
    } else if (mmds_endpoint_send(&nic->endpoint, clock_now_ns(nic->mmds->env.clock), &segment)) {
        put_ethernet(frame, nic->their_mac, TYPE_IPV4);
        len = MMDS_ETH_SIZE + mmds_segment_build(&segment, nic->ip, frame + MMDS_ETH_SIZE);
    } else {
        return 0;
    }
    metric_inc(&metrics.mmds.tx_count);
    metric_inc(&metrics.mmds.tx_frames); /* what is pulled reaches the guest */
    metric_add(&metrics.mmds.tx_bytes, len);
    return len;
}

static uint64_t due_ns(const struct frame_filter *filter)
{
    const struct mmds_nic *nic = const_nic_of(filter);
    return nic->stale ? 0 : mmds_endpoint_due_ns(&nic->endpoint);
}

/* On a vCPU's thread: what there is to be freed waits for the loop's. */
static void reset(struct frame_filter *filter)
{
    nic_of(filter)->stale = true;
}

static const struct frame_filter_ops nic_ops = {
    .wants = wants,
    .take = take,
    .pull = pull,
    .due_ns = due_ns,
    .reset = reset,
};

int mmds_nic_create(struct mmds *mmds, const uint8_t ipv4[static 4], struct mmds_nic **ret_nic)
{
    struct mmds_nic *nic = calloc(1, sizeof(*nic));

    if (!nic)
        return -ENOMEM;
    nic->filter.ops = &nic_ops;
    nic->mmds = mmds;
    memcpy(nic->ip, ipv4, IP_SIZE);
    *ret_nic = nic;
    return 0;
}

void mmds_nic_free(struct mmds_nic *nic)
{
    if (!nic)
        return;
    mmds_endpoint_reset(&nic->endpoint);
    free(nic);
}

struct frame_filter *mmds_nic_filter(struct mmds_nic *nic)
{
    return &nic->filter;
}
