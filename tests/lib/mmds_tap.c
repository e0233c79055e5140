/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service behind a TAP instead of a NIC, so that the host's own TCP can be its guest:
 * no VM. For tests/native. usage: mmds-tap TAP JSON v1|v2 LOSS, where LOSS of a hundred frames are
 * lost each way. Ends by a signal. Single thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/crypto/crypto.h"
#include "devices/mmds/mmds.h"

#define FRAME_MAX_SIZE 65536u
#define DATA_MAX_SIZE (1024u * 1024)
#define HEAD_SIZE 128u

static const uint8_t address[4] = {169, 254, 169, 254};

static int fail(const char *what)
{
    (void)fprintf(stderr, "mmds-tap: %s: %s\n", what, strerror(errno));
    return 1;
}

static int open_tap(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    return fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0 ? fd : -1;
}

static bool is_lost(unsigned long loss)
{
    return (unsigned long)random() % 100 < loss;
}

/* Until the service is asked again of its own accord; -1: for ever. */
static int wait_ms(const struct frame_filter *filter)
{
    uint64_t due_ns = filter->ops->due_ns(filter);
    uint64_t now_ns = clock_mono_ns();
    if (due_ns == 0)
        return -1;
    return due_ns > now_ns ? (int)((due_ns - now_ns) / NS_PER_MS) + 1 : 0;
}

static void take_all(int fd, struct frame_filter *filter, unsigned long loss)
{
    static uint8_t frame[FRAME_MAX_SIZE];
    ssize_t got;
    while ((got = read(fd, frame, sizeof(frame))) >= 14) {
        size_t len = (size_t)got;
        if (!is_lost(loss) && filter->ops->wants(filter, frame, len < HEAD_SIZE ? len : HEAD_SIZE))
            filter->ops->take(filter, frame,
                              len < FRAME_FILTER_TAKE_MAX_SIZE ? len : FRAME_FILTER_TAKE_MAX_SIZE,
                              len);
    }
}

static int give_all(int fd, struct frame_filter *filter, unsigned long loss)
{
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    size_t len;
    while ((len = filter->ops->pull(filter, frame)) > 0)
        if (!is_lost(loss) && write(fd, frame, len) < 0)
            return fail("write");
    return 0;
}

static int serve(int fd, struct frame_filter *filter, unsigned long loss)
{
    for (;;) {
        struct pollfd tap = {.fd = fd, .events = POLLIN};
        if (poll(&tap, 1, wait_ms(filter)) < 0)
            return fail("poll");
        take_all(fd, filter, loss);
        if (give_all(fd, filter, loss) != 0)
            return 1;
    }
}

int main(int argc, char **argv)
{
    const struct mmds_env env = {.clock = clock_real(),
                                 .random = crypto_random,
                                 .vm_id = "tap",
                                 .data_size_max = DATA_MAX_SIZE};
    struct mmds *mmds;
    struct mmds_nic *nic;
    struct err err = ERR_INIT;
    if (argc != 5)
        return 2;
    int fd = open_tap(argv[1]);
    if (fd < 0)
        return fail(argv[1]);
    if (mmds_create(&env, &mmds) < 0 || mmds_nic_create(mmds, address, &nic) < 0)
        return fail("no memory");
    mmds_configure(mmds, strcmp(argv[3], "v2") == 0, false);
    if (mmds_put(mmds, argv[2], strlen(argv[2]), &err) < 0)
        return fail(err.msg);
    return serve(fd, mmds_nic_filter(nic), strtoul(argv[4], NULL, 10));
}
